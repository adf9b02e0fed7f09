/** Where a repository is: what was written on the command line, read and made presentable. */

import { resolve } from 'node:path'
import { CairnError } from '../base/errors.ts'
import { type Environment, readTextFile } from './text-file.ts'

export type RemoteScheme = 'sftp' | 's3' | 'azure' | 'gs' | 'rest' | 'rclone' | 'b2' | 'swift'

export type RepositoryLocation =
  /** `path` is absolute. */
  | { readonly kind: 'local'; readonly path: string }
  /** `rest` is what follows the scheme. May hold a password: show it with `redactLocation` only. */
  | { readonly kind: RemoteScheme; readonly rest: string }

const REMOTE_SCHEMES: ReadonlySet<string> = new Set<RemoteScheme>([
  'sftp',
  's3',
  'azure',
  'gs',
  'rest',
  'rclone',
  'b2',
  'swift',
])

function isRemoteScheme(text: string): text is RemoteScheme {
  return REMOTE_SCHEMES.has(text)
}

function looksLikePath(text: string): boolean {
  return /^(?:\.{0,2}[\\/]|[A-Za-z]:[\\/]|\.{1,2}$)/.test(text) || !text.includes(':')
}

/** Reads a location as restic does. Throws CAIRN_USAGE for what is neither path nor known scheme. */
export function parseLocation(text: string, workingDirectory = process.cwd()): RepositoryLocation {
  if (text === '') throw new CairnError('CAIRN_USAGE', 'the repository location is empty')
  if (looksLikePath(text)) return { kind: 'local', path: resolve(workingDirectory, text) }
  const colon = text.indexOf(':')
  const scheme = text.slice(0, colon)
  const rest = text.slice(colon + 1)
  if (scheme === 'local') return { kind: 'local', path: resolve(workingDirectory, rest) }
  if (isRemoteScheme(scheme)) return { kind: scheme, rest }
  throw new CairnError(
    'CAIRN_USAGE',
    `'${redactLocation(text)}' is not a repository location: '${scheme}:' is unknown; ` +
      `write 'local:' before a path that has a colon in it`,
  )
}

/** The directory of a repository this version can open. Throws CAIRN_USAGE for any other. */
export function localRepositoryPath(location: RepositoryLocation): string {
  if (location.kind === 'local') return location.path
  const shown = redactLocation(`${location.kind}:${location.rest}`)
  throw new CairnError(
    'CAIRN_USAGE',
    `cannot open '${shown}': a repository behind '${location.kind}:' is not supported by this ` +
      `version; use a local path`,
  )
}

/**
 * The location as it may be shown and logged: `rest:https://user:***@host/p`. A password that was
 * not percent-encoded, and so may hold `/` and `@`, is hidden too.
 */
export function redactLocation(text: string): string {
  const start = text.indexOf('://') + 3
  if (start < 3) return text
  const slash = text.indexOf('/', start)
  const authority = slash < 0 ? text.slice(start) : text.slice(start, slash)
  const colon = text.indexOf(':', start)
  let at = start + authority.lastIndexOf('@')
  if (at < start) {
    const isPort = /^[^:]*(?::\d*)?$/.test(authority)
    at = isPort ? -1 : text.lastIndexOf('@')
  }
  if (colon < 0 || at < colon) return text
  return `${text.slice(0, colon)}:***${text.slice(at)}`
}

export interface LocationSources {
  /** `--repo` */
  readonly repo: string | undefined
  /** `--repository-file` */
  readonly repositoryFile: string | undefined
  readonly environment: Environment
  /** `CAIRN_`, or `CAIRN_FROM_` for the repository that is copied from. */
  readonly environmentPrefix?: string
  /** `--`, or `--from-`. */
  readonly optionPrefix?: string
}

/**
 * The location that was asked for: from the flags, else from the environment. Throws CAIRN_USAGE if
 * none or two were given.
 */
export function findLocation(sources: LocationSources): string {
  const { repo, repositoryFile, environment } = sources
  const { environmentPrefix = 'CAIRN_', optionPrefix = '--' } = sources
  const repoOption = `${optionPrefix}repo`
  const fileOption = `${optionPrefix}repository-file`
  if (repo !== undefined || repositoryFile !== undefined) {
    return oneOf(repo, repositoryFile, repoOption, fileOption)
  }
  const locationName = `${environmentPrefix}REPOSITORY`
  const fileName = `${environmentPrefix}REPOSITORY_FILE`
  const location = environment[locationName] || undefined
  const file = environment[fileName] || undefined
  if (location === undefined && file === undefined) {
    const [what, option] =
      optionPrefix === '--' ? ['repository', '-r'] : ['other repository', repoOption]
    throw new CairnError(
      'CAIRN_USAGE',
      `no ${what} given: use ${option}, ${fileOption} or ${locationName}`,
    )
  }
  return oneOf(location, file, locationName, fileName)
}

function oneOf(
  location: string | undefined,
  file: string | undefined,
  locationName: string,
  fileName: string,
): string {
  if (location !== undefined && file !== undefined) {
    throw new CairnError('CAIRN_USAGE', `${locationName} and ${fileName} exclude each other`)
  }
  if (location !== undefined || file === undefined) return location ?? ''
  const text = readTextFile(file, 'repository file').trim()
  if (text === '') throw new CairnError('CAIRN_USAGE', `repository file '${file}' is empty`)
  return text
}
