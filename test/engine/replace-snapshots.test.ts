import { describe, expect, test } from 'vitest'
import { toHex } from '../../src/base/bytes.ts'
import { CairnError, isCairnError } from '../../src/base/errors.ts'
import { changeTags, changedTags } from '../../src/engine/tag.ts'
import { undelete, type Undeletable, undeletable } from '../../src/engine/undelete.ts'
import { encodeMark } from '../../src/format/session.ts'
import { Repository } from '../../src/repository/repository.ts'
import type { Snapshot } from '../../src/repository/snapshots.ts'
import { timeOf } from '../../src/repository/time.ts'
import { forgetSnapshots } from '../../src/repository/tombstones.ts'
import type { Backend } from '../../src/storage/backend.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { FaultyBackend, type Verb } from '../support/faulty-backend.ts'
import { isPowerCut, PowerCutBackend } from '../support/power-cut-backend.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import {
  build,
  check,
  checkUnlocked,
  copyOf,
  errorsOf,
  FILES,
  filesOf,
  openTest,
  snapshotAgain,
  testEnvironment,
  textOf,
} from './check/check-support.ts'
import { laterClock, runPrune } from './prune/prune-harness.ts'

const MODES = ['before', 'after', 'torn'] as const
const ALL = (snapshots: readonly Snapshot[]) => snapshots
const ADD = { add: ['new'], remove: [] }

/** Opens with keys that are derived already; as a process for which every other one died long ago, or not. */
function opened(from: Repository, backend: Backend, isLater = false): Repository {
  const { clock, random, process } = testEnvironment()
  const parts = { backend, clock, random, process }
  if (isLater) {
    parts.process = { ...process, isAlive: () => false }
    parts.clock = laterClock(clock)
  }
  return new Repository(parts, from.unlocked)
}

async function three() {
  const fixture = await build()
  await snapshotAgain(fixture)
  await snapshotAgain(fixture)
  const { backend, repository } = fixture
  return { backend, repository, snapshots: await repository.snapshots() }
}

/** What makes a snapshot what it is, whatever its id. */
function lineOf({ id, content, timeNs }: Snapshot): string {
  return `${toHex(content?.original?.id ?? Buffer.from(id, 'hex'))} ${timeNs}`
}

async function interrupted(work: Promise<unknown>): Promise<boolean> {
  return await work.then(
    () => false,
    (error: unknown) => {
      if (!isPowerCut(error)) throw error
      return true
    },
  )
}

