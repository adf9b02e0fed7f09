/**
 * Two runs that put snapshots in the place of others, each of which takes the other for dead: whatever
 * the order of their calls, each line of snapshots is listed, restorable, afterwards.
 */

import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { toHex } from '../../src/base/bytes.ts'
import { planPolicy } from '../../src/engine/forget/forget.ts'
import { lookForInterrupted, resolveInterrupted } from '../../src/engine/interrupted-runs.ts'
import { originalOf } from '../../src/engine/original.ts'
import { repairSnapshots } from '../../src/engine/repair/repair-snapshots.ts'
import { rewriteSnapshots } from '../../src/engine/rewrite/rewrite.ts'
import { changeTags } from '../../src/engine/tag.ts'
import { undelete } from '../../src/engine/undelete.ts'
import type { Repository } from '../../src/repository/repository.ts'
import { runForget } from '../../src/service/forget.ts'
import { listSettling } from '../../src/repository/sessions.ts'
import type { Snapshot } from '../../src/repository/snapshots.ts'
import {
  forgetSnapshots,
  forgottenSnapshots,
  tidyTombstones,
} from '../../src/repository/tombstones.ts'
import type { Backend } from '../../src/storage/backend.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { create } from '../support/backup-harness.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { addSession, check, errorsOf } from './check/check-support.ts'
import { newTarget, runCopy } from './copy/copy-harness.ts'
import {
  copyOf,
  laterProcess,
  names,
  newProcess,
  openAgain,
  plant,
  requireRestorable,
  take,
  type Taken,
} from './prune/prune-harness.ts'

type Run = (backend: Backend) => Promise<unknown>

const root = temporaryFolder('cairn-interrupted-')
const all = <T>(found: T) => found
let base: MemoryBackend
let taken: Taken[]

beforeAll(async () => {
  plant(join(root, 'one'), [1, 2, 3])
  base = new MemoryBackend()
  await create(base)
  taken = [await take(base, join(root, 'one'))]
})

/** Opens as a process that takes every other for dead. */
async function opened(backend: Backend): Promise<Repository> {
  return await openAgain(backend, newProcess())
}

/** Does `action` before the call with this number, or before the first of that name. */
function interruptedBy(
  disk: MemoryBackend,
  at: number | string,
  action: () => Promise<unknown>,
): { readonly backend: Backend; readonly isDone: () => boolean } {
  let calls = 0
  let isDone = false
  const verbs: readonly string[] = ['save', 'list', 'remove', 'flush']
  const backend = new Proxy(disk, {
    get(target, property) {
      const member: unknown = Reflect.get(target, property, target)
      if (typeof member !== 'function') return member
      return async (...args: readonly unknown[]) => {
        const [file] = args
        const kind = typeof file === 'object' && file !== null && 'kind' in file ? file.kind : file
        const isIt = at === calls || at === `${String(property)} ${String(kind)}`
        if (verbs.includes(String(property))) calls++
        else return Reflect.apply(member, target, args)
        if (isIt && !isDone) {
          isDone = true
          await action()
        }
        return Reflect.apply(member, target, args)
      }
    },
  })
  return { backend, isDone: () => isDone }
}

const tag =
  (...add: readonly string[]): Run =>
  async (backend) =>
    await changeTags(await opened(backend), { choose: all, change: { add, remove: [] } })

const rewrite =
  (forget: boolean, excluded = 'file-2'): Run =>
  async (backend) =>
    await rewriteSnapshots(await opened(backend), {
      choose: (snapshots) =>
        snapshots.filter(({ content }) => !content?.tags.some((name) => name === 'rewrite')),
      excludes: (path) => path.endsWith(excluded),
      countAnew: false,
      forget,
      dryRun: false,
      cacheDirectory: undefined,
    })

const repair: Run = async (backend) => {
  const environment = newProcess()
  const repository = await openAgain(backend, environment)
  const context = { environment, repository, dryRun: false, onNotice: () => {}, operation: {} }
  await repairSnapshots({ ...context, choose: all, forget: true, level: 3, onLost: () => {} })
}

const bringBack: Run = async (backend) =>
  await undelete(await opened(backend), {
    choose: (found) => found.map(({ snapshot }) => snapshot),
  })

/** Of which original something is listed, and with which tree. */
async function lines(disk: MemoryBackend): Promise<string[]> {
  return (await (await opened(disk)).snapshots()).map(lineOf)
}

function lineOf(one: Snapshot): string {
  return `${toHex(originalOf(one).id)} ${rootOf(one)}`
}

function rootOf({ content }: Snapshot): string {
  return toHex(content?.root.id ?? new Uint8Array())
}

/** Runs one before every call of the other, on copies of `disk`. */
async function atEveryCall(
  disk: MemoryBackend,
  [first, second]: readonly [Run, Run],
  verify: (disk: MemoryBackend, hint: string) => Promise<void>,
): Promise<void> {
  for (let at = 0; ; at++) {
    const copy = copyOf(disk)
    const { backend, isDone } = interruptedBy(copy, at, async () => await second(copy))
    // That one finds what the other has done, and says so, is no loss.
    await first(backend).catch((error: unknown) => {
      expect(error).toMatchObject({ code: 'CAIRN_CONFLICT' })
    })
    if (!isDone()) {
      expect(at).toBeGreaterThan(8)
      return
    }
    await verify(copy, `before call ${at}`)
  }
}

