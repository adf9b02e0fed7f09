/**
 * What every run that writes snapshots does around it (FORMAT.md 16 and 17): a session, and a look
 * at what prunes are about to remove, after the snapshot is durable.
 */

import { CairnError } from '../base/errors.ts'
import { type FileName, shortId } from '../base/ids.ts'
import { type Mark, MARK_PHASE } from '../format/session.ts'
import type { History, Repository } from '../repository/repository.ts'
import {
  BEAT_PERIOD_MS,
  type IsSettled,
  listSettling,
  type SeenSession,
  Session,
} from '../repository/sessions.ts'
import type { SeenState, Snapshot } from '../repository/snapshots.ts'
import { forgetSnapshots } from '../repository/tombstones.ts'

/** The packs that a mark or an intent names. */
export async function doomedPacks(
  repository: Repository,
  signal: AbortSignal | undefined,
  phase?: keyof typeof MARK_PHASE,
): Promise<Set<FileName>> {
  const isMeant = (mark: Mark) => phase === undefined || mark.phase === MARK_PHASE[phase]
  const marks = (await repository.marks(signal)).filter(isMeant)
  return new Set(marks.flatMap(({ packs }) => packs))
}

const LOOKUPS_AT_ONCE = 8

/** A listing that lags behind does not show what was saved just now: what it lacks is asked for. */
async function missingPacks(
  repository: Repository,
  relied: readonly FileName[],
  signal: AbortSignal | undefined,
): Promise<Set<FileName>> {
  const { backend } = repository
  const listed = await repository.listPacks(signal)
  const unlisted = relied.filter((name) => !listed.has(name))
  if (backend.listsConsistently) return new Set(unlisted)
  const missing = new Set<FileName>()
  const operation = { signal }
  for (let at = 0; at < unlisted.length; at += LOOKUPS_AT_ONCE) {
    const batch = unlisted.slice(at, at + LOOKUPS_AT_ONCE)
    const look = async (name: FileName) => {
      const byte = await backend.load(
        { kind: 'packs', name },
        { offset: 0, byteCount: 1 },
        operation,
      )
      if (byte === undefined) missing.add(name)
    }
    await Promise.all(batch.map(look))
  }
  return missing
}

/**
 * The refresh of FORMAT.md 17: marks, then packs. Returns those of `relied` that are doomed or gone.
 * With `phase: 'sweep'` only an intent dooms: enough for whoever looks when the snapshot is durable,
 * because a sweep reads the snapshots after it has written its intent.
 */
export async function lostPacks(
  repository: Repository,
  relied: Iterable<FileName>,
  { signal, phase }: { readonly signal: AbortSignal | undefined; readonly phase?: 'sweep' },
): Promise<FileName[]> {
  const doomed = await doomedPacks(repository, signal, phase)
  const names = [...relied]
  const missing = await missingPacks(repository, names, signal)
  return names.filter((name) => doomed.has(name) || missing.has(name))
}

/**
 * As `lostPacks`, for a snapshot that is durable and rests on what nothing has protected so far: of what
 * is only marked a sweep reads the snapshot first, unless listings lag, so that it may not see it.
 */
export async function lostUnprotected(
  repository: Repository,
  relied: Iterable<FileName>,
  signal: AbortSignal | undefined,
): Promise<FileName[]> {
  const phase = repository.backend.listsConsistently ? { phase: 'sweep' as const } : {}
  return await lostPacks(repository, relied, { signal, ...phase })
}

/** What a run sees before it writes. */
export interface WriterView {
  readonly sessions: readonly SeenSession[]
  readonly isSettled: IsSettled
  readonly history: History
}

export async function lookAround(
  repository: Repository,
  signal: AbortSignal | undefined,
): Promise<WriterView> {
  const settling = await listSettling(repository, signal)
  return { ...settling, history: await repository.history({ signal }) }
}

/** The same as a snapshot that is written now tells it. */
export function seenStateOf({ isSettled, history }: WriterView): SeenState {
  return {
    snapshots: history.snapshots,
    tombstones: history.tombstones.map(({ id }) => id),
    isSettled,
  }
}

/**
 * Takes back a snapshot of this run that nobody was told of, because a prune takes what it rests on.
 * If somebody has ended the session, who took the run for dead, others may name the snapshot, and
 * would miss a file that goes without a tombstone. Throws CAIRN_CONFLICT if these keys may write
 * none: then the snapshot stays as it is, unconfirmed.
 */
export async function takeBack(
  repository: Repository,
  session: Session,
  snapshot: Snapshot,
): Promise<void> {
  const { backend, keyring } = repository
  if (!(await session.wasEnded())) {
    await backend.remove({ kind: 'snapshots', name: snapshot.name })
    await backend.flush()
    if (!(await session.wasEnded())) return
  }
  if (keyring.role === 'admin') return await forgetSnapshots(repository, [{ snapshot }])
  await session.beat()
  throw new CairnError(
    'CAIRN_CONFLICT',
    `cannot take back snapshot ${shortId(snapshot.id)}, whose data a prune is removing: another client took this run for dead and has confirmed it; set the clocks of both, then run 'cairn check'`,
  )
}

/** What a run has done that the next run has to resolve if this one ends here. */
export interface WriterState {
  /** Snapshots are written that nobody may be told of yet. */
  hasUnconfirmed: boolean
  /** To be called before a snapshot is written: see `Session.renew`. */
  readonly renewSession: () => Promise<void>
  readonly takeBack: (snapshot: Snapshot) => Promise<void>
}

/** Runs `work` as a session. Its snapshots count as confirmed when this has returned. */
export async function asWriter<T>(
  repository: Repository,
  signal: AbortSignal | undefined,
  work: (state: WriterState) => Promise<T>,
): Promise<T> {
  repository.requireWritable()
  const session = new Session(repository, 'writer')
  const renewSession = () => session.renew(signal)
  const state: WriterState = {
    hasUnconfirmed: false,
    renewSession,
    takeBack: (snapshot) => takeBack(repository, session, snapshot),
  }
  // A beat that fails is made up for by the next: a session is alive for many of them.
  const stopBeats = repository.clock.every(BEAT_PERIOD_MS, () => {
    session.beat(signal).catch(() => {})
  })
  try {
    await session.beat(signal)
    const result = await work(state)
    await session.end()
    return result
  } catch (error) {
    // What stays unconfirmed is known by the session that never ended.
    if (!state.hasUnconfirmed) await session.end().catch(() => {})
    throw error
  } finally {
    stopBeats()
  }
}
