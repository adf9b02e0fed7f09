/**
 * The C library's calls that Node lacks: times in nanoseconds, a rename that replaces nothing, special
 * files, entries of an open directory, files without a name; and, in libc-reading.ts, what a backup
 * reads. Every function here throws an error of Node's shape.
 *
 * Loaded on first use (about 10 ms a thread). Undefined where there is no such library: callers have
 * a way without it, which is slower or less exact.
 */

import { constants } from 'node:os'
import type { ByteString } from '../base/bytes.ts'
import { cLibrary, type Koffi, type Library } from '../base/c-library.ts'
import { bindReading, type ReadingCalls } from './libc-reading.ts'
import { errnoError } from './system-error.ts'

/** Nanoseconds since 1970, negative before. `omit` leaves the time as it is. */
export type TimeNs = bigint | 'omit'

export interface Libc extends ReadingCalls {
  /** Sets the times of an open file, to the nanosecond. `path` is for the error only. */
  futimens(descriptor: number, atime: TimeNs, mtime: TimeNs, path: ByteString): void
  /** Sets the times of what is at `path`: of the link itself unless `follow`. */
  utimensat(path: ByteString, atime: TimeNs, mtime: TimeNs, follow: boolean): void
  /**
   * Renames `from` in one directory to `to` in another, by descriptor. Without `replace` it fails
   * with EEXIST if `to` is there, or EINVAL where the file system cannot promise that.
   * Undefined in an old C library.
   */
  readonly renameat2:
    | ((options: {
        readonly fromDirectory: number
        readonly from: ByteString
        readonly toDirectory: number
        readonly to: ByteString
        readonly replace: boolean
      }) => void)
    | undefined
  /** Makes a FIFO, socket or device: `mode` with its type bits. Undefined in an old C library. */
  readonly mknod: ((path: ByteString, mode: number, device: bigint) => void) | undefined
  /**
   * Opens `name` in a directory, closed on exec; `path` is for the error only. The descriptor must be
   * closed by `close` here: Node keeps a list of those that a worker thread has opened itself.
   */
  openat(
    directory: number,
    name: ByteString,
    how: { readonly flags: number; readonly mode: number; readonly path: ByteString },
  ): number
  close(descriptor: number, path: ByteString): void
  /**
   * Gives the open file `descriptor`, which may have no name yet, this one in a directory. Fails with
   * EEXIST if there is anything by it.
   */
  link(descriptor: number, directory: number, name: ByteString, path: ByteString): void
  /** The magic number of the file system of an open file, or undefined. */
  fileSystem(descriptor: number): number | undefined
}

const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const AT_SYMLINK_FOLLOW = 0x400
const AT_EMPTY_PATH = 0x1000
const O_CLOEXEC = 0o2000000
const RENAME_NOREPLACE = 1
const UTIME_OMIT = 0x3ffffffen
const NS_PER_SECOND = 1_000_000_000n

/** The C library, or undefined where koffi or the library cannot be loaded. Remembered. */
export function libc(): Libc | undefined {
  if (!isTried) {
    isTried = true
    loaded = load()
  }
  return loaded
}

let isTried = false
let loaded: Libc | undefined

function load(): Libc | undefined {
  try {
    const { koffi, library } = cLibrary()
    return bind(koffi, library)
  } catch {
    // No prebuilt koffi for this machine, or a C library that lacks even futimens.
    return undefined
  }
}

/** struct timespec[2]: access then modification time, each seconds and nanoseconds of 64 bits. */
function packTimes(into: BigInt64Array, atime: TimeNs, mtime: TimeNs): void {
  packTime(into, 0, atime)
  packTime(into, 2, mtime)
}

function packTime(into: BigInt64Array, at: number, time: TimeNs): void {
  if (time === 'omit') {
    into[at] = 0n
    into[at + 1] = UTIME_OMIT
    return
  }
  // BigInt division rounds towards zero; the nanoseconds must not be negative.
  const rest = time % NS_PER_SECOND
  const nanoseconds = rest < 0n ? rest + NS_PER_SECOND : rest
  into[at] = (time - nanoseconds) / NS_PER_SECOND // Which keeps the lowest 64 bits.
  into[at + 1] = nanoseconds
}

