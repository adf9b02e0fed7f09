/** A prune that works against a running backup: the writer's half of FORMAT.md 17. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { FileName } from '../../../src/base/ids.ts'
import { encodeMark, MARK_PHASE } from '../../../src/format/session.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import type { Repository } from '../../../src/repository/repository.ts'
import { backUp, contentsOf, create, MemoryCache, open } from '../../support/backup-harness.ts'

let root = ''
let disk: MemoryBackend

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'cairn-race-'))
  for (let i = 0; i < 20; i++) {
    writeFileSync(join(root, `file-${i}`), Buffer.from(`${i} `.repeat(700)))
  }
  disk = new MemoryBackend()
  await create(disk)
  await backUp(disk, root)
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

function packNames(): FileName[] {
  return [...disk.files.keys()]
    .filter((name) => name.startsWith('packs/'))
    .map((name) => name.slice('packs/'.length) as FileName)
}

async function doom(repository: Repository, packs: readonly FileName[]): Promise<void> {
  const body = encodeMark({
    phase: MARK_PHASE.sweep,
    time: { seconds: 1, nanoseconds: 0 },
    packs,
    sessionId: repository.sessionId,
  })
  await repository.saveObject('marks', body)
}

async function expectRestorable(): Promise<void> {
  const repository = await open(disk)
  for (const snapshot of await repository.snapshots()) {
    expect((await contentsOf(repository, snapshot)).size).toBeGreaterThan(19)
  }
}

test('blobs whose only copies are in doomed packs are stored again', async () => {
  const before = packNames()
  await doom(await open(disk), before)
  const report = await backUp(disk, root)
  expect(report.dataBlobs).toBeGreaterThan(0)
  for (const name of before) disk.files.delete(`packs/${name}`)
  const repository = await open(disk)
  const newest = (await repository.snapshots()).find(({ id }) => id === report.snapshotId)
  expect(newest).toBeDefined()
  if (newest !== undefined) await contentsOf(repository, newest)
})

test('a scan cache that rests on doomed packs is not trusted', async () => {
  const cache = new MemoryCache()
  const scanCache = { files: cache, name: 'scan' }
  // The second run trusts the first: its files are older than a second by then only in their cache.
  await backUp(disk, root, { scanCache })
  const before = packNames()
  await doom(await open(disk), before)
  const report = await backUp(disk, root, { scanCache })
  for (const name of before) disk.files.delete(`packs/${name}`)
  const repository = await open(disk)
  const newest = (await repository.snapshots()).find(({ id }) => id === report.snapshotId)
  expect(newest).toBeDefined()
  if (newest !== undefined) expect((await contentsOf(repository, newest)).size).toBeGreaterThan(19)
})

test.each(['doomed', 'deleted'] as const)(
  'packs that are %s while the backup runs are replaced before it is reported',
  async (how) => {
    const before = packNames()
    const other = await open(disk)
    let struck = 0
    // Strikes when the snapshot is about to be written: the first refresh is over by then.
    const saveFile = disk.save.bind(disk)
    disk.save = async (file, bytes, options) => {
      if (file.kind === 'snapshots' && struck++ === 0) {
        await doom(other, before)
        if (how === 'deleted') for (const name of before) disk.files.delete(`packs/${name}`)
      }
      await saveFile(file, bytes, options)
    }
    const report = await backUp(disk, root)
    disk.save = saveFile
    for (const name of before) disk.files.delete(`packs/${name}`)
    expect(struck).toBe(2)
    const repository = await open(disk)
    const listed = (await repository.snapshots()).filter(({ id }) => id === report.snapshotId)
    expect(listed).toHaveLength(1)
    for (const snapshot of listed) {
      expect((await contentsOf(repository, snapshot)).size).toBeGreaterThan(19)
    }
  },
)

test('a session is written before anything else and gone when the run ends', async () => {
  const kinds: string[] = []
  const saveFile = disk.save.bind(disk)
  disk.save = async (file, bytes, options) => {
    kinds.push(file.kind)
    await saveFile(file, bytes, options)
  }
  writeFileSync(join(root, 'new'), 'something new')
  await backUp(disk, root)
  expect(kinds[0]).toBe('sessions')
  expect(kinds.at(-1)).toBe('snapshots')
  expect(kinds.indexOf('index')).toBeGreaterThan(kinds.lastIndexOf('packs'))
  expect([...disk.files.keys()].filter((name) => name.startsWith('sessions/'))).toEqual([])
  await expectRestorable()
})

test('a stream that would have to be read again is no snapshot, and not an empty one', async () => {
  const before = packNames()
  const other = await open(disk)
  const saveFile = disk.save.bind(disk)
  let struck = 0
  disk.save = async (file, bytes, options) => {
    if (file.kind === 'snapshots' && struck++ === 0) await doom(other, packNames())
    await saveFile(file, bytes, options)
  }
  async function* once() {
    yield Buffer.from('what came through the pipe '.repeat(500))
  }
  const listed = (await other.snapshots()).map(({ id }) => id)
  await expect(
    backUp(disk, root, { input: { kind: 'stream', name: '/dump', chunks: once() } }),
  ).rejects.toMatchObject({ code: 'CAIRN_CONFLICT' })
  expect(struck).toBe(1)
  expect(before.length).toBeGreaterThan(0)
  expect((await other.snapshots()).map(({ id }) => id)).toEqual(listed)
})
