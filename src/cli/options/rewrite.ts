import { type Arguments, defineCommand } from '../command.ts'
import { flag, nonEmpty, usage } from '../option.ts'
import { EXCLUDE_OPTIONS, FILTER_OPTIONS } from '../options.ts'

export type RewriteArguments = Arguments<typeof REWRITE.options>

export const REWRITE = defineCommand({
  name: 'rewrite',
  operands: '[SNAPSHOT...]',
  operandsMin: 0,
  operandsMax: Number.POSITIVE_INFINITY,
  description:
    'Makes snapshots without some of their files, or with another host or time: beside the old ' +
    'ones, or with --forget in their place.',
  examples: [
    {
      command: "cairn rewrite --exclude '*.iso' --forget latest",
      meaning: 'without these, in place of the old one',
    },
    { command: 'cairn rewrite --new-host laptop --host old', meaning: 'a host that was renamed' },
  ],
  options: {
    ...EXCLUDE_OPTIONS,
    'new-host': nonEmpty('another host', 'host'),
    'new-time': nonEmpty("another time, such as '2026-11-20 14:00:05'", 'time'),
    'snapshot-summary': flag('count files and bytes anew', { short: 's' }),
    forget: flag('forget the old ones'),
    'dry-run': flag('only show what would be done', { short: 'n' }),
    ...FILTER_OPTIONS,
  },
  validate(args) {
    const excludes = [args.exclude, args.iexclude, args.excludeFile, args.iexcludeFile].flat()
    const isChanged = args.newHost !== undefined || args.newTime !== undefined
    if (excludes.length === 0 && !isChanged && !args.snapshotSummary) {
      throw usage('nothing to do: write what to exclude, --new-host, --new-time or -s')
    }
  },
})
