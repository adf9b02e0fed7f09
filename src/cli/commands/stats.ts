/** `cairn stats` */

import { openRepositoryAccess } from '../../service/access.ts'
import { runStats, type StatsReport } from '../../service/stats.ts'
import type { CommandContext } from '../command.ts'
import type { StatsArguments } from '../options/stats.ts'
import { filterOf } from '../options.ts'
import { writeJsonLine } from '../render/json-lines.ts'
import { startProgress } from '../render/progress.ts'
import { statsJson, statsLines } from '../render/stats-text.ts'

export default async function stats(
  args: StatsArguments,
  context: CommandContext,
): Promise<number> {
  const { mode = 'restore-size' } = args
  const access = await openRepositoryAccess(args, context)
  let line = ''
  const progress = startProgress(context, { lines: () => [line] })
  let report: StatsReport
  try {
    report = await runStats(access, {
      mode,
      references: args.operands,
      filter: filterOf(args),
      onProgress: (done, total) => {
        line = `${done} / ${total} snapshots`
      },
    })
  } finally {
    progress.stop()
    await access.close()
  }
  if (context.json) writeJsonLine(context.stdout, statsJson(report))
  else context.stdout.write(`${statsLines(mode, report).join('\n')}\n`)
  return 0
}
