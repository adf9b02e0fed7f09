/** Which snapshots a command is about. */

import { textOf } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import type { SnapshotId } from '../base/ids.ts'
import { matchesFilter, type SnapshotFilter } from '../engine/snapshot-filter.ts'
import {
  type AtMode,
  describeDistance,
  parseSnapshotReference,
  resolveSnapshotReference,
  type SnapshotCandidate,
} from '../engine/snapshot-reference.ts'
import type { Repository } from '../repository/repository.ts'
import type { FilelessSnapshot, ReadableSnapshot, Snapshot } from '../repository/snapshots.ts'
import { nanosecondsOf } from '../repository/time.ts'

/** A snapshot with what references and filters look at. */
export interface Candidate<S extends FilelessSnapshot = Snapshot> extends SnapshotCandidate {
  readonly snapshot: S
}

export function candidateOf<S extends FilelessSnapshot>(snapshot: S): Candidate<S> {
  const { content } = snapshot
  return {
    snapshot,
    id: snapshot.id,
    timeNs: snapshot.timeNs,
    endNs: content === undefined ? snapshot.timeNs : nanosecondsOf(content.end),
    hostname: content?.hostname ?? '',
    paths: (content?.paths ?? []).map(textOf),
    tags: content?.tags ?? [],
    isPartial: snapshot.envelope.partial,
  }
}

export interface SnapshotChoice {
  /** All that the filter lets through if empty. */
  readonly references: readonly string[]
  readonly filter: SnapshotFilter
  readonly atMode?: AtMode | undefined
}

/** Those of `snapshots` that are meant, each once, in their order. Throws CAIRN_FAILED, CAIRN_USAGE. */
export function chooseSnapshots<S extends FilelessSnapshot>(
  snapshots: readonly S[],
  { references, filter, atMode }: SnapshotChoice,
  nowNs: bigint,
): S[] {
  const parsed = references.map((text) => parseSnapshotReference(text, nowNs))
  const partial = parsed.find(({ subpath }) => subpath !== undefined)
  if (partial !== undefined) {
    throw new CairnError(
      'CAIRN_USAGE',
      `'${partial.text}' is a part of a snapshot: leave out the colon and what follows`,
    )
  }
  const candidates = snapshots.map(candidateOf)
  const options = { filter, ...(atMode === undefined ? {} : { atMode }) }
  const named = new Set(
    parsed.map((reference) => resolveSnapshotReference(reference, candidates, options).snapshot),
  )
  return candidates
    .filter((one) => (parsed.length === 0 ? matchesFilter(one, filter) : named.has(one)))
    .map(({ snapshot }) => snapshot)
}

function readable(snapshot: Snapshot): ReadableSnapshot {
  const { content } = snapshot
  if (content !== undefined) return { ...snapshot, content }
  throw new CairnError(
    'CAIRN_WRONG_SECRET',
    'cannot read snapshots: this key slot may write backups but not read them',
  )
}

interface LoadedSnapshots {
  readonly all: readonly Snapshot[]
  /** Those that are damaged, so that nobody knows whether they were meant. */
  readonly damageCount: number
  readonly nowNs: bigint
}

async function loadSnapshots(
  repository: Repository,
  signal: AbortSignal,
): Promise<LoadedSnapshots> {
  let damageCount = 0
  const all = await repository.snapshots({
    signal,
    onDamage: (file) => {
      damageCount++
      repository.warnDamage(file)
    },
  })
  return { all, damageCount, nowNs: repository.clock.wallNs() }
}

export interface SelectQuery extends SnapshotChoice {
  readonly signal: AbortSignal
}

export interface Selection extends Pick<LoadedSnapshots, 'damageCount'> {
  /** Each once, oldest first. */
  readonly snapshots: readonly ReadableSnapshot[]
}

/** Throws CAIRN_FAILED if a reference names none. */
export async function selectSnapshots(
  repository: Repository,
  query: SelectQuery,
): Promise<Selection> {
  const { all, damageCount, nowNs } = await loadSnapshots(repository, query.signal)
  return { snapshots: chooseSnapshots(all, query, nowNs).map(readable), damageCount }
}

export interface FoundSnapshot {
  readonly snapshot: ReadableSnapshot
  readonly id: SnapshotId
  /** The part after the colon, as text. */
  readonly subpath: string | undefined
  /** How far it is from the time that was asked for, for people. */
  readonly distance: string | undefined
}

export interface FindQuery {
  readonly filter?: SnapshotFilter
  readonly at?: string | undefined
  readonly atMode?: AtMode | undefined
  readonly signal: AbortSignal
}

/** Finds the one snapshot that is meant. Throws CAIRN_FAILED if there is none, or several. */
export async function findSnapshot(
  repository: Repository,
  text: string,
  query: FindQuery,
): Promise<FoundSnapshot> {
  return chooseOne(await loadSnapshots(repository, query.signal), text, query)
}

/** As `findSnapshot`, for two in one look at the repository. */
export async function findTwoSnapshots(
  repository: Repository,
  [first, second]: readonly [string, string],
  query: FindQuery,
): Promise<readonly [FoundSnapshot, FoundSnapshot]> {
  const loaded = await loadSnapshots(repository, query.signal)
  return [chooseOne(loaded, first, query), chooseOne(loaded, second, query)]
}

function chooseOne(
  { all, damageCount, nowNs }: LoadedSnapshots,
  text: string,
  query: FindQuery,
): FoundSnapshot {
  const reference = parseSnapshotReference(query.at === undefined ? text : `@${query.at}`, nowNs)
  // Whichever is the latest of what is left may not be the latest that was made.
  if (damageCount > 0 && reference.kind !== 'id') {
    throw new CairnError(
      'CAIRN_CORRUPT',
      `cannot tell which snapshot '${text}' is: ${damageCount} of them are damaged; name one by its id`,
    )
  }
  const chosen = resolveSnapshotReference(reference, all.map(candidateOf), {
    ...(query.filter === undefined ? {} : { filter: query.filter }),
    ...(query.atMode === undefined ? {} : { atMode: query.atMode }),
  })
  const snapshot = readable(chosen.snapshot.snapshot)
  return {
    snapshot,
    id: snapshot.id,
    subpath: chosen.subpath,
    distance: describeDistance(chosen),
  }
}
