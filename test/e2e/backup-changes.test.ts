/** What a backup finds new, changed and as it was, and what it therefore reads again. */

import {
  appendFileSync,
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Box, type Json, newBox, settle, summaryOf } from '../support/run-cairn.ts'

const BIG_BYTES = 300_000

/** A box with ten files and one large one, backed up once they are old enough. */
async function backedUp(): Promise<Box> {
  const box = newBox()
  for (let n = 0; n < 10; n++) box.write(`d${n % 2}/f${n}`, `content ${n}`)
  box.write('big', Buffer.alloc(BIG_BYTES, 'big '))
  await settle()
  await box.succeed(['backup', '--init', 'source'])
  return box
}

async function summary(box: Box, ...options: string[]): Promise<Json> {
  return summaryOf(await box.succeed(['backup', '--json', ...options, 'source']))
}

const FIELDS = ['files_new', 'files_changed', 'files_unmodified', 'data_blobs'] as const

function counts(found: Json): Json {
  return Object.fromEntries(FIELDS.map((name) => [name, found[name]]))
}

const UNCHANGED = { files_new: 0, files_changed: 0, files_unmodified: 11, data_blobs: 0 }

test('an unchanged tree counts as unmodified, and nothing is added', async () => {
  const box = await backedUp()
  const second = await summary(box)
  expect(counts(second)).toEqual(UNCHANGED)
  expect(second).toMatchObject({
    dirs_new: 0,
    dirs_changed: 0,
    dirs_unmodified: 3,
    tree_blobs: 0,
    data_added: 0,
    data_added_packed: 0,
    total_files_processed: 11,
  })
})

test('one changed, one new and one removed file are counted and stored', async () => {
  const box = await backedUp()
  appendFileSync(join(box.source, 'd0/f0'), ' and more')
  box.write('d1/new', 'new')
  rmSync(join(box.source, 'd1/f9'))
  const second = await summary(box)
  expect(counts(second)).toEqual({
    files_new: 1,
    files_changed: 1,
    files_unmodified: 9,
    data_blobs: 2,
  })
  expect(second.dirs_changed).toBeGreaterThanOrEqual(2)
  const { stdout } = await box.succeed(['ls', '-q', 'latest'])
  expect(stdout).toContain('/source/d1/new\n')
  expect(stdout).not.toContain('/source/d1/f9\n')
  const { stdout: long } = await box.succeed(['ls', '-q', '-l', 'latest', '/source/d0/f0'])
  expect(long).toMatch(/ 18 .*f0\n/)
})

test('a file that was changed and has its old size and mtime is stored again', async () => {
  const box = await backedUp()
  const path = join(box.source, 'd0/f0')
  const when = new Date(1_600_000_000_000)
  utimesSync(path, when, when)
  await settle()
  await summary(box)
  writeFileSync(path, 'CONTENT 0')
  utimesSync(path, when, when)
  const found = await summary(box)
  expect(counts(found)).toEqual({
    ...UNCHANGED,
    files_changed: 1,
    files_unmodified: 10,
    data_blobs: 1,
  })
})

test('--ignore-ctime does not look at a file whose size and mtime are the same', async () => {
  const box = await backedUp()
  const path = join(box.source, 'd0/f0')
  const when = new Date(1_600_000_000_000)
  utimesSync(path, when, when)
  await settle()
  await summary(box)
  writeFileSync(path, 'CONTENT 0')
  utimesSync(path, when, when)
  const found = await summary(box, '--ignore-ctime')
  expect(counts(found)).toEqual(UNCHANGED)
})

test('--ignore-inode takes a copy with the same times for the same file', async () => {
  const box = await backedUp()
  const when = new Date(1_600_000_000_000)
  const path = join(box.source, 'd0/f0')
  utimesSync(path, when, when)
  await settle()
  await summary(box)
  // Another inode with other bytes: only the inode and the ctime can tell.
  writeFileSync(`${path}.copy`, 'CONTENT 0')
  utimesSync(`${path}.copy`, when, when)
  renameSync(`${path}.copy`, path)
  expect(counts(await summary(box, '--ignore-inode'))).toEqual(UNCHANGED)
  const looked = await summary(box)
  expect(looked).toMatchObject({ files_changed: 1, data_blobs: 1 })
})

test('--force reads everything again, stores nothing twice and names no parent', async () => {
  const box = await backedUp()
  const forced = await summary(box, '--force')
  expect(forced).toMatchObject({ files_new: 11, files_unmodified: 0, data_blobs: 0 })
  const [, second] = await box.snapshots()
  expect(second).not.toHaveProperty('parent')
})

test('a file that was moved is stored once', async () => {
  const box = await backedUp()
  mkdirSync(join(box.source, 'elsewhere'))
  renameSync(join(box.source, 'big'), join(box.source, 'elsewhere/large'))
  const found = await summary(box)
  expect(found.data_blobs).toBe(0)
  expect(found.data_added).toBeLessThan(10_000)
})

test('--skip-if-unchanged makes no snapshot, and does if there is a change', async () => {
  const box = await backedUp()
  const skipped = await box.succeed(['backup', '--skip-if-unchanged', 'source'])
  expect(skipped.stdout).toContain('skipped creating snapshot')
  const json = await summary(box, '--skip-if-unchanged')
  expect(json).not.toHaveProperty('snapshot_id')
  expect(await box.snapshots()).toHaveLength(1)
  box.write('d0/f0', 'something else')
  const found = await summary(box, '--skip-if-unchanged')
  expect(found.snapshot_id).toMatch(/^[0-9a-f]{64}$/)
  expect(await box.snapshots()).toHaveLength(2)
})

test('--dry-run says what would be added and writes nothing', async () => {
  const box = await backedUp()
  const before = box.repositoryFiles()
  box.write('added', Buffer.alloc(50_000, 'q'))
  const { stdout } = await box.succeed(['backup', '--dry-run', 'source'])
  expect(stdout).toContain('Files:           1 new,     0 changed,    11 unmodified')
  expect(stdout).toMatch(/Would add to the repository: [1-9]/)
  expect(stdout).not.toContain('saved')
  const found = await summary(box, '--dry-run')
  expect(found).toMatchObject({ dry_run: true, files_new: 1, data_blobs: expect.any(Number) })
  expect(found.data_added).toBeGreaterThanOrEqual(50_000)
  expect(found).not.toHaveProperty('snapshot_id')
  expect(box.repositoryFiles()).toEqual(before)
  // What was only looked at is not taken for stored.
  expect(counts(await summary(box))).toMatchObject({ files_new: 1, data_blobs: 1 })
})

test('--dry-run creates no repository either, and says that there is none', async () => {
  const box = newBox()
  box.write('a')
  const { code, stderr } = await box.run(['backup', '--init', '--dry-run', 'source'])
  expect({ code, stderr }).toMatchObject({
    code: 10,
    stderr: expect.stringContaining('repository'),
  })
  expect(existsSync(box.repository)).toBe(false)
})
