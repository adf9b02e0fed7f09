/**
 * Blobs for readers that come back: decoded segments are kept within a limit, several are decoded at
 * once by workers, and what was asked for ahead is there when it is wanted. Every blob is checked
 * against its id once; a copy that is damaged is passed over for another.
 *
 * Memory: `cacheBytesMax`, and the segments under way.
 */

import { equalBytes } from '../../base/bytes.ts'
import { CairnError, isCairnError } from '../../base/errors.ts'
import { blobIdOf, type FileName, shortId } from '../../base/ids.ts'
import { loadBlake3 } from '../../crypto/blake3.ts'
import {
  BLOB_TYPE,
  type BlobType,
  PREAMBLE_BYTES,
  SEGMENT_HEADER_BYTES,
} from '../../format/constants.ts'
import { segmentBodyBytes } from '../../format/segment.ts'
import type { BlobIndex, BlobLocation, KnownPack } from '../../pipeline/index/blob-index.ts'
import { BlobIdentifier } from '../../pipeline/keys.ts'
import type { PackKey } from '../../pipeline/pack-seal.ts'
import type { SegmentResult, WantedBlob } from '../../pipeline/segment-body.ts'
import type { WorkPool } from '../../pipeline/work-pool.ts'
import type { Repository } from '../../repository/repository.ts'
import type { Answer } from '../../base/answer.ts'

const PACK_KEYS_MAX = 4_096
/** A blob that is not where the index says is looked for in a new one, at most this often. */
const REFRESH_MS = 5_000

export interface BlobCacheOptions {
  readonly repository: Repository
  readonly index: BlobIndex
  /** Opens segments of data. */
  readonly pool: WorkPool<'segment'>
  /** Opens those of trees in this thread: they are small, and somebody waits for each. */
  readonly inlinePool: WorkPool<'segment'>
  readonly cacheBytesMax: number
  /** Reads the index anew and gives it to `useIndex`: a prune may have moved blobs since. */
  readonly refresh: () => Promise<void>
  readonly signal?: AbortSignal
}

/** A decoded segment. */
interface Segment {
  readonly plain: Uint8Array
  /** Offsets of blobs that have their ids. */
  readonly good: Set<number>
}

/** Where the index said that a blob is: its pack by name, since numbers are one index's own. */
interface Place {
  readonly pack: KnownPack
  readonly location: BlobLocation
}

interface Sought extends Place {
  readonly id: Uint8Array
}

export class BlobCache {
  readonly #options: BlobCacheOptions
  readonly #identifier: BlobIdentifier
  readonly #keys = new Map<FileName, PackKey>()
  /** By pack and offset; the least recently used first. */
  readonly #segments = new Map<string, Segment>()
  readonly #coming = new Map<string, Promise<Segment>>()
  #bytes = 0
  #refreshedAtMs = Number.NEGATIVE_INFINITY
  #index: BlobIndex

  constructor(options: BlobCacheOptions) {
    this.#options = options
    this.#index = options.index
    const { data, metadata } = options.repository.keyring.ids
    this.#identifier = new BlobIdentifier({ data, metadata }, loadBlake3())
  }

  /** From now on blobs are looked up in this index; what is kept stays. */
  useIndex(index: BlobIndex): void {
    this.#index = index
  }

  /**
   * The bytes of a blob: a view of what is kept. Throws CAIRN_CORRUPT, at once or by the promise, if
   * no good copy is left.
   */
  load(id: Uint8Array, type: BlobType): Answer<Uint8Array> {
    const places = this.#places(id, type)
    const [first] = places
    if (first !== undefined) {
      const key = keyOf(first)
      const cached = this.#segments.get(key)
      const bytes = cached === undefined ? undefined : this.#blobOf(cached, first)
      if (cached !== undefined && bytes !== undefined) {
        this.#segments.delete(key)
        this.#segments.set(key, cached)
        return bytes
      }
    }
    return this.#loadLooking(id, type, places)
  }

