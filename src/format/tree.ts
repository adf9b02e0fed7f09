/**
 * Tree leaves, inner nodes and chunk-list leaves (FORMAT.md 12 and 13).
 *
 *   leaf:  0x01, then CBOR maps, one per entry, sorted by name
 *   inner: 0x01 | u8 height, then CBOR arrays [last name, child id, entries, bytes]
 *   list:  0x01, then references { id[32] | u32 length }
 */

import type { ByteString } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { ID_BYTES } from '../base/ids.ts'
import { CborReader, CborWriter } from './cbor.ts'
import { LIMIT, REFERENCE_BYTES } from './constants.ts'
import { EntryRow } from './entry-row.ts'
import { writeXattrs, type Xattrs } from './xattrs.ts'

const VERSION = 1

/** FORMAT.md 12, key 1. */
export const ENTRY_TYPE = {
  file: 0,
  directory: 1,
  symlink: 2,
  fifo: 3,
  socket: 4,
  chardevice: 5,
  blockdevice: 6,
} as const
export type EntryTypeNumber = (typeof ENTRY_TYPE)[keyof typeof ENTRY_TYPE]

export interface Time {
  /** Since 1970-01-01T00:00:00Z; negative before. */
  readonly seconds: number
  readonly nanoseconds: number
}

/** A root: its id, and how many levels of inner nodes are above the leaves. */
export interface NodeRoot {
  readonly id: Uint8Array
  readonly height: number
}

/** One entry of a directory. A field that is absent has FORMAT.md's default. */
export interface TreeEntry {
  readonly name: ByteString
  readonly type: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtime: Time
  readonly birthtime?: Time
  readonly atime?: Time
  readonly size: number
  /** References of 36 bytes each. */
  readonly content?: Uint8Array
  readonly contentList?: NodeRoot
  readonly target?: Uint8Array
  readonly device?: { readonly major: number; readonly minor: number }
  readonly subtree?: NodeRoot
  readonly xattrs?: Xattrs
  readonly xattrsId?: Uint8Array
  readonly flags?: number
  readonly linkGroup?: bigint
  readonly changedWhileRead?: boolean
  /** Set by the decoder if a negative key was met: this entry must not be restored. */
  readonly unknownCritical?: boolean
}

function fieldCount(entry: TreeEntry): number {
  let count = 1
  if (entry.type !== 0) count++
  if (entry.mode !== 0) count++
  if (entry.uid !== 0) count++
  if (entry.gid !== 0) count++
  if (entry.mtime.seconds !== 0) count++
  if (entry.mtime.nanoseconds !== 0) count++
  if (entry.birthtime !== undefined) count += 2
  if (entry.atime !== undefined) count += 2
  if (entry.size !== 0) count++
  if (entry.content !== undefined && entry.content.length > 0) count++
  if (entry.contentList !== undefined) count++
  if (entry.target !== undefined) count++
  if (entry.device !== undefined) count++
  if (entry.subtree !== undefined) count += entry.subtree.height === 0 ? 1 : 2
  if (entry.xattrs !== undefined) count++
  if (entry.xattrsId !== undefined) count++
  if (entry.flags !== undefined && entry.flags !== 0) count++
  if (entry.linkGroup !== undefined) count++
  if (entry.changedWhileRead === true) count++
  return count
}

/** Writes `key`, then `value`, if it is not zero. */
function writeUnlessZero(out: CborWriter, key: number, value: number): void {
  if (value === 0) return
  out.integer(key)
  out.integer(value)
}

function writeRoot(out: CborWriter, key: number, root: NodeRoot): void {
  out.integer(key)
  out.array(2)
  out.bytes(root.id)
  out.integer(root.height)
}

/** Appends one entry to a leaf. Keys 0 to 25 in the order of their encodings, which is numeric. */
export function writeEntry(out: CborWriter, entry: TreeEntry): void {
  out.map(fieldCount(entry))
  out.integer(0)
  out.byteString(entry.name)
  writeUnlessZero(out, 1, entry.type)
  writeUnlessZero(out, 2, entry.mode)
  writeUnlessZero(out, 3, entry.uid)
  writeUnlessZero(out, 4, entry.gid)
  writeUnlessZero(out, 5, entry.mtime.seconds)
  writeUnlessZero(out, 6, entry.mtime.nanoseconds)
  if (entry.birthtime !== undefined) {
    out.integer(7)
    out.integer(entry.birthtime.seconds)
    out.integer(8)
    out.integer(entry.birthtime.nanoseconds)
  }
  if (entry.atime !== undefined) {
    out.integer(9)
    out.integer(entry.atime.seconds)
  }
  writeUnlessZero(out, 10, entry.size)
  if (entry.content !== undefined && entry.content.length > 0) {
    out.integer(11)
    out.bytes(entry.content)
  }
  if (entry.contentList !== undefined) writeRoot(out, 12, entry.contentList)
  if (entry.target !== undefined) {
    out.integer(13)
    out.bytes(entry.target)
  }
  if (entry.device !== undefined) {
    out.integer(14)
    out.array(2)
    out.integer(entry.device.major)
    out.integer(entry.device.minor)
  }
  if (entry.subtree !== undefined) {
    out.integer(15)
    out.bytes(entry.subtree.id)
    writeUnlessZero(out, 16, entry.subtree.height)
  }
  writeExtended(out, entry)
}