describe('tag', () => {
  test('adds, removes, sets, each once', () => {
    expect(changedTags(['a', 'b'], { add: ['c', 'a'], remove: ['b'] })).toEqual(['a', 'c'])
    expect(changedTags(['a'], { set: ['x', 'x'], add: [], remove: [] })).toEqual(['x'])
    expect(changedTags(['a'], { set: [], add: [], remove: [] })).toEqual([])
  })

  test('keeps time, tree and the original through several changes', async () => {
    const { backend, repository, snapshots } = await three()
    const done = await changeTags(repository, { choose: ALL, change: ADD })
    expect(done.map(({ old }) => old.id)).toEqual(snapshots.map(({ id }) => id))
    await changeTags(repository, { choose: ALL, change: { add: [], remove: ['new'] } })
    const after = await repository.snapshots()
    expect(after.map(lineOf)).toEqual(snapshots.map(lineOf))
    for (const { content, author } of after) {
      expect(content?.tags).toEqual([])
      expect(content?.root).toEqual(snapshots[0]?.content?.root)
      expect(toHex(content?.original?.author ?? Buffer.of())).toBe(author)
    }
    expect(
      await changeTags(repository, { choose: ALL, change: { add: [], remove: ['x'] } }),
    ).toEqual([])
    expect(filesOf(backend, 'sessions')).toEqual([])
    expect(textOf(await check(backend))).toBe('')
  })

  test.each(MODES)(
    'a power cut %s any call loses nothing, and the next run finishes',
    async (mode) => {
      const { backend, repository, snapshots } = await three()
      for (let cutAt = 0; ; cutAt++) {
        const disk = copyOf(backend)
        const cut = new PowerCutBackend(disk, { cutAt, mode, seed: cutAt })
        const isCut = await interrupted(
          changeTags(opened(repository, cut), { choose: ALL, change: ADD }),
        )
        const between = await opened(repository, disk, true).snapshots()
        const lines = new Set(between.map(lineOf))
        for (const snapshot of snapshots) expect(lines).toContain(lineOf(snapshot))
        await changeTags(opened(repository, disk, true), { choose: ALL, change: ADD })
        const after = await opened(repository, disk, true).snapshots()
        expect(after.map(lineOf)).toEqual(snapshots.map(lineOf))
        for (const { content } of after) expect(content?.tags).toEqual(['new'])
        expect(filesOf(disk, 'sessions')).toEqual([])
        expect(filesOf(disk, 'snapshots')).toHaveLength(3)
        expect(textOf(await checkUnlocked(repository, disk))).toBe('')
        if (!isCut) {
          expect(cutAt).toBeGreaterThan(10)
          break
        }
      }
    },
  )

  test('a storage call that fails leaves all of them, whichever it is', async () => {
    const { backend, repository, snapshots } = await three()
    const error = new CairnError('CAIRN_STORAGE_DOWN', 'cannot reach the storage')
    for (const verb of ['save', 'flush', 'list', 'remove'] satisfies Verb[]) {
      for (let nth = 0; ; nth++) {
        const disk = copyOf(backend)
        const faulty = new FaultyBackend(disk, [
          { verb, nth, times: Number.POSITIVE_INFINITY, error },
        ])
        await changeTags(opened(repository, faulty), { choose: ALL, change: ADD }).catch(() => {})
        const lines = new Set((await opened(repository, disk, true).snapshots()).map(lineOf))
        for (const snapshot of snapshots) expect(lines).toContain(lineOf(snapshot))
        if (faulty.log.length === 0) break
      }
    }
  })

  test('what somebody else forgets meanwhile does not come back', async () => {
    const { backend, snapshots } = await three()
    const [first] = snapshots
    if (first === undefined) throw new Error('no snapshot')
    const repository = await openTest(backend)
    const other = await openTest(backend)
    let isForgotten = false
    // Between the saving of the new snapshots and the look at the tombstones.
    const flush = backend.flush.bind(backend)
    backend.flush = async () => {
      await flush()
      if (isForgotten || filesOf(backend, 'snapshots').length <= 3) return
      isForgotten = true
      await forgetSnapshots(other, [{ snapshot: first }])
    }
    await expect(changeTags(repository, { choose: ALL, change: ADD })).rejects.toSatisfy((error) =>
      isCairnError(error, 'CAIRN_CONFLICT'),
    )
    const left = (await other.snapshots()).map(({ id }) => id)
    expect(left).toEqual(snapshots.slice(1).map(({ id }) => id))
    expect(filesOf(backend, 'sessions')).toEqual([])
  })
})

