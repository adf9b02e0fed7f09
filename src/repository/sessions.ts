/** Sessions: a run's presence, and who else is there (FORMAT.md 16). */

import { toHex } from '../base/bytes.ts'
import type { FileName } from '../base/ids.ts'
import { decodeBeat, encodeBeat, type SessionBeat, SESSION_ROLE } from '../format/session.ts'
import type { SnapshotEnvelope } from '../format/snapshot.ts'
import type { Repository } from './repository.ts'
import type { Snapshot } from './snapshots.ts'
import { nanosecondsOf, timeOf } from './time.ts'

export const BEAT_PERIOD_MS = 10 * 60 * 1000
/** A beat has been missed. */
const RENEWED_AFTER_NS = 2n * BigInt(BEAT_PERIOD_MS) * 1_000_000n
const ALIVE_NS = 3n * 3600n * 1_000_000_000n
/** What a run sends last may come this long after its last beat: a beat is renewed before a snapshot. */
const LANDED_NS = 3600n * 1_000_000_000n
/** By another clock, which may be days off: two of them in opposite directions. */
const LANDED_ELSEWHERE_NS = 7n * 24n * 3600n * 1_000_000_000n

/** A session of this process: writes beats until it is ended. */
export class Session {
  readonly #repository: Repository
  readonly #startNs: bigint
  readonly #role: number
  #beat = 0
  #beatNs = 0n
  #last: FileName | undefined
  /** What there is to remove at the end: more than the last beat if one was interrupted. */
  readonly #stored = new Set<FileName>()
  #wasEnded = false

  constructor(repository: Repository, role: keyof typeof SESSION_ROLE) {
    this.#repository = repository
    this.#startNs = repository.clock.wallNs()
    this.#role = SESSION_ROLE[role]
  }

