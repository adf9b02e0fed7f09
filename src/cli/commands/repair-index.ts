/** `cairn repair index` */

import { CairnError } from '../../base/errors.ts'
import { openAccess } from '../../service/access.ts'
import { type RepairIndexReport, runRepairIndex } from '../../service/repair.ts'
import type { CommandContext } from '../command.ts'
import type { RepairIndexArguments } from '../options/repair-index.ts'
import { writeJsonLine } from '../render/json-lines.ts'
import { startProgress } from '../render/progress.ts'
import { repairIndexJson, repairIndexLines } from '../render/repair-text.ts'

export default async function repairIndex(
  args: RepairIndexArguments,
  context: CommandContext,
): Promise<number> {
  const { json, quiet, stdout } = context
  const access = await openAccess(args, context)
  let line = 'load the index'
  const progress = startProgress(context, { lines: () => [line] })
  let report: RepairIndexReport
  try {
    report = await runRepairIndex(access, {
      readAllPacks: args.readAllPacks,
      dryRun: args.dryRun,
      onNotice: (message) => context.warn(message),
      onProgress: (done, total) => {
        line = `read packs: ${done} of ${total}`
      },
    })
  } finally {
    progress.stop()
    await access.close()
  }
  if (json) writeJsonLine(stdout, repairIndexJson(report, args.dryRun))
  else if (!quiet) stdout.write(`${repairIndexLines(report, args.dryRun).join('\n')}\n`)
  if (report.unreadable.length === 0) return 0
  throw new CairnError(
    'CAIRN_CORRUPT',
    `${report.unreadable.length} packs cannot be read; run 'cairn check' for what is affected`,
  )
}
