/** `cairn forget` */

import { openAccess } from '../../service/access.ts'
import {
  type ForgetReport,
  isEmptyPolicy,
  type KeepPolicy,
  policyText,
  runForget,
} from '../../service/forget.ts'
import type { CommandContext } from '../command.ts'
import type { ForgetArguments } from '../options/forget.ts'
import { filterOf } from '../options.ts'
import { forgetJson, forgetLines } from '../render/forget-text.ts'
import { writeJsonLine } from '../render/json-lines.ts'
import { pruneWith } from './prune.ts'

const GROUP_BY_DEFAULT = { host: true, paths: true, tags: false }

/** Leaves out what was not given. */
function given<T>(fields: Readonly<Record<string, T | undefined>>): Record<string, T> {
  return Object.fromEntries(
    Object.entries(fields).filter((entry): entry is [string, T] => entry[1] !== undefined),
  )
}

function policyOf(args: ForgetArguments): KeepPolicy {
  return {
    ...(args.keepLast === undefined ? {} : { last: args.keepLast }),
    ...(args.keepWithin === undefined ? {} : { within: args.keepWithin }),
    counts: given({
      hourly: args.keepHourly,
      daily: args.keepDaily,
      weekly: args.keepWeekly,
      monthly: args.keepMonthly,
      yearly: args.keepYearly,
    }),
    withinCounts: given({
      hourly: args.keepWithinHourly,
      daily: args.keepWithinDaily,
      weekly: args.keepWithinWeekly,
      monthly: args.keepWithinMonthly,
      yearly: args.keepWithinYearly,
    }),
    tags: args.keepTag,
  }
}

export default async function forget(
  args: ForgetArguments,
  context: CommandContext,
): Promise<number> {
  const { json, quiet, stdout, signal } = context
  const { dryRun } = args
  const policy = policyOf(args)
  const say = (lines: readonly string[]) => {
    if (!json && !quiet) for (const line of lines) stdout.write(`${line}\n`)
  }
  const access = await openAccess(args, context)
  let removed: ForgetReport['removed'] = []
  try {
    const request = {
      references: args.operands,
      filter: filterOf(args),
      policy,
      groupBy: args.groupBy ?? GROUP_BY_DEFAULT,
      allowRemoveAll: args.unsafeAllowRemoveAll,
      dryRun,
      signal,
    }
    await runForget(await access.open(), request, (report: ForgetReport) => {
      removed = report.removed
      if (json && args.operands.length === 0) writeJsonLine(stdout, forgetJson(report.groups))
      if (!isEmptyPolicy(policy)) say([`Applying Policy: ${policyText(policy)}`])
      say(forgetLines(report, { isCompact: args.compact }))
    })
    const count = `${removed.length} ${removed.length === 1 ? 'snapshot' : 'snapshots'}`
    say([dryRun ? `would forget ${count}` : `forgot ${count}`])
    // As in restic, nothing is pruned unless something was forgotten.
    if (args.prune && removed.length > 0) {
      const ids = dryRun ? new Set(removed.map(({ id }) => id)) : undefined
      await pruneWith(access, args, context, ids)
    }
  } finally {
    await access.close()
  }
  return 0
}
