/**
 * P3: a prune never takes anything from under a backup, in whatever order their calls come. The
 * backup stops before each of its calls, the prune before each of its own, and either goes on first. The
 * harder half takes the backup for dead, as of a machine that sleeps, so that only the order of writes and
 * listings protects it. Strides bound the time; `w % stride` sees to it that every call of each has its turn.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isCairnError } from '../../../src/base/errors.ts'
import type { BackupReport } from '../../../src/engine/backup/backup-options.ts'
import type { Backend } from '../../../src/storage/backend.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { backUp, contentsOf, create } from '../../support/backup-harness.ts'
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

let root = ''
/** One snapshot that is forgotten, whose packs are still there, and one beside it. */
let base: MemoryBackend
let expected: ReadonlyMap<string, string>
let other: ReadonlyMap<string, string>

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'cairn-interleave-'))
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
afterAll(() => rmSync(root, { recursive: true, force: true }))

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
