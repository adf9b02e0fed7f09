/**
 * The C library's calls that Node lacks: times in nanoseconds, a rename that replaces nothing, special
 * files. The one place that uses koffi. Every function here throws an error of Node's shape.
 *
 * Loaded on first use (about 10 ms a thread). Undefined where there is no such library: callers have
 * a way without it, which is slower or less exact.
 */

import { createRequire } from 'node:module'
import type { ByteString } from '../base/bytes.ts'
import { errnoError } from './system-error.ts'

/** Nanoseconds since 1970, negative before. `omit` leaves the time as it is. */
export type TimeNs = bigint | 'omit'

export interface Libc {
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
}

const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const RENAME_NOREPLACE = 1
const UTIME_OMIT = 0x3ffffffen
const NS_PER_SECOND = 1_000_000_000n

const LIBRARY_NAMES: Readonly<Record<string, readonly string[]>> = {
  x64: ['libc.so.6', 'libc.musl-x86_64.so.1'],
  arm64: ['libc.so.6', 'libc.musl-aarch64.so.1'],
}

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

type Koffi = typeof import('koffi')
type Library = ReturnType<Koffi['load']>

function load(): Libc | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi
    for (const name of LIBRARY_NAMES[process.arch] ?? []) {
      const library = openLibrary(koffi, name)
      if (library !== undefined) return bind(koffi, library)
    }
  } catch {
    // No prebuilt koffi for this machine, or a C library that lacks even futimens.
  }
  return undefined
}

function openLibrary(koffi: Koffi, name: string): Library | undefined {
  try {
    return koffi.load(name)
  } catch {
    return undefined
  }
}

/** struct timespec[2]: access then modification time, each seconds and nanoseconds of 64 bits. */
function packTimes(into: Buffer, atime: TimeNs, mtime: TimeNs): void {
  packTime(into, 0, atime)
  packTime(into, 16, mtime)
}

function packTime(into: Buffer, at: number, time: TimeNs): void {
  if (time === 'omit') {
    into.writeBigInt64LE(0n, at)
    into.writeBigInt64LE(UTIME_OMIT, at + 8)
    return
  }
  // BigInt division rounds towards zero; the nanoseconds must not be negative.
  const rest = time % NS_PER_SECOND
  const nanoseconds = rest < 0n ? rest + NS_PER_SECOND : rest
  into.writeBigInt64LE(BigInt.asIntN(64, (time - nanoseconds) / NS_PER_SECOND), at)
  into.writeBigInt64LE(nanoseconds, at + 8)
}

function bind(koffi: Koffi, library: Library): Libc {
  const times = Buffer.alloc(32)
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

  return {
    futimens(descriptor, atime, mtime, path) {
      packTimes(times, atime, mtime)
      check(futimens(descriptor, times), 'futimens', path)
    },
    utimensat(path, atime, mtime, follow) {
      packTimes(times, atime, mtime)
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
