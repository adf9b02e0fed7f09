/**
 * Builds packs of one kind (FORMAT.md 8): joins blobs into segments, compresses them, seals each pack
 * when it is complete, checks what it sealed, and hands it out. One per thread and kind; everything is
 * synchronous and goes through fixed buffers, so that memory does not depend on the data.
 */

import { equalBytes, roundUp } from '../base/bytes.ts'
import { assert, CairnError } from '../base/errors.ts'
import type { Zstd } from '../compression/zstd.ts'
import { positionNonce } from '../crypto/aead.ts'
import { sha256 } from '../crypto/sha256.ts'
import type { Blake3 } from '../crypto/blake3.ts'
import {
  type BlobType,
  COMPRESSION,
  LIMIT,
  NONCE_DOMAIN,
  PADDING,
  PREAMBLE_BYTES,
  SEGMENT_ALIGN_BYTES,
  SEGMENT_HEADER_BYTES,
  SEGMENT_KIND,
  SEGMENT_ROW_BYTES,
  type SegmentKind,
  TAG_BYTES,
  TRAILER_BYTES,
  TRAILER_PLAIN_BYTES,
} from '../format/constants.ts'
import { DirectoryBuilder, type DirectorySegment, PackDirectory } from '../format/directory.ts'
import { padme } from '../format/padme.ts'
import {
  encodeSegmentHeader,
  readSegmentTable,
  segmentBodyBytes,
  writeSegmentRow,
} from '../format/segment.ts'
import { BlobIdentifier, type WriteKeys } from './keys.ts'
import { AeadSet, type Entropy, newPackSeal, type PackSeal } from './pack-seal.ts'
import { pageAligned } from './page-aligned.ts'
import { SegmentReader } from './segment-reader.ts'

const MIB = 1 << 20

/** Plaintext bytes at which a segment is closed. Measured: larger ones gain no more than 1 %. */
const SEGMENT_TARGET_BYTES = { [SEGMENT_KIND.data]: MIB, [SEGMENT_KIND.metadata]: 128 * 1024 }
/** A blob of at least this share of the target does not join others. */
const ALONE_SHARE = 0.5
/** Bounds the table of a segment to 20 KiB and the directory of a pack to 2 MiB. */
const SEGMENT_BLOBS_MAX = 4096
const PACK_BLOBS_MAX = 32_768
/** Below this share of the plaintext saved, a segment is stored uncompressed: reading is faster. */
const COMPRESSION_GAIN_MIN = 0.03
/** One in this many data segments is opened again after sealing; metadata segments all are. */
const VERIFY_ONE_IN = 16

export interface PackWriterOptions {
  readonly kind: SegmentKind
  readonly keys: WriteKeys
  readonly packBytesTarget: number
  /** What nearly all blobs are within: buffers are made for it. A larger one gets its own pack. */
  readonly blobBytesMax: number
  readonly padding: number
  /** zstd level, or undefined for no compression. */
  readonly level: number | undefined
  /** False skips opening what was sealed (`--no-extra-verify`). */
  readonly verify: boolean
}

export interface PackWriterParts {
  readonly blake3: Blake3
  readonly zstd: Zstd
  readonly entropy: Entropy
  /** A buffer for a pack: one that came back, or a new one of `byteCount` bytes. */
  allocate(byteCount: number): ArrayBuffer
  /** Takes a finished pack. Its buffer belongs to the receiver. */
  emit(pack: SealedPack): void
  /** A number for the next pack, unique in this run; never 0. */
  nextHandle(): number
}

export interface SealedPack {
  readonly handle: number
  readonly kind: SegmentKind
  /** Page-aligned where possible (page-aligned.ts), in a buffer of their own. */
  readonly bytes: Uint8Array<ArrayBuffer>
  /** SHA-256 of the bytes. */
  readonly name: Uint8Array
  readonly preamble: Uint8Array
  readonly directory: Uint8Array
}

export class PackWriter {
  readonly #options: PackWriterOptions
  readonly #parts: PackWriterParts
  readonly #aeads = new AeadSet()
  readonly #directory = new DirectoryBuilder()
  readonly #identifier: BlobIdentifier
  readonly #reader: SegmentReader
  readonly #segmentTarget: number

