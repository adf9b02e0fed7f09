/**
 * Opens sealed segments (FORMAT.md 8): header, body, decompression, table. One per thread, because
 * it reuses its buffers: what `open` returns is valid until the next call.
 */

import { CairnError } from '../base/errors.ts'
import { positionNonce } from '../crypto/aead.ts'
import type { Zstd } from '../compression/zstd.ts'
import {
  COMPRESSION,
  NONCE_DOMAIN,
  SEGMENT_HEADER_BYTES,
  SEGMENT_HEADER_PLAIN_BYTES,
  TAG_BYTES,
} from '../format/constants.ts'
import { decodeSegmentHeader, type SegmentHeader, segmentBodyBytes } from '../format/segment.ts'
import type { AeadSet, PackKey } from './pack-seal.ts'

export interface OpenedSegment {
  readonly header: SegmentHeader
  /** The table and the blobs. */
  readonly plain: Uint8Array
}

/** Room that `open` needs for a plaintext: what is not compressed is padded. */
export function segmentRoomBytes(plainBytes: number): number {
  return segmentBodyBytes(plainBytes) - TAG_BYTES
}

function grown(buffer: Buffer, byteCount: number): Buffer {
  if (buffer.length >= byteCount) return buffer
  return Buffer.allocUnsafeSlow(Math.max(byteCount, Math.min(2 * buffer.length, 1 << 26)))
}

export class SegmentReader {
  readonly #aeads: AeadSet
  readonly #zstd: Zstd
  readonly #header = Buffer.allocUnsafeSlow(SEGMENT_HEADER_PLAIN_BYTES)
  #body: Buffer = Buffer.allocUnsafeSlow(1 << 16)
  #plain: Buffer = Buffer.allocUnsafeSlow(1 << 16)

  constructor(aeads: AeadSet, zstd: Zstd) {
    this.#aeads = aeads
    this.#zstd = zstd
  }

  /**
   * The header of the segment that begins at `sealed[0]` and at `offset` of its pack, or undefined
   * if it does not authenticate. Throws CAIRN_CORRUPT for an authentic header out of bounds.
   */
  openHeader(pack: PackKey, offset: number, sealed: Uint8Array): SegmentHeader | undefined {
    if (sealed.length < SEGMENT_HEADER_BYTES) return undefined
    const aead = this.#aeads.get(pack.aead)
    const nonce = positionNonce(NONCE_DOMAIN.segmentHeader, offset)
    const part = sealed.subarray(0, SEGMENT_HEADER_BYTES)
    if (!aead.openInto(this.#header, 0, pack.key, nonce, undefined, part)) return undefined
    return decodeSegmentHeader(this.#header)
  }

  /**
   * Opens the segment that begins at `sealed[0]` and at `offset` of its pack; the plaintext goes to
   * the beginning of `into`, if that is given, which needs `segmentRoomBytes`. Throws CAIRN_CORRUPT
   * if anything of it is damaged, or if it does not fit there.
   */
  open(pack: PackKey, offset: number, sealed: Uint8Array, into?: Uint8Array): OpenedSegment {
    const fail = (what: string): never => {
      throw new CairnError('CAIRN_CORRUPT', `cannot open segment at byte ${offset}: ${what}`)
    }
    const header = this.openHeader(pack, offset, sealed) ?? fail('its header is damaged')
    const bodyBytes = segmentBodyBytes(header.storedBytes)
    const bodyEnd = SEGMENT_HEADER_BYTES + bodyBytes
    if (sealed.length < bodyEnd) fail('it is cut off')
    const body = sealed.subarray(SEGMENT_HEADER_BYTES, bodyEnd)
    const nonce = positionNonce(NONCE_DOMAIN.segmentBody, offset)
    const { plainBytes, storedBytes, compression } = header
    if (into !== undefined && into.length < segmentRoomBytes(plainBytes)) fail('it is too long')
    const isPlain = compression === COMPRESSION.none
    const opened = isPlain && into !== undefined ? into : this.#bodyRoom(bodyBytes - TAG_BYTES)
    const aead = this.#aeads.get(pack.aead)
    if (!aead.openInto(opened, 0, pack.key, nonce, this.#header, body)) {
      fail('its contents are damaged')
    }
    const payload = opened.subarray(0, storedBytes)
    if (isPlain) return { header, plain: payload }
    const plain = into ?? this.#plainRoom(plainBytes)
    if (!this.#zstd.decompressInto(plain, 0, plainBytes, payload)) {
      fail('it does not decompress to its length')
    }
    return { header, plain: plain.subarray(0, plainBytes) }
  }

  #bodyRoom(byteCount: number): Buffer {
    this.#body = grown(this.#body, byteCount)
    return this.#body
  }

  #plainRoom(byteCount: number): Buffer {
    this.#plain = grown(this.#plain, byteCount)
    return this.#plain
  }
}
