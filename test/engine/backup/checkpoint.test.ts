import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CairnError, isCairnError } from '../../../src/base/errors.ts'
import { CHECKPOINT_PERIOD_MS } from '../../../src/engine/backup/checkpoints.ts'
import { checkRepository } from '../../../src/engine/check/check.ts'
import type { Backend } from '../../../src/storage/backend.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import {
  backUp,
  contentsOf,
  create,
  inlineEnvironment,
  open,
} from '../../support/backup-harness.ts'
import { FaultyBackend } from '../../support/faulty-backend.ts'
import { isPowerCut, PowerCutBackend } from '../../support/power-cut-backend.ts'
import { tickingEnvironment } from '../../support/ticking.ts'

const FILES = 320
let root = ''

/** More files than workers are given at once, in directories that end at different times. */
function plant(directory: string): void {
  let state = 7
  for (let n = 0; n < FILES; n++) {
    const bytes = Buffer.alloc(100 + (n % 7) * 90)
    for (let at = 0; at < bytes.length; at++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
      bytes[at] = state >>> 16
    }
    const folder = join(directory, `d${Math.trunc(n / 50)}`, n % 3 === 0 ? 'deep' : '.')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, `f${String(n).padStart(3, '0')}`), bytes)
  }
}

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-checkpoint-'))
  plant(join(root, 'source'))
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

async function newDisk(): Promise<MemoryBackend> {
  const disk = new MemoryBackend()
  await create(disk)
  return disk
}

function copyOf(disk: MemoryBackend): MemoryBackend {
  const copy = new MemoryBackend()
  for (const [name, bytes] of disk.files) copy.files.set(name, bytes)
  return copy
}

async function backUpTicking(backend: Backend, path = join(root, 'source')) {
  return await backUp(backend, path, { environment: tickingEnvironment(CHECKPOINT_PERIOD_MS) })
}

/** Lets changing calls pass until the n-th snapshot is about to be removed or written. */
function stopAtSnapshot(backend: Backend, nth: number): FaultyBackend {
  const error = new CairnError('CAIRN_STORAGE_DOWN', 'cannot reach the storage')
  const times = Number.POSITIVE_INFINITY
  return new FaultyBackend(backend, [{ verb: 'save', kind: 'snapshots', nth, times, error }])
}

async function snapshotsOf(backend: Backend) {
  const repository = await open(backend)
  return { repository, snapshots: await repository.snapshots() }
}

async function checkFinds(backend: Backend): Promise<number> {
  const report = await checkRepository({
    environment: inlineEnvironment(),
    backend,
    opening: open(backend),
    readData: { kind: 'all' },
  })
  return report.summary.num_errors
}

async function wholeContents() {
  const disk = await newDisk()
  await backUp(disk, join(root, 'source'))
  const { repository, snapshots } = await snapshotsOf(disk)
  const [only] = snapshots
  if (only === undefined) throw new Error('no snapshot')
  return await contentsOf(repository, only, join(root, 'source'))
}

/** A repository with the partial snapshot of a run that the storage stopped. */
async function interrupted(nth = 2): Promise<MemoryBackend> {
  const disk = await newDisk()
  const stopped = stopAtSnapshot(disk, nth)
  await expect(backUpTicking(stopped)).rejects.toThrow()
  return disk
}

