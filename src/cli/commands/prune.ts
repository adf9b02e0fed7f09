/** `cairn prune` */

import { CairnError } from '../../base/errors.ts'
import { openAccess } from '../../service/access.ts'
import { type PruneReport, runPrune } from '../../service/prune.ts'
import type { CommandContext } from '../command.ts'
import type { PruneArguments } from '../options/prune.ts'
import { COMPRESSION_LEVELS } from '../options.ts'
import { writeJsonLine } from '../render/json-lines.ts'
import { startProgress } from '../render/progress.ts'
import { pruneOutcomeLines, prunePlanLines, pruneSummaryJson } from '../render/prune-text.ts'

const PHASES = {
  load: 'load the index',
  snapshots: 'find what snapshots need',
  plan: 'choose packs',
  repack: 'repack',
  remove: 'remove packs',
} as const

type PruneChoices = Pick<
  PruneArguments,
  | 'dryRun'
  | 'maxUnused'
  | 'maxRepackSize'
  | 'repackCacheableOnly'
  | 'repackSmall'
  | 'repackSmallerThan'
  | 'repackUncompressed'
  | 'unsafeRecoverNoFreeSpace'
  | 'grace'
  | 'compression'
  | 'noExtraVerify'
  | 'packSize'
>

export default async function prune(
  args: PruneArguments,
  context: CommandContext,
): Promise<number> {
  const access = await openAccess(args, context, args.jobs)
  try {
    await pruneWith(access, args, context)
  } finally {
    await access.close()
  }
  return 0
}

/** Prunes a repository that is open. Throws CAIRN_CORRUPT at its end if a pack could not be read. */
export async function pruneWith(
  access: Awaited<ReturnType<typeof openAccess>>,
  args: PruneChoices,
  context: CommandContext,
  without?: ReadonlySet<string>,
): Promise<void> {
  const { json, quiet, stdout, verbosity } = context
  let state = ''
  const progress = startProgress(context, { lines: () => [state] })
  let report: PruneReport
  try {
    report = await runPrune(access, {
      ...requestOf(args),
      ...(without === undefined ? {} : { without }),
      listener: {
        onPhase: (phase) => {
          state = PHASES[phase]
        },
        onProgress: (done, total) => {
          state = `${state.split(':')[0] ?? ''}: ${done} of ${total} packs`
        },
        onPlan: (statistics) => {
          if (json || quiet) return
          context.status.clear()
          stdout.write(`${prunePlanLines(statistics, verbosity).join('\n')}\n\n`)
        },
        onNotice: (message) => context.warn(message),
      },
    })
  } finally {
    progress.stop()
  }
  if (json) writeJsonLine(stdout, pruneSummaryJson(report.statistics, report, args.dryRun))
  else if (!quiet && !args.dryRun) stdout.write(`${pruneOutcomeLines(report).join('\n')}\n`)
  requireSound(report, context)
}

function requestOf(args: PruneChoices): Omit<Parameters<typeof runPrune>[1], 'listener'> {
  return {
    maxUnused: args.maxUnused,
    maxRepackBytes: args.maxRepackSize,
    repackSmall: args.repackSmall,
    repackSmallerThan: args.repackSmallerThan,
    repackCacheableOnly: args.repackCacheableOnly,
    repackUncompressed: args.repackUncompressed,
    isDiskFull: args.unsafeRecoverNoFreeSpace,
    graceMs: args.grace,
    dryRun: args.dryRun,
    level: COMPRESSION_LEVELS[args.compression ?? 'auto'],
    verify: !args.noExtraVerify,
    packBytes: args.packSize === undefined ? undefined : args.packSize << 20,
  }
}

function requireSound({ damaged }: PruneReport, context: CommandContext): void {
  if (damaged.length === 0) return
  for (const { name, problem } of damaged) context.warn(`pack ${name} is kept: ${problem}`)
  throw new CairnError(
    'CAIRN_CORRUPT',
    `${damaged.length} damaged packs were kept; run 'cairn check --read-data', then 'cairn repair packs'`,
  )
}