  /** Writes the next beat, makes it durable and removes the one before it. */
  async beat(signal?: AbortSignal): Promise<void> {
    const { process, clock, backend, sessionId } = this.#repository
    const nowNs = clock.wallNs()
    const body = encodeBeat({
      sessionId,
      beat: this.#beat,
      time: timeOf(nowNs),
      start: timeOf(this.#startNs),
      hostname: process.hostname,
      pid: process.pid,
      bootId: process.bootId,
      role: this.#role,
    })
    const { name } = await this.#repository.saveObject('sessions', body, signal)
    this.#stored.add(name)
    const operation = { signal }
    await backend.flush(operation)
    const before = this.#last
    this.#last = name
    this.#beat++
    this.#beatNs = nowNs
    if (before === undefined) return
    if (!(await this.#isStored(before))) this.#wasEnded = true
    await backend.remove({ kind: 'sessions', name: before }, operation)
    this.#stored.delete(before)
  }

  /**
   * Whether somebody else has ended this session at some time, who took its run for dead. What the
   * run had written by then counts as confirmed, and others may have named it.
   */
  async wasEnded(): Promise<boolean> {
    const last = this.#last
    if (last === undefined || (await this.#isStored(last))) return this.#wasEnded
    // Or a beat has come in between.
    return this.#last === last || (await this.wasEnded())
  }

  async #isStored(name: FileName): Promise<boolean> {
    const range = { offset: 0, byteCount: 1 }
    return (await this.#repository.backend.load({ kind: 'sessions', name }, range)) !== undefined
  }

  /**
   * Writes a beat if the last one is long ago, or gone. Of a run that slept, or whose clock is wrong,
   * others may think that it is dead, and remove its session: whoever is about to write a snapshot has
   * to be known to be there.
   */
  async renew(signal?: AbortSignal): Promise<void> {
    const ageNs = this.#repository.clock.wallNs() - this.#beatNs
    if (ageNs > RENEWED_AFTER_NS || (await this.wasEnded())) await this.beat(signal)
  }

  /** Removes every beat: this session is over. Also after an abort. */
  async end(): Promise<void> {
    this.#last = undefined
    for (const name of this.#stored) {
      this.#stored.delete(name)
      await this.#repository.backend.remove({ kind: 'sessions', name })
    }
  }
}

/** Another session as its newest beat shows it. */
export interface SeenSession {
  readonly beat: SessionBeat
  /** All files of this session. */
  readonly files: readonly FileName[]
  readonly author: string
  readonly isAlive: boolean
}

/** Whether it is a session of this machine since it was booted: its clock is the same. */
function isHere({ bootId, hostname }: SessionBeat, { process }: Repository): boolean {
  return process.bootId !== '' && bootId === process.bootId && hostname === process.hostname
}

/** By the clock of this process; negative for a beat from the future. */
function ageNs(beat: SessionBeat, { clock }: Repository): bigint {
  return clock.wallNs() - nanosecondsOf(beat.time)
}

/**
 * Whether a session may still be writing: by its process if it is of this boot, else by the age of
 * its newest beat. A beat from the future counts as now.
 */
function isAlive(beat: SessionBeat, repository: Repository): boolean {
  if (isHere(beat, repository)) return repository.process.isAlive(beat.pid)
  return ageNs(beat, repository) < ALIVE_NS
}

/**
 * Whether nothing can come any more of a session that is dead. The storage may still be taking in what
 * a process had sent before it was killed, and a snapshot without a session would count as confirmed.
 */
export function hasLanded({ beat }: Pick<SeenSession, 'beat'>, repository: Repository): boolean {
  const limitNs = isHere(beat, repository) ? LANDED_NS : LANDED_ELSEWHERE_NS
  return ageNs(beat, repository) > limitNs
}

/** Every session in the repository but this opening's own. */
export async function listSessions(
  repository: Repository,
  signal?: AbortSignal,
): Promise<SeenSession[]> {
  const objects = await repository.loadObjects('sessions', { signal })
  const bySession = new Map<string, { beat: SessionBeat; files: FileName[]; author: string }>()
  for (const { body, name, author } of objects) {
    const beat = decodeBeat(body)
    const id = toHex(beat.sessionId)
    const seen = bySession.get(id)
    if (seen === undefined) bySession.set(id, { beat, files: [name], author: toHex(author.id) })
    else {
      seen.files.push(name)
      if (beat.beat > seen.beat.beat) seen.beat = beat
    }
  }
  bySession.delete(toHex(repository.sessionId))
  return [...bySession.values()].map((seen) => ({
    ...seen,
    isAlive: isAlive(seen.beat, repository),
  }))
}

/** Ids in hex of the sessions that have not ended, dead or alive: what they wrote is not settled. */
export function idsOfSessions(sessions: readonly SeenSession[]): Set<string> {
  return new Set(sessions.map(({ beat }) => toHex(beat.sessionId)))
}

/** Whether the run that wrote a snapshot cannot take it back any more (FORMAT.md 14). */
export type IsSettled = (snapshot: {
  readonly name: FileName
  readonly envelope: Pick<SnapshotEnvelope, 'sessionId'>
}) => boolean

export interface Settling {
  readonly sessions: readonly SeenSession[]
  /** Files of snapshots that were listed before the sessions. */
  readonly before: ReadonlySet<FileName>
  readonly isSettled: IsSettled
}

/**
 * The sessions, and what is settled of the snapshots that are listed after this has returned. The
 * files of snapshots are listed first: a session begins before its snapshot is written, so that of a
 * snapshot which was there before the sessions were listed, the session is among them or has ended.
 */
export async function listSettling(
  repository: Repository,
  signal?: AbortSignal,
): Promise<Settling> {
  const operation = { signal }
  const files = await repository.backend.list('snapshots', operation)
  const sessions = await listSessions(repository, signal)
  const before = new Set(files.map(({ name }) => name))
  return { sessions, before, isSettled: settledBy(sessions, before) }
}

/** `before` are files of snapshots that were there before the sessions were listed. */
export function settledBy(
  sessions: readonly SeenSession[],
  before: ReadonlySet<FileName>,
): IsSettled {
  const open = idsOfSessions(sessions)
  return ({ name, envelope }) => before.has(name) && !open.has(toHex(envelope.sessionId))
}

/** More than a listing of any storage is known to lag. */
const LISTING_LAG_NS = 24n * 3600n * 1_000_000_000n

/**
 * As `isSettled`, for what a snapshot names. Where listings lag, the session of a snapshot may be there
 * without being listed yet; when a day has gone by since the run began, it is listed or has ended.
 */
export function settledForGood(
  { backend, clock }: Pick<Repository, 'backend' | 'clock'>,
  isSettled: IsSettled,
): (snapshot: Pick<Snapshot, 'name' | 'envelope'>) => boolean {
  if (backend.listsConsistently) return isSettled
  const latestNs = clock.wallNs() - LISTING_LAG_NS
  return (one) => isSettled(one) && nanosecondsOf(one.envelope.time) <= latestNs
}
