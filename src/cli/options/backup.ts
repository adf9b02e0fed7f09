import { type Arguments, defineCommand } from '../command.ts'
import { flag, integer, list, mapped, nonEmpty, size, usage } from '../option.ts'
import { EXCLUDE_OPTIONS, groupBy } from '../options.ts'
import { NEW_REPOSITORY_OPTIONS } from './init.ts'

export type BackupArguments = Arguments<typeof BACKUP.options>

const CONCURRENCY = { min: 1, max: 1024 }

function flattenTags(values: readonly string[]): readonly string[] {
  const tags = values.flatMap((value) => value.split(',')).map((tag) => tag.trim())
  return [...new Set(tags.filter((tag) => tag !== ''))]
}

export const BACKUP = defineCommand({
  name: 'backup',
  operands: '[FILE...]',
  operandsMin: 0,
  operandsMax: Number.POSITIVE_INFINITY,
  description:
    'Makes a snapshot of files and directories. Only what is new or has changed is read and ' +
    'stored. Exits with 3 if something could not be read; the snapshot is there all the same.',
  whenInterrupted: 'what was stored is kept; run it again, and it goes on from there',
  examples: [
    { command: 'cairn backup ~', meaning: 'your home directory' },
    { command: 'cairn backup --init -r /mnt/disk/backup ~', meaning: 'and create the repository' },
    { command: 'cairn backup -x --exclude "*.tmp" /', meaning: 'one file system, with a pattern' },
    {
      command: 'cairn backup --stdin-from-command -- pg_dump mydb',
      meaning: 'what a command prints',
    },
  ],
  options: {
    init: flag('create the repository if there is none'),
    ...NEW_REPOSITORY_OPTIONS,
    'dry-run': flag('store nothing; show what would be done', { short: 'n' }),
    force: flag('read every file again, whatever --parent says', { short: 'f' }),
    parent: nonEmpty('compare with this snapshot', 'snapshot'),
    'group-by': groupBy('choose the parent among snapshots with the same of these'),
    host: nonEmpty('host name of the snapshot', 'host', {
      short: 'H',
      aliases: ['hostname'],
      environment: 'CAIRN_HOST',
    }),
    tag: mapped(list('tags of the snapshot (repeatable)', 'tag[,tag...]'), flattenTags),
    time: nonEmpty("time of the snapshot, such as '2026-11-20 14:00:05'", 'time'),
    'one-file-system': flag('stay in the file systems of what was named', { short: 'x' }),
    ...EXCLUDE_OPTIONS,
    'exclude-caches': flag('leave out the contents of directories marked by CACHEDIR.TAG'),
    'exclude-if-present': list(
      'leave out the contents of directories with this file',
      'name[:header]',
    ),
    'exclude-larger-than': size('leave out larger files'),
    'files-from': list('file with patterns of what to back up, one a line; - is stdin', 'file'),
    'files-from-verbatim': list('file with paths, one a line; - is stdin', 'file'),
    'files-from-raw': list('file with paths, each ended by a zero byte; - is stdin', 'file'),
    stdin: flag('back up what stdin gives, as one file'),
    'stdin-filename': nonEmpty("name of that file (default: 'stdin')", 'name'),
    'stdin-from-command': flag('run the operands as a command and back up what it prints'),
    'ignore-ctime': flag('do not take a new ctime for a change', {
      environment: 'CAIRN_IGNORE_CTIME',
    }),
    'ignore-inode': flag('do not take a new inode or ctime for a change', {
      environment: 'CAIRN_IGNORE_INODE',
    }),
    'with-atime': flag('keep the time of last access'),
    'no-scan': flag('accepted for scripts written for restic: nothing is counted beforehand'),
    'skip-if-unchanged': flag('make no snapshot if nothing differs from the parent'),
    'read-concurrency': integer('read n files at the same time', 'n', CONCURRENCY, {
      environment: 'CAIRN_READ_CONCURRENCY',
    }),
    jobs: integer('use n workers instead of one for each core', 'n', CONCURRENCY),
  },
  validate(args) {
    const lists = [...args.filesFrom, ...args.filesFromVerbatim, ...args.filesFromRaw]
    if (args.stdin && args.stdinFromCommand) {
      throw usage('--stdin and --stdin-from-command exclude each other')
    }
    if (args.stdin || args.stdinFromCommand) {
      if (lists.length > 0) throw usage('--stdin and --files-from exclude each other')
      if (args.stdin && args.operands.length > 0) {
        throw usage(`--stdin takes no files: '${args.operands[0] ?? ''}'`)
      }
      if (args.stdinFromCommand && args.operands.length === 0) {
        throw usage('--stdin-from-command needs a command behind --')
      }
    } else if (args.operands.length === 0 && lists.length === 0) {
      throw usage('nothing to back up: name files or directories')
    }
    if (lists.filter((file) => file === '-').length > 1) {
      throw usage('stdin can be read only once: there is more than one list named -')
    }
  },
})