describe('two that take each other for dead, before every call of one', () => {
  async function requireWhole(disk: MemoryBackend, hint: string): Promise<void> {
    const [before] = await lines(base)
    const snapshots = await (await opened(disk)).snapshots()
    const standing = snapshots.filter((one) => lineOf(one) === before).map(({ id }) => id)
    expect(standing, hint).not.toEqual([])
    const expected = taken.flatMap(({ contents }) => standing.map((id) => ({ id, contents })))
    await requireRestorable(disk, expected, join(root, 'one'))
  }

  test.each([
    ['the same tag', tag('new'), tag('new')],
    ['different tags', tag('one'), tag('other')],
  ])('tag, with %s', async (_title, first, second) => {
    await atEveryCall(base, [first, second], requireWhole)
  })

  test('rewrite in place: one that has lost what one of them leaves out, and no more', async () => {
    const done = copyOf(base)
    await rewrite(true)(done)
    const [expected] = await lines(done)
    await atEveryCall(base, [rewrite(true), rewrite(true)], async (disk, hint) => {
      expect(await lines(disk), hint).toContain(expected)
    })
  })

  test('tag, and a rewrite that leaves files out and keeps the old one', async () => {
    await atEveryCall(base, [tag('new'), rewrite(false)], requireWhole)
    await atEveryCall(base, [rewrite(false), tag('new')], requireWhole)
  })

  test('undelete', async () => {
    const disk = copyOf(base)
    const repository = await opened(disk)
    const items = (await repository.snapshots()).map((snapshot) => ({ snapshot }))
    await forgetSnapshots(repository, items)
    await atEveryCall(disk, [bringBack, bringBack], requireWhole)
  })

  test('copy', async () => {
    const target = await newTarget(base)
    const run: Run = async (backend) => await runCopy(base, backend)
    await atEveryCall(target, [run, run], requireWhole)
  })

  test('repair snapshots', async () => {
    const disk = copyOf(base)
    const [largest] = names(disk, 'packs').toSorted(
      (a, b) =>
        (disk.files.get(`packs/${b}`)?.length ?? 0) - (disk.files.get(`packs/${a}`)?.length ?? 0),
    )
    disk.files.delete(`packs/${largest}`)
    const done = copyOf(disk)
    await repair(done)
    const [expected] = await lines(done)
    await atEveryCall(disk, [repair, repair], async (copy, hint) => {
      expect(await lines(copy), hint).toContain(expected)
    })
  })
})

/** A run that ended when it was about to write its tombstone. */
async function interruptedTag(disk: MemoryBackend, run = tag('new')): Promise<void> {
  const inner = interruptedBy(disk, 'save retired', () => Promise.reject(new Error('killed')))
  await expect(run(inner.backend)).rejects.toThrow('killed')
}

describe('what an interrupted run has left', () => {
  test('stays, listed and unconfirmed, until the same is done again', async () => {
    const disk = copyOf(base)
    await interruptedTag(disk)
    expect(await lines(disk)).toHaveLength(2)
    // Other work leaves it alone: it is neither chosen nor taken for done.
    await rewrite(false)(disk)
    expect(await lines(disk)).toHaveLength(3)
    expect(names(disk, 'sessions')).toHaveLength(1)
    await tag('new')(disk)
    const after = await (await opened(disk)).snapshots()
    expect(new Set(after.map(({ content }) => content?.tags.join()))).toEqual(
      new Set(['new', 'rewrite,new']),
    )
    expect(after).toHaveLength(2)
    expect(names(disk, 'sessions')).toEqual([])
    expect(errorsOf(await check(disk, { opening: opened(disk) }))).toEqual([])
  })

  test('is confirmed by a check', async () => {
    const disk = copyOf(base)
    await interruptedTag(disk)
    await check(disk, { opening: opened(disk), environment: newProcess() })
    expect(names(disk, 'sessions')).toEqual([])
    expect((await lookForInterrupted(await opened(disk))).interrupted).toEqual([])
    expect(await lines(disk)).toHaveLength(2)
  })

  test('is neither counted nor removed by a policy', async () => {
    const disk = copyOf(base)
    await interruptedTag(disk)
    const repository = await opened(disk)
    const { isSettled } = await listSettling(repository)
    const candidates = (await repository.snapshots()).map((snapshot) => ({
      id: snapshot.id,
      timeNs: snapshot.timeNs,
      endNs: snapshot.timeNs,
      hostname: 'host',
      paths: [],
      tags: [],
      snapshot,
    }))
    const plan = planPolicy(candidates, {
      policy: { last: 1, counts: {}, withinCounts: {}, tags: [] },
      groupBy: { host: true, paths: true, tags: false },
      allowRemoveAll: false,
      isFiltered: false,
      isSettled,
      nowNs: repository.clock.wallNs(),
    })
    expect(candidates).toHaveLength(2)
    expect(plan.remove).toEqual([])
    expect(plan.groups.flatMap(({ keep }) => keep)).toHaveLength(2)
    const counted = plan.groups[0]?.reasons.filter(({ matches }) =>
      matches.includes('last snapshot'),
    )
    expect(counted?.map(({ snapshot }) => snapshot.id)).toEqual([taken[0]?.id])
  })

  test('of a copy does not count as copied', async () => {
    const target = await newTarget(base)
    const inner = interruptedBy(target, 'remove sessions', () =>
      Promise.reject(new Error('killed')),
    )
    await runCopy(base, inner.backend).catch(() => {})
    expect(names(target, 'sessions')).toHaveLength(1)
    const report = await runCopy(base, target)
    expect(report).toMatchObject({ skippedCount: 0 })
    expect(report.copied).toHaveLength(1)
    expect(await lines(target)).toHaveLength(1)
    expect(names(target, 'sessions')).toEqual([])
  })
})

