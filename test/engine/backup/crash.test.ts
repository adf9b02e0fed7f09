import { writeFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { CairnError, isCairnError } from '../../../src/base/errors.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { backUp, contentsOf, create, open } from '../../support/backup-harness.ts'
import { FaultyBackend, type Verb } from '../../support/faulty-backend.ts'
import { isPowerCut, PowerCutBackend } from '../../support/power-cut-backend.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const MODES = ['before', 'after', 'torn'] as const
const root = temporaryFolder('cairn-crash-')

/** About 40 KiB that do not compress, in files of all sizes around the chunk limits. */
function plant(directory: string, seed: number): void {
  mkdirSync(join(directory, 'sub'), { recursive: true })
  let state = seed
  for (const [i, size] of [0, 1, 255, 256, 2048, 2049, 9000, 25_000].entries()) {
    const bytes = Buffer.alloc(size)
    for (let at = 0; at < size; at++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
      bytes[at] = state >>> 16
    }
    writeFileSync(join(directory, i % 2 === 0 ? 'sub' : '.', `file-${i}`), bytes)
  }
}

beforeAll(() => {
  plant(join(root, 'one'), 1)
  plant(join(root, 'two'), 2)
})

/** Every listed snapshot reads back whole, and the next run works without anybody's help. */
async function expectSound(disk: MemoryBackend, expected: ReadonlyMap<string, unknown>) {
  const repository = await open(disk)
  for (const snapshot of await repository.snapshots()) {
    const found = await contentsOf(repository, snapshot, root)
    expect([...found.keys()].some((path) => expected.has(path))).toBe(true)
  }
  const report = await backUp(disk, join(root, 'two'))
  const again = await open(disk)
  const newest = (await again.snapshots()).find(({ id }) => id === report.snapshotId)
  if (newest === undefined) throw new Error('the snapshot that was reported is not listed')
  return { found: await contentsOf(again, newest, root), report }
}

async function reference(): Promise<{ contents: Map<string, string>; bytesAdded: number }> {
  const disk = new MemoryBackend()
  await create(disk)
  await backUp(disk, join(root, 'one'))
  const report = await backUp(disk, join(root, 'two'))
  const repository = await open(disk)
  const newest = (await repository.snapshots()).find(({ id }) => id === report.snapshotId)
  if (newest === undefined) throw new Error('no snapshot')
  return { contents: await contentsOf(repository, newest, root), bytesAdded: report.bytesAdded }
}

describe.each(MODES)('power cut, %s the call', (mode) => {
  test('A8: init survives a cut at every call, and never makes two master keys', async () => {
    for (let cutAt = 0; ; cutAt++) {
      const disk = new MemoryBackend()
      const cut = new PowerCutBackend(disk, { cutAt, mode, seed: cutAt })
      const finished = await create(cut).then(
        () => true,
        (error: unknown) => {
          if (!isPowerCut(error)) throw error
          return false
        },
      )
      if (finished) {
        expect(cutAt).toBeGreaterThan(4)
        break
      }
      // A second init completes what is missing, or finds that nothing is.
      await create(disk).catch((error: unknown) => {
        if (!isCairnError(error, 'CAIRN_FAILED')) throw error
      })
      const configs = [...disk.files.keys()].filter((name) => name.startsWith('config/'))
      expect(configs).toHaveLength(1)
      await backUp(disk, join(root, 'one'))
    }
  })

  test('A1 A2: backup survives a cut at every call', async () => {
    const expected = await reference()
    const base = new MemoryBackend()
    await create(base)
    const first = await backUp(base, join(root, 'one'))
    await base.flush()
    // What a torn cut loses is drawn: several times for each.
    const draws = mode === 'torn' ? 4 : 1
    for (let draw = 0; ; draw++) {
      const cutAt = Math.floor(draw / draws)
      const disk = new MemoryBackend()
      for (const [name, bytes] of base.files) disk.files.set(name, bytes)
      const cut = new PowerCutBackend(disk, { cutAt, mode, seed: draw })
      const finished = await backUp(cut, join(root, 'two')).then(
        () => true,
        (error: unknown) => {
          if (!isPowerCut(error)) throw error
          return false
        },
      )
      if (finished) {
        expect(cutAt).toBeGreaterThan(8)
        break
      }
      const repository = await open(disk)
      const ids = (await repository.snapshots()).map(({ id }) => id)
      expect(ids).toContain(first.snapshotId)
      const { found } = await expectSound(disk, expected.contents)
      expect(found).toEqual(expected.contents)
    }
  })
})

test('A15 B33: what complete packs hold is not stored again after a kill, index file or not', async () => {
  const expected = await reference()
  const base = new MemoryBackend()
  await create(base)
  await backUp(base, join(root, 'one'))
  // The last changing calls are the snapshot's: cut just before it is written.
  const probe = new MemoryBackend()
  for (const [name, bytes] of base.files) probe.files.set(name, bytes)
  const counter = new PowerCutBackend(probe, { cutAt: Number.POSITIVE_INFINITY, mode: 'before' })
  await backUp(counter, join(root, 'two'))
  for (let cutAt = 3; cutAt < counter.calls - 2; cutAt++) {
    const disk = new MemoryBackend()
    for (const [name, bytes] of base.files) disk.files.set(name, bytes)
    const packsBefore = [...disk.files.keys()].filter((name) => name.startsWith('packs/')).length
    const cut = new PowerCutBackend(disk, { cutAt, mode: 'after' })
    await backUp(cut, join(root, 'two')).catch(() => {})
    const complete = [...disk.files.entries()]
      .filter(([name]) => name.startsWith('packs/'))
      .slice(packsBefore)
    const completeBytes = complete.reduce((sum, [, bytes]) => sum + bytes.length, 0)
    const report = await backUp(disk, join(root, 'two'))
    expect(report.bytesAdded).toBeLessThanOrEqual(expected.bytesAdded - completeBytes * 0.9 + 4096)
  }
})

describe('a storage call fails', () => {
  const verbs: readonly Verb[] = ['save', 'flush', 'list', 'load', 'remove']
  test.each(verbs)('%s: at the n-th call, once or for ever, nothing is lost', async (verb) => {
    const expected = await reference()
    for (const times of [1, Number.POSITIVE_INFINITY]) {
      for (let nth = 0; ; nth++) {
        const disk = new MemoryBackend()
        await create(disk)
        await backUp(disk, join(root, 'one'))
        const error = new CairnError('CAIRN_STORAGE_DOWN', 'cannot reach the storage')
        const faulty = new FaultyBackend(disk, [{ verb, nth, times, error }])
        const failed = await backUp(faulty, join(root, 'two')).then(
          () => false,
          (problem: unknown) => {
            expect(isCairnError(problem, 'CAIRN_STORAGE_DOWN')).toBe(true)
            return true
          },
        )
        const { found } = await expectSound(disk, expected.contents)
        expect(found).toEqual(expected.contents)
        if (faulty.log.length === 0) break
        // Removing the last beat is the one thing that may fail without a word.
        expect(failed || verb === 'remove').toBe(true)
      }
    }
  })
})