describe('a checkpoint', () => {
  test('is restorable, marked, and holds what was done and nothing else', async () => {
    const disk = await interrupted()
    const { repository, snapshots } = await snapshotsOf(disk)
    expect(snapshots).toHaveLength(1)
    const [partial] = snapshots
    if (partial === undefined) throw new Error('no snapshot')
    expect(partial.envelope.partial).toBe(true)
    const whole = await wholeContents()
    const found = await contentsOf(repository, partial, join(root, 'source'))
    const files = [...found.keys()].filter((path) => path.includes('/f'))
    expect(files.length).toBeGreaterThan(20)
    expect(files.length).toBeLessThan(FILES)
    for (const [path, content] of found) expect(whole.get(path), path).toBe(content)
    expect(partial.content?.statistics.filesProcessed).toBe(files.length)
    expect(await checkFinds(disk)).toBe(0)
  })

  test('stands for the one before it, and the complete snapshot for the last', async () => {
    let written = 0
    class Counting extends MemoryBackend {
      override async save(...args: Parameters<MemoryBackend['save']>): Promise<void> {
        await super.save(...args)
        if (args[0].kind !== 'snapshots') return
        written++
        expect((await this.list('snapshots')).length).toBeLessThanOrEqual(2)
      }
    }
    const disk = new Counting()
    await create(disk)
    const report = await backUpTicking(disk)
    expect(written).toBeGreaterThan(2)
    expect((await disk.list('snapshots')).length).toBe(1)
    const { repository, snapshots } = await snapshotsOf(disk)
    expect(snapshots.map(({ id }) => id)).toEqual([report.snapshotId])
    const [complete] = snapshots
    if (complete === undefined) throw new Error('no snapshot')
    expect(complete.envelope).toMatchObject({ partial: false, previous: [] })
    expect(complete.envelope.sequence).toBe(written)
    expect(await contentsOf(repository, complete, join(root, 'source'))).toEqual(
      await wholeContents(),
    )
    expect(await checkFinds(disk)).toBe(0)
  })

  test.each([
    // The third listing of marks is the first after a snapshot was written.
    { verb: 'list', kind: 'marks', nth: 2 },
    { verb: 'save', kind: 'snapshots', nth: 0, effect: 'after' },
  ] as const)(
    'that may lack something ($verb fails) leaves the run open until another stands for it',
    async (fault) => {
      const times = Number.POSITIVE_INFINITY
      const alone = await newDisk()
      // Packs are listed at the beginning, before the first, and before and after the second.
      const stopped = new FaultyBackend(alone, [
        fault,
        { verb: 'list', kind: 'packs', nth: 2, times },
      ])
      await expect(backUpTicking(stopped)).rejects.toMatchObject({ code: 'CAIRN_STORAGE_DOWN' })
      expect((await snapshotsOf(alone)).snapshots).toHaveLength(1)
      expect(await alone.list('sessions')).toHaveLength(1)

      const followed = await newDisk()
      const later = new FaultyBackend(followed, [
        fault,
        { verb: 'list', kind: 'packs', nth: 4, times },
        { verb: 'remove', kind: 'snapshots', times },
      ])
      await expect(backUpTicking(later)).rejects.toMatchObject({ code: 'CAIRN_STORAGE_DOWN' })
      expect(await followed.list('snapshots')).toHaveLength(2)
      const { snapshots } = await snapshotsOf(followed)
      expect(snapshots.map(({ envelope }) => envelope.sequence)).toEqual([2])
      expect(await followed.list('sessions')).toEqual([])
    },
  )

  test('of a run that ended is replaced by the next complete snapshot of its series', async () => {
    const disk = await interrupted()
    const [partial] = (await snapshotsOf(disk)).snapshots
    mkdirSync(join(root, 'other'), { recursive: true })
    writeFileSync(join(root, 'other', 'one'), 'one')
    const other = await backUp(disk, join(root, 'other'))
    const ids = async () => new Set((await snapshotsOf(disk)).snapshots.map(({ id }) => id))
    expect(await ids()).toEqual(new Set([partial?.id, other.snapshotId]))
    const report = await backUp(disk, join(root, 'source'))
    expect(await ids()).toEqual(new Set([report.snapshotId, other.snapshotId]))
    // What it had stored is not stored again.
    expect(report.bytesAdded).toBeLessThan((await wholeBytes()) * 0.9)
    expect(await disk.list('snapshots')).toHaveLength(2)
    expect(await checkFinds(disk)).toBe(0)
  })

  test('that the storage does not let be removed is ignored once it is replaced', async () => {
    const disk = await interrupted()
    const error = new CairnError('CAIRN_STORAGE_REFUSED', 'nothing can be removed here')
    const times = Number.POSITIVE_INFINITY
    const faults = [{ verb: 'remove' as const, kind: 'snapshots' as const, nth: 0, times, error }]
    const report = await backUp(new FaultyBackend(disk, faults), join(root, 'source'))
    expect(await disk.list('snapshots')).toHaveLength(2)
    const { snapshots } = await snapshotsOf(disk)
    expect(snapshots.map(({ id }) => id)).toEqual([report.snapshotId])
    expect(await checkFinds(disk)).toBe(0)
  })

  test('is not written by a dry run, nor by a run that is done sooner', async () => {
    const disk = await newDisk()
    const environment = tickingEnvironment(CHECKPOINT_PERIOD_MS)
    await backUp(disk, join(root, 'source'), { environment, dryRun: true })
    expect(await disk.list('snapshots')).toEqual([])
    const stopped = stopAtSnapshot(disk, 0)
    await expect(backUp(stopped, join(root, 'source'))).rejects.toThrow(/cannot reach/)
    expect(stopped.log).toHaveLength(1)
  })
})