describe('undelete', () => {
  async function forgotten() {
    const { backend, repository, snapshots } = await three()
    const [first] = snapshots
    if (first === undefined) throw new Error('no snapshot')
    await forgetSnapshots(repository, [{ snapshot: first }])
    return { backend, repository, first }
  }
  const CHOOSE_ALL = {
    choose: (all: readonly Undeletable[]) => all.map((one) => one.snapshot),
  }

  test('brings back what was forgotten, as it was, once', async () => {
    const { backend, repository, first } = await forgotten()
    const found = await undeletable(repository, await repository.history())
    expect(found.map(({ snapshot }) => snapshot.id)).toEqual([first.id])
    const [undeleted] = await undelete(repository, CHOOSE_ALL)
    const back = (await repository.snapshots()).find(({ id }) => id === undeleted?.snapshot.id)
    if (back === undefined) throw new Error('not listed')
    const { original, ...content } = back.content ?? {}
    expect(content).toEqual(first.content)
    expect(lineOf(back)).toBe(lineOf(first))
    expect(toHex(original?.author ?? Buffer.of())).toBe(first.author)
    expect(await undeletable(repository, await repository.history())).toEqual([])
    expect(await undelete(repository, CHOOSE_ALL)).toEqual([])
    expect(textOf(await check(backend))).toBe('')
  })

  test('what was replaced by tag is no candidate', async () => {
    const { repository } = await three()
    await changeTags(repository, { choose: ALL, change: ADD })
    expect(await undeletable(repository, await repository.history())).toEqual([])
  })

  test('says what is gone, and changes nothing', async () => {
    const { backend, repository } = await forgotten()
    for (const path of filesOf(backend, 'packs').slice(0, 1)) backend.files.delete(path)
    const before = filesOf(backend, 'snapshots')
    const error = await undelete(repository, CHOOSE_ALL).catch((problem: unknown) => problem)
    expect(isCairnError(error, 'CAIRN_FAILED')).toBe(true)
    expect(String(error)).toMatch(/\d+ blobs are gone; nothing is changed/)
    expect(filesOf(backend, 'snapshots')).toEqual(before)
    expect(filesOf(backend, 'sessions')).toEqual([])
  })

  test('what a prune moves while it is looked up is not said to be gone', async () => {
    const backend = new MemoryBackend()
    const builder = await RepositoryBuilder.create({ backend })
    builder.tree({ 'unused.bin': Buffer.alloc(100, 7) })
    const { repository } = await builder.finish(builder.tree(FILES))
    await snapshotAgain({ repository, backend })
    const [first] = await repository.snapshots()
    if (first === undefined) throw new Error('no snapshot')
    await forgetSnapshots(repository, [{ snapshot: first }])
    const before = filesOf(backend, 'packs')
    // It takes the other for dead: their clocks differ by hours.
    const pruner = opened(repository, backend, true)
    const environment = { ...testEnvironment(), clock: pruner.clock, process: pruner.process }
    const delay = async () => {
      await runPrune(backend, {}, { environment, repository: pruner })
    }
    const moving = new FaultyBackend(backend, [{ verb: 'load', kind: 'packs', delay }])
    await undelete(opened(repository, moving), CHOOSE_ALL)
    for (const path of filesOf(backend, 'packs')) expect(before).not.toContain(path)
    const after = await opened(repository, backend).snapshots()
    expect(after.map(lineOf)).toContain(lineOf(first))
    expect(textOf(await checkUnlocked(repository, backend))).toBe('')
  })

  test('a mark does not stop it, an intent that takes its data does', async () => {
    for (const phase of [0, 1]) {
      const { backend, repository } = await forgotten()
      const packs = [...(await repository.listPacks()).keys()]
      const time = timeOf(repository.clock.wallNs())
      const sessionId = Buffer.alloc(16, 9)
      await repository.saveObject('marks', encodeMark({ phase, time, packs, sessionId }))
      const before = (await repository.snapshots()).map(({ id }) => id)
      const result = await undelete(repository, CHOOSE_ALL).catch((error: unknown) => error)
      const after = (await repository.snapshots()).map(({ id }) => id)
      if (phase === 0) expect(after).toHaveLength(before.length + 1)
      else {
        expect(isCairnError(result, 'CAIRN_CONFLICT')).toBe(true)
        expect(after).toEqual(before)
      }
      expect(filesOf(backend, 'sessions')).toEqual([])
    }
  })

  test('where listings lag a mark stops it: a sweep might not see what is written now', async () => {
    const { backend, repository } = await forgotten()
    const packs = [...(await repository.listPacks()).keys()]
    const time = timeOf(repository.clock.wallNs())
    const sessionId = Buffer.alloc(16, 9)
    await repository.saveObject('marks', encodeMark({ phase: 0, time, packs, sessionId }))
    Object.defineProperty(backend, 'listsConsistently', { value: false })
    await expect(undelete(repository, CHOOSE_ALL)).rejects.toMatchObject({ code: 'CAIRN_CONFLICT' })
    expect(filesOf(backend, 'sessions')).toEqual([])
  })

  test.each(MODES)(
    'a power cut %s any call loses nothing, and the next run finishes',
    async (mode) => {
      const { backend, repository, first } = await forgotten()
      const kept = await repository.snapshots()
      for (let cutAt = 0; ; cutAt++) {
        const disk: MemoryBackend = copyOf(backend)
        const cut = new PowerCutBackend(disk, { cutAt, mode, seed: cutAt })
        const isCut = await interrupted(undelete(opened(repository, cut), CHOOSE_ALL))
        if (!isCut)
          expect((await opened(repository, disk, true).snapshots()).length).toBe(kept.length + 1)
        await undelete(opened(repository, disk, true), CHOOSE_ALL)
        const after = await opened(repository, disk, true).snapshots()
        expect(after.map(lineOf).toSorted()).toEqual([...kept, first].map(lineOf).toSorted())
        expect(errorsOf(await checkUnlocked(repository, disk))).toEqual([])
        if (!isCut) {
          expect(cutAt).toBeGreaterThan(4)
          break
        }
      }
    },
  )
})
