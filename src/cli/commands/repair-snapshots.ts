/** `cairn repair snapshots` */

import { CairnError } from '../../base/errors.ts'
import { shortId } from '../../base/ids.ts'
import { openAccess } from '../../service/access.ts'
import { type RepairSnapshotsReport, runRepairSnapshots } from '../../service/repair.ts'
import type { CommandContext } from '../command.ts'
import type { RepairSnapshotsArguments } from '../options/repair-snapshots.ts'
import { COMPRESSION_LEVELS, filterOf } from '../options.ts'
import { writeJsonLine } from '../render/json-lines.ts'
import { printable } from '../render/printable.ts'
import { repairSnapshotsJson, repairSnapshotsLines } from '../render/repair-text.ts'

export default async function repairSnapshots(
  args: RepairSnapshotsArguments,
  context: CommandContext,
): Promise<number> {
  const { json, quiet, stdout } = context
  const access = await openAccess(args, context)
  let report: RepairSnapshotsReport
  try {
    report = await runRepairSnapshots(access, {
      references: args.operands,
      filter: filterOf(args),
      forget: args.forget,
      dryRun: args.dryRun,
      level: COMPRESSION_LEVELS[args.compression ?? 'auto'],
      onNotice: (message) => context.warn(message),
      onLost: (snapshot, path) => {
        if (json) writeJsonLine(stdout, { message_type: 'lost', snapshot, path })
        else if (!quiet)
          stdout.write(`snapshot ${shortId(snapshot)} has lost data of ${printable(path)}\n`)
      },
    })
  } finally {
    await access.close()
  }
  if (json) writeJsonLine(stdout, repairSnapshotsJson(report, args.dryRun))
  else if (!quiet) stdout.write(`${repairSnapshotsLines(report, args.dryRun).join('\n')}\n`)
  if (report.lost.length === 0) return 0
  throw new CairnError(
    'CAIRN_CORRUPT',
    `${report.lost.length} snapshots have lost their root and stay as they are; 'cairn forget' removes them`,
  )
}
