/**
 * What travels to and from the workers of a restore. Everything is columns in typed arrays and paths
 * are one string: 55,000 small objects in messages cost more than writing their files.
 */

import type { ByteString } from '../base/bytes.ts'
import type { Time } from '../format/tree.ts'
import type { MetadataFailure, Target, TargetMetadata, Xattr } from '../source/target-files.ts'
import type { XattrPatterns } from '../source/target-xattrs.ts'
import type { BlobIdKeys } from './keys.ts'
import type { PackKey } from './pack-seal.ts'
import { decodeXattrs, encodeXattrs, type XattrColumns } from './xattr-columns.ts'

export interface RestoreInit {
  /** Of the target that the owner has open, and keeps open longer than the pool. */
  readonly rootFd: number
  readonly rootPath: ByteString
  readonly idKeys: BlobIdKeys
  /** [0] cancelled if not 0. */
  readonly control: SharedArrayBuffer
  /** Leaves holes where files have zeros. */
  readonly sparse: boolean
  /** Which extended attributes are restored. */
  readonly xattrPatterns: XattrPatterns
  /** The target itself, where the work is done inline. It cannot travel to a thread. */
  readonly target?: Target
}

/** What files have in common, whatever is done with them. */
export interface FileColumns {
  /** Relative to the target; each is ended by a NUL, which no name has. */
  readonly paths: string
  readonly sizes: Float64Array
  /** Mode, uid, gid of each file. NO_OWNER for an owner that stays. */
  readonly owners: Uint32Array
  /** Seconds and nanoseconds of mtime, then of atime; NaN for an atime that stays. */
  readonly times: Float64Array
  /** Inode flags; empty if no file has any. */
  readonly flags: Uint32Array
  readonly xattrs: XattrColumns
}

/** Writes files that are whole within the job, and blobs into files that the owner puts together. */
export interface WriteJob {
  readonly kind: 'write'
  /** Directories may have changed hands since the jobs before. */
  readonly refresh: boolean
  readonly files: FileColumns
  /** 1 if the file replaces what is there. */
  readonly overwrite: Uint8Array
  /** Rows that each file is made of; the rest of it, up to its size, are zeros. */
  readonly rowCounts: Uint32Array
  /** `path` if workers read the pack themselves. */
  readonly packs: readonly { readonly key: PackKey; readonly path: string | undefined }[]
  /** Sealed segments where workers do not. */
  readonly sealed: readonly Uint8Array[]
  /** SEGMENT_COLUMNS each: pack, offset / 64, stored bytes, rows, which of `sealed`, start there. */
  readonly segments: Uint32Array
  /** 32 bytes per row. */
  readonly ids: Uint8Array
  /**
   * ROW_COLUMNS each, by segment and offset: offset in the plaintext, length, file; for a number in
   * `shared` the file is that and SHARED_FILE.
   */
  readonly rows: Uint32Array
  /** Per row: where in the file. */
  readonly positions: Float64Array
  /** Files of the owner's, by `TargetFile.shared`, open until the result is there; -1: given up. */
  readonly shared: Int32Array
}

export const SEGMENT_COLUMNS = 6
export const ROW_COLUMNS = 3
/** Added to the number of a file that the owner puts together. */
export const SHARED_FILE = 0x8000_0000
/** A segment that neither the pack's path nor `sealed` has: it counts as damaged. */
export const NOT_LOADED = 0xffff_ffff

/** Reads files of the target and compares them with references. */
export interface CompareJob {
  readonly kind: 'compare'
  readonly files: FileColumns
  /** Sets the metadata of files that are equal. */
  readonly adopt: boolean
  /** Per file: where the references begin, and how many there are. */
  readonly starts: Float64Array
  readonly counts: Uint32Array
  readonly references: Uint8Array
}

export type RestoreJob = WriteJob | CompareJob

export const FILE_STATUS = {
  /** Written, or equal. */
  done: 0,
  /** Not written: some of its rows are in `damagedRows`. */
  damaged: 1,
  /** Not written; a report says why. */
  failed: 2,
  /** Equal, but its metadata cannot be set in place: to be written anew. */
  unadopted: 3,
  /** Not equal. */
  differs: 4,
} as const

