/** Options that all commands have, and groups that several share. */

import { resolve } from 'node:path'
import {
  choice,
  count,
  duration,
  flag,
  integer,
  list,
  mapped,
  nonEmpty,
  text,
  usage,
  type Values,
} from './option.ts'

const COMPRESSION_MODES = ['auto', 'off', 'fastest', 'better', 'max'] as const
export type CompressionMode = (typeof COMPRESSION_MODES)[number]

/** zstd levels behind restic's names for them; undefined stores as is. */
export const COMPRESSION_LEVELS: Readonly<Record<CompressionMode, number | undefined>> = {
  auto: 3,
  off: undefined,
  fastest: 1,
  better: 7,
  max: 19,
}

function readHead(value: string | undefined, spelling: string): string | undefined {
  if (value === undefined || /^[0-9a-f]{32}$/i.test(value)) return value?.toLowerCase()
  throw usage(`'${value}' is not a value of ${spelling}: write the 32 hex digits of 'cairn head'`)
}

export const GLOBAL_OPTIONS = {
  repo: nonEmpty('where the repository is', 'repository', {
    short: 'r',
    readElsewhere: 'CAIRN_REPOSITORY',
  }),
  'repository-file': nonEmpty('file that says where the repository is', 'file', {
    readElsewhere: 'CAIRN_REPOSITORY_FILE',
  }),
  'password-file': nonEmpty('file to read the password from', 'file', {
    short: 'p',
    readElsewhere: 'CAIRN_PASSWORD_FILE',
  }),
  'password-command': nonEmpty(
    'command that prints the password; runs without a shell',
    'command',
    {
      readElsewhere: 'CAIRN_PASSWORD_COMMAND',
    },
  ),
  'key-file': nonEmpty('file with a raw key: 32 bytes or 64 hex digits', 'file', {
    readElsewhere: 'CAIRN_KEY_FILE',
  }),
  'insecure-no-password': flag('use the empty password, which protects nothing'),
  'key-hint': nonEmpty('id of the key to try first', 'key', { environment: 'CAIRN_KEY_HINT' }),
  'expect-head': mapped(
    nonEmpty('stop unless the repository goes on from this head (see cairn head)', 'head'),
    readHead,
  ),
  quiet: flag('print no progress and no summary', { short: 'q' }),
  verbose: count('print more; twice, or --verbose=2, for every file', 2, { short: 'v' }),
  json: flag('print JSON, for programs'),
  'no-color': flag('accepted, as NO_COLOR is: there are no colours'),
  'no-lock': flag('accepted for scripts written for restic: there are no locks'),
  'retry-lock': duration('accepted for scripts written for restic: there are no locks'),
  'cache-dir': nonEmpty('where the cache is', 'directory', { environment: 'CAIRN_CACHE_DIR' }),
  'no-cache': flag('use no cache'),
  'cleanup-cache': flag('remove caches of repositories that were not used for 30 days'),
  compression: choice('how hard to compress', COMPRESSION_MODES, {
    environment: 'CAIRN_COMPRESSION',
  }),
  'pack-size': integer(
    'size of packs in MiB',
    'MiB',
    { min: 1, max: 1024 },
    {
      environment: 'CAIRN_PACK_SIZE',
    },
  ),
  'no-extra-verify': flag('do not check what was compressed and sealed before it is stored'),
  help: flag('show this help', { short: 'h' }),
} as const

