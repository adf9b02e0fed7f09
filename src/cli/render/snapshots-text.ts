/** `snapshots`, and the tables of `forget`. */

import { shortId } from '../../base/ids.ts'
import { formatBytes, formatRfc3339Ns, formatTime } from '../../base/units.ts'
import type { ShownSnapshot, ShownSummary, SnapshotGroup } from '../../service/snapshots.ts'
import { type JsonValue, listOrNull, omitEmpty } from './json-lines.ts'
import { printable } from './printable.ts'
import { type Table, type TableColumn, tableLines } from './table.ts'

/** `offsetMinutes` of the zone that times are written in; the local one by default. */
export function snapshotJson(snapshot: ShownSnapshot, offsetMinutes?: number): JsonValue {
  const { id, time, tree, paths, summary, ...rest } = snapshot
  const optional = omitEmpty({ ...rest })
  return {
    time: formatRfc3339Ns(time, offsetMinutes),
    tree,
    paths,
    ...(optional as Readonly<Record<string, JsonValue>>),
    ...(summary === undefined ? {} : { summary: snapshotSummaryJson(summary, offsetMinutes) }),
    id,
    short_id: shortId(id),
  }
}

function snapshotSummaryJson(summary: ShownSummary, offsetMinutes?: number): JsonValue {
  return {
    ...summary,
    backup_start: formatRfc3339Ns(summary.backup_start, offsetMinutes),
    backup_end: formatRfc3339Ns(summary.backup_end, offsetMinutes),
  }
}

export function snapshotGroupsJson(
  groups: readonly SnapshotGroup[],
  offsetMinutes?: number,
): JsonValue {
  return groups.map(({ key, snapshots }) => ({
    group_key: {
      hostname: key.hostname ?? '',
      paths: listOrNull(key.paths),
      tags: listOrNull(key.tags),
    },
    snapshots: snapshots.map((snapshot) => snapshotJson(snapshot, offsetMinutes)),
  }))
}

/** `snapshots for (host [a], paths [/b]):`; undefined for a group by nothing. */
export function groupHeading({ hostname, paths, tags }: SnapshotGroup['key']): string | undefined {
  const joined = (values: readonly string[]) => values.map(printable).join(', ')
  const parts = [
    ...(hostname === undefined || hostname === '' ? [] : [`host [${printable(hostname)}]`]),
    ...(tags === undefined ? [] : [`tags [${joined(tags)}]`]),
    ...(paths === undefined ? [] : [`paths [${joined(paths)}]`]),
  ]
  return parts.length === 0 ? undefined : `snapshots for (${parts.join(', ')}):`
}

export interface SnapshotsTableOptions {
  readonly isCompact?: boolean
  /** Why `forget` keeps each snapshot, by its id. */
  readonly reasons?: ReadonlyMap<string, readonly string[]>
  /** Name of the local zone, if it is known at no cost: asking Intl takes 10 ms. */
  readonly zone?: string
}

/** Widths are those of restic, whose titles are padded. */
const HOST = { title: 'Host', widthMin: 10 }
const TAGS = { title: 'Tags', widthMin: 10 }
const COMPACT_TAGS = { title: 'Tags', widthMin: 6 }

function rowOf(
  snapshot: ShownSnapshot,
  hasSize: boolean,
  { isCompact = false, reasons }: SnapshotsTableOptions,
): string[][] {
  const tags = snapshot.tags.map(printable)
  const bytes = snapshot.summary?.total_bytes_processed
  const marks = [
    ...(snapshot.partial ? ['partial'] : []),
    ...(snapshot.unconfirmed ? ['unconfirmed'] : []),
  ]
  return [
    [shortId(snapshot.id), ...marks],
    [formatTime(snapshot.time)],
    [printable(snapshot.hostname)],
    isCompact ? tags : [tags.join(',')],
    ...(reasons === undefined || isCompact ? [] : [[...(reasons.get(snapshot.id) ?? [])]]),
    ...(isCompact ? [] : [snapshot.paths.map(printable)]),
    ...(hasSize ? [[bytes === undefined ? '' : formatBytes(bytes)]] : []),
  ]
}

/** The table, oldest snapshot first. */
export function snapshotsTable(
  snapshots: readonly ShownSnapshot[],
  options: SnapshotsTableOptions = {},
): string[] {
  const { isCompact = false, reasons, zone = 'local time' } = options
  const hasSize = snapshots.some((snapshot) => snapshot.summary !== undefined)
  const columns: TableColumn[] = [
    { title: 'ID' },
    { title: 'Time' },
    isCompact ? { title: 'Host' } : HOST,
    isCompact ? COMPACT_TAGS : TAGS,
    ...(reasons === undefined || isCompact ? [] : [{ title: 'Reasons' }]),
    ...(isCompact ? [] : [{ title: 'Paths' }]),
    ...(hasSize ? [{ title: 'Size' }] : []),
  ]
  const sorted = snapshots.toSorted((a, b) =>
    a.time === b.time ? (a.id < b.id ? -1 : 1) : a.time < b.time ? -1 : 1,
  )
  const table: Table = {
    columns,
    rows: sorted.map((snapshot) => rowOf(snapshot, hasSize, options)),
    isSpaced: !isCompact && snapshots.some((snapshot) => snapshot.paths.length > 1),
    footer: [`Timestamps shown in ${zone}`, `${snapshots.length} snapshots`],
  }
  return tableLines(table)
}
