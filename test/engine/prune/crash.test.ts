import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { CairnError, isCairnError } from '../../../src/base/errors.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { create } from '../../support/backup-harness.ts'
import { FaultyBackend, type Verb } from '../../support/faulty-backend.ts'
import { isPowerCut, PowerCutBackend } from '../../support/power-cut-backend.ts'
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

const MODES = ['before', 'after', 'torn'] as const

const root = temporaryFolder('cairn-prune-crash-')
let base: MemoryBackend
let kept: Taken[]
let cleanBytes = 0

beforeAll(async () => {
  plant(join(root, 'one'), [1, 2, 3, 4, 5])
  plant(join(root, 'two'), [2, 4, 6])
  plant(join(root, 'three'), [8, 4])
  base = new MemoryBackend()
  await create(base)
  const first = await take(base, join(root, 'one'))
  kept = [await take(base, join(root, 'two'))]
  await forget(await openAgain(base), [first.id])
  await base.flush()
  const disk = copyOf(base)
  await runPrune(disk)
  cleanBytes = packBytes(disk)
})

/** What a power cut left is complete; the next backup and the next prune need nobody's help. */
async function expectRecovered(disk: MemoryBackend, order: 'backup first' | 'prune first') {
  await requireRestorable(disk, kept, root)
  const taken = [...kept]
  if (order === 'backup first') taken.push(await take(disk, join(root, 'three'), newProcess()))
  await runPrune(disk)
  await requireRestorable(disk, taken, root)
  expect(names(disk, 'marks')).toEqual([])
  expect(await indexProblems(disk)).toEqual([])
  if (order === 'prune first') expect(packBytes(disk)).toBeLessThan(cleanBytes * 1.15)
}

describe.each(MODES)('power cut, %s the call', (mode) => {
  test.each(['backup first', 'prune first'] as const)(
    'A3 A4: prune survives a cut at every call, and the next one finishes it (%s)',
    async (order) => {
      for (let cutAt = 0; ; cutAt++) {
        const disk = copyOf(base)
        const cut = new PowerCutBackend(disk, { cutAt, mode, seed: cutAt })
        const finished = await runPrune(cut).then(
          () => true,
          (error: unknown) => {
            if (!isPowerCut(error)) throw error
            return false
          },
        )
        await expectRecovered(disk, order)
        if (!finished) continue
        expect(cutAt).toBeGreaterThan(15)
        break
      }
    },
  )
})

test('A5: a second cut, while the first is being recovered from, loses nothing', async () => {
  for (let cutAt = 3; ; cutAt += 4) {
    const disk = copyOf(base)
    const cut = new PowerCutBackend(disk, { cutAt, mode: 'torn', seed: cutAt })
    await runPrune(cut).catch(() => {})
    if (!cut.isCut) break
    for (let again = 1; ; again += 5) {
      const copy = copyOf(disk)
      const second = new PowerCutBackend(copy, { cutAt: again, mode: 'torn', seed: again })
      await runPrune(second).catch(() => {})
      if (!second.isCut) break
      await expectRecovered(copy, 'prune first')
    }
  }
})

describe('a storage call fails', () => {
  const verbs: readonly Verb[] = ['save', 'flush', 'list', 'load', 'remove']
  test.each(verbs)(
    'B13 B23: %s, at the n-th call, once or for ever: nothing is lost',
    async (verb) => {
      for (const times of [1, Number.POSITIVE_INFINITY]) {
        for (let nth = 0; ; nth++) {
          const disk = copyOf(base)
          const error = new CairnError('CAIRN_STORAGE_DOWN', 'cannot reach the storage')
          await openAgain(disk)
          const faulty = new FaultyBackend(disk, [{ verb, nth, times, error }])
          const failed = await runPrune(faulty).then(
            () => false,
            (problem: unknown) => {
              expect(isCairnError(problem, 'CAIRN_STORAGE_DOWN')).toBe(true)
              return true
            },
          )
          await expectRecovered(disk, 'prune first')
          if (faulty.log.length === 0) break
          // Removing the last beat is the one thing that may fail without a word.
          expect(failed || verb === 'remove').toBe(true)
        }
      }
    },
  )

  test('B29: packs that the storage does not let go are told and stay marked', async () => {
    const disk = copyOf(base)
    const error = new CairnError('CAIRN_STORAGE_REFUSED', 'object lock')
    const faulty = new FaultyBackend(disk, [
      { verb: 'remove', kind: 'packs', times: Number.POSITIVE_INFINITY, error },
    ])
    await expect(runPrune(faulty)).rejects.toThrow(/stay marked/)
    expect(names(disk, 'marks').length).toBeGreaterThan(0)
    await expectRecovered(disk, 'backup first')
  })

  test('F38: a disk without space for index files or packs gets space', async () => {
    const disk = copyOf(base)
    const error = new CairnError('CAIRN_STORAGE_REFUSED', 'no space left on the device')
    const faulty = new FaultyBackend(disk, [
      { verb: 'save', kind: 'sessions', times: Number.POSITIVE_INFINITY, error },
      { verb: 'save', kind: 'index', times: Number.POSITIVE_INFINITY, error },
      { verb: 'save', kind: 'packs', times: Number.POSITIVE_INFINITY, error },
    ])
    const before = packBytes(disk)
    await expect(runPrune(faulty)).rejects.toThrow(/no space left/)
    expect(packBytes(disk)).toBeLessThan(before)
    await expectRecovered(disk, 'prune first')
  })
})
