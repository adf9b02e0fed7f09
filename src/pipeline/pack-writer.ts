/**
 * Builds packs of one kind (FORMAT.md 8): joins blobs into segments, compresses, seals, checks what
 * it sealed, and hands out each finished pack. One per thread and kind; everything is synchronous
 * and goes through fixed buffers, so that memory does not depend on the data.
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
import { DirectoryBuilder } from '../format/directory.ts'
import { padme } from '../format/padme.ts'
import {
  encodeSegmentHeader,
  readSegmentTable,
  segmentBodyBytes,
  writeSegmentRow,
} from '../format/segment.ts'
import { BlobIdentifier, type WriteKeys } from './keys.ts'
import { AeadSet, type Entropy, newPackSeal, type PackSeal } from './pack-seal.ts'
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
  readonly buffer: ArrayBuffer
  readonly byteCount: number
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

  #pack: Buffer | undefined
  #packEnd = 0
  #seal: PackSeal | undefined
  #handle = 0
  #sealedSegments = 0

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
    if (this.#pack === undefined) this.#openPack(ids.subarray(0, 32), plain.length)
    this.#sealSegment(plain, ids)
    this.#plainEnd = SEGMENT_BLOBS_MAX * SEGMENT_ROW_BYTES
    this.#blobCount = 0
    const isFull =
      this.#packEnd >= this.#options.packBytesTarget ||
      this.#directory.blobCount >= PACK_BLOBS_MAX - SEGMENT_BLOBS_MAX
    if (isFull) this.#closePack()
  }

  #openPack(firstId: Uint8Array, plainBytes: number): void {
    const { keys, packBytesTarget, blobBytesMax } = this.#options
    const { zstd } = this.#parts
    const segmentMax = Math.max(blobBytesMax, this.#segmentTarget, plainBytes) + tableBytesMax
    const capacity =
      packBytesTarget + zstd.compressBound(segmentMax) + directoryBytesMax + packBytesTarget / 8
    this.#pack = Buffer.from(this.#parts.allocate(roundUp(Math.ceil(capacity), 4096)))
    this.#seal = newPackSeal(keys, this.#parts.entropy, this.#parts.blake3, firstId)
    this.#pack.set(this.#seal.preamble, 0)
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

  #sealSegment(plain: Uint8Array, ids: Uint8Array): void {
    const pack = this.#pack
    const seal = this.#seal
    assert(pack !== undefined && seal !== undefined, 'a pack is open')
    const { payload, compression } = this.#compress(plain)
    const segment = {
      offset: this.#packEnd,
      storedBytes: payload.length,
      plainBytes: plain.length,
      blobCount: this.#blobCount,
      compression,
      kind: this.#options.kind,
    }
    const header = encodeSegmentHeader(segment)
    const { offset } = segment
    const aead = this.#aeads.get(this.#options.keys.aead)
    const headerNonce = positionNonce(NONCE_DOMAIN.segmentHeader, offset)
    aead.sealInto(pack, offset, seal.key, headerNonce, undefined, header)
    const bodyBytes = segmentBodyBytes(payload.length)
    const bodyStart = offset + SEGMENT_HEADER_BYTES
    // The padding is inside the encryption: payload and zeros are laid out in place, then sealed.
    pack.set(payload, bodyStart)
    pack.fill(0, bodyStart + payload.length, bodyStart + bodyBytes - TAG_BYTES)
    const inPlace = pack.subarray(bodyStart, bodyStart + bodyBytes - TAG_BYTES)
    const bodyNonce = positionNonce(NONCE_DOMAIN.segmentBody, offset)
    aead.sealInto(pack, bodyStart, seal.key, bodyNonce, header, inPlace)
    this.#packEnd = bodyStart + bodyBytes
    this.#directory.addSegment(
      segment,
      ids,
      this.#rows.subarray(0, this.#blobCount * SEGMENT_ROW_BYTES),
    )
    this.#verify(offset, ids)
  }

  /** Opens what was just sealed: bad memory or a bad compressor must not reach the storage. */
  #verify(offset: number, ids: Uint8Array): void {
    const { kind, verify, keys } = this.#options
    const isDue = this.#sealedSegments++ % VERIFY_ONE_IN === 0 || kind === SEGMENT_KIND.metadata
    const seal = this.#seal
    const pack = this.#pack
    if (!verify || !isDue || seal === undefined || pack === undefined) return
    const sealed = pack.subarray(offset, this.#packEnd)
    try {
      const opened = this.#reader.open({ key: seal.key, aead: keys.aead }, offset, sealed)
      const blobs = readSegmentTable(opened.plain, opened.header.blobCount)
      for (const [i, blob] of blobs.entries()) {
        const bytes = opened.plain.subarray(blob.offset, blob.offset + blob.length)
        const id = this.#identifier.id(blob.type, bytes)
        if (!equalBytes(id, ids.subarray(i * 32, i * 32 + 32))) {
          throw new CairnError('CAIRN_FAILED', 'a blob does not have the id it was stored under')
        }
      }
    } catch (cause) {
      throw new CairnError(
        'CAIRN_FAILED',
        'cannot store data: what was sealed does not open to what was read; the memory or the compressor of this machine is bad, nothing of it was stored',
        { cause },
      )
    }
  }

  #closePack(): void {
    const pack = this.#pack
    const seal = this.#seal
    assert(pack !== undefined && seal !== undefined, 'a pack is open')
    const directory = this.#directory.encode()
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
    const sealed: SealedPack = {
      handle: this.#handle,
      kind: this.#options.kind,
      buffer: pack.buffer as ArrayBuffer,
      byteCount,
      name: sha256(pack.subarray(0, byteCount)),
      preamble: seal.preamble,
      directory,
    }
    this.#pack = undefined
    this.#seal = undefined
    this.#handle = 0
    this.#directory.reset()
    this.#parts.emit(sealed)
  }
}

const tableBytesMax = SEGMENT_BLOBS_MAX * SEGMENT_ROW_BYTES
/** A directory of PACK_BLOBS_MAX blobs, each alone in its segment. */
const directoryBytesMax = PACK_BLOBS_MAX * (32 + SEGMENT_ROW_BYTES + 20) + 4096