function writeExtended(out: CborWriter, entry: TreeEntry): void {
  if (entry.xattrs !== undefined) {
    out.integer(17)
    writeXattrs(out, entry.xattrs)
  }
  if (entry.xattrsId !== undefined) {
    out.integer(18)
    out.bytes(entry.xattrsId)
  }
  writeUnlessZero(out, 19, entry.flags ?? 0)
  if (entry.linkGroup !== undefined) {
    out.integer(20)
    out.integer(entry.linkGroup)
  }
  if (entry.changedWhileRead === true) {
    out.integer(23)
    out.map(1)
    out.integer(0)
    out.integer(1)
  }
  if (entry.atime !== undefined) {
    out.integer(25)
    out.integer(entry.atime.nanoseconds)
  }
}

/**
 * Calls `visit` for each entry of a leaf, in order. An entry with a name that no file system may
 * hold goes to `onRefused` with the reason; the rest of the leaf is good. Throws CAIRN_CORRUPT if
 * the leaf cannot be followed.
 */
export function decodeLeaf(
  bytes: Uint8Array,
  visit: (entry: TreeEntry) => void,
  onRefused: (entry: TreeEntry, problem: string) => void,
): void {
  scanLeaf(
    bytes,
    (row) => visit(row.entry()),
    (row, problem) => onRefused(row.entry(), problem),
  )
}

/**
 * As `decodeLeaf`, for who wants few of the entries: the row is the same object each time, and makes
 * an entry only when asked.
 */
export function scanLeaf(
  bytes: Uint8Array,
  visit: (row: EntryRow) => void,
  onRefused: (row: EntryRow, problem: string) => void,
): void {
  if (bytes[0] !== VERSION) {
    throw new CairnError('CAIRN_CORRUPT', `cannot decode tree leaf: unknown version ${bytes[0]}`)
  }
  const row = new EntryRow(bytes, LEAF_HEAD.length)
  while (row.next()) {
    const problem = row.nameProblem()
    if (problem === undefined) visit(row)
    else onRefused(row, problem)
  }
}

/** The bytes of a leaf before its first entry. */
export const LEAF_HEAD = Uint8Array.of(VERSION)

export interface InnerRow {
  readonly lastName: ByteString
  readonly id: Uint8Array
  /** Entries of a directory or references of a list below. */
  readonly entryCount: number
  readonly byteCount: number
}

export function encodeInner(height: number, rows: readonly InnerRow[]): Uint8Array {
  const out = new CborWriter(rows.length * 64 + 16)
  out.raw(Uint8Array.of(VERSION, height))
  for (const row of rows) {
    out.array(4)
    out.byteString(row.lastName)
    out.bytes(row.id)
    out.integer(row.entryCount)
    out.integer(row.byteCount)
  }
  return out.finish()
}

/** Decodes an inner node that should have `height`. */
export function decodeInner(bytes: Uint8Array, height: number): InnerRow[] {
  const reader = new CborReader(bytes, 'inner node', 2)
  if (bytes[0] !== VERSION) reader.fail(`unknown version ${bytes[0]}`)
  if (bytes[1] !== height || height < 1) reader.fail(`height ${bytes[1]} where ${height} belongs`)
  const rows: InnerRow[] = []
  while (!reader.atEnd) {
    reader.array(4)
    rows.push({
      lastName: reader.byteString(LIMIT.nameBytesMax),
      id: reader.bytes(ID_BYTES, ID_BYTES),
      entryCount: reader.unsigned(),
      byteCount: reader.unsigned(),
    })
  }
  return rows
}

export function encodeListLeaf(references: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + references.length)
  bytes[0] = VERSION
  bytes.set(references, 1)
  return bytes
}

/** The references of a list leaf: a view. */
export function decodeListLeaf(bytes: Uint8Array): Uint8Array {
  if (bytes[0] !== VERSION || (bytes.length - 1) % REFERENCE_BYTES !== 0) {
    throw new CairnError('CAIRN_CORRUPT', 'cannot decode chunk list: wrong version or cut off')
  }
  return bytes.subarray(1)
}

export interface Reference {
  /** All zero for a hole. */
  readonly id: Uint8Array
  readonly length: number
}

export function referenceCount(references: Uint8Array): number {
  return references.length / REFERENCE_BYTES
}

export function referenceLength(references: Uint8Array, index: number): number {
  const at = index * REFERENCE_BYTES + ID_BYTES
  return (
    ((references[at] ?? 0) |
      ((references[at + 1] ?? 0) << 8) |
      ((references[at + 2] ?? 0) << 16) |
      ((references[at + 3] ?? 0) << 24)) >>>
    0
  )
}

/** A view of the id of reference `index`. */
export function referenceId(references: Uint8Array, index: number): Uint8Array {
  const at = index * REFERENCE_BYTES
  return references.subarray(at, at + ID_BYTES)
}

/** FORMAT.md 12: a reference whose id is 32 zero bytes. */
export function isHole(id: Uint8Array): boolean {
  for (let i = 0; i < ID_BYTES; i++) if (id[i] !== 0) return false
  return true
}

/** Calls `visit` for each reference that is no hole, with its index. `id` is a view. */
export function forEachBlob(
  references: Uint8Array,
  visit: (id: Uint8Array, index: number) => void,
): void {
  const count = referenceCount(references)
  for (let i = 0; i < count; i++) {
    const id = referenceId(references, i)
    if (!isHole(id)) visit(id, i)
  }
}
