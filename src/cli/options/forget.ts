import { type CalendarDuration, parseDuration } from '../../base/units.ts'
import { type Arguments, defineCommand } from '../command.ts'
import { flag, list, mapped, nonEmpty, type Option, usage } from '../option.ts'
import { FILTER_OPTIONS_WITHOUT_SHORT, groupBy } from '../options.ts'
import { PRUNE_OPTIONS } from './prune.ts'

const COUNT_MAX = 1_000_000

/** -1 is no limit. */
function keepCount(what: string, short: string): Option<number | undefined> {
  const option = nonEmpty(`keep the last n ${what}`, 'n', { short })
  return mapped(option, (value, spelling) => {
    if (value === undefined) return undefined
    if (value === 'unlimited' || value === '-1') return -1
    if (!/^\d{1,7}$/.test(value) || Number(value) > COUNT_MAX) {
      throw usage(
        `'${value}' is not a value of ${spelling}: write a number up to ${COUNT_MAX}, or unlimited`,
      )
    }
    return Number(value)
  })
}

function keepWithin(what: string): Option<CalendarDuration | undefined> {
  const option = nonEmpty(`keep ${what} this long before the newest`, 'duration')
  return mapped(option, (value) => (value === undefined ? undefined : parseDuration(value)))
}

export type ForgetArguments = Arguments<typeof FORGET.options>

const KEEP_OPTIONS = {
  'keep-last': keepCount('snapshots', 'l'),
  'keep-hourly': keepCount('hourly ones', 'H'),
  'keep-daily': keepCount('daily ones', 'd'),
  'keep-weekly': keepCount('weekly ones', 'w'),
  'keep-monthly': keepCount('monthly ones', 'm'),
  'keep-yearly': keepCount('yearly ones', 'y'),
  'keep-within': keepWithin('all snapshots made'),
  'keep-within-hourly': keepWithin('hourly ones made'),
  'keep-within-daily': keepWithin('daily ones made'),
  'keep-within-weekly': keepWithin('weekly ones made'),
  'keep-within-monthly': keepWithin('monthly ones made'),
  'keep-within-yearly': keepWithin('yearly ones made'),
  'keep-tag': mapped(
    list('keep those with these tags (repeatable: any of them)', 'tag[,tag...]'),
    (values) => values.map((value) => value.split(',').map((tag) => tag.trim())),
  ),
} as const

export const FORGET = defineCommand({
  name: 'forget',
  operands: '[SNAPSHOT...]',
  operandsMin: 0,
  operandsMax: Number.POSITIVE_INFINITY,
  description:
    'Forgets snapshots: those named, or all that a policy does not keep, for each author, host and ' +
    "set of paths by itself. Their data stays until a prune; until then 'cairn undelete' brings them back.",
  whenInterrupted:
    "what was forgotten stays forgotten; with --prune, run 'cairn prune' to free its space",
  examples: [
    {
      command: 'cairn forget --keep-daily 7 --keep-weekly 5 --dry-run',
      meaning: 'what a policy would forget',
    },
    { command: 'cairn forget --keep-within 1y --prune', meaning: 'and free the space' },
    { command: 'cairn forget 4f2a91c0', meaning: 'one snapshot' },
  ],
  options: {
    ...KEEP_OPTIONS,
    'group-by': groupBy('apply the policy to each of these groups (host,paths)'),
    'dry-run': flag('only show what would be forgotten', { short: 'n' }),
    compact: flag('one line for each, without paths and reasons', { short: 'c' }),
    'unsafe-allow-remove-all': flag('let a group lose all its snapshots'),
    prune: flag('then remove the data that nothing needs any more, as prune does'),
    ...PRUNE_OPTIONS,
    ...FILTER_OPTIONS_WITHOUT_SHORT,
  },
  validate(args) {
    const hasPolicy = Object.entries(args).some(
      ([name, value]) =>
        name.startsWith('keep') &&
        value !== undefined &&
        !(Array.isArray(value) && value.length === 0),
    )
    if (args.operands.length > 0 && hasPolicy) {
      throw usage('name the snapshots to forget, or write what to keep, not both')
    }
  },
})