test('a policy does not count what is taken back while it looks', async () => {
  const disk = copyOf(base)
  const newer = await take(disk, join(root, 'one'))
  const repository = await opened(disk)
  const snapshot = (await repository.snapshots()).find(({ id }) => id === newer.id)
  if (snapshot === undefined) throw new Error('not listed')
  await addSession(repository, { sessionId: snapshot.envelope.sessionId, isAlive: true })
  const { backend, isDone } = interruptedBy(disk, 'list sessions', async () => {
    await disk.remove({ kind: 'snapshots', name: snapshot.name })
    for (const name of names(disk, 'sessions')) await disk.remove({ kind: 'sessions', name })
  })
  await runForget(
    await opened(backend),
    {
      references: [],
      filter: { hosts: [], paths: [], tags: [] },
      policy: { last: 1, counts: {}, withinCounts: {}, tags: [] },
      groupBy: { host: true, paths: true, tags: false },
      allowRemoveAll: false,
      dryRun: false,
      signal: new AbortController().signal,
    },
    () => {},
  )
  expect(isDone()).toBe(true)
  await requireRestorable(disk, taken, join(root, 'one'))
})

test.each([
  ['tag', (backend: Backend) => tag('new')(backend)],
  ['backup', async (backend: Backend) => await take(backend, join(root, 'one'))],
])('%s leaves the session of a run that has just died, and later not', async (_, run) => {
  const disk = copyOf(base)
  const killed = await opened(disk)
  await addSession(killed, { sessionId: killed.sessionId, isAlive: true })
  const left = names(disk, 'sessions')
  await run(disk)
  // Its snapshot may be on the way, and would be taken for a confirmed one.
  expect(names(disk, 'sessions')).toEqual(left)
  const late = laterProcess()
  await resolveInterrupted(await openAgain(disk, late))
  expect(names(disk, 'sessions')).toEqual([])
})

/** What somebody does who forgets the newest, which another run has just written. */
async function forgetNewest(disk: MemoryBackend): Promise<void> {
  const repository = await opened(disk)
  const snapshots = await repository.snapshots()
  const items = snapshots.filter(({ content }) => content?.tags.includes('new'))
  expect(items).toHaveLength(1)
  await forgetSnapshots(
    repository,
    items.map((snapshot) => ({ snapshot })),
  )
}

test('what is forgotten before its run has forgotten the old one is written again', async () => {
  const disk = copyOf(base)
  const { backend } = interruptedBy(disk, 'save retired', async () => await forgetNewest(disk))
  const [replaced] = await changeTags(await opened(backend), {
    choose: all,
    change: { add: ['new'], remove: [] },
  })
  const after = await (await opened(disk)).snapshots()
  expect(after.map(({ id }) => id)).toEqual([replaced?.snapshot.id])
  await requireRestorable(
    disk,
    taken.map(({ contents }) => ({ id: after[0]?.id ?? '', contents })),
    join(root, 'one'),
  )
  expect(names(disk, 'sessions')).toEqual([])
})

test('what has lost its data meanwhile is no success', async () => {
  const disk = copyOf(base)
  const { backend } = interruptedBy(disk, 'save retired', async () => {
    await forgetNewest(disk)
    for (const name of names(disk, 'packs')) disk.files.delete(`packs/${name}`)
  })
  await expect(tag('new')(backend)).rejects.toMatchObject({ code: 'CAIRN_FAILED' })
})

test('a merge of tombstones keeps what was written in the place of what', async () => {
  const disk = copyOf(base)
  const repository = await opened(disk)
  const [old] = await repository.snapshots()
  if (old === undefined) throw new Error('no snapshot')
  await tag('new')(disk)
  const [after] = await repository.snapshots()
  // Each forgets the same anew, the last without a replacement.
  for (let i = 0; i < 70; i++) await forgetSnapshots(repository, [{ snapshot: old }])
  await tidyTombstones(repository)
  expect(names(disk, 'retired')).toHaveLength(1)
  const kept = forgottenSnapshots(await repository.tombstones()).get(old.id)
  expect(toHex(kept?.replacement ?? new Uint8Array())).toBe(after?.id)
})
