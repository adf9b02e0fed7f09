/**
 * What the last backup of these sources saw: per directory, each entry's stat and its encoded tree
 * entry, so that an unchanged file is not read and an unchanged directory not encoded. A local
 * cache: everything in it is checked, and without it files are read again.
 *
 *   "CAIRNSC3" | blocks | trailer
 *   block:   u32 bytes | u32 rows | u32 handles | u32 height | root id[32] | hash[8] |
 *            handles x i32 | rows
 *   row:     u64 inode | u64 size | i64 mtime ns | i64 ctime ns | u32 st_mode | u32 uid | u32 gid |
 *            u32 entry bytes | u64 distance back to the child's block, 0 without | u64 device | entry
 *   trailer: pack names x 32 | root distance u64 | packs u32 | hash[8] | "CAIRNSC4"
 *
 * Blocks come after those of their children. Handles number the packs that a directory's own blobs
 * rest on; the trailer names them.
 */

import type { ByteString } from '../../base/bytes.ts'
import { equalBytes } from '../../base/bytes.ts'
import { type FileName, fileNameOf } from '../../base/ids.ts'
import { MODE_TYPE } from '../../base/mode-type.ts'
import { loadBlake3 } from '../../crypto/blake3.ts'
import type { NodeRoot } from '../../format/tree.ts'
import type { SourceStat } from '../../source/source-files.ts'

export const MAGIC = Buffer.from('CAIRNSC3', 'latin1')
export const END_MAGIC = Buffer.from('CAIRNSC4', 'latin1')
export const BLOCK_HEAD_BYTES = 56
export const HASH_AT = 48
const HASH_BYTES = 8
export const ROW_HEAD_BYTES = 64
const TRAILER_BYTES = 28
const BLOCK_BYTES_MAX = 1 << 30

/** The part of a cache folder that this needs. Every failure means "no cache". */
export interface ScanCacheFiles {
  openForRead(name: string): ScanCacheInput | undefined
  createWriter(name: string): ScanCacheOutput | undefined
}

export interface ScanCacheInput {
  readonly byteCount: number
  read(into: Uint8Array, offset: number, length: number, position: number): number
  close(): void
}

export interface ScanCacheOutput {
  write(bytes: Uint8Array): void
  commit(): void
  discard(): void
}

/** As in st_mode, so that a file that became a link differs. */
export function modeWithType({ type, mode }: SourceStat): number {
  return type === 'other' ? mode : MODE_TYPE[type] | mode
}

/**
 * Whether its entry has a hard-link group, made of the device and inode that it had. These may both be
 * another file's by now, whose group would be the same: then a restore made one file of the two.
 */
export function isLinked({ type, linkCount }: SourceStat): boolean {
  return linkCount > 1 && type !== 'directory'
}

export interface MatchRules {
  readonly ignoreInode: boolean
  readonly ignoreCtime: boolean
}

/** A directory as the last run saw it. */
export class CachedDirectory {
  readonly rowCount: number
  readonly root: NodeRoot
  /** Packs that the directory's own blobs rest on. */
  readonly handles: readonly number[]
  readonly #bytes: Buffer
  readonly #offset: number
  /** Where each row begins. */
  readonly #rows: Uint32Array

  constructor(bytes: Buffer, offset: number) {
    this.#bytes = bytes
    this.#offset = offset
    this.rowCount = bytes.readUInt32LE(4)
    const handleCount = bytes.readUInt32LE(8)
    this.root = { id: bytes.subarray(16, HASH_AT), height: bytes.readUInt32LE(12) }
    let at = BLOCK_HEAD_BYTES
    this.handles = Array.from({ length: handleCount }, (_, i) => bytes.readInt32LE(at + 4 * i))
    at += 4 * handleCount
    this.#rows = new Uint32Array(this.rowCount)
    for (let row = 0; row < this.rowCount; row++) {
      this.#rows[row] = at
      at += ROW_HEAD_BYTES + bytes.readUInt32LE(at + 44)
    }
  }

