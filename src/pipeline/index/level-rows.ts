/**
 * Keys and values of the LevelDB index. All integers little-endian, but for those in keys.
 *
 *   "m"               meta: u32 schema | repository id[16] | database id[16] | u64 generation |
 *                     u32 packs | u32 index files | u64 ids | u32 crc
 *   "p" u32be number  pack: name[32] | u64 bytes | u32 flags (1: verified) | author[8] |
 *                     preamble[128] | digest of the claim[32] | u32 crc
 *   "f" name[32]      index file that has been applied: u32 crc
 *   "b" id[32]        blob: one row of 33 bytes for each copy
 *     u32 pack number | u32 segment offset/64 | u32 stored | u32 plain | u16 blobs |
 *     u8 compression | u8 kind | u32 offset in the plaintext | u32 length | u8 type | u32 crc
 *
 * LevelDB as it is bound here verifies no checksums of its own blocks: a flipped bit on disk can
 * come back as a value. So every value ends in a CRC-32 of: database id, key, value, and for blob
 * rows the first 4 bytes of the pack's name. A value that belongs to another key, another database
 * or another pack of the same number does not pass. The database id is random; it is made with the
 * database, so two databases for one repository do not mix either.
 */

import { crc32 } from 'node:zlib'
import { type FileName, fileNameOf, ID_BYTES, idBytes } from '../../base/ids.ts'
import { PREAMBLE_BYTES, SEGMENT_ALIGN_BYTES } from '../../format/constants.ts'
import { isBlobType } from '../../format/segment.ts'
import { type BlobLocation, type KnownPack, PACK_STATE, type PackStates } from './blob-index.ts'

/**
 * What the database holds is not what was put there. Its directory is to be deleted and made anew
 * from index files; what it said is neither presence nor absence.
 */
export class IndexDamagedError extends Error {
  override readonly name = 'IndexDamagedError'

  constructor(problem: string, cause?: unknown) {
    super(`local index is damaged: ${problem}`, cause === undefined ? undefined : { cause })
  }
}

export const DATABASE_ID_BYTES = 16
const KEY_BYTES = 1 + ID_BYTES
export const CRC_BYTES = 4
const DIGEST_BYTES = 32
const PACK_BYTES = 32 + 8 + 4 + 8 + PREAMBLE_BYTES + DIGEST_BYTES + CRC_BYTES
const ROW_BYTES = 33
const ROW_CRC_AT = ROW_BYTES - CRC_BYTES
const FLAG_VERIFIED = 1

/** All keys of a kind lie between these. */
export const PACK_RANGE = { gte: Buffer.from('p'), lt: Buffer.from('q') } as const
export const FILE_RANGE = { gte: Buffer.from('f'), lt: Buffer.from('g') } as const
export const BLOB_RANGE = { gte: Buffer.from('b'), lt: Buffer.from('c') } as const

export interface LevelPack extends KnownPack {
  /** Of all that was said about the pack: tells claims apart (see PackTable). */
  readonly digest: Uint8Array
}

/** Writes the CRC of everything before it, of the key and of `context` into the last 4 bytes. */
export function sealed(bytes: Buffer, key: Uint8Array, context?: Uint8Array): Buffer {
  bytes.writeUInt32LE(crcOf(bytes, key, context), bytes.length - CRC_BYTES)
  return bytes
}

export function isSealed(bytes: Buffer, key: Uint8Array, context?: Uint8Array): boolean {
  return bytes.readUInt32LE(bytes.length - CRC_BYTES) === crcOf(bytes, key, context)
}

function crcOf(bytes: Buffer, key: Uint8Array, context?: Uint8Array): number {
  const before = crc32(key, context === undefined ? 0 : crc32(context))
  return crc32(bytes.subarray(0, bytes.length - CRC_BYTES), before)
}

/** What makes and checks the values of one database. */
export class RowCodec {
  readonly #databaseId: Uint8Array
  /** database id | key | row without its CRC | tag of the pack: what the CRC of a row covers. */
  readonly #work = Buffer.alloc(DATABASE_ID_BYTES + KEY_BYTES + ROW_CRC_AT + 4)
  readonly #key = this.#work.subarray(DATABASE_ID_BYTES, DATABASE_ID_BYTES + KEY_BYTES)
  readonly #row = this.#work.subarray(DATABASE_ID_BYTES + KEY_BYTES)

  constructor(databaseId: Uint8Array) {
    this.#databaseId = databaseId
    this.#work.set(databaseId)
    this.#key[0] = BLOB_RANGE.gte[0] ?? 0
  }

  packKey(number: number): Buffer {
    const key = Buffer.from([PACK_RANGE.gte[0] ?? 0, 0, 0, 0, 0])
    key.writeUInt32BE(number, 1)
    return key
  }

