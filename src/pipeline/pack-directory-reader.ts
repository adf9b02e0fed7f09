/**
 * Reads what a pack says of itself (FORMAT.md 8, "Reading without an index"): its trailer leads to
 * its footer, which is its directory. Where the footer is gone, the segments themselves are walked.
 */

import { equalBytes } from '../base/bytes.ts'
import { CairnError, isCairnError } from '../base/errors.ts'
import { ID_BYTES } from '../base/ids.ts'
import { positionNonce } from '../crypto/aead.ts'
import { loadBlake3 } from '../crypto/blake3.ts'
import {
  LIMIT,
  NONCE_DOMAIN,
  PREAMBLE_BYTES,
  SEGMENT_ALIGN_BYTES,
  SEGMENT_HEADER_BYTES,
  SEGMENT_ROW_BYTES,
  TAG_BYTES,
  TRAILER_BYTES,
} from '../format/constants.ts'
import { DirectoryBuilder, type DirectorySegment, PackDirectory } from '../format/directory.ts'
import { readSegmentTable, segmentBodyBytes } from '../format/segment.ts'
import type { BlobIdentifier } from './keys.ts'
import { AeadSet, type PackKey } from './pack-seal.ts'
import type { SegmentReader } from './segment-reader.ts'

/** What follows the footer: the copy of the preamble, and the trailer. */
export const PACK_TAIL_BYTES = PREAMBLE_BYTES + TRAILER_BYTES
/** One read from the end that brings the footers of most packs along. */
const TAIL_READ_BYTES = 64 * 1024

export interface PackFile {
  readonly byteCount: number
  /** Exactly this range of the pack. */
  load(range: { readonly offset: number; readonly byteCount: number }): Promise<Uint8Array>
  /** Throws CAIRN_CORRUPT for a damaged preamble. */
  keyOf(preamble: Uint8Array): PackKey
}

/** A pack without its segments. */
export interface PackOutline {
  /** The copy that could be opened. */
  readonly preamble: Uint8Array
  readonly key: PackKey
  readonly directory: PackDirectory
  /** Where the footer begins: F of FORMAT.md 8. */
  readonly footerOffset: number
}

export interface Trailer {
  readonly footerOffset: number
  readonly footerBytes: number
  readonly directoryBytes: number
  readonly directoryHash: Uint8Array
}

function fail(problem: string, cause?: unknown): never {
  throw new CairnError('CAIRN_CORRUPT', `cannot read pack directory: ${problem}`, { cause })
}

const aeads = new AeadSet()

/** Opens the last 64 bytes of a pack of `byteCount` bytes. Throws CAIRN_CORRUPT. */
export function openTrailer(key: PackKey, sealed: Uint8Array, byteCount: number): Trailer {
  const nonce = positionNonce(NONCE_DOMAIN.trailer, 0)
  const plain = aeads.get(key.aead).open(key.key, nonce, undefined, sealed)
  if (plain === undefined) return fail('its trailer is damaged')
  const bytes = Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength)
  const trailer = {
    footerOffset: Number(bytes.readBigUInt64LE(0)),
    footerBytes: bytes.readUInt32LE(8),
    directoryBytes: bytes.readUInt32LE(12),
    directoryHash: bytes.subarray(16, 48),
  }
  const { footerOffset, footerBytes, directoryBytes } = trailer
  if (footerOffset < PREAMBLE_BYTES || footerBytes % SEGMENT_ALIGN_BYTES !== 0) {
    fail('its trailer is out of bounds')
  }
  if (footerOffset + footerBytes + PACK_TAIL_BYTES !== byteCount) {
    fail('its trailer does not agree with its length')
  }
  if (directoryBytes + TAG_BYTES > footerBytes) fail('its directory is longer than its footer')
  return trailer
}

/** Opens the footer that a trailer leads to. Throws CAIRN_CORRUPT. */
export function openFooter(key: PackKey, sealed: Uint8Array, trailer: Trailer): PackDirectory {
  const nonce = positionNonce(NONCE_DOMAIN.footer, 0)
  const plain = aeads.get(key.aead).open(key.key, nonce, undefined, sealed)
  if (plain === undefined) return fail('its footer is damaged')
  const bytes = plain.subarray(0, trailer.directoryBytes)
  if (!equalBytes(loadBlake3().hash(bytes), trailer.directoryHash)) {
    fail('its footer is not the one that its trailer names')
  }
  const directory = new PackDirectory(bytes)
  if (directory.segmentsEnd > trailer.footerOffset) fail('its segments reach into its footer')
  return directory
}

function checkLength(byteCount: number): void {
  if (byteCount < PREAMBLE_BYTES + PACK_TAIL_BYTES || byteCount > LIMIT.packBytesMax) {
    fail(`a pack of ${byteCount} bytes is refused`)
  }
}

interface Opened {
  readonly preamble: Uint8Array
  readonly key: PackKey
}

/** The key by one copy of the preamble; what was wrong with that copy if it is damaged. */
function tryPreamble(preamble: Uint8Array, keyOf: PackFile['keyOf']): Opened | CairnError {
  try {
    return { preamble: Uint8Array.from(preamble), key: keyOf(preamble) }
  } catch (error) {
    if (isCairnError(error, 'CAIRN_CORRUPT')) return error
    throw error
  }
}

