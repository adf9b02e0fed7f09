/**
 * A directory that a backup reads, held open: what is looked up in it is looked up in this directory,
 * whatever has been put in the place of its path, or of one above it, meanwhile.
 */

import { type BigIntStats, closeSync, constants, fstatSync, lstatSync, openSync } from 'node:fs'
import { readdirSync, readlinkSync, statSync } from 'node:fs'
import type { ByteString } from '../base/bytes.ts'
import { type ExtendedMetadata, type ExtendedReader, NO_EXTENDED } from './extended-metadata.ts'
import { libc } from './libc.ts'
import { descriptorPath, hasDescriptorPaths, type NativePath } from './native-path.ts'
import { nativePath, O_PATH, withNativePath } from './native-path.ts'
import type { SourceDirectory, SourceStat } from './source-files.ts'
import { sourceStat } from './source-stat.ts'
import { about, errorAbout, errorCode } from './system-error.ts'

const BIGINT = { bigint: true } as const
const LOOK = { bigint: true, throwIfNoEntry: false } as const
const DIRECTORY_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NONBLOCK
const NO_ATIME = constants.O_NOATIME ?? 0
/** Loading the C library takes as long as this many looks without it take longer. */
const LOOKS_WITHOUT_LIBC = 4_000

let looks = 0

export interface DirectoryOptions {
  /** Follows a link at the path: for one on the way to what a user has named. */
  readonly follow: boolean
  /** May be undefined where extended metadata cannot be read. */
  readonly extended: () => ExtendedReader | undefined
}

/** Throws ENOTDIR if something else is at `path`, or a link that is not to be followed. */
export function openSourceDirectory(path: ByteString, options: DirectoryOptions): SourceDirectory {
  if (!hasDescriptorPaths()) return new PathDirectory(path, options)
  const flags = DIRECTORY_FLAGS | (options.follow ? 0 : constants.O_NOFOLLOW)
  return about(path, () =>
    withNativePath(path, (native) => {
      const { descriptor, canList } = openDescriptor(native, flags)
      return new OpenDirectory(descriptor, canList, path, options)
    }),
  )
}

function openDescriptor(
  native: NativePath,
  flags: number,
): { readonly descriptor: number; readonly canList: boolean } {
  for (const quiet of NO_ATIME === 0 ? [0] : [NO_ATIME, 0]) {
    try {
      return { descriptor: openSync(native, flags | quiet), canList: true }
    } catch (error) {
      const code = errorCode(error)
      // One that cannot be listed may have entries that can be reached all the same.
      if (code === 'EACCES') return { descriptor: openSync(native, flags | O_PATH), canList: false }
      if (code !== 'EPERM' || quiet === 0) throw error
    }
  }
  throw new Error('unreachable')
}

class OpenDirectory implements SourceDirectory {
  readonly stat: SourceStat
  readonly #descriptor: number
  readonly #canList: boolean
  readonly #path: ByteString
  readonly #prefix: string
  readonly #options: DirectoryOptions

  constructor(descriptor: number, canList: boolean, path: ByteString, options: DirectoryOptions) {
    this.#descriptor = descriptor
    this.#canList = canList
    this.#path = path
    this.#prefix = `${descriptorPath(descriptor)}/`
    this.#options = options
    this.stat = sourceStat(fstatSync(descriptor, BIGINT))
  }

  names(): ByteString[] {
    return about(this.#path, () => listNames(this.#prefix))
  }

  look(name: ByteString, follow: boolean): SourceStat | undefined {
    const lookAt = looks++ < LOOKS_WITHOUT_LIBC ? undefined : libc()?.lookAt
    if (lookAt !== undefined) return lookAt(this.#descriptor, name, follow, this.#shown(name))
    return look(nativePath(this.#prefix + name), follow, this.#shown(name))
  }

  readLink(name: ByteString): Uint8Array {
    const path = nativePath(this.#prefix + name)
    return about(this.#shown(name), () => readlinkSync(path, 'buffer'))
  }

  extended(name: ByteString, stat: SourceStat): ExtendedMetadata {
    const reader = this.#options.extended()
    const shown = this.#shown(name)
    return reader?.ofPath(this.#prefix + name, stat.dev, shown) ?? NO_EXTENDED
  }

  ownExtended(): ExtendedMetadata {
    const reader = this.#options.extended()
    if (reader === undefined) return NO_EXTENDED
    const { dev } = this.stat
    if (this.#canList) return reader.ofDescriptor(this.#descriptor, dev, this.#path)
    return reader.ofPath(`${this.#prefix}.`, dev, this.#path)
  }

  close(): void {
    closeSync(this.#descriptor)
  }

  #shown(name: ByteString): ByteString {
    return this.#path === '/' ? `/${name}` : `${this.#path}/${name}`
  }
}

/** Where descriptors have no paths: looks at the path each time. */
class PathDirectory implements SourceDirectory {
  readonly stat: SourceStat
  readonly #path: ByteString
  readonly #prefix: ByteString

  constructor(path: ByteString, options: DirectoryOptions) {
    this.#path = path
    this.#prefix = path.endsWith('/') ? path : `${path}/`
    const find = options.follow ? statSync : lstatSync
    this.stat = sourceStat(about(path, () => find(nativePath(path), BIGINT)))
  }

  names(): ByteString[] {
    return about(this.#path, () => listNames(nativePath(this.#path)))
  }

  look(name: ByteString, follow: boolean): SourceStat | undefined {
    return look(nativePath(this.#prefix + name), follow, this.#prefix + name)
  }

  readLink(name: ByteString): Uint8Array {
    const path = this.#prefix + name
    return about(path, () => readlinkSync(nativePath(path), 'buffer'))
  }

  extended(): ExtendedMetadata {
    return NO_EXTENDED
  }

  ownExtended(): ExtendedMetadata {
    return NO_EXTENDED
  }

  close(): void {}
}

/** What is at `native`, or where a link there leads with `follow`. Undefined if nothing is there. */
export function look(
  native: NativePath,
  follow: boolean,
  path: ByteString,
): SourceStat | undefined {
  let stats: BigIntStats | undefined
  try {
    stats = follow ? statSync(native, LOOK) : lstatSync(native, LOOK)
  } catch (error) {
    throw errorAbout(path, error)
  }
  return stats && sourceStat(stats)
}

/** The names in a directory, sorted by byte. */
export function listNames(directory: NativePath): ByteString[] {
  // As latin1 every byte stays a character of its own; Node's default would merge invalid UTF-8.
  return readdirSync(directory, 'latin1').sort()
}
