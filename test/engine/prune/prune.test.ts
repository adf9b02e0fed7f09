import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Environment } from '../../../src/engine/environment.ts'
import { saveMark } from '../../../src/repository/marks.ts'
import { Session } from '../../../src/repository/sessions.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { create } from '../../support/backup-harness.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import {
  copyOf,
  forget,
  indexProblems,
  names,
  newProcess,
  openAgain,
  packBytes,
  plant,
  requireRestorable,
  runPrune,
  take,
  type Taken,
} from './prune-harness.ts'

const root = temporaryFolder('cairn-prune-')
/** Three snapshots: the second shares half of the first, the third is all its own. */
let base: MemoryBackend
let first: Taken
let second: Taken
let third: Taken

beforeAll(async () => {
  plant(join(root, 'one'), [1, 2, 3, 4, 5, 6, 7, 8])
  plant(join(root, 'two'), [2, 4, 6, 8, 10, 12])
  plant(join(root, 'three'), [21, 22, 23])
  base = new MemoryBackend()
  await create(base)
  first = await take(base, join(root, 'one'))
  second = await take(base, join(root, 'two'))
  third = await take(base, join(root, 'three'))
})

async function forgotten(...taken: readonly Taken[]): Promise<MemoryBackend> {
  const disk = copyOf(base)
  await forget(
    await openAgain(disk),
    taken.map(({ id }) => id),
  )
  return disk
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
    const before = packBytes(disk)
    const report = await runPrune(disk)
    expect(report.packsRemoved).toBeGreaterThan(0)
    expect(packBytes(disk)).toBeLessThan(before * 0.85)
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

describe('prune removes nothing, and says why, if', () => {
  test('F1: no snapshot is listed and none was forgotten', async () => {
    const disk = copyOf(base)
    for (const name of names(disk, 'snapshots')) disk.files.delete(`snapshots/${name}`)
    await expectRefused(disk, /lists packs but no snapshot/)
  })

  test('B23: a snapshot is missing that another names', async () => {
    const disk = copyOf(base)
    const snapshots = await (await openAgain(disk)).snapshots()
    disk.files.delete(`snapshots/${snapshots[0]?.name ?? ''}`)
    await expectRefused(disk, /is missing/)
  })

  test('a snapshot file is damaged', async () => {
    const disk = copyOf(base)
    const [name = ''] = names(disk, 'snapshots')
    const bytes = Uint8Array.from(disk.files.get(`snapshots/${name}`) ?? [])
    bytes[200] = (bytes[200] ?? 0) ^ 1
    disk.files.set(`snapshots/${name}`, bytes)
    await expectRefused(disk, /cannot tell what snapshot file/)
  })

  test('F9: a pack is gone that a snapshot needs', async () => {
    const disk = await forgotten(third)
    const repository = await openAgain(disk)
    const sizes = await repository.listPacks()
    const [largest] = [...sizes].sort((a, b) => b[1] - a[1])
    disk.files.delete(`packs/${largest?.[0] ?? ''}`)
    await expectRefused(disk, /are missing|cannot tell what snapshot/)
  })

  async function expectRefused(disk: MemoryBackend, message: RegExp): Promise<void> {
    const before = names(disk, 'packs')
    await expect(runPrune(disk)).rejects.toMatchObject({
      code: 'CAIRN_CORRUPT',
      message: expect.stringMatching(message) as string,
    })
    expect(names(disk, 'packs')).toEqual(before)
    expect(names(disk, 'marks')).toEqual([])
  }
})

describe('while others are at work', () => {
  test('packs are marked, and removed by a prune after the grace period', async () => {
    const disk = copyOf(await forgotten(first), { listsConsistently: false })
    const before = names(disk, 'packs').length
    const report = await runPrune(disk)
    expect(report.packsRemoved).toBe(0)
    expect(report.packsMarked).toBeGreaterThan(0)
    expect(names(disk, 'packs').length).toBeGreaterThanOrEqual(before)
    expect(names(disk, 'marks')).toHaveLength(2)
    await runPrune(disk)
    expect(names(disk, 'marks')).toHaveLength(2)
    const swept = await runPrune(disk, {}, { environment: inHours(25) })
    expect(swept.packsRemoved).toBe(report.packsMarked)
    expect(names(disk, 'marks')).toEqual([])
    expect(await indexProblems(disk)).toEqual([])
    await requireRestorable(disk, [second, third], root)
  })

  test('C3: of two prunes that meet both stop, and the next goes through', async () => {
    const disk = await forgotten(first)
    const alive = new Set<number>()
    const other = newProcess(alive)
    const session = new Session(await openAgain(disk, other), 'pruner')
    await session.beat()
    const environment = newProcess(alive)
    await expect(runPrune(disk, {}, { environment })).rejects.toMatchObject({
      code: 'CAIRN_CONFLICT',
    })
    await session.end()
    const report = await runPrune(disk, {}, { environment })
    expect(report.packsRemoved).toBeGreaterThan(0)
  })

  test('an intent that somebody left is finished: its packs are emptied, then removed', async () => {
    const disk = await forgotten(first)
    const repository = await openAgain(disk)
    const packs = names(disk, 'packs')
    await saveMark(repository, 'sweep', packs)
    await runPrune(disk)
    for (const name of packs) expect(names(disk, 'packs')).not.toContain(name)
    expect(names(disk, 'marks')).toEqual([])
    await requireRestorable(disk, [second, third], root)
  })
})

describe('damage', () => {
  test('B13: a pack with a needed blob that cannot be read is kept and named', async () => {
    const disk = await forgotten(first)
    const repository = await openAgain(disk)
    const plan = await runPrune(disk, {}, { dryRun: true, repository })
    expect(plan.statistics.packfiles.repack).toBeGreaterThan(0)
    // Every data segment of every pack, so that whatever is repacked is struck.
    const damagedPacks = names(disk, 'packs').filter((name) => {
      const bytes = Uint8Array.from(disk.files.get(`packs/${name}`) ?? [])
      if (bytes.length < 12_000) return false
      for (let at = 300; at < bytes.length - 2000; at += 200) bytes[at] = (bytes[at] ?? 0) ^ 1
      disk.files.set(`packs/${name}`, bytes)
      return true
    })
    const report = await runPrune(disk)
    expect(report.damaged.length).toBeGreaterThan(0)
    for (const { name } of report.damaged) {
      expect(damagedPacks).toContain(name)
      expect(names(disk, 'packs')).toContain(name)
    }
  })

  test('a second copy goes only when the first has been read', async () => {
    const disk = copyOf(base)
    // The same data once more: with no index at hand a backup stores it again.
    const index = new Map([...disk.files].filter(([path]) => path.startsWith('index/')))
    const packs = new Map([...disk.files].filter(([path]) => path.startsWith('packs/')))
    for (const path of [...index.keys(), ...packs.keys()]) disk.files.delete(path)
    await take(disk, join(root, 'one'))
    await take(disk, join(root, 'two'))
    await take(disk, join(root, 'three'))
    const copies = names(disk, 'packs')
    for (const [path, bytes] of [...index, ...packs]) disk.files.set(path, bytes)
    // All copies of the second time are damaged.
    for (const name of copies) {
      const bytes = Uint8Array.from(disk.files.get(`packs/${name}`) ?? [])
      if (bytes.length < 12_000) continue
      for (let at = 300; at < bytes.length - 2000; at += 200) bytes[at] = (bytes[at] ?? 0) ^ 1
      disk.files.set(`packs/${name}`, bytes)
    }
    await runPrune(disk)
    await requireRestorable(disk, [first, second, third], root)
  })
})

function inHours(hours: number): Environment {
  const environment = newProcess()
  const { clock } = environment
  const wallNs = () => clock.wallNs() + BigInt(hours) * 3_600_000_000_000n
  const later: Environment['clock'] = {
    wallNs,
    monotonicMs: () => clock.monotonicMs(),
    sleep: () => Promise.resolve(),
    every: (period, action) => clock.every(period, action),
  }
  return { ...environment, clock: later }
}
