/**
 * The directory of a pack (FORMAT.md 8): what its footer says, and what index files repeat.
 *
 *   u32 segments | u32 blobs
 *   segments x { u32 offset/64 | u32 stored | u32 plain | u32 blobs | u8 compression | u8 kind | u16 0 }
 *   blobs x id[32]
 *   blobs x { u8 type | u32 length }
 *
 * It stays in its encoded form: a million blobs are 37 MB of bytes and no objects. A blob's segment
 * and its offset there follow from the order.
 */

import { CairnError } from '../base/errors.ts'
import { ID_BYTES } from '../base/ids.ts'
import {
  type BlobType,
  PREAMBLE_BYTES,
  SEGMENT_ALIGN_BYTES,
  SEGMENT_HEADER_BYTES,
  SEGMENT_ROW_BYTES,
} from './constants.ts'
import { isBlobType, type SegmentHeader, segmentBodyBytes, segmentProblem } from './segment.ts'

const HEAD_BYTES = 8
const DIRECTORY_SEGMENT_BYTES = 20
const DIRECTORY_BLOB_BYTES = ID_BYTES + SEGMENT_ROW_BYTES

export interface DirectorySegment extends SegmentHeader {
  /** Byte offset of the sealed header in the pack. */
  readonly offset: number
}

export class PackDirectory {
  readonly bytes: Uint8Array
  readonly segmentCount: number
  readonly blobCount: number
  readonly #view: Buffer

  /** Checks everything that can be checked without the pack; throws CAIRN_CORRUPT. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.#view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (bytes.length < HEAD_BYTES) this.#fail('it is too short')
    this.segmentCount = this.#view.readUInt32LE(0)
    this.blobCount = this.#view.readUInt32LE(4)
    const expected =
      HEAD_BYTES +
      this.segmentCount * DIRECTORY_SEGMENT_BYTES +
      this.blobCount * DIRECTORY_BLOB_BYTES
    if (expected !== bytes.length) this.#fail(`${bytes.length} bytes where ${expected} belong`)
    this.#check()
  }

  #fail(problem: string): never {
    throw new CairnError('CAIRN_CORRUPT', `cannot decode pack directory: ${problem}`)
  }

  #check(): void {
    let end = PREAMBLE_BYTES
    let blob = 0
    for (let s = 0; s < this.segmentCount; s++) {
      const segment = this.segment(s)
      const problem = segmentProblem(segment)
      if (problem !== undefined) this.#fail(`segment ${s} has ${problem}`)
      if (segment.offset < end) this.#fail(`segment ${s} overlaps the one before it`)
      end = segment.offset + SEGMENT_HEADER_BYTES + segmentBodyBytes(segment.storedBytes)
      let filled = segment.blobCount * SEGMENT_ROW_BYTES
      if (segment.blobCount > this.blobCount - blob) this.#fail('it has fewer blobs than it says')
      for (let i = 0; i < segment.blobCount; i++, blob++) {
        this.type(blob) // Else it would fail whoever meets the blob later, among those of others.
        filled += this.length(blob)
      }
      if (filled !== segment.plainBytes) this.#fail(`the blobs of segment ${s} do not fill it`)
    }
    if (blob !== this.blobCount) this.#fail('it has blobs outside every segment')
  }

  segment(index: number): DirectorySegment {
    const at = HEAD_BYTES + index * DIRECTORY_SEGMENT_BYTES
    return {
      offset: this.#view.readUInt32LE(at) * SEGMENT_ALIGN_BYTES,
      storedBytes: this.#view.readUInt32LE(at + 4),
      plainBytes: this.#view.readUInt32LE(at + 8),
      blobCount: this.#view.readUInt32LE(at + 12),
      compression: this.#view[at + 16] ?? 0,
      kind: this.#view[at + 17] ?? 0,
    }
  }

  /** Where the segments end: F of FORMAT.md 8 is at least this. */
  get segmentsEnd(): number {
    if (this.segmentCount === 0) return PREAMBLE_BYTES
    const last = this.segment(this.segmentCount - 1)
    return last.offset + SEGMENT_HEADER_BYTES + segmentBodyBytes(last.storedBytes)
  }

