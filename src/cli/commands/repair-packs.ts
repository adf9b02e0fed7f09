/** `cairn repair packs` */

import { CairnError } from '../../base/errors.ts'
import { openAccess } from '../../service/access.ts'
import { type RepairPacksReport, runRepairPacks } from '../../service/repair.ts'
import type { CommandContext } from '../command.ts'
import type { RepairPacksArguments } from '../options/repair-packs.ts'
import { COMPRESSION_LEVELS } from '../options.ts'
import { writeJsonLine } from '../render/json-lines.ts'
import { startProgress } from '../render/progress.ts'
import { repairPacksJson, repairPacksLines } from '../render/repair-text.ts'

export default async function repairPacks(
  args: RepairPacksArguments,
  context: CommandContext,
): Promise<number> {
  const { json, quiet, stdout } = context
  const access = await openAccess(args, context, args.jobs)
  let line = 'load the index'
  const progress = startProgress(context, { lines: () => [line] })
  let report: RepairPacksReport
  try {
    report = await runRepairPacks(access, {
      references: args.operands,
      dryRun: args.dryRun,
      level: COMPRESSION_LEVELS[args.compression ?? 'auto'],
      verify: !args.noExtraVerify,
      onNotice: (message) => context.warn(message),
      onProgress: (done, total) => {
        line = `read packs: ${done} of ${total}`
      },
    })
  } finally {
    progress.stop()
    await access.close()
  }
  if (json) writeJsonLine(stdout, repairPacksJson(report, args.dryRun))
  else if (!quiet) stdout.write(`${repairPacksLines(report, args.dryRun).join('\n')}\n`)
  if (report.blobsLost === 0) return 0
  throw new CairnError(
    'CAIRN_CORRUPT',
    `${report.blobsLost} blobs cannot be read; back up again what is still there, then run 'cairn check' for what stays affected`,
  )
}
