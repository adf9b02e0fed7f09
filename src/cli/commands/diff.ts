/** `cairn diff` */

import { CairnError, errorChain } from '../../base/errors.ts'
import { shortId } from '../../base/ids.ts'
import { openRepositoryAccess } from '../../service/access.ts'
import { type DiffReport, runDiff } from '../../service/diff.ts'
import type { CommandContext } from '../command.ts'
import type { DiffArguments } from '../options/diff.ts'
import { filterOf } from '../options.ts'
import { changeJson, changeLine, statisticsJson, statisticsLines } from '../render/diff-text.ts'
import { errorJson, writeJsonLine } from '../render/json-lines.ts'
import { printable } from '../render/printable.ts'

export default async function diff(args: DiffArguments, context: CommandContext): Promise<number> {
  const { json, quiet, stdout, stderr } = context
  const [before = '', after = ''] = args.operands
  const access = await openRepositoryAccess(args, context)
  let report: DiffReport
  try {
    report = await runDiff(access, {
      references: [before, after],
      filter: filterOf(args),
      metadata: args.metadata,
      onSnapshots: (first, second) => {
        if (json || quiet) return
        stdout.write(`comparing snapshot ${shortId(first)} to ${shortId(second)}:\n\n`)
      },
      onChange: (path, modifier) => {
        if (json) writeJsonLine(stdout, changeJson(path, modifier))
        else stdout.write(`${changeLine(path, modifier)}\n`)
      },
      onDamage: (path, error) => {
        const message = errorChain(error)
        if (json) writeJsonLine(stderr, errorJson(message, 'diff', path))
        else context.warn(`error: ${printable(path)}: ${printable(message)}`)
      },
      drain: () => stdout.drain(),
    })
  } finally {
    await access.close()
  }
  if (json) writeJsonLine(stdout, statisticsJson([before, after], report))
  else if (!quiet) stdout.write(`${statisticsLines(report).join('\n')}\n`)
  if (report.damageCount === 0) return 0
  throw new CairnError('CAIRN_CORRUPT', "the comparison is not complete; run 'cairn check'")
}
