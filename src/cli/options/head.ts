import { type Arguments, defineCommand } from '../command.ts'

export type HeadArguments = Arguments<typeof HEAD.options>

export const HEAD = defineCommand({
  name: 'head',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  description:
    'Prints a short digest of all snapshots and of all that was forgotten, to keep elsewhere. ' +
    '--expect-head on any command stops it unless the repository goes on from there: a storage that ' +
    'was rolled back, or leaves something out, then shows.',
  examples: [
    { command: 'cairn head', meaning: 'print it' },
    { command: 'cairn check --expect-head "$(cat head)"', meaning: 'check it' },
  ],
  options: {},
  onlyShows: true,
})
