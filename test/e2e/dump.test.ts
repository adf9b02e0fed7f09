/** `cairn dump`: bytes on stdout and in files, and what it says when they are not whole. */

import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Box, type Json, jsonLines, newRepository } from '../support/run-cairn.ts'

/** Bytes that are no text, larger than a pipe holds. */
const BYTES = Buffer.alloc(3_000_000)
for (let at = 0; at < BYTES.length; at += 4)
  BYTES.writeUInt32LE(Math.imul(at, 0x9e3779b1) >>> 0, at)

async function filled(): Promise<Box> {
  const box = await newRepository()
  box.write('dir/bytes', BYTES)
  box.write('dir/sub/text', 'text')
  symlinkSync('text', join(box.source, 'dir/sub/link'))
  await box.succeed(['backup', 'source'])
  return box
}

/** Damages a byte of every segment of data. */
async function damageData(box: Box): Promise<void> {
  for (const name of box.repositoryFiles('index')) {
    const { stdout } = await box.succeed(['cat', '--json', 'index', name.slice(-64)])
    for (const { id, segments, blobs } of JSON.parse(stdout).packs) {
      const path = join(
        box.repository,
        box.repositoryFiles('packs').find((one) => one.endsWith(id)) ?? '',
      )
      const bytes = readFileSync(path)
      const isData = (at: number) =>
        blobs.some((blob: Json) => blob.segment === at && blob.type === 'data')
      for (const [at, segment] of segments.entries()) {
        if (isData(at)) bytes[segment.offset + 100]! ^= 1
      }
      writeFileSync(path, bytes)
    }
  }
}

test('a file goes out as it is, to stdout and to --target', async () => {
  const box = await filled()
  const out = join(box.path, 'out')
  await box.succeed(['dump', '--target', out, 'latest', '/source/dir/bytes'])
  expect(readFileSync(out).equals(BYTES)).toBe(true)
  await box.succeed(['dump', '-t', out, 'latest:source/dir', 'sub/../sub/text'])
  expect(readFileSync(out, 'utf8')).toBe('text')
  const { stdout } = await box.succeed(['dump', '--at', '2999-01-01', '/source/a.txt'])
  expect(stdout).toBe('alpha')
})

test('a directory goes out as an archive whose paths are those of the snapshot', async () => {
  const box = await filled()
  const archive = join(box.path, 'a.tar')
  const names = (bytes: string) =>
    execFileSync('tar', ['tf', bytes], { encoding: 'utf8' }).trim().split('\n')
  await box.succeed(['dump', '-t', archive, 'latest', '/source/dir'])
  const paths = ['bytes', 'sub/', 'sub/link', 'sub/text'].map((name) => `source/dir/${name}`)
  expect(names(archive)).toEqual(['source/dir/', ...paths])
  await box.succeed(['dump', '-t', archive, 'latest:/source/dir/sub', '/'])
  expect(names(archive)).toEqual(['link', 'text'])
  mkdirSync(join(box.path, 'unpacked'))
  await box.succeed(['dump', '-t', archive, 'latest', '/'])
  execFileSync('tar', ['xf', archive, '-C', join(box.path, 'unpacked')])
  expect(readFileSync(join(box.path, 'unpacked/source/dir/bytes')).equals(BYTES)).toBe(true)
  await box.succeed(['dump', '-a', 'zip', '-t', archive, 'latest', '/'])
  expect(readFileSync(archive).subarray(0, 4).toString('latin1')).toBe('PK\x03\x04')
})

test('0 and silence when the reader has seen enough', async () => {
  const box = await filled()
  const { child, finished } = box.start(['dump', 'latest', '/source/dir/bytes'])
  child.stdout?.once('data', () => child.stdout?.destroy())
  expect(await finished).toMatchObject({ code: 0, stderr: '' })
})

test('1: a path that is not there, and one that is neither file nor directory; 2: too few', async () => {
  const box = await filled()
  for (const [path, problem] of [
    ['/source/none', 'the snapshot has no such path'],
    ['/source/dir/sub/link', 'it is neither a file nor a directory'],
    ['/source/a.txt/below', 'the snapshot has no such path'],
  ] as const) {
    const out = join(box.path, 'out')
    const finished = await box.run(['dump', '-t', out, 'latest', path])
    expect(finished.code).toBe(1)
    expect(finished.stderr).toContain(problem)
    expect(existsSync(out)).toBe(false)
  }
  expect((await box.run(['dump', 'latest'])).code).toBe(2)
  expect((await box.run(['dump', '--at', 'yesterday', 'latest', '/'])).code).toBe(2)
})

test('20: never wrong bytes: what is damaged is cut off, and no target appears', async () => {
  const box = await filled()
  await damageData(box)
  const out = join(box.path, 'out')
  writeFileSync(out, 'as it was')
  for (const args of [['/source/dir/bytes'], ['/'], ['-a', 'zip', '/']]) {
    const path = args.at(-1) ?? ''
    const options = args.slice(0, -1)
    const toFile = await box.run(['dump', ...options, '-t', out, 'latest', path])
    expect(toFile.code).toBe(20)
    expect(readFileSync(out, 'utf8')).toBe('as it was')
    const toPipe = await box.run(['dump', '--json', ...options, 'latest', path])
    expect(toPipe.code).toBe(20)
    expect(jsonLines(toPipe.stderr).at(-1)).toMatchObject({ message_type: 'exit_error', code: 20 })
    if (path === '/' && options.length === 0) {
      // The first file is damaged, so that headers are all there is, and they are text.
      expect(spawnSync('tar', ['t'], { input: toPipe.stdout }).status).not.toBe(0)
    } else expect(toPipe.stdout).not.toContain('PK\x01\x02')
  }
  expect(box.repositoryFiles().some((path) => path.endsWith('.part'))).toBe(false)
})