  encodePack(number: number, pack: LevelPack): Buffer {
    const bytes = Buffer.alloc(PACK_BYTES)
    bytes.set(idBytes(pack.name), 0)
    bytes.writeBigUInt64LE(BigInt(pack.byteCount), 32)
    bytes.writeUInt32LE(pack.verified ? FLAG_VERIFIED : 0, 40)
    bytes.set(pack.author, 44)
    bytes.set(pack.preamble, 52)
    bytes.set(pack.digest, 52 + PREAMBLE_BYTES)
    return sealed(bytes, this.packKey(number), this.#databaseId)
  }

  decodePack(number: number, key: Buffer, bytes: Buffer): LevelPack {
    const isGood = key.equals(this.packKey(number)) && bytes.length === PACK_BYTES
    if (!isGood || !isSealed(bytes, key, this.#databaseId)) {
      throw new IndexDamagedError(`pack ${number} is missing or fails its checksum`)
    }
    return {
      name: fileNameOf(bytes.subarray(0, 32)),
      byteCount: Number(bytes.readBigUInt64LE(32)),
      verified: (bytes.readUInt32LE(40) & FLAG_VERIFIED) !== 0,
      author: bytes.subarray(44, 52),
      preamble: bytes.subarray(52, 52 + PREAMBLE_BYTES),
      digest: bytes.subarray(52 + PREAMBLE_BYTES, 52 + PREAMBLE_BYTES + DIGEST_BYTES),
    }
  }

  fileKey(name: FileName): Buffer {
    return Buffer.concat([FILE_RANGE.gte, idBytes(name)])
  }

  encodeFile(name: FileName): Buffer {
    return sealed(Buffer.alloc(CRC_BYTES), this.fileKey(name), this.#databaseId)
  }

  decodeFile(key: Buffer, bytes: Buffer): FileName {
    const isGood = key.length === KEY_BYTES && bytes.length === CRC_BYTES
    if (!isGood || !isSealed(bytes, key, this.#databaseId)) {
      throw new IndexDamagedError('the mark of an index file fails its checksum')
    }
    return fileNameOf(key.subarray(1))
  }

  /** The key of a blob, good until the next call. Rows are encoded and checked for this key. */
  blobKey(id: Uint8Array): Buffer {
    this.#key.set(id, 1)
    return this.#key
  }

  /** One row for the blob of the last `blobKey`. `tag` is that of its pack. */
  encodeRow(location: BlobLocation, tag: number): Buffer {
    const { segment } = location
    const row = this.#row
    row.writeUInt32LE(location.packNumber, 0)
    row.writeUInt32LE(segment.offset / SEGMENT_ALIGN_BYTES, 4)
    row.writeUInt32LE(segment.storedBytes, 8)
    row.writeUInt32LE(segment.plainBytes, 12)
    row.writeUInt16LE(segment.blobCount, 16)
    row[18] = segment.compression
    row[19] = segment.kind
    row.writeUInt32LE(location.offset, 20)
    row.writeUInt32LE(location.length, 24)
    row[28] = location.type
    row.writeUInt32LE(tag, ROW_CRC_AT)
    const crc = crc32(this.#work)
    row.writeUInt32LE(crc, ROW_CRC_AT)
    return Buffer.from(row)
  }

  #checkRow(value: Buffer, at: number, tag: number): void {
    value.copy(this.#row, 0, at, at + ROW_CRC_AT)
    this.#row.writeUInt32LE(tag, ROW_CRC_AT)
    if (crc32(this.#work) !== value.readUInt32LE(at + ROW_CRC_AT)) {
      throw new IndexDamagedError('the rows of a blob fail their checksum')
    }
  }

  /** All rows of a value, for the blob of the last `blobKey`. */
  decodeRows(value: Buffer, tags: Uint32Array): BlobLocation[] {
    const locations: BlobLocation[] = []
    for (let at = 0; at < rowsEnd(value); at += ROW_BYTES) {
      const tag = tags[value.readUInt32LE(at)]
      if (tag === undefined) throw new IndexDamagedError('a blob is in an unknown pack')
      this.#checkRow(value, at, tag)
      locations.push(decodeRow(value, at))
    }
    return locations
  }

  /** The first pack of a value that is live, or -1. Packs newer than `tags` do not count. */
  livePack(value: Buffer, tags: Uint32Array, states: PackStates): number {
    for (let at = 0; at < rowsEnd(value); at += ROW_BYTES) {
      const packNumber = value.readUInt32LE(at)
      const tag = tags[packNumber]
      if (tag === undefined) continue
      this.#checkRow(value, at, tag)
      if (states.get(packNumber) === PACK_STATE.live) return packNumber
    }
    return -1
  }
}

function rowsEnd(value: Buffer): number {
  if (value.length === 0 || value.length % ROW_BYTES !== 0) {
    throw new IndexDamagedError(`a blob has ${value.length} bytes of rows`)
  }
  return value.length
}

function decodeRow(value: Buffer, at: number): BlobLocation {
  const type = value[at + 28] ?? 0
  if (!isBlobType(type)) throw new IndexDamagedError(`a blob has type ${type}`)
  return {
    packNumber: value.readUInt32LE(at),
    segment: {
      offset: value.readUInt32LE(at + 4) * SEGMENT_ALIGN_BYTES,
      storedBytes: value.readUInt32LE(at + 8),
      plainBytes: value.readUInt32LE(at + 12),
      blobCount: value.readUInt16LE(at + 16),
      compression: value[at + 18] ?? 0,
      kind: value[at + 19] ?? 0,
    },
    offset: value.readUInt32LE(at + 20),
    length: value.readUInt32LE(at + 24),
    type,
  }
}