/** Bits of `unset`. */
export const UNSET = {
  owner: 1,
  mode: 2,
  times: 4,
  xattrs: 8,
  flags: 16,
} as const satisfies Record<MetadataFailure['what'], number>
/** The same bits again, further up, for what was refused to an ordinary user. */
export const REFUSED_SHIFT = 8

/** Why a file failed, or what of its metadata could not be set. */
export interface FileReport {
  readonly file: number
  readonly what: 'content' | MetadataFailure['what']
  readonly code: string
  readonly message: string
  readonly isRefused?: boolean
}

export interface RestoreResult {
  /** Per file, one of FILE_STATUS. */
  readonly statuses: Uint8Array
  /** Per file, bits of UNSET. */
  readonly unset: Uint16Array
  /** Of owners that could not be set, and of what was refused, only some: it may be every file. */
  readonly reports: readonly FileReport[]
  /** Numbers of rows whose blob could not be had, and for each of them why. */
  readonly damagedRows: Uint32Array
  readonly damage: readonly string[]
  /** Files of `shared` that could not be written, and why. */
  readonly sharedFailures: readonly SharedFailure[]
}

export interface SharedFailure {
  readonly shared: number
  readonly code: string
  readonly message: string
}

export const NO_OWNER = 0xffff_ffff
const OWNER_COLUMNS = 3
const TIME_COLUMNS = 4

export interface FileFacts {
  readonly path: ByteString
  readonly size: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtime: Time
  readonly atime?: Time | undefined
  readonly flags: number
  /** Undefined if they stay as they are. */
  readonly xattrs: readonly Xattr[] | undefined
}

export function encodeFiles(files: readonly FileFacts[]): FileColumns {
  const sizes = new Float64Array(files.length)
  const owners = new Uint32Array(files.length * OWNER_COLUMNS)
  const times = new Float64Array(files.length * TIME_COLUMNS)
  const paths: string[] = []
  for (const [i, file] of files.entries()) {
    paths.push(file.path)
    sizes[i] = file.size
    owners[i * OWNER_COLUMNS] = file.mode
    owners[i * OWNER_COLUMNS + 1] = file.uid
    owners[i * OWNER_COLUMNS + 2] = file.gid
    const at = i * TIME_COLUMNS
    times[at] = file.mtime.seconds
    times[at + 1] = file.mtime.nanoseconds
    times[at + 2] = file.atime?.seconds ?? Number.NaN
    times[at + 3] = file.atime?.nanoseconds ?? 0
  }
  paths.push('')
  const hasFlags = files.some(({ flags }) => flags !== 0)
  return {
    paths: paths.join('\0'),
    sizes,
    owners,
    times,
    flags: hasFlags ? Uint32Array.from(files, ({ flags }) => flags) : new Uint32Array(),
    xattrs: encodeXattrs(files.map(({ xattrs }) => xattrs)),
  }
}

export function decodePaths(columns: FileColumns): ByteString[] {
  const paths = columns.paths.split('\0')
  paths.pop()
  return paths
}

export function metadataOf(
  { owners, times, flags, xattrs }: FileColumns,
  file: number,
  selectsXattr: (name: ByteString) => boolean,
): TargetMetadata {
  const mode = owners[file * OWNER_COLUMNS] ?? 0
  const uid = owners[file * OWNER_COLUMNS + 1] ?? NO_OWNER
  const gid = owners[file * OWNER_COLUMNS + 2] ?? NO_OWNER
  const at = file * TIME_COLUMNS
  const mtimeNs = nanosecondsFrom(times[at] ?? 0, times[at + 1] ?? 0)
  const atimeSeconds = times[at + 2] ?? Number.NaN
  const atimeNs = Number.isNaN(atimeSeconds)
    ? undefined
    : nanosecondsFrom(atimeSeconds, times[at + 3] ?? 0)
  const list = decodeXattrs(xattrs, file)
  return {
    mode,
    mtimeNs,
    flags: flags[file] ?? 0,
    ...(list === undefined ? undefined : { xattrs: { list, selects: selectsXattr } }),
    ...(uid === NO_OWNER ? undefined : { uid }),
    ...(gid === NO_OWNER ? undefined : { gid }),
    ...(atimeNs === undefined ? undefined : { atimeNs }),
  }
}

function nanosecondsFrom(seconds: number, nanoseconds: number): bigint {
  return BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds)
}
