/** Snapshots as they are shown, one by one and in groups. */

import { textOf, toHex } from '../base/bytes.ts'
import type { SnapshotFilter } from '../engine/snapshot-filter.ts'
import type { SnapshotContent } from '../format/snapshot.ts'
import type { Repository } from '../repository/repository.ts'
import { listSessions } from '../repository/sessions.ts'
import type { FilelessSnapshot } from '../repository/snapshots.ts'
import { nanosecondsOf } from '../repository/time.ts'
import { chooseSnapshots } from './select-snapshots.ts'

/** What a backup counted. Names are restic's; times in nanoseconds since 1970. */
export interface ShownSummary {
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

/** A snapshot as it is shown. Names are restic's; times in nanoseconds since 1970. */
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
  readonly summary?: ShownSummary
  /** cairn's own: its run never said that it was complete. */
  readonly unconfirmed?: boolean
  /** cairn's own: what a run had of itself when it was interrupted. */
  readonly partial?: boolean
}

function summaryOf(content: SnapshotContent): ShownSummary {
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
  return chooseSnapshots(snapshots, query, nowNs).map((one) => shownSnapshot(one, unconfirmed))
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