  #at(row: number): number {
    return this.#rows[row] ?? 0
  }

  /** A whole row, head and entry. */
  rowBytes(row: number): Uint8Array {
    const at = this.#at(row)
    return this.#bytes.subarray(at, at + ROW_HEAD_BYTES + this.#bytes.readUInt32LE(at + 44))
  }

  /** The encoded tree entry of a row. */
  entry(row: number): Uint8Array {
    const at = this.#at(row) + ROW_HEAD_BYTES
    return this.#bytes.subarray(at, at + this.#bytes.readUInt32LE(at - ROW_HEAD_BYTES + 44))
  }

  /** The name inside the encoded entry: a map head, key 0, then a byte string. */
  name(row: number): ByteString {
    const at = this.#at(row) + ROW_HEAD_BYTES + 2
    const head = (this.#bytes[at] ?? 0) & 31
    if (head < 24) return this.#bytes.toString('latin1', at + 1, at + 1 + head)
    if (head === 24) {
      return this.#bytes.toString('latin1', at + 2, at + 2 + (this.#bytes[at + 1] ?? 0))
    }
    return this.#bytes.toString('latin1', at + 3, at + 3 + this.#bytes.readUInt16BE(at + 1))
  }

  /** Whether the entry is still what it was, as far as stat can tell. */
  matches(row: number, stat: SourceStat, rules: MatchRules): boolean {
    const at = this.#at(row)
    const bytes = this.#bytes
    return (
      bytes.readBigInt64LE(at + 16) === stat.mtimeNs &&
      (rules.ignoreCtime || bytes.readBigInt64LE(at + 24) === stat.ctimeNs) &&
      bytes.readUInt32LE(at + 32) === modeWithType(stat) &&
      (isLinked(stat)
        ? bytes.readBigUInt64LE(at) === stat.ino && bytes.readBigUInt64LE(at + 56) === stat.dev
        : rules.ignoreInode || bytes.readBigUInt64LE(at) === stat.ino) &&
      (stat.type === 'directory' || bytes.readBigUInt64LE(at + 8) === BigInt(stat.size)) &&
      bytes.readUInt32LE(at + 36) === stat.uid &&
      bytes.readUInt32LE(at + 40) === stat.gid
    )
  }

  /** The block as it is at `offset`, with its children's blocks at `children`. Spoils this one. */
  moved(offset: number, children: readonly (number | undefined)[]): Uint8Array {
    for (const [row, child] of children.entries()) {
      if (child !== undefined) {
        this.#bytes.writeBigUInt64LE(BigInt(offset - child), this.#at(row) + 48)
      }
    }
    this.#bytes.fill(0, HASH_AT, BLOCK_HEAD_BYTES)
    this.#bytes.set(blockHash(this.#bytes), HASH_AT)
    return this.#bytes
  }

  /** Where the block of a child directory begins, or undefined. */
  childOffset(row: number): number | undefined {
    const distance = Number(this.#bytes.readBigUInt64LE(this.#at(row) + 48))
    return distance === 0 ? undefined : this.#offset - distance
  }
}

export function blockHash(bytes: Uint8Array): Uint8Array {
  return loadBlake3().hash(bytes).subarray(0, HASH_BYTES)
}

/** Reads the file of the last run. Anything that does not check out reads as absent. */
export class ScanCacheReader {
  readonly packs: readonly FileName[]
  readonly rootOffset: number
  readonly #input: ScanCacheInput

  private constructor(input: ScanCacheInput, packs: readonly FileName[], rootOffset: number) {
    this.#input = input
    this.packs = packs
    this.rootOffset = rootOffset
  }

  static open(files: ScanCacheFiles, name: string): ScanCacheReader | undefined {
    try {
      const input = files.openForRead(name)
      if (input === undefined) return undefined
      const reader = ScanCacheReader.#readTrailer(input)
      if (reader === undefined) input.close()
      return reader
    } catch {
      return undefined // A cache that cannot be read is no cache.
    }
  }

  static #readTrailer(input: ScanCacheInput): ScanCacheReader | undefined {
    if (input.byteCount < MAGIC.length + TRAILER_BYTES) return undefined
    const tail = Buffer.alloc(TRAILER_BYTES)
    input.read(tail, 0, TRAILER_BYTES, input.byteCount - TRAILER_BYTES)
    if (!tail.subarray(20).equals(END_MAGIC)) return undefined
    const packCount = tail.readUInt32LE(8)
    const tableBytes = packCount * 32
    const tableStart = input.byteCount - TRAILER_BYTES - tableBytes
    if (tableStart < MAGIC.length) return undefined
    const table = Buffer.alloc(tableBytes + 12)
    input.read(table, 0, table.length, tableStart)
    if (!equalBytes(blockHash(table), tail.subarray(12, 20))) return undefined
    const packs = Array.from({ length: packCount }, (_, i) =>
      fileNameOf(table.subarray(32 * i, 32 * i + 32)),
    )
    return new ScanCacheReader(input, packs, tableStart - Number(tail.readBigUInt64LE(0)))
  }

  /** The directory whose block begins at `offset`, or undefined if it does not check out. */
  directory(offset: number): CachedDirectory | undefined {
    try {
      const head = Buffer.alloc(BLOCK_HEAD_BYTES)
      if (this.#input.read(head, 0, BLOCK_HEAD_BYTES, offset) !== BLOCK_HEAD_BYTES) return undefined
      const byteCount = head.readUInt32LE(0)
      if (byteCount < BLOCK_HEAD_BYTES || byteCount > BLOCK_BYTES_MAX) return undefined
      const bytes = Buffer.allocUnsafe(byteCount)
      if (this.#input.read(bytes, 0, byteCount, offset) !== byteCount) return undefined
      const hash = Buffer.from(bytes.subarray(HASH_AT, BLOCK_HEAD_BYTES))
      bytes.fill(0, HASH_AT, BLOCK_HEAD_BYTES)
      if (!equalBytes(blockHash(bytes), hash)) return undefined
      return new CachedDirectory(bytes, offset)
    } catch {
      return undefined
    }
  }

  close(): void {
    this.#input.close()
  }
}
