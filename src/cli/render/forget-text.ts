/** What `forget` keeps and forgets. The fields and tables are restic's. */

import { shortId } from '../../base/ids.ts'
import { formatTime } from '../../base/units.ts'
import { type JsonValue, listOrNull, omitEmpty } from './json-lines.ts'
import { printable } from './printable.ts'
import {
  groupHeading,
  type SnapshotGroupKey,
  type SnapshotJson,
  snapshotJson,
  snapshotsTable,
} from './snapshots-text.ts'

export interface ForgetGroupJson extends SnapshotGroupKey {
  readonly author: string
  readonly keep: readonly SnapshotJson[]
  readonly remove: readonly SnapshotJson[]
  readonly reasons: readonly {
    readonly snapshot: SnapshotJson
    readonly matches: readonly string[]
    readonly counters: Readonly<Record<string, number>>
  }[]
}

export function forgetJson(groups: readonly ForgetGroupJson[], offsetMinutes?: number): JsonValue {
  const shown = (snapshots: readonly SnapshotJson[]) =>
    listOrNull(snapshots.map((one) => snapshotJson(one, offsetMinutes)))
  return groups.map((group) => ({
    tags: listOrNull(group.tags),
    host: group.hostname ?? '',
    paths: listOrNull(group.paths),
    author: group.author,
    keep: shown(group.keep),
    remove: shown(group.remove),
    reasons: group.reasons.map(({ snapshot, matches, counters }) => ({
      snapshot: snapshotJson(snapshot, offsetMinutes),
      matches,
      counters: omitEmpty({ ...counters }),
    })),
  }))
}

function groupLines(group: ForgetGroupJson, isCompact: boolean): string[] {
  const heading = groupHeading(group)
  const reasons = new Map(group.reasons.map(({ snapshot, matches }) => [snapshot.id, matches]))
  const part = (what: string, snapshots: readonly SnapshotJson[], table: string[]) =>
    snapshots.length === 0 ? [] : [`${what} ${snapshots.length} snapshots:`, ...table, '']
  return [
    ...(heading === undefined ? [] : [heading, '']),
    ...part('keep', group.keep, snapshotsTable(group.keep, { isCompact, reasons })),
    ...part('remove', group.remove, snapshotsTable(group.remove, { isCompact })),
  ]
}

/** A table for each group, or a line for each snapshot that was named. */
export function forgetLines(
  report: {
    readonly groups: readonly ForgetGroupJson[]
    readonly removed: readonly SnapshotJson[]
  },
  { isCompact }: { readonly isCompact: boolean },
): string[] {
  if (report.groups.length > 0) return report.groups.flatMap((one) => groupLines(one, isCompact))
  return report.removed.map(
    ({ id, time, hostname }) =>
      `snapshot ${shortId(id)} of ${printable(hostname)} at ${formatTime(time)}`,
  )
}
