import { type Arguments, defineCommand } from '../command.ts'
import { choice, flag, size, text, usage } from '../option.ts'
import { FROM_OPTIONS } from '../options.ts'

export type InitArguments = Arguments<typeof INIT.options>

/** What a new repository can be told; `backup --init` takes the same. */
export const NEW_REPOSITORY_OPTIONS = {
  'chunk-size': size('average size of chunks; cannot be changed later'),
  cipher: choice('how data is sealed; cannot be changed later', [
    'chacha20-poly1305',
    'aes-256-gcm',
  ]),
} as const

export const INIT = defineCommand({
  name: 'init',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  description:
    'Creates a repository. Asks for its password twice on a terminal. Whoever loses the password ' +
    'and every other key has lost the data.',
  examples: [
    { command: 'cairn init -r /srv/backup', meaning: 'in a directory that is empty or not there' },
    {
      command: 'cairn init -r /mnt/usb/backup --from-repo /srv/backup --copy-chunker-params',
      meaning: 'for copies: cairn copy and backups made there share data',
    },
  ],
  options: {
    ...NEW_REPOSITORY_OPTIONS,
    'copy-chunker-params': flag('cut files, and name their parts, as the other repository does'),
    ...FROM_OPTIONS,
    'repository-version': text("version of the format: a number, 'stable' or 'latest'", 'version'),
  },
  validate(args) {
    const isFrom = args.fromRepo !== undefined || args.fromRepositoryFile !== undefined
    if (isFrom && !args.copyChunkerParams) {
      throw usage('--from-repo and the like go with --copy-chunker-params')
    }
    if (args.copyChunkerParams && args.chunkSize !== undefined) {
      throw usage('--copy-chunker-params and --chunk-size exclude each other')
    }
  },
})
