/** `cairn restore` */

import { textOf } from '../../base/bytes.ts'
import { CairnError, errorChain } from '../../base/errors.ts'
import { shortId } from '../../base/ids.ts'
import { formatTime } from '../../base/units.ts'
import { beginAccess } from '../../service/access.ts'
import type { RestoreListener, RestoreReport } from '../../service/restore.ts'
import { restorePatterns } from '../../service/restore-patterns.ts'
import type { CommandContext } from '../command.ts'
import type { RestoreArguments } from '../options/restore.ts'
import { filterOf } from '../options.ts'
import { errorJson, writeJsonLine } from '../render/json-lines.ts'
import { printable, printableName } from '../render/printable.ts'
import { RateEstimator, startProgress } from '../render/progress.ts'
import {
  restoreItemJson,
  restoreItemLine,
  restoreStatusJson,
  restoreStatusLines,
  restoreSummaryJson,
  restoreSummaryLine,
} from '../render/restore-text.ts'

const NOTHING_YET: RestoreReport['counts'] = {
  seconds_elapsed: 0,
  total_files: 0,
  files_restored: 0,
  files_skipped: 0,
  files_deleted: 0,
  total_bytes: 0,
  bytes_restored: 0,
  bytes_skipped: 0,
}

/** What the run says while it goes on, and how far it is. */
class RestoreReporter {
  readonly #context: CommandContext
  readonly #tellsItems: boolean
  readonly #rate = new RateEstimator()
  status = NOTHING_YET

  /** With `tellsItems`, of every entry what becomes of it. */
  constructor(context: CommandContext, tellsItems: boolean) {
    this.#context = context
    this.#tellsItems = tellsItems
  }

  get listener(): RestoreListener {
    const { json, stdout, stderr, warn } = this.#context
    return {
      onProgress: (counts) => {
        this.status = counts
      },
      onError: (path, error) => {
        const message = errorChain(error)
        if (json) writeJsonLine(stderr, errorJson(message, 'restore', textOf(path)))
        else warn(`error: ${printableName(path)}: ${printable(message)}`)
      },
      ...(!this.#tellsItems
        ? {}
        : {
            onItem: ({ action, path, size }) => {
              const item = json ? textOf(path) : printableName(path)
              const told = { action, item, ...(size === undefined ? {} : { size }) }
              if (json) writeJsonLine(stdout, restoreItemJson(told))
              else stdout.write(`${restoreItemLine(told)}\n`)
            },
          }),
    }
  }

  lines(): string[] {
    this.#rate.record(this.status.seconds_elapsed * 1000, this.status.bytes_restored)
    return restoreStatusLines(this.status, this.#rate.bytesPerSecond())
  }
}

function reportUnset({ unset }: RestoreReport, context: CommandContext): void {
  for (const [kind, { count, refusedCount, examples }] of unset) {
    const example = examples[0] === undefined ? '' : `, as ${printable(examples[0])}`
    const why = count === refusedCount ? ': an ordinary user may not' : ''
    context.warn(`the ${kind} of ${count} files/dirs could not be set${why}${example}`)
  }
}

export default async function restore(
  args: RestoreArguments,
  context: CommandContext,
): Promise<number> {
  const { json, quiet, stdout } = context
  const patterns = restorePatterns(args, context.environment)
  const access = await beginAccess(args, context)
  const { runRestore } = await import('../../service/restore.ts')
  const isPlan = args.dryRun && !quiet
  const reporter = new RestoreReporter(context, isPlan || context.verbosity >= 2)
  const progress = startProgress(context, {
    lines: () => reporter.lines(),
    json: () => restoreStatusJson(reporter.status),
  })
  let report: RestoreReport
  try {
    report = await runRestore(access, {
      args,
      filter: filterOf(args),
      patterns,
      onSnapshot: ({ snapshot, id, distance }) => {
        if (json || quiet) return
        const { paths, hostname } = snapshot.content
        const shown = paths.map(printableName).join(', ')
        const when = formatTime(snapshot.timeNs)
        stdout.write(
          `restoring snapshot ${shortId(id)} of [${shown}] at ${when} by ${printable(hostname)} to ${printable(args.target ?? '')}\n`,
        )
        if (distance !== undefined) stdout.write(`${distance}\n`)
      },
      listener: reporter.listener,
    })
  } finally {
    progress.stop()
    await access.close()
  }
  reportUnset(report, context)
  // Somebody who mistypes a pattern must not think that the file is back.
  if (patterns.include.length > 0 && report.counts.total_files === 0) {
    context.warn('nothing was restored: nothing in the snapshot matches what was to be included')
  }
  if (json) writeJsonLine(stdout, restoreSummaryJson(report.counts))
  else if (!quiet) {
    stdout.write(`${restoreSummaryLine(report.counts)}\n`)
    if (args.verify) stdout.write(`verified ${report.verifiedFiles} files\n`)
  }
  if (report.isComplete) return 0
  throw new CairnError(
    'CAIRN_INCOMPLETE',
    `there were ${report.errorCount} errors; not everything was restored as it was`,
  )
}
