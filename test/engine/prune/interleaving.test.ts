/**
 * P3: a prune never takes anything from under a backup, in whatever order their calls come. The
 * backup stops before each of its calls, the prune before each of its own, and either goes on first. The
 * harder half takes the backup for dead, as of a machine that sleeps, so that only the order of writes and
 * listings protects it. Strides bound the time; `w % stride` sees to it that every call of each has its turn.
 */

import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { isCairnError } from '../../../src/base/errors.ts'
import type { BackupReport } from '../../../src/engine/backup/backup-options.ts'
import type { Backend } from '../../../src/storage/backend.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { backUp, contentsOf, create } from '../../support/backup-harness.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import { Client } from './interleave.ts'
import {
  copyOf,
  forget,
  names,
  newProcess,
  openAgain,
  plant,
  runPrune,
  take,
} from './prune-harness.ts'

const root = temporaryFolder('cairn-interleave-')
/** One snapshot that is forgotten, whose packs are still there, and one beside it. */
let base: MemoryBackend
let expected: ReadonlyMap<string, string>
let other: ReadonlyMap<string, string>

beforeAll(async () => {
  plant(join(root, 'one'), [1, 2], 2000)
  plant(join(root, 'two'), [2, 3], 2000)
  base = new MemoryBackend()
  await create(base)
  const gone = await take(base, join(root, 'one'))
  const stays = await take(base, join(root, 'two'))
  expected = gone.contents
  other = stays.contents
  await forget(await openAgain(base), [gone.id])
  await base.flush()
})

/** The backup of what was forgotten: everything it needs is in packs that a prune removes. */
function writer(disk: MemoryBackend, alive: Set<number>): Client {
  return new Client(disk).start(async (backend) => {
    const environment = newProcess(alive)
    const opening = openAgain(backend, environment)
    return await backUp(backend, join(root, 'one'), { environment, opening })
  })
}

function pruner(disk: MemoryBackend, alive: Set<number>): Client {
  return new Client(disk).start(async (backend: Backend) => {
    const environment = newProcess(alive)
    return await runPrune(backend, {}, { environment })
  })
}

/** What was reported restores; what failed said that a prune was in the way. */
async function expectWhole(disk: MemoryBackend, written: Client, schedule: string): Promise<void> {
  const repository = await openAgain(disk)
  const snapshots = await repository.snapshots()
  const report = (await written.result.catch((error: unknown) => {
    expect(isCairnError(error, 'CAIRN_CONFLICT'), schedule).toBe(true)
    return undefined
  })) as BackupReport | undefined
  for (const snapshot of snapshots) {
    const found = await contentsOf(repository, snapshot, root)
    const wanted = snapshot.id === report?.snapshotId ? expected : other
    for (const [path, content] of wanted)
      expect(found.get(path), `${schedule}: ${path}`).toBe(content)
  }
  if (report !== undefined) {
    expect(
      snapshots.map(({ id }) => id),
      schedule,
    ).toContain(report.snapshotId)
  }
}

/** Afterwards nothing is in the way of anybody, and space is freed. */
async function expectConverged(disk: MemoryBackend): Promise<void> {
  await runPrune(disk)
  await runPrune(disk)
  expect(names(disk, 'marks')).toEqual([])
}

async function turnsOf(start: (disk: MemoryBackend) => Client): Promise<number> {
  const client = start(copyOf(base))
  await client.turnsUntilDone()
  await client.result
  return client.turns
}

describe.each(['alive', 'taken for dead'] as const)('the backup is %s', (how) => {
  /** A prune knows of its own kind alone if the others are taken for dead. */
  const processes = () => {
    const all = new Set<number>()
    return { writers: how === 'alive' ? all : new Set<number>(), pruners: all }
  }

  test.each(['backup', 'prune'] as const)(
    'C2: %s begins, the other comes in between',
    async (first) => {
      const writes = await turnsOf((disk) => writer(disk, new Set()))
      const prunes = await turnsOf((disk) => pruner(disk, new Set()))
      expect(writes).toBeGreaterThan(8)
      expect(prunes).toBeGreaterThan(15)
      const stride = how === 'taken for dead' && first === 'backup' ? 2 : 7
      for (let w = 0; w <= writes; w++) {
        for (let p = w % stride; p <= prunes; p += stride) {
          const schedule = `backup ${w}, prune ${p}, ${first} first`
          const disk = copyOf(base)
          const { writers, pruners } = processes()
          const written = writer(disk, writers)
          const pruned = pruner(disk, pruners)
          if (first === 'backup') {
            await written.take(w)
            await pruned.take(p)
            await written.turnsUntilDone()
            // Here the prune may as well have died.
            await expectWhole(disk, written, schedule)
            await pruned.turnsUntilDone()
          } else {
            await pruned.take(p)
            await written.take(w)
            await pruned.turnsUntilDone()
            await written.turnsUntilDone()
          }
          await pruned.result.catch((error: unknown) =>
            expect(isCairnError(error, 'CAIRN_CONFLICT'), schedule).toBe(true),
          )
          await expectWhole(disk, written, schedule)
          if ((w * 7 + p) % 29 === 0) await expectConverged(disk)
        }
      }
    },
  )
})

