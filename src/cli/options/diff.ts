import { type Arguments, defineCommand } from '../command.ts'
import { flag } from '../option.ts'
import { FILTER_OPTIONS } from '../options.ts'

export type DiffArguments = Arguments<typeof DIFF.options>

export const DIFF = defineCommand({
  name: 'diff',
  operands: 'SNAPSHOT SNAPSHOT',
  operandsMin: 2,
  operandsMax: 2,
  description:
    'Shows what differs between two snapshots, or between a directory of each. A line begins with ' +
    '+ added, - removed, M content changed, T type changed, U metadata changed, ? content changed ' +
    'although nothing else has: maybe the disk did it.',
  examples: [
    { command: 'cairn diff latest~1 latest', meaning: 'what the last backup found changed' },
    { command: 'cairn diff @yesterday:/etc latest:/etc', meaning: 'of one directory' },
  ],
  options: { metadata: flag('tell of changes of metadata as well'), ...FILTER_OPTIONS },
  onlyShows: true,
})
