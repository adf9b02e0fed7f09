import { type Arguments, defineCommand } from '../command.ts'
import { flag, integer } from '../option.ts'
import { FILTER_OPTIONS, groupBy } from '../options.ts'

export type SnapshotsArguments = Arguments<typeof SNAPSHOTS.options>

export const SNAPSHOTS = defineCommand({
  name: 'snapshots',
  operands: '[SNAPSHOT...]',
  operandsMin: 0,
  operandsMax: Number.POSITIVE_INFINITY,
  description: 'Lists snapshots: all of them, those that a filter lets through, or those named.',
  examples: [
    { command: 'cairn snapshots', meaning: 'all of them, oldest first' },
    { command: 'cairn snapshots --host laptop --latest 3', meaning: 'the last three of one host' },
  ],
  options: {
    compact: flag('one line for each, without paths', { short: 'c' }),
    latest: integer('only the last n for each host and paths, or each group', 'n', {
      min: 1,
      max: 1_000_000,
    }),
    last: flag('the same as --latest 1', { hidden: true }),
    'group-by': groupBy('show snapshots in groups'),
    ...FILTER_OPTIONS,
  },
  onlyShows: true,
})
