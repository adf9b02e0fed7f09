import { type Arguments, defineCommand } from '../command.ts'
import { choice } from '../option.ts'
import { FILTER_OPTIONS } from '../options.ts'

export type StatsArguments = Arguments<typeof STATS.options>

export const STATS = defineCommand({
  name: 'stats',
  operands: '[SNAPSHOT...]',
  operandsMin: 0,
  operandsMax: Number.POSITIVE_INFINITY,
  description:
    'Counts what snapshots hold: all of them, those that a filter lets through, or those named. ' +
    'restore-size is what restoring them would write; files-by-contents counts files of the same ' +
    'content once; blobs-per-file counts the blobs of each file; raw-data is what is stored, ' +
    'each blob once.',
  examples: [
    { command: 'cairn stats latest', meaning: 'what restoring the newest snapshot would write' },
    { command: 'cairn stats --mode raw-data', meaning: 'what all snapshots take up' },
  ],
  options: {
    mode: choice('what is counted: restore-size, the default, or another', [
      'restore-size',
      'files-by-contents',
      'blobs-per-file',
      'raw-data',
    ]),
    ...FILTER_OPTIONS,
  },
  onlyShows: true,
})
