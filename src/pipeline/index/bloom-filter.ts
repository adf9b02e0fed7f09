/**
 * Answers "certainly absent" for most ids that an index does not have, without asking it. In shared
 * memory, so that all workers read one copy; only one thread adds.
 *
 *   0   "cairnBF1"
 *   8   u32 blocks | u32 capacity | u32 count | u32 zero
 *   24  database id[16] | u64 generation      of the database that it belongs to
 *   48  16 zero bytes
 *   64  sha-256 of everything else
 *   96  32 zero bytes
 *   128 blocks x 64 bytes
 *
 * An id is random bytes already, so its bits are used as they are. All 8 bits of an id lie in one
 * block, that is one cache line. At 12 bits an id 0.5 % of absent ids pass.
 */

import { equalBytes } from '../../base/bytes.ts'
import { assert } from '../../base/errors.ts'
import { createSha256, SHA256_BYTES } from '../../crypto/sha256.ts'

const MAGIC = Buffer.from('cairnBF1')
const HEAD_BYTES = 128
const BLOCK_BYTES = 64
const BLOCK_WORDS = BLOCK_BYTES / 4
const BITS_PER_ID = 12
const PROBES = 8
const CAPACITY_MIN = 1024
const AT = { blocks: 2, capacity: 3, count: 4, stamp: 24, checksum: 64 } as const
export const FILTER_STAMP_BYTES = 24

export class BloomFilter {
  readonly buffer: SharedArrayBuffer
  readonly #bytes: Uint8Array
  readonly #head: Uint32Array
  readonly #blocks: Int32Array
  readonly #blockCount: number

  /** On a buffer that a filter of another thread has shared. */
  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer
    this.#bytes = new Uint8Array(buffer)
    this.#head = new Uint32Array(buffer, 0, HEAD_BYTES / 4)
    this.#blocks = new Int32Array(buffer, HEAD_BYTES)
    this.#blockCount = this.#head[AT.blocks] ?? 0
  }

  static create(capacityWanted: number): BloomFilter {
    const capacity = Math.max(CAPACITY_MIN, Math.ceil(capacityWanted))
    const blockCount = Math.ceil((capacity * BITS_PER_ID) / (BLOCK_BYTES * 8))
    const buffer = new SharedArrayBuffer(HEAD_BYTES + blockCount * BLOCK_BYTES)
    new Uint8Array(buffer).set(MAGIC)
    new Uint32Array(buffer).set([blockCount, capacity], AT.blocks)
    return new BloomFilter(buffer)
  }

  /** Reads what `encode` gave. Returns undefined for anything else. */
  static decode(bytes: Uint8Array): BloomFilter | undefined {
    if (bytes.length < HEAD_BYTES || !equalBytes(bytes.subarray(0, 8), MAGIC)) return undefined
    const checksum = bytes.subarray(AT.checksum, AT.checksum + SHA256_BYTES)
    if (!equalBytes(checksum, checksumOf(bytes))) return undefined
    const buffer = new SharedArrayBuffer(bytes.length)
    new Uint8Array(buffer).set(bytes)
    const filter = new BloomFilter(buffer)
    return HEAD_BYTES + filter.#blockCount * BLOCK_BYTES === bytes.length ? filter : undefined
  }

  /** `stamp` says which state of which database this filter belongs to. */
  encode(stamp: Uint8Array): Uint8Array {
    assert(stamp.length === FILTER_STAMP_BYTES, `a filter's stamp has ${FILTER_STAMP_BYTES} bytes`)
    const bytes = Uint8Array.from(this.#bytes)
    bytes.set(stamp, AT.stamp)
    bytes.set(checksumOf(bytes), AT.checksum)
    return bytes
  }

  hasStamp(stamp: Uint8Array): boolean {
    return equalBytes(this.#bytes.subarray(AT.stamp, AT.stamp + FILTER_STAMP_BYTES), stamp)
  }

  get capacity(): number {
    return this.#head[AT.capacity] ?? 0
  }

  get count(): number {
    return this.#head[AT.count] ?? 0
  }

  get isFull(): boolean {
    return this.count >= this.capacity
  }

  /** Adds an id that was not added before. */
  add(id: Uint8Array): void {
    const block = this.#blockOf(id)
    let bits = word(id, 4)
    for (let i = 0; i < PROBES; i++) {
      if (i === 3) bits = word(id, 8)
      if (i === 6) bits = word(id, 12)
      const at = block + ((bits >>> 5) & (BLOCK_WORDS - 1))
      this.#blocks[at] = (this.#blocks[at] ?? 0) | (1 << (bits & 31))
      bits >>>= 9
    }
    this.#head[AT.count] = this.count + 1
  }

  /** False: the id was never added. True: it was, or is one of the few that look like it. */
  has(id: Uint8Array): boolean {
    const block = this.#blockOf(id)
    let bits = word(id, 4)
    for (let i = 0; i < PROBES; i++) {
      if (i === 3) bits = word(id, 8)
      if (i === 6) bits = word(id, 12)
      const there = this.#blocks[block + ((bits >>> 5) & (BLOCK_WORDS - 1))] ?? 0
      if ((there & (1 << (bits & 31))) === 0) return false
      bits >>>= 9
    }
    return true
  }

  #blockOf(id: Uint8Array): number {
    return Math.floor(((word(id, 0) >>> 0) / 2 ** 32) * this.#blockCount) * BLOCK_WORDS
  }
}

function word(id: Uint8Array, at: number): number {
  return (
    (id[at] ?? 0) | ((id[at + 1] ?? 0) << 8) | ((id[at + 2] ?? 0) << 16) | ((id[at + 3] ?? 0) << 24)
  )
}

function checksumOf(bytes: Uint8Array): Uint8Array {
  const state = createSha256()
  state.update(bytes.subarray(0, AT.checksum))
  state.update(bytes.subarray(AT.checksum + SHA256_BYTES))
  return state.digest()
}
