/**
 * Snapshots in the place of others: the new ones are durable before the tombstone of the old ones is
 * written (FORMAT.md 17), so that at every moment one of each is there. What the old one keeps from a
 * prune, the new one may rest on.
 */

import { CairnError } from '../base/errors.ts'
import { type FileName, shortId, type SnapshotId, snapshotIdOf } from '../base/ids.ts'
import type { SnapshotContent } from '../format/snapshot.ts'
import type { Time } from '../format/tree.ts'
import { ForgottenIds } from '../repository/forgotten-ids.ts'
import type { Repository } from '../repository/repository.ts'
import { saveSnapshots, type Snapshot } from '../repository/snapshots.ts'
import { forgetSnapshots, forgottenSnapshots } from '../repository/tombstones.ts'
import { endSuperseded, type ReplacingView, supersededItems } from './interrupted-runs.ts'
import { requiredPacks } from './required-packs.ts'
import {
  lookAround,
  lostPacks,
  lostUnprotected,
  seenStateOf,
  type WriterState,
} from './writer-run.ts'

export interface Replacement {
  readonly old: Snapshot
  readonly content: SnapshotContent
  readonly time: Time
}

export interface Replaced {
  readonly old: Snapshot
  readonly snapshot: Snapshot
}

export interface ReplaceOptions {
  /** Whether the old ones stay as well. */
  readonly keepOld: boolean
  /** Packs with new tree nodes, or with old ones that the old snapshots do not need. */
  readonly relied: Iterable<FileName>
  readonly signal?: AbortSignal | undefined
}

/**
 * Writes all, or none that anybody is told of. Returns undefined if a prune takes what they rest on:
 * then nothing has changed. Throws CAIRN_CONFLICT if an old one was forgotten meanwhile.
 */
export async function replaceSnapshots(
  repository: Repository,
  view: ReplacingView,
  replacements: readonly Replacement[],
  state: WriterState,
  options: ReplaceOptions,
): Promise<Replaced[] | undefined> {
  const { signal, keepOld } = options
  const operation = { signal }
  await state.renewSession()
  state.hasUnconfirmed = replacements.length > 0
  const items = replacements.map((one) => ({ ...one, partial: one.old.envelope.partial }))
  const saved = await saveSnapshots(repository, items, seenStateOf(view), operation)
  const done = replacements.flatMap(({ old }, i): Replaced[] => {
    const snapshot = saved[i]
    return snapshot === undefined ? [] : [{ old, snapshot }]
  })
  const lost = await lostPacks(repository, options.relied, { signal })
  // An old one that somebody else has forgotten kept nothing from a prune since then.
  const forgotten = forgottenSnapshots(await repository.tombstones(operation))
  const gone = done.find(({ old }) => forgotten.has(old.id))
  if (lost.length > 0 || gone !== undefined) {
    const withdrawn = done.map(({ snapshot }) => ({ snapshot }))
    await forgetSnapshots(repository, withdrawn, operation)
    state.hasUnconfirmed = false
    if (gone === undefined) return undefined
    throw new CairnError(
      'CAIRN_CONFLICT',
      `snapshot ${shortId(gone.old.id)} was forgotten meanwhile: nothing is changed; run it again`,
    )
  }
  const written = done.map(({ snapshot }) => snapshot)
  const standing = await putInPlace(
    repository,
    { view, state, signal },
    written,
    keepOld ? [] : done,
  )
  state.hasUnconfirmed = false
  return done.map(({ old, snapshot }, i) => ({ old, snapshot: standing[i] ?? snapshot }))
}

interface Placing {
  readonly view: ReplacingView
  readonly state: WriterState
  readonly signal: AbortSignal | undefined
}

/**
 * Forgets old snapshots in favour of `written`, and so what interrupted runs have left that says the
 * same as one of these. Returns `written`, in which one is another if somebody has forgotten it
 * meanwhile without more ado: what was forgotten in its favour would go with it. Throws CAIRN_FAILED
 * if that cannot be made up for.
 */
export async function putInPlace(
  repository: Repository,
  { view, state, signal }: Placing,
  written: readonly Snapshot[],
  replaced: readonly Replaced[],
): Promise<readonly Snapshot[]> {
  const old = replaced.map(({ old, snapshot }) => ({ snapshot: old, replacement: snapshot.id }))
  const ids = new Set(old.map(({ snapshot }) => snapshot.id))
  const left = supersededItems(view, written).filter(({ snapshot }) => !ids.has(snapshot.id))
  const items = [...old, ...left]
  if (items.length === 0) return written
  const operation = { signal }
  await forgetSnapshots(repository, items, operation)
  const falling = await withoutSuccessor(
    repository,
    new Set(items.map((one) => one.replacement)),
    signal,
  )
  const standing: Snapshot[] = []
  for (const one of written) {
    standing.push(falling.has(one.id) ? await saveAgain(repository, one, state, signal) : one)
  }
  const gone = new Set(items.map(({ snapshot }) => snapshot.id))
  await endSuperseded(repository, view, gone)
  return standing
}

/** Those that are forgotten, and not in favour of one that is not, however far that goes. */
async function withoutSuccessor(
  repository: Repository,
  ids: ReadonlySet<SnapshotId>,
  signal: AbortSignal | undefined,
): Promise<Set<SnapshotId>> {
  const operation = { signal }
  const seen = await repository.seenTombstones(operation)
  const forgotten = new ForgottenIds(seen.map((one) => one.forgotten))
  // Bodies are read for this alone, and hardly ever.
  if (![...ids].some((id) => forgotten.has(id))) return new Set()
  const successors = new Map<SnapshotId, SnapshotId[]>()
  for (const { tombstone } of await repository.tombstones(operation)) {
    for (const { snapshot, replacement } of tombstone.forgotten) {
      const id = snapshotIdOf(snapshot)
      const known = successors.get(id) ?? []
      successors.set(id, replacement.length > 0 ? [...known, snapshotIdOf(replacement)] : known)
    }
  }
  const followed = new Set<SnapshotId>()
  const stands = (id: SnapshotId): boolean => {
    const next = successors.get(id)
    if (next === undefined) return true
    if (followed.has(id)) return false
    followed.add(id)
    return next.some(stands)
  }
  return new Set(
    [...ids].filter((id) => {
      followed.clear()
      return !stands(id)
    }),
  )
}

/** Nothing protected its data since it was forgotten: that is looked up when it is there again. */
async function saveAgain(
  repository: Repository,
  { id, envelope, content }: Snapshot,
  state: WriterState,
  signal: AbortSignal | undefined,
): Promise<Snapshot> {
  const operation = { signal }
  const { time, partial } = envelope
  const seen = seenStateOf(await lookAround(repository, signal))
  await state.renewSession()
  const items = content === undefined ? [] : [{ time, partial, content }]
  const [again] = await saveSnapshots(repository, items, seen, operation)
  if (again !== undefined) {
    const { packs, lacking } = await requiredPacks(repository, [again], signal)
    const lost = await lostUnprotected(repository, packs, signal)
    if (lacking === undefined && lost.length === 0) return again
  }
  throw new CairnError(
    'CAIRN_FAILED',
    `snapshot ${shortId(id)} was forgotten by somebody else while it took the place of another, and a prune has removed data of both: run 'cairn check'`,
  )
}
