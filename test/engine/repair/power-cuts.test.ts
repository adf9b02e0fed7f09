/** Power cuts at every call of what repairs and rewrites: nothing is lost, and the next run finishes. */

import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { FileName } from '../../../src/base/ids.ts'
import { recover } from '../../../src/engine/recover.ts'
import { repairIndex } from '../../../src/engine/repair/repair-index.ts'
import { repairPacks } from '../../../src/engine/repair/repair-packs.ts'
import { repairSnapshots } from '../../../src/engine/repair/repair-snapshots.ts'
import { rewriteSnapshots } from '../../../src/engine/rewrite/rewrite.ts'
import type { Backend } from '../../../src/storage/backend.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { contentsOf, create } from '../../support/backup-harness.ts'
import { isPowerCut, PowerCutBackend } from '../../support/power-cut-backend.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import { check, errorsOf, textOf } from '../check/check-support.ts'
import {
  copyOf,
  indexProblems,
  laterProcess,
  names,
  newProcess,
  openAgain,
  plant,
  requireRestorable,
  runPrune,
  take,
  type Taken,
} from '../prune/prune-harness.ts'

const MODES = ['before', 'after', 'torn'] as const

const root = temporaryFolder('cairn-repair-crash-')
let base: MemoryBackend
let taken: Taken[]

beforeAll(async () => {
  plant(join(root, 'one'), [1, 2, 3])
  plant(join(root, 'two'), [2, 4, 6])
  base = new MemoryBackend()
  await create(base)
  taken = [await take(base, join(root, 'one')), await take(base, join(root, 'two'))]
  await base.flush()
})

async function contextOf(backend: Backend, environment = newProcess()) {
  const repository = await openAgain(backend, environment)
  return { environment, repository, dryRun: false, onNotice: () => {}, operation: {} }
}

type Process = ReturnType<typeof newProcess>

/**
 * Cuts `run` at every call, begins again each time with `run`, hours later, and then looks with `verify`. Fails
 * unless there were at least `callsMin` calls to cut at.
 */
async function cutEverywhere(
  disk: MemoryBackend,
  mode: (typeof MODES)[number],
  steps: {
    readonly run: (backend: Backend, environment: Process) => Promise<unknown>
    readonly verify: (disk: MemoryBackend) => Promise<void>
    readonly callsMin: number
  },
): Promise<void> {
  for (let cutAt = 0; ; cutAt++) {
    const copy = copyOf(disk)
    await copy.flush()
    const cut = new PowerCutBackend(copy, { cutAt, mode, seed: cutAt })
    await steps.run(cut, newProcess()).catch((error: unknown) => {
      if (!isPowerCut(error)) throw error
    })
    await steps.run(copy, laterProcess())
    await steps.verify(copy)
    if (cut.isCut) continue
    expect(cutAt).toBeGreaterThanOrEqual(steps.callsMin)
    return
  }
}

async function requireHealthy(disk: MemoryBackend): Promise<void> {
  const report = await check(disk, { opening: openAgain(disk) })
  expect(errorsOf(report).length, textOf(report)).toBe(0)
  expect(names(disk, 'sessions')).toEqual([])
}