/** Another repository, beside the one that the global options name. */
export const FROM_OPTIONS = {
  'from-repo': nonEmpty('where the other repository is', 'repository', {
    readElsewhere: 'CAIRN_FROM_REPOSITORY',
  }),
  'from-repository-file': nonEmpty('file that says where the other repository is', 'file', {
    readElsewhere: 'CAIRN_FROM_REPOSITORY_FILE',
  }),
  'from-password-file': nonEmpty('file to read its password from', 'file', {
    readElsewhere: 'CAIRN_FROM_PASSWORD_FILE',
  }),
  'from-password-command': nonEmpty('command that prints its password', 'command', {
    readElsewhere: 'CAIRN_FROM_PASSWORD_COMMAND',
  }),
  'from-key-file': nonEmpty('file with a raw key of it', 'file', {
    readElsewhere: 'CAIRN_FROM_KEY_FILE',
  }),
  'from-insecure-no-password': flag('it has the empty password'),
  'from-key-hint': nonEmpty('id of its key to try first', 'key', {
    environment: 'CAIRN_FROM_KEY_HINT',
  }),
} as const

/** `a,b` is both; `''` is having none. */
function splitTags(values: readonly string[]): readonly (readonly string[])[] {
  return values.map((value) => value.split(',').map((tag) => tag.trim()))
}

/** An empty `--host` cancels CAIRN_HOST. */
function withoutEmpty(values: readonly string[]): readonly string[] {
  return values.filter((value) => value !== '')
}

/** Which snapshots are meant: `hosts` any of, `paths` all of, `tags` any list whose tags are all there. */
export const FILTER_OPTIONS = {
  host: mapped(
    list('only snapshots of this host (repeatable)', 'host', {
      short: 'H',
      environment: 'CAIRN_HOST',
    }),
    withoutEmpty,
  ),
  path: mapped(list('only snapshots with this path (repeatable: all of them)', 'path'), (values) =>
    values.map((path) => resolve(path)),
  ),
  tag: mapped(
    list("only snapshots with these tags (repeatable: any of them); '' for none", 'tag[,tag...]'),
    splitTags,
  ),
} as const

/** The same for commands that have another `-H`. */
export const FILTER_OPTIONS_WITHOUT_SHORT = {
  ...FILTER_OPTIONS,
  host: mapped(
    list('only snapshots of this host (repeatable)', 'host', { environment: 'CAIRN_HOST' }),
    withoutEmpty,
  ),
} as const

/** The filter as the engine takes it. */
export function filterOf(args: Values<typeof FILTER_OPTIONS>) {
  return { hosts: args.host, paths: args.path, tags: args.tag }
}

export const AT_OPTIONS = {
  at: nonEmpty('the state at this time, such as 2026-11-20T14:00, yesterday or 3h', 'time'),
  'at-mode': choice('the snapshot that ended before that time, nearest to it or after it', [
    'before',
    'nearest',
    'after',
  ]),
} as const

export interface GroupBy {
  readonly host: boolean
  readonly paths: boolean
  readonly tags: boolean
}

function readGroupBy(value: string | undefined, spelling: string): GroupBy | undefined {
  if (value === undefined) return undefined
  const words = value.split(',').filter((word) => word !== '')
  const unknown = words.find((word) => !/^(?:hosts?|paths?|tags?)$/.test(word))
  if (unknown !== undefined) {
    throw usage(`'${unknown}' is not a value of ${spelling}: write host, paths, tags with commas`)
  }
  const has = (kind: string) => words.some((word) => word.startsWith(kind))
  return { host: has('host'), paths: has('path'), tags: has('tag') }
}

export function groupBy(describe: string) {
  return mapped(text(describe, 'host,paths,tags', { short: 'g' }), readGroupBy)
}

export const EXCLUDE_OPTIONS = {
  exclude: list('leave out what matches (repeatable)', 'pattern', { short: 'e' }),
  iexclude: list('the same, whatever the case of letters', 'pattern'),
  'exclude-file': list('file with patterns to leave out, one a line', 'file'),
  'iexclude-file': list('the same, whatever the case of letters', 'file'),
} as const

export const INCLUDE_OPTIONS = {
  include: list('take only what matches (repeatable)', 'pattern', { short: 'i' }),
  iinclude: list('the same, whatever the case of letters', 'pattern'),
  'include-file': list('file with patterns to take, one a line', 'file'),
  'iinclude-file': list('the same, whatever the case of letters', 'file'),
} as const
