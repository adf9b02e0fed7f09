/**
 * An index in memory: for repositories without a cache, and for a run that cannot have one.
 *
 * Workers share its buffer. They may look up while the main thread adds: a row is complete before
 * a slot leads to it.
 *
 *   u32 row capacity | u32 slots | u32 seed | u32 0
 *   ids     capacity x 32 bytes
 *   rows    capacity x { u32 pack number | u32 blob number in the pack | u32 older row + 1, or 0 }
 *   slots   slots x u32: 0, or (tag << bits of a row number) + newest row of an id + 1
 *
 * 44 bytes a blob and 6 to 8 for its slot. The tag is what is left of the hash: a miss hardly ever
 * reads an id. Copies of one blob hang on one slot, so that a million of them are no slower than
 * one. The hash takes in the whole id and a seed, because ids come from whoever wrote the index.
 */

import { equalBytes } from '../../base/bytes.ts'
import { assert } from '../../base/errors.ts'
import { type FileName, ID_BYTES } from '../../base/ids.ts'
import type { BlobType } from '../../format/constants.ts'
import type { PackDirectory } from '../../format/directory.ts'
import type { IndexedPack } from '../../format/index-file.ts'
import {
  type BlobIndex,
  type BlobLocation,
  type BlobLookup,
  type IndexShare,
  type KnownPack,
  PACK_STATE,
  PackStates,
} from './blob-index.ts'
import { isSameClaim, PackTable } from './pack-table.ts'

const HEAD_WORDS = 4
const ID_WORDS = ID_BYTES / 4
const ROW_WORDS = 3
const CAPACITY_MIN = 4096
const SLOTS_PER_ROW = 1.5

function hashWords(words: Int32Array, at: number, seed: number): number {
  let hash = seed
  for (let i = at; i < at + ID_WORDS; i++) {
    hash = Math.imul(hash ^ (words[i] ?? 0), 0x9e3779b1)
    hash ^= hash >>> 15
  }
  return hash >>> 0
}

