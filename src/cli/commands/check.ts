/** `cairn check` */

import { CairnError } from '../../base/errors.ts'
import { formatBytes } from '../../base/units.ts'
import { beginAccess } from '../../service/access.ts'
import type { CheckReport } from '../../service/check.ts'
import type { CommandContext } from '../command.ts'
import type { CheckArguments } from '../options/check.ts'
import { filterOf } from '../options.ts'
import {
  checkErrorJson,
  checkSummaryJson,
  checkSummaryLines,
  findingLine,
} from '../render/check-text.ts'
import { writeJsonLine } from '../render/json-lines.ts'
import { startProgress } from '../render/progress.ts'

const PHASES = {
  objects: 'check small files and their signatures',
  index: 'check the index',
  snapshots: 'check snapshots and trees',
  data: 'read data',
  paths: 'find what is affected',
} as const

export default async function check(
  args: CheckArguments,
  context: CommandContext,
): Promise<number> {
  const { json, quiet, stdout, stderr } = context
  const access = await beginAccess(args, context)
  const { compileLess } = await import('../../service/node-environment.ts')
  compileLess()
  const { findingLines, findingText, runCheck } = await import('../../service/check.ts')
  let line = ''
  const progress = startProgress(context, { lines: () => [line] })
  let report: CheckReport
  try {
    report = await runCheck(access, {
      readData: args.readData ? { kind: 'all' } : args.readDataSubset,
      references: args.operands,
      filter: filterOf(args),
      onFinding: (finding) => {
        const { severity } = finding
        const text = findingLine(severity, findingLines(finding))
        if (severity === 'note') {
          if (!json && !quiet) stdout.write(`${text}\n`)
        } else if (json) writeJsonLine(stderr, checkErrorJson(findingText(finding)))
        else stderr.write(`${text}\n`)
      },
      onPhase: (phase) => {
        if (!json && !quiet) stdout.write(`${PHASES[phase]}\n`)
      },
      onProgress: ({ packsDone, packsTotal, bytesDone, bytesTotal }) => {
        line = `${packsDone} / ${packsTotal} packs, ${formatBytes(bytesDone)} / ${formatBytes(bytesTotal)}`
      },
    })
  } finally {
    progress.stop()
    await access.close()
  }
  // Somebody who mistypes a filter must not think that all is well.
  if (report.snapshotCount === 0) {
    context.warn('no snapshot was checked: there is none, or none matches')
  }
  if (json) writeJsonLine(stdout, checkSummaryJson(report.summary))
  else if (!quiet || report.summary.num_errors > 0) {
    stdout.write(`${checkSummaryLines(report.summary).join('\n')}\n`)
  }
  if (report.summary.num_errors > 0) {
    throw new CairnError('CAIRN_CORRUPT', 'repository contains errors')
  }
  return 0
}
