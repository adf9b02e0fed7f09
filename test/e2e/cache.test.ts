/** P6: losing, corrupting or forbidding the cache costs time, never correctness. */

import {
  chmodSync,
  chownSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Box, isRoot, type Json, newBox, settle, summaryOf } from '../support/run-cairn.ts'

const FILES = 61

async function backedUp(): Promise<Box> {
  const box = newBox()
  for (let n = 0; n < FILES - 1; n++) box.write(`d${n % 5}/f${n}`, `content of ${n}`.repeat(n * 20))
  await settle()
  await box.succeed(['backup', '--init', 'source'])
  // The first backup of a repository has no use for a cached index; the second makes one.
  box.write('d0/later', 'written later')
  await settle()
  await box.succeed(['backup', 'source'])
  return box
}

function cacheFiles(box: Box): string[] {
  return readdirSync(box.cache, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

/** Backs up and lists, and expects the same tree and nothing stored. */
async function expectSame(box: Box, ...options: string[]): Promise<Json> {
  const before = (await box.snapshots()).at(-1)
  const finished = await box.run(['backup', '--json', ...options, 'source'])
  expect({ options, code: finished.code, stderr: finished.stderr }).toMatchObject({ code: 0 })
  const found = summaryOf(finished)
  expect(found).toMatchObject({ data_blobs: 0, tree_blobs: 0, data_added: 0 })
  expect((await box.snapshots()).at(-1).tree).toBe(before.tree)
  const { stdout } = await box.succeed(['ls', '-q', 'latest', ...options])
  expect(stdout.split('\n')).toHaveLength(FILES + 7)
  return found
}

test('P6: with the cache nothing is read again', async () => {
  const box = await backedUp()
  expect(cacheFiles(box).length).toBeGreaterThan(3)
  expect(await expectSame(box)).toMatchObject({ files_unmodified: FILES })
})

test('P6: the cache was deleted', async () => {
  const box = await backedUp()
  rmSync(box.cache, { recursive: true })
  await expectSame(box)
  expect(await expectSame(box)).toMatchObject({ files_unmodified: FILES })
})

test('P6: every file of the cache is damaged, in five ways', async () => {
  const box = await backedUp()
  const ways: readonly ((bytes: Buffer) => Buffer)[] = [
    (bytes) => bytes.subarray(0, bytes.length >> 1),
    () => Buffer.alloc(0),
    (bytes) => Buffer.alloc(bytes.length, 0xa5),
    (bytes) => Buffer.concat([bytes, Buffer.from('more')]),
    (bytes) => bytes.map((byte, at) => (at % 97 === 50 ? byte ^ 0x10 : byte)) as Buffer,
  ]
  for (const damage of ways) {
    for (const path of cacheFiles(box)) writeFileSync(path, damage(readFileSync(path)))
    await expectSame(box)
  }
})

test('P6: --no-cache uses and writes none', async () => {
  const box = await backedUp()
  rmSync(box.cache, { recursive: true })
  await expectSame(box, '--no-cache')
  expect(existsSync(box.cache)).toBe(false)
})

test('P6: --cache-dir and CAIRN_CACHE_DIR move it', async () => {
  const box = await backedUp()
  rmSync(box.cache, { recursive: true })
  await expectSame(box, '--cache-dir', join(box.path, 'other'))
  expect(existsSync(join(box.path, 'other'))).toBe(true)
  expect(existsSync(box.cache)).toBe(false)
})

test('P6: the cache of another repository in its place', async () => {
  const box = await backedUp()
  const [directory = ''] = readdirSync(join(box.cache, 'cairn')).filter((name) =>
    /^[0-9a-f]/.test(name),
  )
  const other = newBox()
  other.write('x')
  await other.succeed(['backup', '--init', 'source'])
  const [foreign = ''] = readdirSync(join(other.cache, 'cairn')).filter((name) =>
    /^[0-9a-f]/.test(name),
  )
  const here = join(box.cache, 'cairn', directory)
  const there = join(other.cache, 'cairn', foreign)
  for (const name of readdirSync(here)) rmSync(join(here, name), { recursive: true })
  const { cpSync } = await import('node:fs')
  cpSync(there, here, { recursive: true })
  await expectSame(box)
})

const readOnly = 'P6: a cache directory that may not be written'
test.skipIf(!isRoot)(`${readOnly}${isRoot ? '' : ' (needs root)'}`, async () => {
  const box = newBox()
  for (let n = 0; n < FILES - 1; n++) box.write(`d${n % 5}/f${n}`)
  for (const path of [box.path, box.home, join(box.path, 'key')]) chownSync(path, 65_534, 65_534)
  chmodSync(box.cache, 0o555)
  const options = { asOther: true }
  const first = await box.succeed(['backup', '--init', 'source'], options)
  expect(first.stderr).toContain('no cache is used, which only costs time')
  expect(first.stderr.split('\n').filter((line) => line !== '')).toHaveLength(1)
  const second = await box.succeed(['backup', '--json', 'source'], options)
  expect(summaryOf(second)).toMatchObject({ data_blobs: 0, data_added: 0 })
  expect(readdirSync(box.cache)).toEqual([])
})
