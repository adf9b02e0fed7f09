import { type Arguments, defineCommand } from '../command.ts'
import { choice, flag, usage } from '../option.ts'
import { AT_OPTIONS, FILTER_OPTIONS } from '../options.ts'

export type LsArguments = Arguments<typeof LS.options>

export const LS = defineCommand({
  name: 'ls',
  operands: 'SNAPSHOT [DIRECTORY...]',
  operandsMin: 0,
  operandsMax: Number.POSITIVE_INFINITY,
  description:
    'Lists the files of a snapshot, or of some of its directories, which are written as absolute ' +
    'paths. With --at there is no SNAPSHOT.',
  examples: [
    { command: 'cairn ls latest', meaning: 'everything in the newest snapshot' },
    { command: 'cairn ls -l latest /home/ann', meaning: 'one directory, with details' },
    { command: 'cairn ls @yesterday:/etc', meaning: 'a directory as it was yesterday' },
  ],
  options: {
    long: flag('show mode, owner, size and time', { short: 'l' }),
    sort: choice(
      'sort by this instead of by path',
      ['name', 'size', 'time', 'mtime', 'atime', 'ctime', 'extension'],
      { short: 's' },
    ),
    reverse: flag('sort the other way round'),
    recursive: flag('go into the directories below those named'),
    'human-readable': flag('sizes in KiB, MiB and so on'),
    ncdu: flag("print what 'ncdu -f -' reads"),
    ...FILTER_OPTIONS,
    ...AT_OPTIONS,
  },
  onlyShows: true,
  validate(args) {
    const directories = args.at === undefined ? args.operands.slice(1) : args.operands
    if (args.at === undefined && args.operands.length === 0) {
      throw usage("no snapshot given: name one by its id, or write 'latest'")
    }
    const relative = directories.find((path) => !path.startsWith('/'))
    if (relative !== undefined) throw usage(`'${relative}' is not an absolute path`)
    if (args.ncdu && args.json) throw usage('--ncdu and --json exclude each other')
    if (args.ncdu && args.sort !== undefined) throw usage('--ncdu and --sort exclude each other')
    if (args.ncdu && args.reverse) throw usage('--ncdu and --reverse exclude each other')
  },
})
