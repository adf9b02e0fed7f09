/** The C library's calls that a backup reads a source with: the half of libc.ts that changes nothing. */

import { constants } from 'node:os'
import type { ByteString } from '../base/bytes.ts'
import type { Koffi, Library } from '../base/c-library.ts'
import type { SourceStat } from './source-files.ts'
import { sourceStatOf, STATX_BYTES } from './source-stat.ts'
import { errnoError } from './system-error.ts'

export interface ReadingCalls {
  /**
   * What is at `name` in an open directory, or where a link there leads with `follow`; undefined if
   * nothing is there. `path` is for the error. Undefined itself where there is no statx.
   */
  readonly lookAt:
    | ((
        directory: number,
        name: ByteString,
        follow: boolean,
        path: ByteString,
      ) => SourceStat | undefined)
    | undefined
  /** Reads the extended attributes of an open file; not one of O_PATH. `path` is for the errors. */
  xattrsOfDescriptor(descriptor: number, path: ByteString): XattrCalls
  /** Reads those of what is at `native` itself, which may be a link. */
  xattrsOfPath(native: ByteString, path: ByteString): XattrCalls
  /**
   * Where data begins at or behind `position` of an open file, or where a hole does; undefined if
   * there is none before the end. Moves its offset.
   */
  seek(
    descriptor: number,
    position: number,
    to: 'data' | 'hole',
    path: ByteString,
  ): number | undefined
  /** Has the kernel begin to read the first bytes of an open file; a failure is no matter. */
  readAhead(descriptor: number, byteCount: number): void
  /** FS_IOC_GETFLAGS. */
  inodeFlags(descriptor: number, path: ByteString): number
}

/** Calls that give bytes, as many as they return. */
export interface XattrCalls {
  /** The names, each ended by a zero byte. A `byteCount` of 0 asks for their size. */
  list(into: Buffer, byteCount: number): number
  /** The value for a name that ends with its zero byte. */
  get(name: Buffer, into: Buffer): number
}

const SEEK_TO = { data: 3, hole: 4 } as const
/** _IOR('f', 1, long), of which the kernel writes an int. */
const FS_IOC_GETFLAGS = 0x8008_6601

const FADV_WILLNEED = 3
const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const AT_NO_AUTOMOUNT = 0x800
/** STATX_BASIC_STATS and STATX_BTIME. */
const STATX_ALL = 0xfff

type Statx = (directory: number, name: Buffer, flags: number, mask: number, into: Buffer) => number

/** Node's lstat takes half as long again, and gives more for the garbage collector to do. */
function bindStatx(koffi: Koffi, library: Library): ReadingCalls['lookAt'] {
  let statx: Statx
  try {
    statx = library.func('int statx(int, const uint8_t *, int, uint, uint8_t *)') as Statx
  } catch {
    return undefined // An old C library.
  }
  const into = Buffer.alloc(STATX_BYTES)
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength)
  const scratch = Buffer.alloc(4_097)
  // An old kernel, or a sandbox that does not know the call.
  if (statx(AT_FDCWD, Buffer.from('/\0'), 0, STATX_ALL, into) !== 0) return undefined
  return (directory, name, follow, path) => {
    const flags = AT_NO_AUTOMOUNT | (follow ? 0 : AT_SYMLINK_NOFOLLOW)
    const buffer = name.length < scratch.length ? scratch : Buffer.alloc(name.length + 1)
    buffer[buffer.write(name, 0, 'latin1')] = 0
    if (statx(directory, buffer, flags, STATX_ALL, into) === 0) return sourceStatOf(view)
    const errno = koffi.errno()
    if (errno === constants.errno.ENOENT) return undefined
    throw errnoError(errno, 'lstat', path)
  }
}

/** The functions as C declares them. */
function declareReading(library: Library) {
  const flistxattr = library.func('int64_t flistxattr(int, uint8_t *, size_t)') as (
    descriptor: number,
    into: Buffer,
    byteCount: number,
  ) => number
  const llistxattr = library.func('int64_t llistxattr(const uint8_t *, uint8_t *, size_t)') as (
    path: Buffer,
    into: Buffer,
    byteCount: number,
  ) => number
  const fgetxattr = library.func('int64_t fgetxattr(int, const uint8_t *, uint8_t *, size_t)') as (
    descriptor: number,
    name: Buffer,
    into: Buffer,
    byteCount: number,
  ) => number
  const lgetxattr = library.func(
    'int64_t lgetxattr(const uint8_t *, const uint8_t *, uint8_t *, size_t)',
  ) as (path: Buffer, name: Buffer, into: Buffer, byteCount: number) => number
  const lseek = library.func('int64_t lseek(int, int64_t, int)') as (
    descriptor: number,
    offset: number,
    whence: number,
  ) => number
  // Variadic in C, as openat.
  const ioctl = library.func('int ioctl(int, unsigned long, uint8_t *)') as (
    descriptor: number,
    request: number,
    into: Buffer,
  ) => number
  const fadvise = library.func('int posix_fadvise(int, int64_t, int64_t, int)') as (
    descriptor: number,
    offset: number,
    byteCount: number,
    advice: number,
  ) => number
  return { flistxattr, llistxattr, fgetxattr, lgetxattr, lseek, ioctl, fadvise }
}

export function bindReading(koffi: Koffi, library: Library): ReadingCalls {
  const { flistxattr, llistxattr, fgetxattr, lgetxattr, lseek, ioctl, fadvise } =
    declareReading(library)
  const flags = Buffer.alloc(8)

  /** Must follow the call at once: anything in between may change errno. */
  function counted(result: number, syscall: string, path: ByteString): number {
    if (result < 0) throw errnoError(koffi.errno(), syscall, path)
    return result
  }

  return {
    lookAt: bindStatx(koffi, library),
    xattrsOfDescriptor: (descriptor, path) => ({
      list: (into, byteCount) =>
        counted(flistxattr(descriptor, into, byteCount), 'listxattr', path),
      get: (name, into) =>
        counted(fgetxattr(descriptor, name, into, into.length), 'getxattr', path),
    }),
    xattrsOfPath(native, path) {
      const at = Buffer.from(`${native}\0`, 'latin1')
      return {
        list: (into, byteCount) => counted(llistxattr(at, into, byteCount), 'listxattr', path),
        get: (name, into) => counted(lgetxattr(at, name, into, into.length), 'getxattr', path),
      }
    },
    seek(descriptor, position, to, path) {
      const found = lseek(descriptor, position, SEEK_TO[to])
      if (found >= 0) return found
      const errno = koffi.errno()
      if (errno === constants.errno.ENXIO) return undefined
      throw errnoError(errno, 'lseek', path)
    },
    readAhead: (descriptor, byteCount) => {
      fadvise(descriptor, 0, byteCount, FADV_WILLNEED)
    },
    inodeFlags(descriptor, path) {
      counted(ioctl(descriptor, FS_IOC_GETFLAGS, flags), 'ioctl', path)
      return flags.readUInt32LE(0)
    },
  }
}