/** The functions as C declares them. */
function declare(library: Library) {
  const futimens = library.func('int futimens(int, const uint8_t *)') as (
    descriptor: number,
    times: Buffer,
  ) => number
  const utimensat = library.func('int utimensat(int, const uint8_t *, const uint8_t *, int)') as (
    directory: number,
    path: Buffer,
    times: Buffer,
    flags: number,
  ) => number
  const renameat2 = optional(
    library,
    'int renameat2(int, const uint8_t *, int, const uint8_t *, uint)',
  ) as
    | ((
        fromDirectory: number,
        from: Buffer,
        toDirectory: number,
        to: Buffer,
        flags: number,
      ) => number)
    | undefined
  const mknod = optional(library, 'int mknod(const uint8_t *, uint, uint64_t)') as
    | ((path: Buffer, mode: number, device: bigint) => number)
    | undefined

  // Variadic in C; an integer is passed the same way on both architectures.
  const openat = library.func('int openat(int, const uint8_t *, int, uint)') as (
    directory: number,
    name: Buffer,
    flags: number,
    mode: number,
  ) => number
  const close = library.func('int close(int)') as (descriptor: number) => number
  const linkat = library.func('int linkat(int, const uint8_t *, int, const uint8_t *, int)') as (
    fromDirectory: number,
    from: Buffer,
    toDirectory: number,
    to: Buffer,
    flags: number,
  ) => number
  const fstatfs = library.func('int fstatfs(int, uint8_t *)') as (
    descriptor: number,
    into: Buffer,
  ) => number
  return { futimens, utimensat, renameat2, mknod, openat, close, linkat, fstatfs }
}

function bind(koffi: Koffi, library: Library): Libc {
  const timeWords = new BigInt64Array(4)
  const times = Buffer.from(timeWords.buffer)
  const scratch = [Buffer.alloc(4_097), Buffer.alloc(4_097)] as const

  /** The path as C has it, in a buffer that the next call with the same `slot` overwrites. */
  function cString(path: ByteString, slot: 0 | 1): Buffer {
    const buffer = path.length < 4_097 ? scratch[slot] : Buffer.alloc(path.length + 1)
    buffer[buffer.write(path, 0, 'latin1')] = 0
    return buffer
  }

  /** Must follow the call at once: anything in between may change errno. */
  function check(result: number, syscall: string, path: ByteString): void {
    if (result !== 0) throw errnoError(koffi.errno(), syscall, path)
  }

  const { futimens, utimensat, renameat2, mknod, openat, close, linkat, fstatfs } = declare(library)
  const statfs = Buffer.alloc(512)
  const emptyPath = Buffer.alloc(1)
  /** Before Linux 6.10 it takes a capability, and says ENOENT without. */
  let hasEmptyPath = true

  return {
    ...bindReading(koffi, library),
    openat(directory, name, { flags, mode, path }) {
      const descriptor = openat(directory, cString(name, 0), flags | O_CLOEXEC, mode)
      if (descriptor < 0) throw errnoError(koffi.errno(), 'open', path)
      return descriptor
    },
    close: (descriptor, path) => check(close(descriptor), 'close', path),
    link(descriptor, directory, name, path) {
      const to = cString(name, 1)
      if (hasEmptyPath) {
        if (linkat(descriptor, emptyPath, directory, to, AT_EMPTY_PATH) === 0) return
        const errno = koffi.errno()
        if (errno !== constants.errno.ENOENT) throw errnoError(errno, 'link', path)
        hasEmptyPath = false
      }
      const from = cString(`/proc/self/fd/${descriptor}`, 0)
      check(linkat(AT_FDCWD, from, directory, to, AT_SYMLINK_FOLLOW), 'link', path)
    },
    // Its first member, a long, in little-endian order as every Node platform of Linux here has.
    fileSystem: (descriptor) =>
      fstatfs(descriptor, statfs) === 0 ? statfs.readUInt32LE(0) : undefined,
    futimens(descriptor, atime, mtime, path) {
      packTimes(timeWords, atime, mtime)
      check(futimens(descriptor, times), 'futimens', path)
    },
    utimensat(path, atime, mtime, follow) {
      packTimes(timeWords, atime, mtime)
      const flags = follow ? 0 : AT_SYMLINK_NOFOLLOW
      check(utimensat(AT_FDCWD, cString(path, 0), times, flags), 'utimensat', path)
    },
    renameat2:
      renameat2 &&
      (({ fromDirectory, from, toDirectory, to, replace }) => {
        const flags = replace ? 0 : RENAME_NOREPLACE
        const result = renameat2(
          fromDirectory,
          cString(from, 0),
          toDirectory,
          cString(to, 1),
          flags,
        )
        check(result, 'rename', to)
      }),
    mknod:
      mknod &&
      ((path, mode, device) => check(mknod(cString(path, 0), mode, device), 'mknod', path)),
  }
}

function optional(library: Library, prototype: string): unknown {
  try {
    return library.func(prototype)
  } catch {
    return undefined
  }
}
