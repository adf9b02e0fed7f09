/** `cairn snapshots` */

import { openRepositoryAccess } from '../../service/access.ts'
import {
  groupSnapshots,
  listSnapshots,
  type ShownSnapshot,
  type SnapshotGroup,
} from '../../service/snapshots.ts'
import type { CommandContext } from '../command.ts'
import type { SnapshotsArguments } from '../options/snapshots.ts'
import { filterOf } from '../options.ts'
import { writeJsonLine } from '../render/json-lines.ts'
import {
  groupHeading,
  snapshotGroupsJson,
  snapshotJson,
  snapshotsTable,
} from '../render/snapshots-text.ts'

/** The last `count` of each host and set of paths, or of each group that was asked for. */
function latestOf(
  snapshots: readonly ShownSnapshot[],
  count: number,
  by: NonNullable<SnapshotsArguments['groupBy']>,
): ShownSnapshot[] {
  const kept = new Set(
    groupSnapshots(snapshots, by).flatMap((group) => group.snapshots.slice(-count)),
  )
  return snapshots.filter((snapshot) => kept.has(snapshot))
}

function writeTable(
  { key, snapshots }: SnapshotGroup,
  args: SnapshotsArguments,
  { stdout }: CommandContext,
): void {
  if (snapshots.length === 0) return
  const heading = groupHeading(key)
  if (heading !== undefined) stdout.write(`${heading}\n`)
  stdout.write(`${snapshotsTable(snapshots, { isCompact: args.compact }).join('\n')}\n`)
}

export default async function snapshots(
  args: SnapshotsArguments,
  context: CommandContext,
): Promise<number> {
  const access = await openRepositoryAccess(args, context)
  let found: ShownSnapshot[]
  try {
    found = await listSnapshots(await access.open(), {
      filter: filterOf(args),
      references: args.operands,
      signal: context.signal,
    })
  } finally {
    await access.close()
  }
  const { groupBy, latest = args.last ? 1 : undefined } = args
  const isGrouped = groupBy !== undefined && (groupBy.host || groupBy.paths || groupBy.tags)
  if (latest !== undefined) {
    const by = isGrouped ? groupBy : { host: true, paths: true, tags: false }
    found = latestOf(found, latest, by)
  }
  if (!isGrouped) {
    if (context.json)
      writeJsonLine(
        context.stdout,
        found.map((one) => snapshotJson(one)),
      )
    else writeTable({ key: {}, snapshots: found }, args, context)
    return 0
  }
  const groups = groupSnapshots(found, groupBy)
  if (context.json) writeJsonLine(context.stdout, snapshotGroupsJson(groups))
  else for (const group of groups) writeTable(group, args, context)
  return 0
}
