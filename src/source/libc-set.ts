/**
 * The C library's calls for what Node has no word of and a restore sets: extended attributes, inode
 * flags, and where a file has data. Beside libc.ts, under the same conditions: every function throws
 * an error of Node's shape, and there is none of them where there is no such library.
 */

import { constants } from 'node:os'
import type { ByteString } from '../base/bytes.ts'
import { cLibrary, type Library } from '../base/c-library.ts'
import { libc } from './libc.ts'
import type { ReadingCalls } from './libc-reading.ts'
import { errnoError, errorCode } from './system-error.ts'

/** Extended attributes of files that are named in one way. `shown` is the path for errors. */
export interface XattrCalls<Subject> {
  /** The names, in no order. ENOTSUP where the file system has none. */
  list(subject: Subject, shown: ByteString): ByteString[]
  /** Undefined if there is none of this name. */
  get(subject: Subject, name: ByteString, shown: ByteString): Uint8Array | undefined
  /** Whether there is one of this name, whatever its value. */
  has(subject: Subject, name: ByteString, shown: ByteString): boolean
  set(subject: Subject, name: ByteString, value: Uint8Array, shown: ByteString): void
  /** One that is not there is fine. */
  remove(subject: Subject, name: ByteString, shown: ByteString): void
}

export interface LibcSet {
  readonly byDescriptor: XattrCalls<number>
  /** Of what a path leads to. */
  readonly byPath: XattrCalls<ByteString>
  /** Of what is at a path, be it a link. */
  readonly byLinkPath: XattrCalls<ByteString>
  /** Inode flags of an open file, not of O_PATH. Undefined where the file system has none. */
  flags(descriptor: number, shown: ByteString): number | undefined
  setFlags(descriptor: number, flags: number, shown: ByteString): void
  /** The first position from `position` on that has data; undefined if there is only a hole. */
  nextData(descriptor: number, position: number, shown: ByteString): number | undefined
}

const FS_IOC_SETFLAGS = 0x4008_6602

let isTried = false
let loaded: LibcSet | undefined

/** As `libc` has it: undefined where it cannot be loaded. Remembered. */
export function libcSet(): LibcSet | undefined {
  if (!isTried) {
    isTried = true
    loaded = load()
  }
  return loaded
}

function load(): LibcSet | undefined {
  const reading = libc()
  if (reading === undefined) return undefined
  try {
    const { koffi, library } = cLibrary()
    return bind(library, () => koffi.errno(), reading)
  } catch {
    return undefined // A library without these calls.
  }
}

/** As C has it: with a NUL at the end. */
function cString(text: ByteString): Buffer {
  return Buffer.from(`${text}\0`, 'latin1')
}

const { ENODATA, ERANGE } = constants.errno
const HAS_NO_FLAGS: ReadonlySet<unknown> = new Set(['ENOTTY', 'ENOTSUP', 'ENOSYS', 'EINVAL'])

function bind(library: Library, errno: () => number, reading: ReadingCalls): LibcSet {
  const ioctl = library.func('int ioctl(int, ulong, _Inout_ uint8_t *)') as (
    descriptor: number,
    request: number,
    argument: Buffer,
  ) => number
  const word = Buffer.alloc(8)
  return {
    byDescriptor: bindXattrs<number>(library, errno, 'f'),
    byPath: bindXattrs<ByteString>(library, errno, ''),
    byLinkPath: bindXattrs<ByteString>(library, errno, 'l'),
    flags(descriptor, shown) {
      try {
        return reading.inodeFlags(descriptor, shown)
      } catch (error) {
        if (HAS_NO_FLAGS.has(errorCode(error))) return undefined
        throw error
      }
    },
    setFlags(descriptor, flags, shown) {
      word.writeUInt32LE(flags >>> 0, 0)
      if (ioctl(descriptor, FS_IOC_SETFLAGS, word) !== 0) throw errnoError(errno(), 'ioctl', shown)
    },
    nextData(descriptor, position, shown) {
      try {
        return reading.seek(descriptor, position, 'data', shown)
      } catch (error) {
        if (errorCode(error) === 'EINVAL') return position // It cannot tell: all of it may be data.
        throw error
      }
    },
  }
}

const EMPTY = Buffer.alloc(0)

type Subject = number | ByteString
type CSubject = number | Buffer

/** The four calls with `prefix` before their names. */
function bindXattrs<S extends Subject>(
  library: Library,
  errno: () => number,
  prefix: '' | 'f' | 'l',
): XattrCalls<S> {
  const first = prefix === 'f' ? 'int' : 'const uint8_t *'
  const list = library.func(`intptr_t ${prefix}listxattr(${first}, _Out_ uint8_t *, size_t)`) as (
    subject: CSubject,
    into: Buffer,
    size: number,
  ) => number
  const get = library.func(
    `intptr_t ${prefix}getxattr(${first}, const uint8_t *, _Out_ uint8_t *, size_t)`,
  ) as (subject: CSubject, name: Buffer, into: Buffer, size: number) => number
  const set = library.func(
    `int ${prefix}setxattr(${first}, const uint8_t *, const uint8_t *, size_t, int)`,
  ) as (subject: CSubject, name: Buffer, value: Uint8Array, size: number, flags: number) => number
  const remove = library.func(`int ${prefix}removexattr(${first}, const uint8_t *)`) as (
    subject: CSubject,
    name: Buffer,
  ) => number

  const native = (subject: S): CSubject =>
    typeof subject === 'number' ? subject : cString(subject)
  /** `read` with a buffer that is large enough. Undefined for an errno of `absent`. */
  function growing(
    read: (into: Buffer) => number,
    absent: number | undefined,
    [syscall, shown]: readonly [string, ByteString],
  ): Buffer | undefined {
    for (let size = 1024; ; size *= 8) {
      const into = Buffer.allocUnsafe(size)
      const count = read(into)
      if (count >= 0) return into.subarray(0, count)
      const code = errno()
      if (code === absent) return undefined
      if (code !== ERANGE || size > 1 << 24) throw errnoError(code, syscall, shown)
    }
  }

  return {
    list(subject, shown) {
      const read = (into: Buffer) => list(native(subject), into, into.length)
      const names = growing(read, undefined, ['listxattr', shown])?.toString('latin1') ?? ''
      return names === '' ? [] : names.slice(0, -1).split('\0')
    },
    get(subject, name, shown) {
      const read = (into: Buffer) => get(native(subject), cString(name), into, into.length)
      return growing(read, ENODATA, ['getxattr', shown])
    },
    has(subject, name, shown) {
      if (get(native(subject), cString(name), EMPTY, 0) >= 0) return true
      const code = errno()
      if (code === ENODATA) return false
      throw errnoError(code, 'getxattr', shown)
    },
    set(subject, name, value, shown) {
      const result = set(native(subject), cString(name), value, value.length, 0)
      if (result !== 0) throw errnoError(errno(), 'setxattr', shown)
    },
    remove(subject, name, shown) {
      if (remove(native(subject), cString(name)) === 0) return
      const code = errno()
      if (code !== ENODATA) throw errnoError(code, 'removexattr', shown)
    },
  }
}