/** The directory of a pack whose index is not at hand, in one read or two. Throws CAIRN_CORRUPT. */
export async function readPackDirectory(file: PackFile): Promise<PackOutline> {
  const { byteCount } = file
  checkLength(byteCount)
  const tailBytes = Math.min(byteCount, TAIL_READ_BYTES)
  const tail = await file.load({ offset: byteCount - tailBytes, byteCount: tailBytes })
  const copy = tail.subarray(tailBytes - PACK_TAIL_BYTES, tailBytes - TRAILER_BYTES)
  let opened = tryPreamble(copy, file.keyOf)
  if (opened instanceof CairnError) {
    const front = await file.load({ offset: 0, byteCount: PREAMBLE_BYTES })
    opened = tryPreamble(front, file.keyOf)
  }
  if (opened instanceof CairnError) return fail('both copies of its preamble are damaged', opened)
  const { preamble, key } = opened
  const trailer = openTrailer(key, tail.subarray(tailBytes - TRAILER_BYTES), byteCount)
  const { footerOffset, footerBytes } = trailer
  const inTail = footerOffset - (byteCount - tailBytes)
  const footer =
    inTail >= 0
      ? tail.subarray(inTail, inTail + footerBytes)
      : await file.load({ offset: footerOffset, byteCount: footerBytes })
  return { preamble, key, directory: openFooter(key, footer, trailer), footerOffset }
}

/** As `readPackDirectory`, of a pack that is in memory. */
export function packOutlineOf(bytes: Uint8Array, keyOf: PackFile['keyOf']): PackOutline {
  checkLength(bytes.length)
  const { preamble, key } = openPreambleOf(bytes, keyOf)
  const trailer = openTrailer(key, bytes.subarray(bytes.length - TRAILER_BYTES), bytes.length)
  const { footerOffset, footerBytes } = trailer
  const footer = bytes.subarray(footerOffset, footerOffset + footerBytes)
  return { preamble, key, directory: openFooter(key, footer, trailer), footerOffset }
}

/** The key of a pack in memory, by whichever copy of its preamble is good. Throws CAIRN_CORRUPT. */
export function openPreambleOf(bytes: Uint8Array, keyOf: PackFile['keyOf']): Opened {
  const front = tryPreamble(bytes.subarray(0, PREAMBLE_BYTES), keyOf)
  if (!(front instanceof CairnError)) return front
  const copyStart = Math.max(0, bytes.length - PACK_TAIL_BYTES)
  const copy = tryPreamble(bytes.subarray(copyStart, copyStart + PREAMBLE_BYTES), keyOf)
  return copy instanceof CairnError ? fail('both copies of its preamble are damaged', front) : copy
}

/** A segment found without a directory. Its arrays are its own. */
export interface SalvagedSegment {
  readonly segment: DirectorySegment
  /** Rows of type and length as a directory has them, 5 bytes each. */
  readonly rows: Uint8Array
  /** Recomputed ids, 32 bytes each. */
  readonly ids: Uint8Array
  /** The table and the blobs: a view, valid until the next segment is asked for. */
  readonly plain: Uint8Array
}

export interface WalkParts {
  readonly segments: SegmentReader
  readonly identifier: BlobIdentifier
}

/**
 * Every intact segment of a pack whose directory is gone: a header that authenticates is one, and
 * is looked for at each multiple of 64 that no segment covers.
 */
export function* walkSegments(
  bytes: Uint8Array,
  key: PackKey,
  parts: WalkParts,
): Generator<SalvagedSegment> {
  let offset = PREAMBLE_BYTES
  while (offset + SEGMENT_HEADER_BYTES <= bytes.length) {
    const found = salvageAt(bytes, offset, key, parts)
    if (found?.salvaged !== undefined) yield found.salvaged
    offset = found?.end ?? offset + SEGMENT_ALIGN_BYTES
  }
}

/** Undefined where no header is; an authentic header with a damaged body still says where it ends. */
function salvageAt(
  bytes: Uint8Array,
  offset: number,
  key: PackKey,
  { segments, identifier }: WalkParts,
): { readonly end: number; readonly salvaged?: SalvagedSegment } | undefined {
  const sealed = bytes.subarray(offset)
  let end: number | undefined
  try {
    const header = segments.openHeader(key, offset, sealed)
    if (header === undefined) return undefined
    end = offset + SEGMENT_HEADER_BYTES + segmentBodyBytes(header.storedBytes)
    const { plain } = segments.open(key, offset, sealed)
    const blobs = readSegmentTable(plain, header.blobCount)
    const ids = new Uint8Array(blobs.length * ID_BYTES)
    for (const [i, blob] of blobs.entries()) {
      const blobBytes = plain.subarray(blob.offset, blob.offset + blob.length)
      identifier.id(blob.type, blobBytes, ids.subarray(i * ID_BYTES, (i + 1) * ID_BYTES))
    }
    const rows = Uint8Array.from(plain.subarray(0, blobs.length * SEGMENT_ROW_BYTES))
    return { end, salvaged: { segment: { ...header, offset }, rows, ids, plain } }
  } catch (error) {
    if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
    return end === undefined ? undefined : { end }
  }
}

/** The directory that a pack would have if it held these segments alone. */
export function directoryOf(salvaged: Iterable<Omit<SalvagedSegment, 'plain'>>): PackDirectory {
  const builder = new DirectoryBuilder()
  for (const { segment, ids, rows } of salvaged) builder.addSegment(segment, ids, rows)
  return new PackDirectory(builder.encode())
}