/** The rows by id, over shared memory. */
class RowTable {
  readonly buffer: SharedArrayBuffer
  readonly capacity: number
  readonly #slotCount: number
  readonly #seed: number
  readonly #rowBits: number
  readonly #rowMask: number
  readonly #ids: Int32Array
  readonly #idBytes: Uint8Array
  readonly #rows: Uint32Array
  readonly #slots: Uint32Array
  readonly #wanted = new Int32Array(ID_WORDS)
  readonly #wantedBytes = new Uint8Array(this.#wanted.buffer)

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer
    const [capacity = 0, slotCount = 0, seed = 0] = new Uint32Array(buffer, 0, HEAD_WORDS)
    this.capacity = capacity
    this.#slotCount = slotCount
    this.#seed = seed
    this.#rowBits = 32 - Math.clz32(capacity)
    this.#rowMask = 2 ** this.#rowBits - 1
    const rowsAt = HEAD_WORDS * 4 + capacity * ID_BYTES
    this.#ids = new Int32Array(buffer, HEAD_WORDS * 4, capacity * ID_WORDS)
    this.#idBytes = new Uint8Array(buffer, HEAD_WORDS * 4, capacity * ID_BYTES)
    this.#rows = new Uint32Array(buffer, rowsAt, capacity * ROW_WORDS)
    this.#slots = new Uint32Array(buffer, rowsAt + capacity * ROW_WORDS * 4, slotCount)
  }

  static create(capacity: number, seed: number): RowTable {
    assert(capacity < 2 ** 31, 'an index in memory has fewer than 2^31 rows')
    const slotCount = Math.ceil(capacity * SLOTS_PER_ROW)
    const words = HEAD_WORDS + capacity * (ID_WORDS + ROW_WORDS) + slotCount
    const buffer = new SharedArrayBuffer(words * 4)
    new Uint32Array(buffer, 0, HEAD_WORDS).set([capacity, slotCount, seed])
    return new RowTable(buffer)
  }

  /** Adds rows `first` and on: the blobs of one pack, whose ids are `ids`. */
  append(first: number, ids: Uint8Array, packNumber: number): void {
    this.#idBytes.set(ids, first * ID_BYTES)
    const end = first + ids.length / ID_BYTES
    for (let row = first, blob = 0; row < end; row++, blob++) {
      this.#insert(row, packNumber, blob)
    }
  }

  /** Takes over the first `count` rows of a smaller table. */
  appendAll(other: RowTable, count: number): void {
    this.#idBytes.set(other.#idBytes.subarray(0, count * ID_BYTES))
    for (let row = 0; row < count; row++) {
      this.#insert(row, other.packNumber(row), other.blobNumber(row))
    }
  }

  #insert(row: number, packNumber: number, blobNumber: number): void {
    const { slot, entry, tag } = this.#probe(this.#ids, row * ID_WORDS)
    this.#rows[row * ROW_WORDS] = packNumber
    this.#rows[row * ROW_WORDS + 1] = blobNumber
    this.#rows[row * ROW_WORDS + 2] = entry & this.#rowMask
    Atomics.store(this.#slots, slot, (tag | (row + 1)) >>> 0)
  }

  /** The slot of the id at `words[at]`, or the empty one where it belongs. */
  #probe(words: Int32Array, at: number): { slot: number; entry: number; tag: number } {
    const hash = hashWords(words, at, this.#seed)
    const tag = hash << this.#rowBits // The lower bits: the upper ones choose the slot.
    let slot = Math.floor((hash / 2 ** 32) * this.#slotCount)
    for (;;) {
      const entry = Atomics.load(this.#slots, slot)
      if (entry === 0 || this.#leadsTo(entry, tag, words, at)) return { slot, entry, tag }
      if (++slot === this.#slotCount) slot = 0
    }
  }

  #leadsTo(entry: number, tag: number, words: Int32Array, at: number): boolean {
    if (((entry & ~this.#rowMask) ^ tag) !== 0) return false
    const idAt = ((entry & this.#rowMask) - 1) * ID_WORDS
    for (let i = 0; i < ID_WORDS; i++) {
      if (this.#ids[idAt + i] !== words[at + i]) return false
    }
    return true
  }

  /** The newest row of an id, or -1. */
  newest(id: Uint8Array): number {
    this.#wantedBytes.set(id)
    return (this.#probe(this.#wanted, 0).entry & this.#rowMask) - 1
  }

  /** The next older row of the same id, or -1. */
  older(row: number): number {
    return (this.#rows[row * ROW_WORDS + 2] ?? 0) - 1
  }

  packNumber(row: number): number {
    return this.#rows[row * ROW_WORDS] ?? 0
  }

  blobNumber(row: number): number {
    return this.#rows[row * ROW_WORDS + 1] ?? 0
  }
}

/** Where the blobs of a pack begin in their segments, and the first blob of each segment. */
class BlobPlaces {
  readonly #directory: PackDirectory
  readonly #offsets: Uint32Array
  readonly #firstBlobs: Uint32Array

  constructor(directory: PackDirectory) {
    this.#directory = directory
    this.#offsets = new Uint32Array(directory.blobCount)
    this.#firstBlobs = new Uint32Array(directory.segmentCount)
    let last = -1
    directory.forEach((blob, segment, offset) => {
      this.#offsets[blob] = offset
      if (segment !== last) this.#firstBlobs[segment] = blob
      last = segment
    })
  }

  location(packNumber: number, blob: number): BlobLocation {
    return {
      packNumber,
      segment: this.#directory.segment(this.#segmentOf(blob)),
      offset: this.#offsets[blob] ?? 0,
      length: this.#directory.length(blob),
      type: this.#directory.type(blob),
    }
  }

  #segmentOf(blob: number): number {
    let low = 0
    let high = this.#firstBlobs.length
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if ((this.#firstBlobs[middle] ?? 0) <= blob) low = middle
      else high = middle
    }
    return low
  }
}

/** The ids of a directory that has blobs, one after the other. */
export function idsOf(directory: PackDirectory): Uint8Array {
  const { buffer, byteOffset } = directory.id(0)
  return new Uint8Array(buffer, byteOffset, directory.blobCount * ID_BYTES)
}

interface MemoryPack extends KnownPack {
  readonly directory: PackDirectory
  places?: BlobPlaces
}

export class MemoryIndex implements BlobIndex {
  readonly implementation = 'memory'
  readonly #packs = new PackTable<MemoryPack>()
  #table: RowTable
  #rowCount = 0
  readonly #seed: number

  /** `seed` makes it unpredictable which ids share a slot. */
  constructor(blobCountExpected = 0, seed = 0) {
    this.#seed = seed >>> 0
    // Some room for what the run adds. Memory that is never touched costs nothing.
    const capacity = Math.max(CAPACITY_MIN, Math.ceil(blobCountExpected * 1.125))
    this.#table = RowTable.create(capacity, this.#seed)
  }

  get blobCount(): number {
    return this.#rowCount
  }

  find(id: Uint8Array): BlobLocation[] {
    const locations: BlobLocation[] = []
    for (let row = this.#table.newest(id); row >= 0; row = this.#table.older(row)) {
      const packNumber = this.#table.packNumber(row)
      if (this.#packs.states.get(packNumber) === PACK_STATE.gone) continue
      const pack = this.#packs.get(packNumber)
      pack.places ??= new BlobPlaces(pack.directory)
      locations.push(pack.places.location(packNumber, this.#table.blobNumber(row)))
    }
    return this.#packs.order(locations.reverse())
  }

  /**
   * The pack of the first location that `find` has of this type and length, or -1. It makes no
   * objects: for whoever asks about every reference there is. Undefined is any length.
   */
  holder(id: Uint8Array, type: BlobType, length: number | undefined): number {
    const { states } = this.#packs
    let best = -1
    for (let row = this.#table.newest(id); row >= 0; row = this.#table.older(row)) {
      const packNumber = this.#table.packNumber(row)
      const state = states.get(packNumber)
      if (state === PACK_STATE.gone) continue
      const { directory } = this.#packs.get(packNumber)
      const blob = this.#table.blobNumber(row)
      if (directory.type(blob) !== type) continue
      if (length !== undefined && directory.length(blob) !== length) continue
      // The rows come newest first: the oldest live copy is wanted, or else the oldest.
      if (state === PACK_STATE.live || states.get(best) !== PACK_STATE.live) best = packNumber
    }
    return best
  }

  pack(packNumber: number): KnownPack {
    return this.#packs.get(packNumber)
  }

  packNumberOf(name: FileName): number | undefined {
    return this.#packs.bestNumberOf(name)
  }

  packNumbers(): Iterable<number> {
    return this.#packs.numbers()
  }

  async add(packs: readonly IndexedPack[]): Promise<void> {
    for (const pack of packs) {
      if (!this.#isKnown(pack)) this.#append(pack)
    }
  }

  #isKnown(pack: IndexedPack): boolean {
    const same = this.#packs.numbersOf(pack.name).find((number) => {
      const known = this.#packs.get(number)
      return isSameClaim(known, pack) && equalBytes(known.directory.bytes, pack.directory.bytes)
    })
    if (same === undefined) return false
    const known = this.#packs.get(same)
    if (pack.verified && !known.verified) this.#packs.replace(same, { ...known, verified: true })
    return true
  }

  #append(pack: IndexedPack): void {
    const { blobCount } = pack.directory
    this.#reserve(this.#rowCount + blobCount)
    const packNumber = this.#packs.push({ ...pack })
    if (blobCount > 0) this.#table.append(this.#rowCount, idsOf(pack.directory), packNumber)
    this.#rowCount += blobCount
  }

  #reserve(rowCount: number): void {
    if (rowCount <= this.#table.capacity) return
    const grown = RowTable.create(Math.max(rowCount, this.#table.capacity * 2), this.#seed)
    grown.appendAll(this.#table, this.#rowCount)
    this.#table = grown
  }

  setStates(listed: ReadonlyMap<FileName, number>, doomed: ReadonlySet<FileName>): void {
    this.#packs.setStates(listed, doomed)
  }

  /** Good for what is in the index now; what is added later shows in it until the index grows. */
  share(): IndexShare {
    return { kind: 'memory', buffer: this.#table.buffer, states: this.#packs.states.buffer }
  }

  async close(): Promise<void> {}
}

export function memoryLookup(share: IndexShare & { readonly kind: 'memory' }): BlobLookup {
  const table = new RowTable(share.buffer)
  const states = new PackStates(share.states)
  return {
    findPack: (id) => {
      for (let row = table.newest(id); row >= 0; row = table.older(row)) {
        const packNumber = table.packNumber(row)
        if (states.get(packNumber) === PACK_STATE.live) return packNumber
      }
      return -1
    },
    close: async () => {},
  }
}
