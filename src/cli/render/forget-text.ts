/** What `forget` keeps and forgets. The fields and tables are restic's. */

import { shortId } from '../../base/ids.ts'
import { formatTime } from '../../base/units.ts'
import type { ForgetReport, ShownForgetGroup } from '../../service/forget.ts'
import type { ShownSnapshot } from '../../service/snapshots.ts'
import { type JsonValue, listOrNull, omitEmpty } from './json-lines.ts'
import { printable } from './printable.ts'
import { groupHeading, snapshotJson, snapshotsTable } from './snapshots-text.ts'

export function forgetJson(groups: readonly ShownForgetGroup[], offsetMinutes?: number): JsonValue {
  const shown = (snapshots: readonly ShownSnapshot[]) =>
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

function groupLines(group: ShownForgetGroup, isCompact: boolean): string[] {
  const heading = groupHeading(group)
  const reasons = new Map(group.reasons.map(({ snapshot, matches }) => [snapshot.id, matches]))
  const part = (what: string, snapshots: readonly ShownSnapshot[], table: string[]) =>
    snapshots.length === 0 ? [] : [`${what} ${snapshots.length} snapshots:`, ...table, '']
  return [
    ...(heading === undefined ? [] : [heading, '']),
    ...part('keep', group.keep, snapshotsTable(group.keep, { isCompact, reasons })),
    ...part('remove', group.remove, snapshotsTable(group.remove, { isCompact })),
  ]
}

/** A table for each group, or a line for each snapshot that was named. */
export function forgetLines(
  report: ForgetReport,
  { isCompact }: { readonly isCompact: boolean },
): string[] {
  if (report.groups.length > 0) return report.groups.flatMap((one) => groupLines(one, isCompact))
  return report.removed.map(
    ({ id, time, hostname }) =>
      `snapshot ${shortId(id)} of ${printable(hostname)} at ${formatTime(time)}`,
  )
}