async function callsOf(client: Client): Promise<string[]> {
  const calls: string[] = []
  for (let next = await client.next(); next !== undefined; next = await client.next()) {
    calls.push(next)
    await client.turn()
  }
  return calls
}

/**
 * The narrowest place: the backup's looks before and after it saves its snapshot, and the prune's between
 * its intent and the last removal. Every schedule in which the turn goes over four times there.
 */
test('C2: a backup at its last looks, a prune at its own, and back', async () => {
  const writes = await callsOf(writer(copyOf(base), new Set()))
  const prunes = await callsOf(pruner(copyOf(base), new Set()))
  const saved = writes.indexOf('save snapshots')
  const intent = prunes.lastIndexOf('save marks', prunes.indexOf('remove packs'))
  const removed = prunes.indexOf('remove marks')
  const around = [...writes.slice(saved - 2, saved), ...writes.slice(saved + 1, saved + 3)]
  expect(around.sort()).toEqual(['list marks', 'list marks', 'list packs', 'list packs'])
  expect(intent).toBeLessThan(removed - 5)
  for (let before = saved - 2; before <= saved; before++) {
    for (let p = intent; p <= removed; p++) {
      for (let w = 1; before + w <= saved + 4; w++) {
        const schedule = `backup ${before}, prune ${p}, backup ${w}`
        const disk = copyOf(base)
        const written = writer(disk, new Set())
        const pruned = pruner(disk, new Set())
        await written.take(before)
        await pruned.take(p)
        await written.take(w)
        await pruned.turnsUntilDone()
        await written.turnsUntilDone()
        await pruned.result.catch((error: unknown) =>
          expect(isCairnError(error, 'CAIRN_CONFLICT'), `${schedule}: ${String(error)}`).toBe(true),
        )
        await expectWhole(disk, written, schedule)
      }
    }
  }
})

/** Each blob of the snapshots twice, in packs of their own. */
async function doubled(): Promise<MemoryBackend> {
  const disk = copyOf(base)
  const hidden = [...disk.files].filter(([path]) => /^(?:index|packs)\//.test(path))
  for (const [path] of hidden) disk.files.delete(path)
  await take(disk, join(root, 'two'))
  for (const [path, bytes] of hidden) disk.files.set(path, bytes)
  await disk.flush()
  return disk
}

test.each([true, false])(
  'C3: two prunes never remove both copies of a blob (they know of each other: %s)',
  async (isKnown) => {
    const twice = await doubled()
    const turns = await (async () => {
      const client = pruner(copyOf(twice), new Set())
      await client.turnsUntilDone()
      return client.turns
    })()
    const stride = isKnown ? 5 : 4
    for (let a = 0; a <= turns; a++) {
      for (let b = a % stride; b <= turns; b += stride) {
        const schedule = `prune ${a}, prune ${b}`
        const disk = copyOf(twice)
        const alive = new Set<number>()
        const first = pruner(disk, alive)
        const second = pruner(disk, isKnown ? alive : new Set())
        await first.take(a)
        await second.take(b)
        await first.turnsUntilDone()
        await second.turnsUntilDone()
        for (const { result } of [first, second]) {
          await result.catch((error: unknown) =>
            expect(isCairnError(error, 'CAIRN_CONFLICT'), `${schedule}: ${String(error)}`).toBe(
              true,
            ),
          )
        }
        const repository = await openAgain(disk)
        for (const snapshot of await repository.snapshots()) {
          const found = await contentsOf(repository, snapshot, root)
          for (const [path, content] of other) expect(found.get(path), schedule).toBe(content)
        }
        if ((a * 7 + b) % 29 === 0) await expectConverged(disk)
      }
    }
  },
)
