import { resolve } from 'node:path'
import { type Arguments, defineCommand } from '../command.ts'
import { choice, flag, list, nonEmpty, usage } from '../option.ts'
import { AT_OPTIONS, EXCLUDE_OPTIONS, FILTER_OPTIONS, INCLUDE_OPTIONS } from '../options.ts'

export type RestoreArguments = Arguments<typeof RESTORE.options>

export const RESTORE = defineCommand({
  name: 'restore',
  operands: 'SNAPSHOT[:DIRECTORY]',
  operandsMin: 0,
  operandsMax: 1,
  description:
    'Writes the files of a snapshot, or of one of its directories, to a target directory. A file ' +
    'appears under its name only when it is whole. With --at there is no SNAPSHOT.',
  whenInterrupted: 'what has its name is whole; run it again for the rest',
  examples: [
    { command: 'cairn restore latest -t /tmp/out', meaning: 'everything' },
    { command: 'cairn restore latest:/home/ann -t /home/ann', meaning: 'one directory' },
    {
      command: 'cairn restore @yesterday -t / -i /etc/fstab',
      meaning: "yesterday's file, in place",
    },
  ],
  options: {
    target: nonEmpty('directory to write to', 'directory', { short: 't' }),
    ...INCLUDE_OPTIONS,
    ...EXCLUDE_OPTIONS,
    'include-xattr': list('restore only these extended attributes (repeatable)', 'pattern'),
    'exclude-xattr': list('leave out these extended attributes (repeatable)', 'pattern'),
    'ownership-by-name': flag('give files to the user and group of that name, not of that number'),
    overwrite: choice('what to do with files that are there', [
      'always',
      'if-changed',
      'if-newer',
      'never',
      'keep-both',
    ]),
    delete: flag('delete what the snapshot does not have, inside what is restored'),
    'dry-run': flag('write nothing; print what would be done'),
    sparse: flag('leave holes where files have long runs of zeros'),
    verify: flag('read what was written and compare'),
    ...FILTER_OPTIONS,
    ...AT_OPTIONS,
  },
  validate(args) {
    const isTimed = args.at !== undefined
    if (!isTimed && args.operands.length === 0) {
      throw usage("no snapshot given: name one by its id, or write 'latest'")
    }
    if (isTimed && args.operands.length > 0) throw usage('--at and a snapshot exclude each other')
    if (args.target === undefined) throw usage('no target given: name a directory with --target')
    const includes = [args.include, args.iinclude, args.includeFile, args.iincludeFile].flat()
    const excludes = [args.exclude, args.iexclude, args.excludeFile, args.iexcludeFile].flat()
    if (includes.length > 0 && excludes.length > 0) {
      throw usage('patterns to include and to exclude exclude each other')
    }
    if (args.includeXattr.length > 0 && args.excludeXattr.length > 0) {
      throw usage('extended attributes to include and to exclude exclude each other')
    }
    if (args.dryRun && args.verify) throw usage('--dry-run and --verify exclude each other')
    const isNarrowed = includes.length + excludes.length > 0
    if (args.delete && resolve(args.target) === '/' && !isNarrowed) {
      throw usage("'--target / --delete' needs a pattern to include or to exclude")
    }
  },
})
