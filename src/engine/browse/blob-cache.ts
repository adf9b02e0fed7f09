/**
 * Blobs for readers that come back: decoded segments are kept within a limit, several are decoded at
 * once by workers, and what was asked for ahead is there when it is wanted. Every blob is checked
 * against its id once; a copy that is damaged is passed over for another.
 *
 * Memory: `cacheBytesMax`, with the segments under way unless they are more.
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
  SEGMENT_ROW_BYTES,
} from '../../format/constants.ts'
import { segmentBodyBytes } from '../../format/segment.ts'
import type { BlobIndex, BlobLocation, KnownPack } from '../../pipeline/index/blob-index.ts'
import { BlobIdentifier } from '../../pipeline/keys.ts'
import type { PackKey } from '../../pipeline/pack-seal.ts'
import type { SegmentResult, WantedBlob } from '../../pipeline/segment-body.ts'
import { segmentRoomBytes } from '../../pipeline/segment-reader.ts'
import type { WorkPool } from '../../pipeline/work-pool.ts'
import type { Repository } from '../../repository/repository.ts'
import { type Answer, thenAnswer } from '../../base/answer.ts'
import { type Segment, SegmentStore } from './segment-store.ts'

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

/** A segment that is being decoded. */
interface Coming {
  readonly segment: Segment
  readonly ready: Promise<void>
}

