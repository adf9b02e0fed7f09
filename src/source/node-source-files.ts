/** The real file system, as a backup reads it. */

import { closeSync, constants, fstatSync, openSync, readlinkSync, readSync } from 'node:fs'
import type { ByteString } from '../base/bytes.ts'
import { accountNames } from './account-names.ts'
import { type ExtendedMetadata, ExtendedReader, NO_EXTENDED } from './extended-metadata.ts'
import { libc } from './libc.ts'
import { descriptorPath, hasDescriptorPaths, type NativePath } from './native-path.ts'
import { nativePath, O_PATH, PATH_BYTES_MAX, withNativePath } from './native-path.ts'
import { listNames, look, openSourceDirectory } from './source-directory.ts'
import type { DataRun, OpenSourceFile, SourceFiles, SourceStat } from './source-files.ts'
import { sourceStat } from './source-stat.ts'
import { about, errorAbout, errorCode, systemError } from './system-error.ts'

export { listNames, sourceStat }

const BIGINT = { bigint: true } as const
const NO_ATIME = constants.O_NOATIME ?? 0
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
const DIRECTORY_FLAGS = constants.O_DIRECTORY | constants.O_NOFOLLOW

/** What `st_blocks` counts, whatever the file system's blocks are. */
const BLOCK_UNIT_BYTES = 512
const FRUGAL_READ_BYTES = 65_536
/** A smaller file is read faster than its holes are found. */
const HOLE_BYTES_MIN = 1 << 20

/**
 * Whose word on holes is taken. Others have called data that was not on the disk yet a hole
 * (OpenZFS), or are told by a server what is one: their files are read to the end.
 */
const HOLE_FILE_SYSTEMS: ReadonlySet<number> = new Set([
  0x0102_1994, // tmpfs
  0xef53, // ext2, ext3, ext4
  0x5846_5342, // xfs
  0x9123_683e, // btrfs
])

export function nodeSourceFiles(): SourceFiles {
  const accounts = accountNames()
  return {
    lstat: lstatNative,
    readDirectory: (path) => about(path, () => readDirectoryNative(path)),
    readLink: (path) =>
      about(path, () => withNativePath(path, (native) => readlinkSync(native, 'buffer'))),
    open: (path) => {
      if (path.length <= PATH_BYTES_MAX) return openRegularFile(nativePath(path), path)
      return withNativePath(path, (native) => openRegularFile(native, path))
    },
    readAhead: readAheadNative,
    openDirectory: (path, follow) =>
      openSourceDirectory(path, { follow, extended: extendedReader }),
    get hasExtended() {
      return extendedReader() !== undefined
    },
    userName: accounts.userName,
    groupName: accounts.groupName,
  }
}

function lstatNative(path: ByteString): SourceStat | undefined {
  if (path.length <= PATH_BYTES_MAX) return look(nativePath(path), false, path)
  try {
    return withNativePath(path, (native) => look(native, false, path))
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined // A directory on a long way to it is gone.
    throw errorAbout(path, error)
  }
}

/**
 * Lists a directory that was not a link when it was opened: one that has been swapped for a link
 * since its lstat is an error, not a way out of the source.
 */
function readDirectoryNative(path: ByteString): ByteString[] {
  if (!hasDescriptorPaths()) return listNames(nativePath(path))
  const descriptor = withNativePath(path, (native) => openSync(native, O_PATH | DIRECTORY_FLAGS))
  try {
    return listNames(descriptorPath(descriptor))
  } finally {
    closeSync(descriptor)
  }
}

/** Opens `native` as `SourceFiles.open` promises. `path` is for the errors. */
export function openRegularFile(native: NativePath, path: ByteString): OpenRegularFile {
  const descriptor = openQuietly(native, path, OPEN_FLAGS)
  try {
    const stat = sourceStat(fstatSync(descriptor, BIGINT))
    if (stat.type !== 'file') {
      const code = stat.type === 'directory' ? 'EISDIR' : 'EINVAL'
      throw systemError(code, 'open', path, `is a ${stat.type}, not a regular file`)
    }
    return new OpenRegularFile(descriptor, path, stat)
  } catch (error) {
    closeSync(descriptor)
    throw errorAbout(path, error)
  }
}

/** More than this of a file the kernel reads ahead by itself, once somebody reads it. */
const AHEAD_BYTES_MAX = 1 << 20

function readAheadNative(path: ByteString): void {
  const c = libc()
  if (c === undefined || path.length > PATH_BYTES_MAX) return
  try {
    const descriptor = openQuietly(nativePath(path), path, OPEN_FLAGS)
    try {
      c.readAhead(descriptor, AHEAD_BYTES_MAX)
    } finally {
      closeSync(descriptor)
    }
  } catch {
    // Whoever opens it finds out.
  }
}

/** Without touching the access time, which the system allows only to a file's owner. */
function openQuietly(native: NativePath, path: ByteString, flags: number): number {
  try {
    return openSync(native, flags | NO_ATIME)
  } catch (error) {
    if (errorCode(error) !== 'EPERM' || NO_ATIME === 0) throw errorAbout(path, error)
  }
  try {
    return openSync(native, flags)
  } catch (error) {
    throw errorAbout(path, error)
  }
}

let reader: ExtendedReader | undefined

/** The thread's one, which remembers what devices have. Undefined without a C library. */
function extendedReader(): ExtendedReader | undefined {
  const c = libc()
  if (c !== undefined) reader ??= new ExtendedReader(c)
  return reader
}

export class OpenRegularFile implements OpenSourceFile {
  readonly descriptor: number
  readonly stat: SourceStat
  readonly #path: ByteString

  constructor(descriptor: number, path: ByteString, stat: SourceStat) {
    this.descriptor = descriptor
    this.#path = path
    this.stat = stat
  }

  statNow(): SourceStat {
    return sourceStat(fstatSync(this.descriptor, BIGINT))
  }

  read(into: Uint8Array, offset: number, length: number, position: number): number {
    let byteCount = length
    for (;;) {
      try {
        return readSync(this.descriptor, into, offset, byteCount, position)
      } catch (error) {
        const code = errorCode(error)
        // For files of /proc/sys the kernel takes memory for all that is asked for.
        if (code === 'ENOMEM' && byteCount > FRUGAL_READ_BYTES) byteCount = FRUGAL_READ_BYTES
        else if (code !== 'EINTR') throw errorAbout(this.#path, error)
      }
    }
  }

  get mayHaveHoles(): boolean {
    const { blocks, size } = this.stat
    if (blocks * BLOCK_UNIT_BYTES >= size || size < HOLE_BYTES_MIN) return false
    const type = libc()?.fileSystem(this.descriptor)
    return type !== undefined && HOLE_FILE_SYSTEMS.has(type)
  }

  nextData(position: number): DataRun | undefined {
    const { size } = this.stat
    const c = libc()
    if (c === undefined) return position < size ? { start: position, end: size } : undefined
    const start = c.seek(this.descriptor, position, 'data', this.#path)
    if (start === undefined) return undefined
    return { start, end: c.seek(this.descriptor, start, 'hole', this.#path) ?? start }
  }

  extended(): ExtendedMetadata {
    return extendedReader()?.ofDescriptor(this.descriptor, this.stat.dev, this.#path) ?? NO_EXTENDED
  }

  close(): void {
    closeSync(this.descriptor)
  }
}
