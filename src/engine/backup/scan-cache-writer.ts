/** Writes the scan cache of this run: its layout is in scan-cache.ts. */

import { type FileName, idBytes } from '../../base/ids.ts'
import type { NodeRoot } from '../../format/tree.ts'
import type { SourceStat } from '../../source/source-files.ts'
import {
  BLOCK_HEAD_BYTES,
  blockHash,
  type CachedDirectory,
  END_MAGIC,
  HASH_AT,
  MAGIC,
  modeWithType,
  ROW_HEAD_BYTES,
  type ScanCacheFiles,
  type ScanCacheOutput,
  type ScanCacheReader,
} from './scan-cache.ts'

const BUFFER_BYTES = 1 << 18
/** In the place of a time: the row equals no entry, which is looked at anew. */
const NEVER_NS = -(2n ** 63n)

/** Years 1678 to 2262; a file system may have others. */
function fitsRow(ns: bigint): boolean {
  return BigInt.asIntN(64, ns) === ns
}

/** Collects the rows of one directory. */
export class BlockBuilder {
  #bytes = Buffer.allocUnsafe(1024)
  #length = 0
  #rows = 0
  readonly handles = new Set<number>()
  /** Row heads whose child offset is still absolute. */
  readonly #children: { readonly at: number; readonly offset: number }[] = []

  addRow(
    stat: SourceStat,
    entry: Uint8Array,
    childOffset: number | undefined,
    isRacy: boolean,
  ): void {
    const at = this.#reserve(ROW_HEAD_BYTES + entry.length)
    const bytes = this.#bytes
    bytes.writeBigUInt64LE(stat.ino, at)
    bytes.writeBigUInt64LE(BigInt(stat.size), at + 8)
    // What changed as this run began may change again within the same tick: never trusted.
    const isTrusted = !isRacy && fitsRow(stat.mtimeNs) && fitsRow(stat.ctimeNs)
    bytes.writeBigInt64LE(isTrusted ? stat.mtimeNs : NEVER_NS, at + 16)
    bytes.writeBigInt64LE(isTrusted ? stat.ctimeNs : NEVER_NS, at + 24)
    bytes.writeUInt32LE(modeWithType(stat), at + 32)
    bytes.writeUInt32LE(stat.uid, at + 36)
    bytes.writeUInt32LE(stat.gid, at + 40)
    bytes.writeUInt32LE(entry.length, at + 44)
    bytes.writeBigUInt64LE(0n, at + 48)
    bytes.writeBigUInt64LE(stat.dev, at + 56)
    bytes.set(entry, at + ROW_HEAD_BYTES)
    if (childOffset !== undefined) this.#children.push({ at, offset: childOffset })
    this.#rows++
  }

  /** Takes over a row of the last run, whose child's block is now at `childOffset`. */
  addKnownRow(cached: CachedDirectory, row: number, childOffset: number | undefined): void {
    const bytes = cached.rowBytes(row)
    const at = this.#reserve(bytes.length)
    this.#bytes.set(bytes, at)
    this.#bytes.writeBigUInt64LE(0n, at + 48)
    if (childOffset !== undefined) this.#children.push({ at, offset: childOffset })
    this.#rows++
  }