  async #loadLooking(
    id: Uint8Array,
    type: BlobType,
    places: readonly Sought[],
  ): Promise<Uint8Array> {
    try {
      return await this.#loadAny(id, places)
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT') || !(await this.#lookAgain())) throw error
      return await this.#loadAny(id, this.#places(id, type))
    }
  }

  /** Whether the index was read anew. */
  async #lookAgain(): Promise<boolean> {
    const nowMs = this.#options.repository.clock.monotonicMs()
    if (nowMs - this.#refreshedAtMs < REFRESH_MS) return false
    this.#refreshedAtMs = nowMs
    await this.#options.refresh()
    return true
  }

  #places(id: Uint8Array, type: BlobType): Sought[] {
    const index = this.#index
    return index
      .find(id)
      .filter((location) => location.type === type)
      .map((location) => ({ id, location, pack: index.pack(location.packNumber) }))
  }

  async #loadAny(id: Uint8Array, places: readonly Sought[]): Promise<Uint8Array> {
    const blob = shortId(blobIdOf(id))
    if (places.length === 0) {
      throw new CairnError('CAIRN_CORRUPT', `blob ${blob} is missing: no pack has it`)
    }
    let problem: unknown
    for (const sought of places) {
      try {
        const segment = await this.#segment(sought, [sought])
        const bytes = this.#blobOf(segment, sought)
        if (bytes !== undefined) return bytes
        problem = new CairnError('CAIRN_CORRUPT', 'its bytes do not have its id')
      } catch (error) {
        if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
        problem = error
      }
    }
    throw new CairnError('CAIRN_CORRUPT', `blob ${blob} is damaged`, { cause: problem })
  }

  /** Begins to decode what holds these blobs, unless it is there or coming. Never throws. */
  prefetch(ids: readonly Uint8Array[], type: BlobType): void {
    const bySegment = new Map<string, Sought[]>()
    for (const id of ids) {
      const [place] = this.#places(id, type)
      if (place === undefined) continue
      const key = keyOf(place)
      if (this.#segments.has(key) || this.#coming.has(key)) continue
      const sought = bySegment.get(key)
      if (sought === undefined) bySegment.set(key, [place])
      else sought.push(place)
    }
    for (const sought of bySegment.values()) {
      const [first] = sought
      // Whoever wants a blob of it meets the failure.
      if (first !== undefined) this.#segment(first, sought).catch(() => {})
    }
  }

  /** How many segments are being decoded. */
  get comingCount(): number {
    return this.#coming.size
  }

  #blobOf(segment: Segment, { id, location }: Sought): Uint8Array | undefined {
    const { offset, length, type } = location
    if (offset + length > segment.plain.length) return undefined
    const blob = segment.plain.subarray(offset, offset + length)
    if (segment.good.has(offset)) return blob
    if (!equalBytes(this.#identifier.id(type, blob), id)) return undefined
    segment.good.add(offset)
    return blob
  }

  #segment(place: Place, wanted: readonly Sought[]): Promise<Segment> {
    const key = keyOf(place)
    const cached = this.#segments.get(key)
    if (cached !== undefined) {
      this.#segments.delete(key)
      this.#segments.set(key, cached)
      return Promise.resolve(cached)
    }
    const coming = this.#coming.get(key) ?? this.#decode(key, place, wanted)
    this.#coming.set(key, coming)
    return coming
  }

  async #decode(key: string, place: Place, wanted: readonly Sought[]): Promise<Segment> {
    try {
      const { plain, good } = await this.#open(place, wanted)
      const segment = { plain, good: new Set(good) }
      this.#remember(key, segment)
      return segment
    } finally {
      this.#coming.delete(key)
    }
  }

  async #open(place: Place, wanted: readonly Sought[]): Promise<SegmentResult> {
    const { repository, inlinePool } = this.#options
    const { pack, location } = place
    const isData = location.type === BLOB_TYPE.data
    const pool = isData ? this.#options.pool : inlinePool
    const job = {
      key: this.#packKey(pack),
      offset: location.segment.offset,
      storedBytes: location.segment.storedBytes,
      wanted: wanted.map(
        ({ id, location: { type, offset, length } }): WantedBlob => ({ id, type, offset, length }),
      ),
    }
    // A disk that hangs must not hang this thread, which has to say so: it never reads by itself.
    const path = isData
      ? repository.backend.localPath?.({ kind: 'packs', name: pack.name })
      : undefined
    if (path !== undefined) {
      try {
        return await pool.run({ ...job, source: { path } })
      } catch (error) {
        // The backend knows what a failure to open or to read means, and whether it is worth a try.
        if (isCairnError(error)) throw error
      }
    }
    const bytes = await this.#sealed(place)
    const transfer = [bytes.buffer as ArrayBuffer]
    return await pool.run({ ...job, source: { bytes } }, { transfer })
  }

  /** The stored bytes of a segment, in a buffer of their own. */
  async #sealed({ pack, location: { segment } }: Place): Promise<Uint8Array> {
    const { repository, signal } = this.#options
    const name = { kind: 'packs', name: pack.name } as const
    const range = {
      offset: segment.offset,
      byteCount: SEGMENT_HEADER_BYTES + segmentBodyBytes(segment.storedBytes),
    }
    const bytes = await repository.backend.load(name, range, signal === undefined ? {} : { signal })
    if (bytes !== undefined) return Uint8Array.from(bytes)
    throw new CairnError('CAIRN_CORRUPT', `pack ${shortId(pack.name)} is missing`)
  }

  #packKey({ name, preamble }: KnownPack): PackKey {
    const known = this.#keys.get(name)
    if (known !== undefined) return known
    const key = this.#options.repository.packKey(preamble.subarray(0, PREAMBLE_BYTES))
    if (this.#keys.size >= PACK_KEYS_MAX) this.#keys.clear()
    this.#keys.set(name, key)
    return key
  }

  #remember(key: string, segment: Segment): void {
    this.#segments.set(key, segment)
    this.#bytes += segment.plain.length
    for (const [oldKey, old] of this.#segments) {
      if (this.#bytes <= this.#options.cacheBytesMax || oldKey === key) break
      this.#segments.delete(oldKey)
      this.#bytes -= old.plain.length
    }
  }
}

function keyOf({ pack, location }: Place): string {
  return `${pack.name}:${location.segment.offset}`
}
