/**
 * Which blobs this run has stored already, shared by all workers: a table of 64-bit fingerprints in
 * shared memory, claimed by compare-and-exchange. A blob id is a keyed hash, so its first 8 bytes
 * are as good as random; two different ids that share them are found by the committer, who
 * resolves every claimed id in full before a snapshot is written (FORMAT.md 17).
 *
 * Tables are added as the run grows, each twice the size of the last: a claim goes to the newest, a
 * look-up asks all. A worker that has not heard of a new table stores a blob twice at worst.
 *
 *   Int32 count, Int32 slots, then BigInt64 fingerprints[slots], then Int32 pack handles[slots]
 */

const HEAD_BYTES = 16
const FULL_SHARE = 0.6

export class ClaimTable {
  readonly buffer: SharedArrayBuffer
  readonly #count: Int32Array
  readonly #fingerprints: BigInt64Array
  readonly #handles: Int32Array
  readonly #mask: number

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer
    this.#count = new Int32Array(buffer, 0, 2)
    const slots = (buffer.byteLength - HEAD_BYTES) / 12
    this.#fingerprints = new BigInt64Array(buffer, HEAD_BYTES, slots)
    this.#handles = new Int32Array(buffer, HEAD_BYTES + slots * 8, slots)
    this.#mask = slots - 1
  }

  /** `slots` is a power of two. */
  static create(slots: number): ClaimTable {
    return new ClaimTable(new SharedArrayBuffer(HEAD_BYTES + slots * 12))
  }

  get slots(): number {
    return this.#mask + 1
  }

  get isFull(): boolean {
    return Atomics.load(this.#count, 0) >= this.slots * FULL_SHARE
  }

  /** The handle of the pack that holds the blob, or 0. */
  find(fingerprint: bigint): number {
    for (let at = this.#slot(fingerprint); ; at = (at + 1) & this.#mask) {
      const there = Atomics.load(this.#fingerprints, at)
      if (there === 0n) return 0
      if (there === fingerprint) return this.#handleAt(at)
    }
  }

  /**
   * Claims a blob for the pack `handle`. Returns 0 if it is now the caller's to store, else the
   * handle of the pack that has or will have it. A full table claims nothing and returns 0.
   */
  claim(fingerprint: bigint, handle: number): number {
    if (Atomics.load(this.#count, 0) >= this.slots * 0.9) return this.find(fingerprint)
    for (let at = this.#slot(fingerprint); ; at = (at + 1) & this.#mask) {
      const there = Atomics.compareExchange(this.#fingerprints, at, 0n, fingerprint)
      if (there === 0n) {
        Atomics.store(this.#handles, at, handle)
        Atomics.add(this.#count, 0, 1)
        return 0
      }
      if (there === fingerprint) return this.#handleAt(at)
    }
  }

  #slot(fingerprint: bigint): number {
    return Number(BigInt.asUintN(30, fingerprint >> 13n)) & this.#mask
  }

  /** The handle follows the fingerprint within nanoseconds: another worker is just writing it. */
  #handleAt(at: number): number {
    for (;;) {
      const handle = Atomics.load(this.#handles, at)
      if (handle !== 0) return handle
    }
  }
}

/** All tables of a run, as one thread sees them. */
export class Claims {
  readonly #tables: ClaimTable[] = []

  constructor(buffers: readonly SharedArrayBuffer[]) {
    for (const buffer of buffers) this.add(buffer)
  }

  add(buffer: SharedArrayBuffer): void {
    this.#tables.push(new ClaimTable(buffer))
  }

  get buffers(): SharedArrayBuffer[] {
    return this.#tables.map((table) => table.buffer)
  }

  /** As `ClaimTable.claim`. */
  claim(id: Buffer, handle: number): number {
    const first = id.readBigInt64LE(0)
    const fingerprint = first === 0n ? 1n : first
    const newest = this.#tables.length - 1
    for (let i = 0; i < newest; i++) {
      const found = this.#tables[i]?.find(fingerprint) ?? 0
      if (found !== 0) return found
    }
    return this.#tables[newest]?.claim(fingerprint, handle) ?? 0
  }

  /** A new table if the newest has become full: to be added here and by every worker. */
  grow(): SharedArrayBuffer | undefined {
    const newest = this.#tables.at(-1)
    if (newest !== undefined && !newest.isFull) return undefined
    const table = ClaimTable.create(newest === undefined ? 1 << 16 : newest.slots * 2)
    this.#tables.push(table)
    return table.buffer
  }
}