  /** A view of the id of blob `index`. */
  id(index: number): Uint8Array {
    const at = HEAD_BYTES + this.segmentCount * DIRECTORY_SEGMENT_BYTES + index * ID_BYTES
    return this.bytes.subarray(at, at + ID_BYTES)
  }

  #row(index: number): number {
    return (
      HEAD_BYTES +
      this.segmentCount * DIRECTORY_SEGMENT_BYTES +
      this.blobCount * ID_BYTES +
      index * SEGMENT_ROW_BYTES
    )
  }

  length(index: number): number {
    return this.#view.readUInt32LE(this.#row(index) + 1)
  }

  type(index: number): BlobType {
    const type = this.#view[this.#row(index)] ?? 0
    if (!isBlobType(type)) this.#fail(`unknown blob type ${type}`)
    return type
  }

  /** Calls `visit` for every blob, in order, with its segment and its offset there. */
  forEach(
    visit: (index: number, segmentIndex: number, offset: number, segment: DirectorySegment) => void,
  ): void {
    let blob = 0
    for (let s = 0; s < this.segmentCount; s++) {
      const segment = this.segment(s)
      let offset = segment.blobCount * SEGMENT_ROW_BYTES
      for (let i = 0; i < segment.blobCount; i++) {
        visit(blob, s, offset, segment)
        offset += this.length(blob++)
      }
    }
  }
}

/** Collects the rows of a pack that is being written. */
export class DirectoryBuilder {
  readonly #segments: DirectorySegment[] = []
  #ids = Buffer.allocUnsafeSlow(64 * ID_BYTES)
  #rows = Buffer.allocUnsafeSlow(64 * SEGMENT_ROW_BYTES)
  #blobCount = 0

  get blobCount(): number {
    return this.#blobCount
  }

  get segmentCount(): number {
    return this.#segments.length
  }

  /** What `encode` will return has this many bytes. */
  get byteCount(): number {
    return (
      HEAD_BYTES +
      this.#segments.length * DIRECTORY_SEGMENT_BYTES +
      this.#blobCount * DIRECTORY_BLOB_BYTES
    )
  }

  reset(): void {
    this.#segments.length = 0
    this.#blobCount = 0
  }

  /** `ids` and `rows` are the blobs of the segment, 32 and 5 bytes each. */
  addSegment(segment: DirectorySegment, ids: Uint8Array, rows: Uint8Array): void {
    const count = segment.blobCount
    if ((this.#blobCount + count) * ID_BYTES > this.#ids.length) {
      const capacity = Math.max(this.#blobCount + count, (this.#ids.length / ID_BYTES) * 2)
      const idsGrown = Buffer.allocUnsafeSlow(capacity * ID_BYTES)
      const rowsGrown = Buffer.allocUnsafeSlow(capacity * SEGMENT_ROW_BYTES)
      this.#ids.copy(idsGrown)
      this.#rows.copy(rowsGrown)
      this.#ids = idsGrown
      this.#rows = rowsGrown
    }
    this.#ids.set(ids, this.#blobCount * ID_BYTES)
    this.#rows.set(rows, this.#blobCount * SEGMENT_ROW_BYTES)
    this.#blobCount += count
    this.#segments.push(segment)
  }

  encode(): Uint8Array {
    const bytes = Buffer.alloc(this.byteCount)
    bytes.writeUInt32LE(this.#segments.length, 0)
    bytes.writeUInt32LE(this.#blobCount, 4)
    let at = HEAD_BYTES
    for (const segment of this.#segments) {
      bytes.writeUInt32LE(segment.offset / SEGMENT_ALIGN_BYTES, at)
      bytes.writeUInt32LE(segment.storedBytes, at + 4)
      bytes.writeUInt32LE(segment.plainBytes, at + 8)
      bytes.writeUInt32LE(segment.blobCount, at + 12)
      bytes[at + 16] = segment.compression
      bytes[at + 17] = segment.kind
      at += DIRECTORY_SEGMENT_BYTES
    }
    bytes.set(this.#ids.subarray(0, this.#blobCount * ID_BYTES), at)
    at += this.#blobCount * ID_BYTES
    bytes.set(this.#rows.subarray(0, this.#blobCount * SEGMENT_ROW_BYTES), at)
    return bytes
  }
}
