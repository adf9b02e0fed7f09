/** What is damage and what is not: bits that flip on the way, a storage that is down, subsets. */

import { describe, expect, test } from 'vitest'
import { CairnError } from '../../../src/base/errors.ts'
import { fileNameOf } from '../../../src/base/ids.ts'
import { checkRepository } from '../../../src/engine/check/check.ts'
import type { CheckProgress } from '../../../src/engine/check/check-options.ts'
import { choosePacks, packGroup } from '../../../src/engine/check/subset.ts'
import { FILE_KINDS, type FileRef } from '../../../src/storage/backend.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { FaultyBackend } from '../../support/faulty-backend.ts'
import {
  build,
  buildFull,
  check,
  checkUnlocked,
  FILES,
  filesOf,
  noise,
  testEnvironment,
  textOf,
} from './check-support.ts'

function flipIn(bytes: Uint8Array, at: number): void {
  bytes[at] = (bytes[at] ?? 0) ^ 4
}

/** Flips a bit of everything it loads for the first `times` times. */
class FlippingBackend extends MemoryBackend {
  readonly #times: number
  readonly #loads = new Map<string, number>()

  constructor(inner: MemoryBackend, times: number) {
    super()
    for (const [path, bytes] of inner.files) this.files.set(path, Uint8Array.from(bytes))
    this.#times = times
  }

  override async load(file: FileRef, ...rest: [never?, never?]) {
    const bytes = await super.load(file, ...rest)
    const path = `${file.kind}/${file.name}`
    const count = this.#loads.get(path) ?? 0
    this.#loads.set(path, count + 1)
    if (bytes !== undefined && count < this.#times) flipIn(bytes, bytes.length >> 1)
    return bytes
  }
}

test('checkRepository() does not report what is sound when it is read again (B30)', async () => {
  const { backend, repository } = await buildFull()
  const report = await checkUnlocked(repository, new FlippingBackend(backend, 1))
  expect(textOf(report)).toBe('')
  expect(report.transientCount).toBeGreaterThan(5)
  const damaged = await checkUnlocked(repository, new FlippingBackend(backend, 1000))
  expect(damaged.summary.num_errors).toBeGreaterThan(5)
})

describe('checkRepository() with a storage that fails', () => {
  test.each(['load', 'list'] as const)('throws what it throws, never damage: %s', async (verb) => {
    const { backend } = await buildFull()
    for (const kind of FILE_KINDS) {
      for (const readData of [undefined, { kind: 'all' as const }]) {
        if (kind === 'packs' && verb === 'load' && readData === undefined) continue
        const faulty = new FaultyBackend(backend, [{ verb, kind, times: Infinity }])
        await expect(check(faulty, { readData })).rejects.toMatchObject({
          code: 'CAIRN_STORAGE_DOWN',
        })
      }
    }
  })

  test('throws CAIRN_ABORTED once it is told to stop', async () => {
    const { backend, repository } = await build()
    const controller = new AbortController()
    const running = checkUnlocked(repository, backend, {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    })
    await expect(running).rejects.toMatchObject({ code: 'CAIRN_ABORTED' })
  })

  test('throws what opening throws', async () => {
    const { backend } = await build()
    const wrong = new CairnError('CAIRN_WRONG_SECRET', 'wrong password')
    const environment = testEnvironment()
    const opening = Promise.reject(wrong)
    const options = { environment, backend, opening, readData: { kind: 'all' as const } }
    await expect(checkRepository(options)).rejects.toBe(wrong)
  })
})

describe('--read-data-subset', () => {
  const packs = Array.from({ length: 500 }, (_, i) => ({
    name: fileNameOf(noise(32, i + 1)),
    byteCount: 1000 + i,
  }))
  const { random } = testEnvironment()

  test('puts each pack in exactly one of t groups, by its name alone', () => {
    for (const parts of [1, 2, 7, 256]) {
      const groups = Array.from({ length: parts }, (_, i) =>
        choosePacks(packs, { kind: 'part', part: i + 1, parts }, random),
      )
      expect(groups.flat().sort((a, b) => (a.name < b.name ? -1 : 1))).toEqual(
        [...packs].sort((a, b) => (a.name < b.name ? -1 : 1)),
      )
    }
    expect(packGroup(fileNameOf(Buffer.alloc(32, 9)), 5)).toBe(5)
  })

  test('takes about as much as was asked for, at random, and at least one pack', () => {
    const total = packs.reduce((sum, { byteCount }) => sum + byteCount, 0)
    const size = (chosen: typeof packs) => chosen.reduce((sum, each) => sum + each.byteCount, 0)
    const tenth = choosePacks(packs, { kind: 'percent', percent: 10 }, random)
    expect(size(tenth) / total).toBeCloseTo(0.1, 2)
    expect(new Set(tenth).size).toBe(tenth.length)
    expect(choosePacks(packs, { kind: 'percent', percent: 10 }, random)).not.toEqual(tenth)
    expect(choosePacks(packs, { kind: 'bytes', byteCount: 1 }, random)).toHaveLength(1)
    expect(choosePacks(packs, { kind: 'bytes', byteCount: 2 * total }, random)).toHaveLength(500)
    expect(choosePacks([], { kind: 'percent', percent: 1 }, random)).toEqual([])
  })

  test('reads each damaged pack in exactly one of the groups', async () => {
    const { backend, repository } = await build()
    const broken: string[] = []
    for (const path of filesOf(backend, 'packs')) {
      const bytes = backend.files.get(path)
      if (bytes !== undefined) flipIn(bytes, bytes.length - 1)
    }
    for (const part of [1, 2, 3]) {
      const readData = { kind: 'part' as const, part, parts: 3 }
      broken.push(...(await checkUnlocked(repository, backend, { readData })).summary.broken_packs)
    }
    expect(broken.map((name) => `packs/${name}`).sort()).toEqual(filesOf(backend, 'packs'))
  })
})

test('checkRepository() reads only the packs that the selected snapshots need', async () => {
  const { backend, repository, snapshots } = await build()
  const all = await checkUnlocked(repository, backend, { select: () => snapshots })
  expect(all.packsRead).toBe(filesOf(backend, 'packs').length)
  const none = await checkUnlocked(repository, backend, { select: () => [] })
  expect(none.packsRead).toBe(0)
  expect(none.snapshotCount).toBe(0)
})

test('checkRepository() reports progress up to its totals', async () => {
  const { backend, repository } = await build(FILES)
  let last: CheckProgress | undefined
  const phases: string[] = []
  await checkUnlocked(repository, backend, {
    onProgress: (progress) => {
      last = progress
    },
    onPhase: (phase) => phases.push(phase),
  })
  expect(phases).toEqual(['objects', 'index', 'snapshots', 'data'])
  const packCount = filesOf(backend, 'packs').length
  expect(last).toMatchObject({ snapshotsDone: 1, snapshotsTotal: 1, packsTotal: packCount })
  expect(last?.packsDone).toBe(packCount)
  expect(last?.bytesDone).toBe(last?.bytesTotal)
})