async function wholeBytes(): Promise<number> {
  return (await backUp(await newDisk(), join(root, 'source'))).bytesAdded
}

test('an interrupted run leaves a partial snapshot and says so', async () => {
  const disk = await newDisk()
  const abort = new AbortController()
  const notices: string[] = []
  const environment = tickingEnvironment(CHECKPOINT_PERIOD_MS, (count) => {
    if (count === 150) abort.abort()
  })
  const listener = { onNotice: (message: string) => notices.push(message) }
  const run = backUp(disk, join(root, 'source'), {
    environment,
    signal: abort.signal,
    listener,
  })
  await expect(run).rejects.toSatisfy((error) => isCairnError(error, 'CAIRN_ABORTED'))
  const { snapshots } = await snapshotsOf(disk)
  expect(snapshots.map(({ envelope }) => envelope.partial)).toEqual([true])
  expect(notices).toEqual([
    `what was done so far is partial snapshot ${snapshots[0]?.id.slice(0, 8)}; the next backup goes on from there`,
  ])
  expect(await disk.list('sessions')).toEqual([])
  await backUp(disk, join(root, 'source'))
  expect((await snapshotsOf(disk)).snapshots.map(({ envelope }) => envelope.partial)).toEqual([
    false,
  ])
})

describe.each(['before', 'after', 'torn'] as const)('power cut, %s the call', (mode) => {
  test('A15: a backup with checkpoints survives a cut at every call', async () => {
    const base = await newDisk()
    await base.flush()
    const expected = await wholeContents()
    let partials = 0
    for (let cutAt = 0; ; cutAt++) {
      const disk = copyOf(base)
      const cut = new PowerCutBackend(disk, { cutAt, mode, seed: cutAt })
      const finished = await backUpTicking(cut).then(
        () => true,
        (error: unknown) => {
          if (!isPowerCut(error)) throw error
          return false
        },
      )
      if (finished) break
      const { repository, snapshots } = await snapshotsOf(disk)
      for (const snapshot of snapshots) {
        if (snapshot.envelope.partial) partials++
        const found = await contentsOf(repository, snapshot, join(root, 'source'))
        for (const [path, content] of found) expect(expected.get(path), path).toBe(content)
      }
      const report = await backUp(disk, join(root, 'source'))
      const after = await snapshotsOf(disk)
      const complete = after.snapshots.filter(({ envelope }) => !envelope.partial)
      expect(after.snapshots).toHaveLength(complete.length)
      const newest = complete.find(({ id }) => id === report.snapshotId)
      if (newest === undefined) throw new Error('the snapshot that was reported is not listed')
      expect(await contentsOf(after.repository, newest, join(root, 'source'))).toEqual(expected)
    }
    expect(partials).toBeGreaterThan(5)
  })
})