describe.each(MODES)('power cut, %s the call', (mode) => {
  test('repair index', async () => {
    const disk = copyOf(base)
    disk.files.delete(`index/${names(disk, 'index')[0]}`)
    const run = async (backend: Backend, environment: Process) =>
      await repairIndex({ ...(await contextOf(backend, environment)), readAllPacks: true })
    const verify = async (copy: MemoryBackend) => {
      await requireRestorable(copy, taken, root)
      expect(await indexProblems(copy)).toEqual([])
      await requireHealthy(copy)
    }
    await cutEverywhere(disk, mode, { run, verify, callsMin: 2 })
  })

  test('repair packs', async () => {
    const packs = names(base, 'packs')
    const run = async (backend: Backend, environment: Process) => {
      const there = new Set<FileName>((await backend.list('packs')).map(({ name }) => name))
      const left = packs.filter((name) => there.has(name))
      const context = await contextOf(backend, environment)
      if (left.length > 0) await repairPacks({ ...context, packs: left, level: 3, verify: true })
    }
    const verify = async (copy: MemoryBackend) => {
      await requireRestorable(copy, taken, root)
      await runPrune(copy)
      await requireRestorable(copy, taken, root)
      await requireHealthy(copy)
    }
    await cutEverywhere(base, mode, { run, verify, callsMin: 8 })
  })

  test('repair snapshots --forget', async () => {
    const disk = copyOf(base)
    const [largest] = names(disk, 'packs').toSorted(
      (a, b) =>
        (disk.files.get(`packs/${b}`)?.length ?? 0) - (disk.files.get(`packs/${a}`)?.length ?? 0),
    )
    disk.files.delete(`packs/${largest}`)
    await repairIndex({ ...(await contextOf(disk)), readAllPacks: false })
    const mend = async (backend: Backend, environment: Process) => {
      const context = await contextOf(backend, environment)
      const options = { choose: <T>(all: T) => all, forget: true, level: 3, onLost: () => {} }
      return await repairSnapshots({ ...context, ...options })
    }
    const verify = async (copy: MemoryBackend) => {
      const snapshots = await (await openAgain(copy)).snapshots()
      expect(snapshots).toHaveLength(2)
      await requireHealthy(copy)
      await runPrune(copy)
      await requireHealthy(copy)
    }
    await cutEverywhere(disk, mode, { run: mend, verify, callsMin: 6 })
  })

  test('rewrite --forget', async () => {
    const run = async (backend: Backend, environment: Process) =>
      await rewriteSnapshots(await openAgain(backend, environment), {
        choose: (snapshots) => snapshots,
        excludes: (path) => path.endsWith('file-2'),
        newHostname: 'renamed',
        countAnew: false,
        forget: true,
        dryRun: false,
        cacheDirectory: undefined,
      })
    const verify = async (copy: MemoryBackend) => {
      for (const before of [true, false]) {
        const repository = await openAgain(copy)
        const snapshots = await repository.snapshots()
        expect(snapshots.map(({ content }) => content?.hostname)).toEqual(['renamed', 'renamed'])
        for (const [i, snapshot] of snapshots.entries()) {
          const found = await contentsOf(repository, snapshot, root)
          for (const [file, content] of taken[i]?.contents ?? []) {
            expect(found.get(file)).toBe(file.endsWith('file-2') ? undefined : content)
          }
        }
        await requireHealthy(copy)
        if (before) await runPrune(copy)
      }
    }
    await cutEverywhere(base, mode, { run, verify, callsMin: 8 })
  })

  test('recover', async () => {
    const disk = copyOf(base)
    const repository = await openAgain(disk)
    const newest = (await repository.snapshots()).at(-1)
    disk.files.delete(`snapshots/${newest?.name}`)
    const run = async (backend: Backend, environment: Process) =>
      await recover(await openAgain(backend, environment), { program: 'test' })
    const verify = async (copy: MemoryBackend) => {
      const again = await openAgain(copy)
      const [kept, recovered, ...others] = await again.snapshots()
      expect(others).toEqual([])
      expect(kept?.id).toBe(taken[0]?.id)
      if (recovered === undefined) throw new Error('nothing was recovered')
      const found = [...(await contentsOf(again, recovered)).values()]
      for (const content of taken[1]?.contents.values() ?? []) expect(found).toContain(content)
      // What a dead session has left unconfirmed is for the next backup to look at.
      await take(copy, join(root, 'two'), laterProcess())
      await runPrune(copy)
      await requireHealthy(copy)
    }
    await cutEverywhere(disk, mode, { run, verify, callsMin: 6 })
  })
})
