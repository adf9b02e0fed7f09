import { type Arguments, defineCommand } from '../command.ts'
import { flag, list, nonEmpty, usage } from '../option.ts'
import { AT_OPTIONS, FILTER_OPTIONS } from '../options.ts'

export type FindArguments = Arguments<typeof FIND.options>

export const FIND = defineCommand({
  name: 'find',
  operands: 'PATTERN...',
  operandsMin: 1,
  operandsMax: Number.POSITIVE_INFINITY,
  description:
    'Finds files and directories in snapshots, the newest snapshot first. A PATTERN is matched ' +
    'like that of an exclude: against names, or with / against paths; what is in a directory that ' +
    'matches is found as well. With --blob, --tree or --pack it is the beginning of an id.',
  examples: [
    { command: "cairn find '*.kdbx'", meaning: 'every snapshot that has such a file' },
    {
      command: 'cairn find -l --newest 2026-01-31 report.pdf',
      meaning: 'states of a file until then',
    },
    { command: 'cairn find --pack 5d8fd44b', meaning: 'what is affected by a damaged pack' },
  ],
  options: {
    long: flag('show mode, owner, size and time', { short: 'l' }),
    'ignore-case': flag('whatever the case of letters', { short: 'i' }),
    oldest: nonEmpty('modified at this time or later', 'time', { short: 'O' }),
    newest: nonEmpty('modified at this time or before', 'time', { short: 'N' }),
    snapshot: list('only in this snapshot (repeatable)', 'snapshot', { short: 's' }),
    reverse: flag('the oldest snapshot first', { short: 'R' }),
    'human-readable': flag('sizes in KiB, MiB and so on'),
    blob: flag('find files by the ids of their blobs'),
    tree: flag('find directories by the ids of their trees'),
    pack: flag('find all that is in packs, by their ids'),
    'show-pack-id': flag('with --blob, --tree or --pack: say where each of them is'),
    ...FILTER_OPTIONS,
    ...AT_OPTIONS,
  },
  onlyShows: true,
  validate(args) {
    const kinds = [args.blob, args.tree, args.pack].filter((isGiven) => isGiven)
    if (kinds.length > 1) throw usage('--blob, --tree and --pack exclude each other')
    if (args.at !== undefined && args.snapshot.length > 0) {
      throw usage('--at and --snapshot exclude each other')
    }
    if (args.operands.includes('')) throw usage('an empty pattern matches nothing')
  },
})
