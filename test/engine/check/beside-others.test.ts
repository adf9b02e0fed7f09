/** What others forget and remove while a check looks is not lost. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { findLosses, seenHistory } from '../../../src/engine/rollback.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { create } from '../../support/backup-harness.ts'
import { FaultyBackend } from '../../support/faulty-backend.ts'
import { copyOf, forget, names, openAgain, plant, take } from '../prune/prune-harness.ts'
import { check, errorsOf, textOf } from './check-support.ts'

let root = ''
let base: MemoryBackend
let first = ''

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'cairn-beside-'))
  plant(root, [1, 2, 3])
  base = new MemoryBackend()
  await create(base)
  first = (await take(base, root)).id
  // Names the first as the one before it.
  await take(base, root)
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** The first snapshot is forgotten after tombstones were listed, and before snapshots are. */
async function forgottenMeanwhile() {
  const disk = copyOf(base)
  const repository = await openAgain(disk)
  await repository.snapshots()
  const backend = new FaultyBackend(disk, [
    { verb: 'list', kind: 'snapshots', delay: async () => await forget(repository, [first]) },
  ])
  return { disk, backend }
}

test('C7: a snapshot that is forgotten between two listings is not missed by a check', async () => {
  const { disk, backend } = await forgottenMeanwhile()
  const report = await check(backend, { opening: openAgain(backend) })
  expect(names(disk, 'retired')).toHaveLength(1)
  expect(errorsOf(report).length, textOf(report)).toBe(0)
})

test('C7: nor by whoever looks at the history', async () => {
  const { disk, backend } = await forgottenMeanwhile()
  const repository = await openAgain(backend)
  const history = await repository.history()
  expect(names(disk, 'retired')).toHaveLength(1)
  expect(history.snapshots).toHaveLength(1)
  expect(findLosses(repository, seenHistory(history), undefined)).toEqual([])
})

test('a snapshot that is really gone is missed', async () => {
  const disk = copyOf(base)
  const repository = await openAgain(disk)
  const gone = (await repository.snapshots()).find(({ id }) => id === first)
  disk.files.delete(`snapshots/${gone?.name}`)
  const report = await check(disk, { opening: openAgain(disk) })
  expect(textOf(report)).toMatch(/snapshot [0-9a-f]{8} is missing/)
})

test('C7: a pack in no index file that goes while packs are read is no damage', async () => {
  const disk = copyOf(base)
  for (const name of names(disk, 'index')) disk.files.delete(`index/${name}`)
  for (const name of names(disk, 'snapshots')) disk.files.delete(`snapshots/${name}`)
  const packs = names(disk, 'packs')
  const backend = new FaultyBackend(disk, [
    {
      verb: 'load',
      kind: 'packs',
      delay: async () => {
        for (const name of packs) disk.files.delete(`packs/${name}`)
      },
    },
  ])
  const report = await check(backend, { opening: openAgain(backend) })
  expect(names(disk, 'packs')).toEqual([])
  expect(errorsOf(report).length, textOf(report)).toBe(0)
})