type Use<T> = (blob: Uint8Array, segment: Segment) => T

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
  readonly #segments: SegmentStore
  /** By pack and offset. */
  readonly #coming = new Map<string, Coming>()
  #comingBytes = 0
  #refreshedAtMs = Number.NEGATIVE_INFINITY
  #index: BlobIndex

  constructor(options: BlobCacheOptions) {
    this.#options = options
    this.#index = options.index
    this.#segments = new SegmentStore(options.cacheBytesMax)
    const { data, metadata } = options.repository.keyring.ids
    this.#identifier = new BlobIdentifier({ data, metadata }, loadBlake3())
  }

  /** From now on blobs are looked up in this index; what is kept stays. */
  useIndex(index: BlobIndex): void {
    this.#index = index
  }

  /**
   * The bytes of a blob. Throws CAIRN_CORRUPT, at once or by the promise, if no good copy is left.
   */
  load(id: Uint8Array, type: BlobType): Answer<Uint8Array> {
    return this.#use(id, type, (blob) => blob.slice())
  }

  /**
   * Copies a part of a blob of file content, as long as `target`, from its byte `from`. Throws as
   * `load`, and CAIRN_CORRUPT where the blob is shorter.
   */
  copy(id: Uint8Array, from: number, target: Uint8Array): Answer<void> {
    const copied = this.#use(id, BLOB_TYPE.data, (blob, segment) => {
      const bytes = blob.subarray(from, from + target.length)
      if (bytes.length < target.length) return false
      target.set(bytes)
      this.#segments.countRead(segment, bytes.length)
      return true
    })
    return thenAnswer(copied, (isLongEnough) => {
      if (!isLongEnough) throw shortContent()
    })
  }

  /** Calls `use` with the bytes of a blob, which are valid until it returns. */
  #use<T>(id: Uint8Array, type: BlobType, use: Use<T>): Answer<T> {
    const places = this.#places(id, type)
    const [first] = places
    const cached = first === undefined ? undefined : this.#segments.get(keyOf(first))
    if (first !== undefined && cached !== undefined) {
      const blob = this.#blobOf(cached, first)
      if (blob !== undefined) return use(blob, cached)
    }
    return this.#useLooking(id, type, places, use)
  }

  async #useLooking<T>(
    id: Uint8Array,
    type: BlobType,
    places: readonly Sought[],
    use: Use<T>,
  ): Promise<T> {
    try {
      return await this.#useAny(id, places, use)
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT') || !(await this.#lookAgain())) throw error
      return await this.#useAny(id, this.#places(id, type), use)
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

  async #useAny<T>(id: Uint8Array, places: readonly Sought[], use: Use<T>): Promise<T> {
    const blob = shortId(blobIdOf(id))
    if (places.length === 0) {
      throw new CairnError('CAIRN_CORRUPT', `blob ${blob} is missing: no pack has it`)
    }
    let problem: unknown
    for (const sought of places) {
      try {
        const result = await this.#useAt(sought, use)
        if (result !== undefined) return result.value
        problem = new CairnError('CAIRN_CORRUPT', 'its bytes do not have its id')
      } catch (error) {
        if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
        problem = error
      }
    }
    throw new CairnError('CAIRN_CORRUPT', `blob ${blob} is damaged`, { cause: problem })
  }

  /** Undefined if what is there does not have the id. */
  async #useAt<T>(sought: Sought, use: Use<T>): Promise<{ readonly value: T } | undefined> {
    const key = keyOf(sought)
    const apply = (segment: Segment) => {
      const blob = this.#blobOf(segment, sought)
      return blob === undefined ? undefined : { value: use(blob, segment) }
    }
    const kept = this.#segments.get(key)
    if (kept !== undefined) return apply(kept)
    const { segment, ready } = this.#coming.get(key) ?? this.#begin(key, sought, [sought])
    segment.holders++
    try {
      await ready
      return apply(segment)
    } finally {
      segment.holders--
    }
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
    for (const [key, sought] of bySegment) {
      // What comes must not push out what came just now.
      if (this.#comingBytes > this.#options.cacheBytesMax / 2) return
      const [first] = sought
      // Whoever wants a blob of it meets the failure.
      if (first !== undefined) this.#begin(key, first, sought)
    }
  }

  /** How many segments are being decoded. */
  get comingCount(): number {
    return this.#coming.size
  }

  /** The blob of a segment, if it has its id. */
  #blobOf(segment: Segment, { id, location }: Sought): Uint8Array | undefined {
    const { offset, length, type } = location
    if (offset + length > segment.plain.length) return undefined
    const blob = segment.plain.subarray(offset, offset + length)
    if (segment.good.has(offset)) return blob
    if (!equalBytes(this.#identifier.id(type, blob), id)) return undefined
    segment.good.add(offset)
    return blob
  }

  #begin(key: string, place: Place, wanted: readonly Sought[]): Coming {
    const { plainBytes, blobCount } = place.location.segment
    const room = this.#segments.reserve(segmentRoomBytes(plainBytes))
    this.#comingBytes += room.byteLength
    const segment: Segment = {
      key,
      room,
      plain: room.subarray(0, plainBytes),
      good: new Set(),
      holders: 0,
      unreadBytes: plainBytes - blobCount * SEGMENT_ROW_BYTES,
    }
    const ready = this.#decode(segment, place, wanted)
    ready.catch(() => {})
    const coming = { segment, ready }
    this.#coming.set(key, coming)
    return coming
  }

  async #decode(segment: Segment, place: Place, wanted: readonly Sought[]): Promise<void> {
    const { key, room } = segment
    try {
      const { good } = await this.#open(segment, place, wanted)
      for (const offset of good) segment.good.add(offset)
      this.#segments.add(segment)
    } catch (error) {
      // A thread that is lost may write to it yet.
      if (!this.#options.pool.isBroken) this.#segments.giveBack(room)
      throw error
    } finally {
      this.#coming.delete(key)
      this.#comingBytes -= room.byteLength
    }
  }

  async #open(
    segment: Segment,
    place: Place,
    wanted: readonly Sought[],
  ): Promise<SegmentResult> {
    const { repository, inlinePool } = this.#options
    const { pack, location } = place
    const isData = location.type === BLOB_TYPE.data
    const pool = isData ? this.#options.pool : inlinePool
    const job = {
      key: this.#packKey(pack),
      offset: location.segment.offset,
      storedBytes: location.segment.storedBytes,
      plainBytes: location.segment.plainBytes,
      into: segment.room,
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
}

function keyOf({ pack, location }: Place): string {
  return `${pack.name}:${location.segment.offset}`
}

function shortContent(): CairnError {
  return new CairnError('CAIRN_CORRUPT', 'the content is shorter than the file')
}
