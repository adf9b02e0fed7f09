/**
 * What stat does not tell: extended attributes, which hold POSIX ACLs and capabilities too, and the
 * flags that chattr sets. Most files have neither, and finding that out takes two short calls. A
 * device that has no such thing is asked once.
 */

import type { ByteString } from '../base/bytes.ts'
import type { ReadingCalls, XattrCalls } from './libc-reading.ts'
import { errorCode, systemError } from './system-error.ts'

export type Xattr = readonly [name: Uint8Array, value: Uint8Array]

export interface ExtendedMetadata {
  /** In the order that the system lists them in. */
  readonly xattrs: readonly Xattr[]
  /** FS_*_FL bits, of those in `FLAGS_KEPT`. */
  readonly flags: number
  /** What could not be read; the rest is here. */
  readonly problems: readonly Error[]
}

/** Of an entry that has nothing of the kind: compare with ===. */
export const NO_EXTENDED: ExtendedMetadata = Object.freeze({ xattrs: [], flags: 0, problems: [] })

/**
 * FORMAT.md 12, key 19: what a user sets and a restore can set again. The others say how one file
 * system keeps the file.
 */
export const FLAGS_KEPT =
  0x0000_0004 | // compressed
  0x0000_0008 | // synchronous writes
  0x0000_0010 | // immutable
  0x0000_0020 | // append only
  0x0000_0040 | // not dumped
  0x0000_0080 | // no access times
  0x0000_0400 | // never compressed
  0x0000_4000 | // data through the journal
  0x0000_8000 | // no tail merging
  0x0001_0000 | // synchronous directory
  0x0002_0000 | // top of a hierarchy
  0x0080_0000 // no copy on write

/** XATTR_LIST_MAX and XATTR_SIZE_MAX of Linux. */
const CALL_BYTES_MAX = 65_536
/** Below FORMAT.md's limit of a blob, with room for what encoding adds. */
const XATTR_BYTES_MAX = 60 << 20

export class ExtendedReader {
  readonly #libc: ReadingCalls
  readonly #list = Buffer.allocUnsafeSlow(CALL_BYTES_MAX)
  readonly #value = Buffer.allocUnsafeSlow(CALL_BYTES_MAX)
  readonly #devicesWithoutXattrs = new Set<bigint>()
  readonly #devicesWithoutFlags = new Set<bigint>()

  constructor(libc: ReadingCalls) {
    this.#libc = libc
  }

  /** Of an open file or directory of `device`. `path` is for the errors. */
  ofDescriptor(descriptor: number, device: bigint, path: ByteString): ExtendedMetadata {
    const problems: Error[] = []
    const calls = this.#libc.xattrsOfDescriptor(descriptor, path)
    const xattrs = this.#xattrs(calls, device, path, problems)
    return extended(xattrs, this.#flags(descriptor, device, path, problems), problems)
  }

  /** Of what is at `native` itself, which may be a link. Without flags: those need it to be open. */
  ofPath(native: ByteString, device: bigint, path: ByteString): ExtendedMetadata {
    const problems: Error[] = []
    const calls = this.#libc.xattrsOfPath(native, path)
    return extended(this.#xattrs(calls, device, path, problems), 0, problems)
  }

  #xattrs(
    calls: XattrCalls,
    device: bigint,
    path: ByteString,
    problems: Error[],
  ): readonly Xattr[] {
    if (this.#devicesWithoutXattrs.has(device)) return NO_EXTENDED.xattrs
    try {
      // The size alone: for a buffer of this size the kernel would get one of its own each time.
      if (calls.list(this.#list, 0) === 0) return NO_EXTENDED.xattrs
      const byteCount = calls.list(this.#list, CALL_BYTES_MAX)
      return this.#values(calls, this.#list.subarray(0, byteCount), path, problems)
    } catch (error) {
      const code = errorCode(error)
      if (code === 'ENOTSUP' || code === 'EOPNOTSUPP' || code === 'ENOSYS') {
        this.#devicesWithoutXattrs.add(device)
      } else problems.push(asError(error))
      return NO_EXTENDED.xattrs
    }
  }

  /** `names` are C strings, one after the other. */
  #values(calls: XattrCalls, names: Buffer, path: ByteString, problems: Error[]): Xattr[] {
    const found: Xattr[] = []
    let total = 0
    for (let at = 0; at < names.length; ) {
      const end = names.indexOf(0, at) + 1
      if (end === 0) break
      const name = names.subarray(at, end)
      at = end
      try {
        const byteCount = calls.get(name, this.#value)
        total += byteCount + name.length
        if (total > XATTR_BYTES_MAX) {
          const reason = `more than ${XATTR_BYTES_MAX} bytes of extended attributes`
          problems.push(systemError('E2BIG', 'getxattr', path, reason))
          return found
        }
        const value = Uint8Array.from(this.#value.subarray(0, byteCount))
        found.push([Uint8Array.from(name.subarray(0, -1)), value])
      } catch (error) {
        // Taken away since it was listed: then it is not there.
        if (errorCode(error) !== 'ENODATA') problems.push(asError(error))
      }
    }
    return found
  }

  #flags(descriptor: number, device: bigint, path: ByteString, problems: Error[]): number {
    if (this.#devicesWithoutFlags.has(device)) return 0
    try {
      return this.#libc.inodeFlags(descriptor, path) & FLAGS_KEPT
    } catch (error) {
      const code = errorCode(error)
      const hasNone = code === 'ENOTTY' || code === 'ENOTSUP' || code === 'EOPNOTSUPP'
      if (hasNone || code === 'EINVAL' || code === 'ENOSYS') this.#devicesWithoutFlags.add(device)
      else problems.push(asError(error))
      return 0
    }
  }
}

function extended(
  xattrs: readonly Xattr[],
  flags: number,
  problems: readonly Error[],
): ExtendedMetadata {
  const isEmpty = xattrs.length === 0 && flags === 0 && problems.length === 0
  return isEmpty ? NO_EXTENDED : { xattrs, flags, problems }
}

function asError(error: unknown): Error {
  if (error instanceof Error && errorCode(error) !== undefined) return error
  throw error
}