  #reserve(byteCount: number): number {
    const at = this.#length
    this.#length += byteCount
    if (this.#length > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#length, 2 * this.#bytes.length))
      this.#bytes.copy(grown, 0, 0, at)
      this.#bytes = grown
    }
    return at
  }

  /** The block, to be written at `offset` of the file. */
  finish(offset: number, root: NodeRoot): Uint8Array {
    const handleBytes = 4 * this.handles.size
    const bytes = Buffer.alloc(BLOCK_HEAD_BYTES + handleBytes + this.#length)
    bytes.writeUInt32LE(bytes.length, 0)
    bytes.writeUInt32LE(this.#rows, 4)
    bytes.writeUInt32LE(this.handles.size, 8)
    bytes.writeUInt32LE(root.height, 12)
    bytes.set(root.id, 16)
    let at = BLOCK_HEAD_BYTES
    for (const handle of this.handles) {
      bytes.writeInt32LE(handle, at)
      at += 4
    }
    for (const child of this.#children) {
      this.#bytes.writeBigUInt64LE(BigInt(offset - child.offset), child.at + 48)
    }
    bytes.set(this.#bytes.subarray(0, this.#length), at)
    bytes.set(blockHash(bytes), HASH_AT)
    return bytes
  }
}

/** Writes the file of this run. A failure ends the cache, never the backup. */
export class ScanCacheWriter {
  readonly #output: ScanCacheOutput
  /** Directories are small and many: a system call for each would cost more than its block. */
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  #bufferEnd = 0
  #offset = 0
  #rootOffset = 0
  #hasFailed = false

  private constructor(output: ScanCacheOutput) {
    this.#output = output
    this.#write(MAGIC)
  }

  /** Undefined where there can be none: on a read-only disk, for example. */
  static open(files: ScanCacheFiles, name: string): ScanCacheWriter | undefined {
    try {
      const output = files.createWriter(name)
      return output === undefined ? undefined : new ScanCacheWriter(output)
    } catch {
      return undefined
    }
  }

  get offset(): number {
    return this.#offset
  }

  #write(bytes: Uint8Array): void {
    this.#offset += bytes.length
    if (this.#bufferEnd + bytes.length > this.#buffer.length) this.#flush()
    if (bytes.length > this.#buffer.length) {
      this.#writeOut(bytes)
      return
    }
    this.#buffer.set(bytes, this.#bufferEnd)
    this.#bufferEnd += bytes.length
  }

  #flush(): void {
    this.#writeOut(this.#buffer.subarray(0, this.#bufferEnd))
    this.#bufferEnd = 0
  }

  #writeOut(bytes: Uint8Array): void {
    if (this.#hasFailed || bytes.length === 0) return
    try {
      this.#output.write(bytes)
    } catch {
      this.#hasFailed = true
    }
  }

  /** Writes a block and returns where it begins. */
  add(block: BlockBuilder, root: NodeRoot): number {
    const offset = this.#offset
    this.#write(block.finish(offset, root))
    this.#rootOffset = offset
    return offset
  }

  /** Copies the blocks of an unchanged subtree, children first. Returns where its block begins. */
  copy(reader: ScanCacheReader, blockOffset: number): number {
    const directory = reader.directory(blockOffset)
    if (directory === undefined) {
      this.#hasFailed = true
      return 0
    }
    const children: (number | undefined)[] = []
    for (let row = 0; row < directory.rowCount; row++) {
      const child = directory.childOffset(row)
      children.push(child === undefined ? undefined : this.copy(reader, child))
    }
    const offset = this.#offset
    this.#write(directory.moved(offset, children))
    this.#rootOffset = offset
    return offset
  }

  /** `packs` is indexed by handle. Call only once the snapshot is durable. */
  commit(packs: readonly (FileName | undefined)[]): void {
    const tableStart = this.#offset
    const table = Buffer.alloc(packs.length * 32 + 12)
    for (const [i, name] of packs.entries())
      if (name !== undefined) table.set(idBytes(name), 32 * i)
    table.writeBigUInt64LE(BigInt(tableStart - this.#rootOffset), packs.length * 32)
    table.writeUInt32LE(packs.length, packs.length * 32 + 8)
    this.#write(table)
    this.#write(blockHash(table))
    this.#write(END_MAGIC)
    this.#flush()
    if (this.#hasFailed) {
      this.discard()
      return
    }
    try {
      this.#output.commit()
    } catch {
      this.#hasFailed = true // The cache was deleted meanwhile, perhaps.
    }
  }

  discard(): void {
    this.#hasFailed = true
    this.#output.discard()
  }
}
