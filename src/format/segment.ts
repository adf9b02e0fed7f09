/**
 * Segments (FORMAT.md 8): the plaintext of a sealed header, and the table that opens a segment's
 * plaintext.
 *
 *   header: u32 stored | u32 plain | u32 blobs | u8 compression | u8 kind | 34 zero bytes
 *   plaintext: blobs x { u8 type | u32 length }, then the blobs without gaps
 */

import { roundUp } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import {
  BLOB_TYPE,
  type BlobType,
  COMPRESSION,
  LIMIT,
  SEGMENT_ALIGN_BYTES,
  SEGMENT_HEADER_PLAIN_BYTES,
  SEGMENT_KIND,
  SEGMENT_ROW_BYTES,
  type SegmentKind,
  TAG_BYTES,
} from './constants.ts'

export interface SegmentHeader {
  /** Length of the payload: compressed, or plain. */
  readonly storedBytes: number
  readonly plainBytes: number
  readonly blobCount: number
  readonly compression: number
  readonly kind: number
}

/** Bytes of the sealed body that follows the header. */
export function segmentBodyBytes(storedBytes: number): number {
  return roundUp(storedBytes + TAG_BYTES, SEGMENT_ALIGN_BYTES)
}

export function segmentKindOf(type: BlobType): SegmentKind {
  return type === BLOB_TYPE.data || type === BLOB_TYPE.aux
    ? SEGMENT_KIND.data
    : SEGMENT_KIND.metadata
}

/**
 * Whether a segment of this kind may hold such blobs. Those of type 5 are found in both: a backup
 * stores them with the trees that name them, a prune moves them to the data.
 */
export function mayHold(kind: number, type: BlobType): boolean {
  return type === BLOB_TYPE.aux || segmentKindOf(type) === kind
}

/** Names what is wrong with a header's figures, or returns undefined. */
export function segmentProblem(header: SegmentHeader): string | undefined {
  const { storedBytes, plainBytes, blobCount, compression, kind } = header
  if (plainBytes > LIMIT.segmentPlainBytesMax) return `${plainBytes} plain bytes`
  if (blobCount < 1 || blobCount > LIMIT.segmentBlobsMax) return `${blobCount} blobs`
  if (plainBytes < blobCount * SEGMENT_ROW_BYTES) return 'a table longer than its plaintext'
  if (compression === COMPRESSION.none) {
    if (storedBytes !== plainBytes) return 'lengths that disagree'
  } else if (compression !== COMPRESSION.zstd) return `compression ${compression}`
  if (storedBytes > plainBytes) return 'more stored bytes than plain ones'
  if (kind !== SEGMENT_KIND.data && kind !== SEGMENT_KIND.metadata) return `kind ${kind}`
  return undefined
}

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const bytes = Buffer.alloc(SEGMENT_HEADER_PLAIN_BYTES)
  bytes.writeUInt32LE(header.storedBytes, 0)
  bytes.writeUInt32LE(header.plainBytes, 4)
  bytes.writeUInt32LE(header.blobCount, 8)
  bytes[12] = header.compression
  bytes[13] = header.kind
  return bytes
}

export function decodeSegmentHeader(bytes: Uint8Array): SegmentHeader {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const header = {
    storedBytes: buffer.readUInt32LE(0),
    plainBytes: buffer.readUInt32LE(4),
    blobCount: buffer.readUInt32LE(8),
    compression: buffer[12] ?? 0,
    kind: buffer[13] ?? 0,
  }
  const rest = buffer.subarray(14, SEGMENT_HEADER_PLAIN_BYTES)
  const problem = rest.some((byte) => byte !== 0) ? 'reserved bytes' : segmentProblem(header)
  if (problem !== undefined) {
    throw new CairnError('CAIRN_CORRUPT', `cannot decode segment header: it has ${problem}`)
  }
  return header
}

export interface SegmentBlob {
  readonly type: BlobType
  /** Where the blob is in the segment's plaintext. */
  readonly offset: number
  readonly length: number
}

export function isBlobType(value: number): value is BlobType {
  return value >= BLOB_TYPE.data && value <= BLOB_TYPE.aux
}

/** Writes one row of the table at `at`. */
export function writeSegmentRow(
  into: Uint8Array,
  at: number,
  type: BlobType,
  length: number,
): void {
  into[at] = type
  into[at + 1] = length & 0xff
  into[at + 2] = (length >>> 8) & 0xff
  into[at + 3] = (length >>> 16) & 0xff
  into[at + 4] = length >>> 24
}

/** The blobs of a segment's plaintext. Rejects a table that does not fill it exactly. */
export function readSegmentTable(plain: Uint8Array, blobCount: number): SegmentBlob[] {
  const buffer = Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength)
  const blobs: SegmentBlob[] = []
  let offset = blobCount * SEGMENT_ROW_BYTES
  for (let i = 0; i < blobCount; i++) {
    const type = buffer[i * SEGMENT_ROW_BYTES] ?? 0
    const length = buffer.readUInt32LE(i * SEGMENT_ROW_BYTES + 1)
    if (!isBlobType(type) || length > plain.length - offset) {
      throw new CairnError('CAIRN_CORRUPT', 'cannot decode segment: its table does not fit it')
    }
    blobs.push({ type, offset, length })
    offset += length
  }
  if (offset !== plain.length) {
    throw new CairnError('CAIRN_CORRUPT', 'cannot decode segment: bytes are left over')
  }
  return blobs
}