  /** Room for the table in front, then the blobs of the open segment. */
  #plain: Buffer
  #plainEnd = SEGMENT_BLOBS_MAX * SEGMENT_ROW_BYTES
  readonly #rows = Buffer.allocUnsafeSlow(SEGMENT_BLOBS_MAX * SEGMENT_ROW_BYTES)
  readonly #ids = Buffer.allocUnsafeSlow(SEGMENT_BLOBS_MAX * 32)
  #blobCount = 0
  #compressed: Buffer = Buffer.alloc(0)

  #pack: Buffer<ArrayBuffer> | undefined
  #packEnd = 0
  #handle = 0
  #sealedSegments = 0
  /** Once something of a pack was bad, nothing more is written: what is missing would go unnoticed. */
  #failure: CairnError | undefined

  constructor(options: PackWriterOptions, parts: PackWriterParts) {
    this.#options = options
    this.#parts = parts
    this.#segmentTarget = SEGMENT_TARGET_BYTES[options.kind]
    this.#plain = Buffer.allocUnsafeSlow(this.#plainEnd + this.#segmentTarget)
    this.#identifier = new BlobIdentifier(options.keys.idKeys, parts.blake3)
    this.#reader = new SegmentReader(this.#aeads, parts.zstd)
  }

  /**
   * Makes room for a blob of `byteCount` bytes and returns the handle of the pack it will go to if
   * it is the next to be added. Nothing is owed: another blob may come, or none.
   */
  reserve(byteCount: number): number {
    if (this.#failure !== undefined) throw this.#failure
    if (byteCount > this.#options.blobBytesMax && byteCount > this.#segmentTarget) this.finish()
    const isFull = this.pendingBytes + byteCount > this.#segmentTarget
    if (this.#blobCount > 0 && (this.#isAlone(byteCount) || isFull)) this.#closeSegment()
    if (this.#handle === 0) this.#handle = this.#parts.nextHandle()
    return this.#handle
  }

  #isAlone(byteCount: number): boolean {
    return byteCount >= this.#segmentTarget * ALONE_SHARE
  }

  /** Bytes of plaintext waiting in the open segment. */
  get pendingBytes(): number {
    return this.#plainEnd - SEGMENT_BLOBS_MAX * SEGMENT_ROW_BYTES
  }

  /** Adds a blob, whose id the caller has computed. Copies the bytes. Returns its pack's handle. */
  add(type: BlobType, id: Uint8Array, plain: Uint8Array): number {
    assert(plain.length <= LIMIT.blobBytesMax, 'a blob is within the limit')
    const handle = this.reserve(plain.length)
    this.#ensurePlain(this.#plainEnd + plain.length)
    this.#plain.set(plain, this.#plainEnd)
    this.#plainEnd += plain.length
    this.#ids.set(id, this.#blobCount * 32)
    writeSegmentRow(this.#rows, this.#blobCount * SEGMENT_ROW_BYTES, type, plain.length)
    this.#blobCount++
    if (this.#isAlone(plain.length) || this.#blobCount === SEGMENT_BLOBS_MAX) this.#closeSegment()
    return handle
  }

  /** Closes the open segment and the open pack, if there is anything in them. */
  finish(): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#blobCount > 0) this.#closeSegment()
    if (this.#directory.segmentCount > 0) this.#closePack()
  }

  #ensurePlain(byteCount: number): void {
    if (this.#plain.length >= byteCount) return
    const larger = Buffer.allocUnsafeSlow(byteCount)
    this.#plain.copy(larger, 0, 0, this.#plainEnd)
    this.#plain = larger
  }

  #closeSegment(): void {
    const tableBytes = this.#blobCount * SEGMENT_ROW_BYTES
    const start = SEGMENT_BLOBS_MAX * SEGMENT_ROW_BYTES - tableBytes
    this.#plain.set(this.#rows.subarray(0, tableBytes), start)
    const plain = this.#plain.subarray(start, this.#plainEnd)
    const ids = this.#ids.subarray(0, this.#blobCount * 32)
    if (this.#pack === undefined) this.#openPack(plain.length)
    this.#placeSegment(plain, ids)
    this.#plainEnd = SEGMENT_BLOBS_MAX * SEGMENT_ROW_BYTES
    this.#blobCount = 0
    const isFull =
      this.#packEnd >= this.#options.packBytesTarget ||
      this.#directory.blobCount >= PACK_BLOBS_MAX - SEGMENT_BLOBS_MAX
    if (isFull) this.#closePack()
  }

  #openPack(plainBytes: number): void {
    const { packBytesTarget, blobBytesMax } = this.#options
    const { zstd } = this.#parts
    const segmentMax = Math.max(blobBytesMax, this.#segmentTarget, plainBytes) + tableBytesMax
    const capacity =
      packBytesTarget + zstd.compressBound(segmentMax) + directoryBytesMax + packBytesTarget / 8
    this.#pack = pageAligned(Math.ceil(capacity), (byteCount) => this.#parts.allocate(byteCount))
    this.#packEnd = PREAMBLE_BYTES
    this.#directory.reset()
  }

  /** The payload of a segment, and how it is compressed. */
  #compress(plain: Uint8Array): { payload: Uint8Array; compression: number } {
    const { level } = this.#options
    if (level === undefined) return { payload: plain, compression: COMPRESSION.none }
    const { zstd } = this.#parts
    const bound = zstd.compressBound(plain.length)
    if (this.#compressed.length < bound) this.#compressed = Buffer.allocUnsafeSlow(bound)
    const byteCount = zstd.compressInto(this.#compressed, 0, plain, level)
    if (byteCount > plain.length * (1 - COMPRESSION_GAIN_MIN)) {
      return { payload: plain, compression: COMPRESSION.none }
    }
    return { payload: this.#compressed.subarray(0, byteCount), compression: COMPRESSION.zstd }
  }

  /** Lays out the payload of a segment where `#sealSegment` will seal it in place. */
  #placeSegment(plain: Uint8Array, ids: Uint8Array): void {
    const pack = this.#pack
    assert(pack !== undefined, 'a pack is open')
    const { payload, compression } = this.#compress(plain)
    const segment = {
      offset: this.#packEnd,
      storedBytes: payload.length,
      plainBytes: plain.length,
      blobCount: this.#blobCount,
      compression,
      kind: this.#options.kind,
    }
    const bodyStart = segment.offset + SEGMENT_HEADER_BYTES
    this.#packEnd = bodyStart + segmentBodyBytes(payload.length)
    // The padding is inside the encryption.
    pack.set(payload, bodyStart)
    pack.fill(0, bodyStart + payload.length, this.#packEnd)
    const rows = this.#rows.subarray(0, this.#blobCount * SEGMENT_ROW_BYTES)
    this.#directory.addSegment(segment, ids, rows)
  }

  #sealSegment(pack: Buffer, key: Uint8Array, segment: DirectorySegment): void {
    const { offset, storedBytes } = segment
    const header = encodeSegmentHeader(segment)
    const aead = this.#aeads.get(this.#options.keys.aead)
    const headerNonce = positionNonce(NONCE_DOMAIN.segmentHeader, offset)
    aead.sealInto(pack, offset, key, headerNonce, undefined, header)
    const bodyStart = offset + SEGMENT_HEADER_BYTES
    const bodyEnd = bodyStart + segmentBodyBytes(storedBytes)
    const inPlace = pack.subarray(bodyStart, bodyEnd - TAG_BYTES)
    const bodyNonce = positionNonce(NONCE_DOMAIN.segmentBody, offset)
    aead.sealInto(pack, bodyStart, key, bodyNonce, header, inPlace)
  }

  /**
   * Seals every segment, under a key that hangs on all that is in the pack: sealed earlier, two packs
   * that begin alike could share one.
   */
  #sealSegments(pack: Buffer, directory: Uint8Array): PackSeal {
    const { keys } = this.#options
    const { entropy, blake3 } = this.#parts
    const seal = newPackSeal(keys, entropy, blake3, blake3.hash(directory))
    pack.set(seal.preamble, 0)
    const rows = new PackDirectory(directory)
    let firstBlob = 0
    for (let i = 0; i < rows.segmentCount; i++) {
      const segment = rows.segment(i)
      this.#sealSegment(pack, seal.key, segment)
      this.#verify(pack, seal.key, segment, (blob) => rows.id(firstBlob + blob))
      firstBlob += segment.blobCount
    }
    return seal
  }

  /** Opens what was just sealed: bad memory or a bad compressor must not reach the storage. */
  #verify(
    pack: Buffer,
    key: Uint8Array,
    { offset, storedBytes }: DirectorySegment,
    idOf: (blob: number) => Uint8Array,
  ): void {
    const { kind, verify, keys } = this.#options
    const isDue = this.#sealedSegments++ % VERIFY_ONE_IN === 0 || kind === SEGMENT_KIND.metadata
    if (!verify || !isDue) return
    const end = offset + SEGMENT_HEADER_BYTES + segmentBodyBytes(storedBytes)
    try {
      const opened = this.#reader.open({ key, aead: keys.aead }, offset, pack.subarray(offset, end))
      const blobs = readSegmentTable(opened.plain, opened.header.blobCount)
      for (const [i, blob] of blobs.entries()) {
        const bytes = opened.plain.subarray(blob.offset, blob.offset + blob.length)
        const id = this.#identifier.id(blob.type, bytes)
        if (!equalBytes(id, idOf(i))) {
          throw new CairnError('CAIRN_FAILED', 'a blob does not have the id it was stored under')
        }
      }
    } catch (cause) {
      this.#failure = new CairnError(
        'CAIRN_FAILED',
        'cannot store data: what was sealed does not open to what was read; the memory or the compressor of this machine is bad, nothing of it was stored',
        { cause },
      )
      throw this.#failure
    }
  }

  #closePack(): void {
    const pack = this.#pack
    assert(pack !== undefined, 'a pack is open')
    const directory = this.#directory.encode()
    const seal = this.#sealSegments(pack, directory)
    const footerStart = this.#packEnd
    const fixed = PREAMBLE_BYTES + TRAILER_BYTES
    let footerBytes = roundUp(directory.length + TAG_BYTES, SEGMENT_ALIGN_BYTES)
    const total = footerStart + footerBytes + fixed
    const { padding, packBytesTarget } = this.#options
    if (padding === PADDING.all || (padding === PADDING.tail && total < packBytesTarget)) {
      footerBytes += roundUp(padme(total) - total, SEGMENT_ALIGN_BYTES)
    }
    const aead = this.#aeads.get(this.#options.keys.aead)
    pack.set(directory, footerStart)
    pack.fill(0, footerStart + directory.length, footerStart + footerBytes - TAG_BYTES)
    const footer = pack.subarray(footerStart, footerStart + footerBytes - TAG_BYTES)
    const footerNonce = positionNonce(NONCE_DOMAIN.footer, 0)
    aead.sealInto(pack, footerStart, seal.key, footerNonce, undefined, footer)
    const copyStart = footerStart + footerBytes
    pack.set(seal.preamble, copyStart)
    const trailer = Buffer.alloc(TRAILER_PLAIN_BYTES)
    trailer.writeBigUInt64LE(BigInt(footerStart), 0)
    trailer.writeUInt32LE(footerBytes, 8)
    trailer.writeUInt32LE(directory.length, 12)
    trailer.set(this.#parts.blake3.hash(directory), 16)
    const trailerStart = copyStart + PREAMBLE_BYTES
    const trailerNonce = positionNonce(NONCE_DOMAIN.trailer, 0)
    aead.sealInto(pack, trailerStart, seal.key, trailerNonce, undefined, trailer)
    const byteCount = trailerStart + TRAILER_BYTES
    const bytes = pack.subarray(0, byteCount)
    const sealed: SealedPack = {
      handle: this.#handle,
      kind: this.#options.kind,
      bytes,
      name: sha256(bytes),
      preamble: seal.preamble,
      directory,
    }
    this.#pack = undefined
    this.#handle = 0
    this.#directory.reset()
    this.#parts.emit(sealed)
  }
}

const tableBytesMax = SEGMENT_BLOBS_MAX * SEGMENT_ROW_BYTES
/** A directory of PACK_BLOBS_MAX blobs, each alone in its segment. */
const directoryBytesMax = PACK_BLOBS_MAX * (32 + SEGMENT_ROW_BYTES + 20) + 4096
