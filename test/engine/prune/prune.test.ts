import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { create, open } from '../../support/backup-harness.ts'
import {
  copyOf,
  forget,
  indexProblems,
  names,
  plant,
  requireRestorable,
  runPrune,
  take,
  type Taken,
} from './prune-harness.ts'

let root = ''
/** Three snapshots: the second shares half of the first, the third is all its own. */
let base: MemoryBackend
let first: Taken
let second: Taken
let third: Taken

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'cairn-prune-'))
  plant(join(root, 'one'), [1, 2, 3, 4, 5, 6, 7, 8])
  plant(join(root, 'two'), [2, 4, 6, 8, 10, 12])
  plant(join(root, 'three'), [21, 22, 23])
  base = new MemoryBackend()
  await create(base)
  first = await take(base, join(root, 'one'))
  second = await take(base, join(root, 'two'))
  third = await take(base, join(root, 'three'))
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

async function forgotten(...taken: readonly Taken[]): Promise<MemoryBackend> {
  const disk = copyOf(base)
  await forget(
    await open(disk),
    taken.map(({ id }) => id),
  )
  return disk
}

function stored(disk: MemoryBackend): number {
  return names(disk, 'packs').reduce(
    (sum, name) => sum + (disk.files.get(`packs/${name}`)?.length ?? 0),
    0,
  )
}

describe('prune', () => {
  test('leaves a repository alone that holds nothing else than what is needed', async () => {
    const disk = copyOf(base)
    await runPrune(disk)
    const before = [...disk.files.keys()].sort()
    const report = await runPrune(disk)
    expect([...disk.files.keys()].sort()).toEqual(before)
    expect(report.packsRemoved).toBe(0)
    await requireRestorable(disk, [first, second, third], root)
  })

  test('removes and repacks at once what nothing needs when nobody else is at work', async () => {
    const disk = await forgotten(first)
    const before = stored(disk)
    const report = await runPrune(disk)
    expect(report.packsRemoved).toBeGreaterThan(0)
    expect(stored(disk)).toBeLessThan(before * 0.85)
    expect(names(disk, 'marks')).toEqual([])
    expect(names(disk, 'sessions')).toEqual([])
    expect(await indexProblems(disk)).toEqual([])
    await requireRestorable(disk, [second, third], root)
    const again = await runPrune(disk)
    expect(again.statistics.bytes.unused).toBe(0)
    expect(again.packsRemoved).toBe(0)
  })

  test('removes everything when every snapshot was forgotten', async () => {
    const disk = await forgotten(first, second, third)
    await runPrune(disk)
    expect(names(disk, 'packs')).toEqual([])
    expect(names(disk, 'index')).toEqual([])
  })

  test('says beforehand what it is going to do, and changes nothing then', async () => {
    const disk = await forgotten(first)
    const before = new Map(disk.files)
    const planned = await runPrune(disk, {}, { dryRun: true })
    expect(disk.files).toEqual(before)
    const done = await runPrune(disk)
    expect(planned.statistics).toEqual(done.statistics)
    expect(done.packsRemoved).toBe(planned.statistics.packfiles.remove_total)
  })
})
