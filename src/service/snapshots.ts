/** Lists and finds snapshots. */

import { textOf, toHex } from '../base/bytes.ts'
import { CairnError, errorChain } from '../base/errors.ts'
import { shortId, type SnapshotId } from '../base/ids.ts'
import { matchesFilter, type SnapshotFilter } from '../engine/snapshot-filter.ts'
import {
  type AtMode,
  describeDistance,
  parseSnapshotReference,
  resolveSnapshotReference,
  type SnapshotCandidate,
} from '../engine/snapshot-reference.ts'
import type { SnapshotContent } from '../format/snapshot.ts'
import type { Repository } from '../repository/repository.ts'
import { listSessions } from '../repository/sessions.ts'
import type { FilelessSnapshot, Snapshot } from '../repository/snapshots.ts'
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

/** A snapshot as it is shown; the fields are restic's. */
export interface ShownSnapshot {
  readonly id: string
  readonly time: bigint
  readonly parent?: string
  readonly tree: string
  readonly paths: readonly string[]
  readonly hostname: string
  readonly username: string
  readonly uid: number
  readonly gid: number
  readonly excludes: readonly string[]
  readonly tags: readonly string[]
  readonly original?: string
  readonly program_version: string
  readonly summary?: {
    readonly backup_start: bigint
    readonly backup_end: bigint
    readonly files_new: number
    readonly files_changed: number
    readonly files_unmodified: number
    readonly dirs_new: number
    readonly dirs_changed: number
    readonly dirs_unmodified: number
    readonly data_blobs: number
    readonly tree_blobs: number
    readonly data_added: number
    readonly data_added_packed: number
    readonly total_files_processed: number
    readonly total_bytes_processed: number
  }
  readonly unconfirmed?: boolean
  /** What a run had of itself when it was interrupted. */
  readonly partial?: boolean
}

function summaryOf(content: SnapshotContent): NonNullable<ShownSnapshot['summary']> {
  const s = content.statistics
  return {
    backup_start: nanosecondsOf(content.start),
    backup_end: nanosecondsOf(content.end),
    files_new: s.filesNew,
    files_changed: s.filesChanged,
    files_unmodified: s.filesUnmodified,
    dirs_new: s.directoriesNew,
    dirs_changed: s.directoriesChanged,
    dirs_unmodified: s.directoriesUnmodified,
    data_blobs: s.dataBlobs,
    tree_blobs: s.treeBlobs,
    data_added: s.bytesAdded,
    data_added_packed: s.bytesAddedStored,
    total_files_processed: s.filesProcessed,
    total_bytes_processed: s.bytesProcessed,
  }
}

export function shownSnapshot(
  snapshot: FilelessSnapshot,
  unconfirmed: ReadonlySet<string>,
): ShownSnapshot {
  const { content, envelope } = snapshot
  const isUnconfirmed = unconfirmed.has(toHex(envelope.sessionId))
  return {
    id: snapshot.id,
    time: snapshot.timeNs,
    ...(content?.parent === undefined ? {} : { parent: toHex(content.parent) }),
    tree: content === undefined ? '' : toHex(content.root.id),
    paths: (content?.paths ?? []).map(textOf),
    hostname: content?.hostname ?? '',
    username: content?.username ?? '',
    uid: content?.uid ?? 0,
    gid: content?.gid ?? 0,
    excludes: content?.excludes ?? [],
    tags: content?.tags ?? [],
    ...(content?.original === undefined ? {} : { original: toHex(content.original.id) }),
    program_version: content?.program ?? '',
    ...(content === undefined ? {} : { summary: summaryOf(content) }),
    ...(isUnconfirmed ? { unconfirmed: true } : {}),
    ...(envelope.partial ? { partial: true } : {}),
  }
}

/** Session ids of runs that neither ended nor are still going on: what they wrote is unconfirmed. */
export async function unconfirmedSessions(
  repository: Repository,
  signal?: AbortSignal,
): Promise<Set<string>> {
  const sessions = await listSessions(repository, signal)
  return new Set(
    sessions.filter(({ isAlive }) => !isAlive).map(({ beat }) => toHex(beat.sessionId)),
  )
}

export interface SnapshotQuery {
  readonly filter: SnapshotFilter
  /** Ids or other references; all snapshots that the filter lets through if empty. */
  readonly references: readonly string[]
  readonly signal: AbortSignal
}

/** Those of `snapshots` that are meant, each once, in their order. Throws CAIRN_FAILED, CAIRN_USAGE. */
export function chooseCandidates<S extends FilelessSnapshot>(
  snapshots: readonly S[],
  { filter, references }: Pick<SnapshotQuery, 'filter' | 'references'>,
  nowNs: bigint,
): Candidate<S>[] {
  const parsed = references.map((text) => parseSnapshotReference(text, nowNs))
  const partial = parsed.find(({ subpath }) => subpath !== undefined)
  if (partial !== undefined) {
    throw new CairnError(
      'CAIRN_USAGE',
      `'${partial.text}' is a part of a snapshot: leave out the colon and what follows`,
    )
  }
  const candidates = snapshots.map(candidateOf)
  const named = new Set(
    parsed.map((reference) => resolveSnapshotReference(reference, candidates, { filter }).snapshot),
  )
  return candidates.filter((one) =>
    parsed.length === 0 ? matchesFilter(one, filter) : named.has(one),
  )
}

