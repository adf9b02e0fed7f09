import { type Arguments, defineCommand } from '../command.ts'
import { choice, nonEmpty, usage } from '../option.ts'
import { AT_OPTIONS, FILTER_OPTIONS } from '../options.ts'

export type DumpArguments = Arguments<typeof DUMP.options>

export const DUMP = defineCommand({
  name: 'dump',
  operands: 'SNAPSHOT PATH',
  operandsMin: 1,
  operandsMax: 2,
  description:
    'Writes a file of a snapshot to stdout, or a directory as an archive. PATH / is all of it. ' +
    'With --at there is no SNAPSHOT.',
  examples: [
    { command: 'cairn dump latest /etc/fstab', meaning: 'a file as it was' },
    { command: 'cairn dump latest:/home/ann / | tar xp', meaning: 'a directory, unpacked here' },
    { command: 'cairn dump -a zip -t ann.zip @yesterday /home/ann', meaning: 'as zip, to a file' },
  ],
  options: {
    archive: choice('the format of archives: tar, the default, or zip', ['tar', 'zip'], {
      short: 'a',
    }),
    target: nonEmpty('write to this file, which appears when it is whole', 'file', { short: 't' }),
    ...FILTER_OPTIONS,
    ...AT_OPTIONS,
  },
  onlyShows: true,
  validate(args) {
    const expected = args.at === undefined ? 2 : 1
    if (args.operands.length !== expected) {
      throw usage(
        args.at === undefined
          ? "write a snapshot and a path: 'cairn dump latest /etc/fstab'"
          : 'with --at write a path and no snapshot',
      )
    }
  },
})