/** Those that are meant, each once, oldest first. */
export async function listSnapshots(
  repository: Repository,
  query: SnapshotQuery,
): Promise<ShownSnapshot[]> {
  const nowNs = repository.clock.wallNs()
  const [unconfirmed, snapshots] = await Promise.all([
    unconfirmedSessions(repository, query.signal),
    repository.snapshots({ signal: query.signal }),
  ])
  return chooseCandidates(snapshots, query, nowNs).map(({ snapshot }) =>
    shownSnapshot(snapshot, unconfirmed),
  )
}

export interface SnapshotGroup {
  /** What its snapshots have in common; absent for what they were not grouped by. */
  readonly key: {
    readonly hostname?: string
    readonly paths?: readonly string[]
    readonly tags?: readonly string[]
  }
  readonly snapshots: readonly ShownSnapshot[]
}

/** Groups in the order of their keys; the order within a group stays. */
export function groupSnapshots(
  snapshots: readonly ShownSnapshot[],
  by: { readonly host: boolean; readonly paths: boolean; readonly tags: boolean },
): SnapshotGroup[] {
  const groups = new Map<string, { key: SnapshotGroup['key']; snapshots: ShownSnapshot[] }>()
  for (const snapshot of snapshots) {
    const key = {
      ...(by.host ? { hostname: snapshot.hostname } : {}),
      ...(by.paths ? { paths: snapshot.paths.toSorted() } : {}),
      ...(by.tags ? { tags: snapshot.tags.toSorted() } : {}),
    }
    const text = JSON.stringify(key)
    const group = groups.get(text)
    if (group === undefined) groups.set(text, { key, snapshots: [snapshot] })
    else group.snapshots.push(snapshot)
  }
  return [...groups.values()].toSorted((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1))
}

function orderOf({ key: { hostname = '', tags = [], paths = [] } }: SnapshotGroup): string {
  return [hostname, tags.join('\n'), paths.join('\n')].join('\0')
}

export interface FoundSnapshot {
  readonly snapshot: Snapshot & { readonly content: SnapshotContent }
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
  return chooseSnapshot(await loadCandidates(repository, query.signal), text, query)
}

/** As `findSnapshot`, for two in one look at the repository. */
export async function findTwoSnapshots(
  repository: Repository,
  [first, second]: readonly [string, string],
  query: FindQuery,
): Promise<readonly [FoundSnapshot, FoundSnapshot]> {
  const loaded = await loadCandidates(repository, query.signal)
  return [chooseSnapshot(loaded, first, query), chooseSnapshot(loaded, second, query)]
}

interface LoadedCandidates {
  readonly candidates: readonly Candidate<Snapshot>[]
  readonly damagedCount: number
  readonly nowNs: bigint
}

async function loadCandidates(
  repository: Repository,
  signal: AbortSignal,
): Promise<LoadedCandidates> {
  let damagedCount = 0
  const snapshots = await repository.snapshots({
    signal,
    onDamage: ({ name, error }) => {
      damagedCount++
      repository.warn(`snapshots/${shortId(name)} is damaged and left out: ${errorChain(error)}`)
    },
  })
  const nowNs = repository.clock.wallNs()
  return { candidates: snapshots.map(candidateOf), damagedCount, nowNs }
}

function chooseSnapshot(
  { candidates, damagedCount, nowNs }: LoadedCandidates,
  text: string,
  query: FindQuery,
): FoundSnapshot {
  const reference = parseSnapshotReference(query.at === undefined ? text : `@${query.at}`, nowNs)
  // Whichever is the latest of what is left may not be the latest that was made.
  if (damagedCount > 0 && reference.kind !== 'id') {
    throw new CairnError(
      'CAIRN_CORRUPT',
      `cannot tell which snapshot '${text}' is: ${damagedCount} of them are damaged; name one by its id`,
    )
  }
  const chosen = resolveSnapshotReference(reference, candidates, {
    ...(query.filter === undefined ? {} : { filter: query.filter }),
    ...(query.atMode === undefined ? {} : { atMode: query.atMode }),
  })
  const { snapshot } = chosen.snapshot
  const { content } = snapshot
  if (content === undefined) {
    throw new CairnError(
      'CAIRN_WRONG_SECRET',
      'cannot read snapshots: this key slot may write backups but not read them',
    )
  }
  return {
    snapshot: { ...snapshot, content },
    id: snapshot.id,
    subpath: chosen.subpath,
    distance: describeDistance(chosen),
  }
}
