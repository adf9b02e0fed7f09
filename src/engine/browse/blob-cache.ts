/**
 * Blobs for readers that come back: decoded segments are kept within a limit, several are decoded at
 * once by workers, and what was asked for ahead is there when it is wanted. Every blob is checked
 * against its id once; a copy that is damaged is passed over for another.
 *
 * Memory: `cacheBytesMax`, with the segments under way unless they are more.
 */

import type { Answer } from '../../base/answer.ts'
import { equalBytes } from '../../base/bytes.ts'
import { CairnError, isCairnError } from '../../base/errors.ts'
import { blobIdOf, shortId } from '../../base/ids.ts'
import { loadBlake3 } from '../../crypto/blake3.ts'
import { BLOB_TYPE, type BlobType, SEGMENT_ROW_BYTES } from '../../format/constants.ts'
import type { BlobIndex } from '../../pipeline/index/blob-index.ts'
import { BlobIdentifier } from '../../pipeline/keys.ts'
import { segmentRoomBytes } from '../../pipeline/segment-reader.ts'
import {
  type Place,
  SegmentDecoder,
  type SegmentDecoderOptions,
  type Sought,
} from './segment-decoder.ts'
import { type Segment, SegmentStore } from './segment-store.ts'

/** What keeps the workers busy while a reader in order takes what they have decoded. */
const AHEAD_BYTES_MAX = 16 << 20
/** A blob that is not where the index says is looked for in a new one, at most this often. */
const REFRESH_MS = 5_000

export interface BlobCacheOptions extends SegmentDecoderOptions {
  readonly index: BlobIndex
  readonly cacheBytesMax: number
  /** Reads the index anew and gives it to `useIndex`: a prune may have moved blobs since. */
  readonly refresh: () => Promise<void>
}

interface Beginning {
  /** Blobs whose ids are compared on the way. */
  readonly wanted: readonly Sought[]
  /** Nobody waits for it. */
  readonly isAhead: boolean
}

/** A segment that is being decoded. */
interface Coming {
  readonly segment: Segment
  readonly ready: Promise<void>
}

/** A blob, and the segment that it lies in. */
interface Held {
  readonly bytes: Uint8Array
  readonly segment: Segment
}

/** A run of zeros is nowhere. */
const HOLE = { bytes: new Uint8Array(0), segment: undefined } as const
type Found = Held | typeof HOLE

/** A part of a file's content: of a chunk, or of a hole, which has no id. */
export interface ContentPart {
  readonly id: Uint8Array | undefined
  /** In the chunk. */
  readonly from: number
  readonly length: number
}

export type TakePieces = (pieces: readonly Uint8Array[]) => void

const ZEROS = new Uint8Array(1 << 20)

export class BlobCache {
  readonly #options: BlobCacheOptions
  readonly #identifier: BlobIdentifier
  readonly #decoder: SegmentDecoder
  readonly #segments: SegmentStore
  /** By pack and offset. */
  readonly #coming = new Map<string, Coming>()
  #refreshedAtMs = Number.NEGATIVE_INFINITY
  #index: BlobIndex

  constructor(options: BlobCacheOptions) {
    this.#options = options
    this.#index = options.index
    this.#segments = new SegmentStore(options.cacheBytesMax)
    this.#decoder = new SegmentDecoder(options)
    const { data, metadata } = options.repository.keyring.ids
    this.#identifier = new BlobIdentifier({ data, metadata }, loadBlake3())
  }

  /** From now on blobs are looked up in this index; what is kept stays. */
  useIndex(index: BlobIndex): void {
    this.#index = index
  }

  /** A blob, as a copy. Throws CAIRN_CORRUPT, at once or by the promise, if no good one is left. */
  load(id: Uint8Array, type: BlobType): Answer<Uint8Array> {
    const blob = this.#kept(id, type)?.bytes
    return blob === undefined ? this.#loadHolding(id, type) : blob.slice()
  }

  async #loadHolding(id: Uint8Array, type: BlobType): Promise<Uint8Array> {
    const { bytes, segment } = await this.#hold(id, type)
    try {
      return bytes.slice()
    } finally {
      this.#segments.release(segment)
    }
  }

  /**
   * Calls `take` with the parts of a file's content, in order, uncopied: they are valid until it
   * returns. Throws CAIRN_CORRUPT by the promise if there is no good copy of one of them.
   */
  read(parts: readonly ContentPart[], take: TakePieces): Answer<void> {
    const found: Found[] = []
    for (const { id } of parts) {
      const one = id === undefined ? HOLE : this.#kept(id, BLOB_TYPE.data)
      if (one === undefined) return this.#readHolding(parts, take)
      found.push(one)
    }
    this.#take(parts, found, take)
  }

  async #readHolding(parts: readonly ContentPart[], take: TakePieces): Promise<void> {
    const results = await Promise.allSettled(
      parts.map(async ({ id }) => (id === undefined ? HOLE : await this.#hold(id, BLOB_TYPE.data))),
    )
    try {
      const found = results.map((result) => {
        if (result.status === 'rejected') throw result.reason
        return result.value
      })
      this.#take(parts, found, take)
    } finally {
      for (const result of results) {
        if (result.status === 'fulfilled' && result.value.segment !== undefined) {
          this.#segments.release(result.value.segment)
        }
      }
    }
  }

  #take(parts: readonly ContentPart[], found: readonly Found[], take: TakePieces): void {
    const pieces: Uint8Array[] = []
    for (const [i, { from, length }] of parts.entries()) {
      const { bytes, segment } = found[i] ?? HOLE
      if (segment === undefined) {
        pushZeros(pieces, length)
        continue
      }
      if (from + length > bytes.length) throw shortContent()
      pieces.push(bytes.subarray(from, from + length))
      this.#segments.countRead(segment, length)
    }
    take(pieces)
  }

  /** A blob that is there at once, and good. Valid until something is decoded. */
  #kept(id: Uint8Array, type: BlobType): Held | undefined {
    const [first] = this.#places(id, type)
    const segment = first === undefined ? undefined : this.#segments.get(keyOf(first))
    if (first === undefined || segment === undefined) return undefined
    const bytes = this.#blobOf(segment, first)
    return bytes === undefined ? undefined : { bytes, segment }
  }

  /** A blob that stays until `holders` of its segment is lowered. */
  async #hold(id: Uint8Array, type: BlobType): Promise<Held> {
    try {
      return await this.#holdAny(id, this.#places(id, type))
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT') || !(await this.#lookAgain())) throw error
      return await this.#holdAny(id, this.#places(id, type))
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

  #places(id: Uint8Array, type: BlobType): readonly Sought[] {
    const index = this.#index
    return index
      .find(id)
      .filter((location) => location.type === type)
      .map((location) => ({ id, location, pack: index.pack(location.packNumber) }))
  }

  async #holdAny(id: Uint8Array, places: readonly Sought[]): Promise<Held> {
    const blob = shortId(blobIdOf(id))
    if (places.length === 0) {
      throw new CairnError('CAIRN_CORRUPT', `blob ${blob} is missing: no pack has it`)
    }
    let problem: unknown
    for (const sought of places) {
      try {
        const held = await this.#holdAt(sought)
        if (held !== undefined) return held
        problem = new CairnError('CAIRN_CORRUPT', 'its bytes do not have its id')
      } catch (error) {
        if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
        problem = error
      }
    }
    throw new CairnError('CAIRN_CORRUPT', `blob ${blob} is damaged`, { cause: problem })
  }

  /** Undefined if what is there does not have the id. */
  async #holdAt(sought: Sought): Promise<Held | undefined> {
    const key = keyOf(sought)
    const segment =
      this.#coming.get(key)?.segment ??
      this.#segments.get(key) ??
      this.#begin(key, sought, { wanted: [sought], isAhead: false })
    this.#segments.hold(segment)
    let bytes: Uint8Array | undefined
    try {
      await this.#coming.get(key)?.ready
      bytes = this.#blobOf(segment, sought)
      return bytes === undefined ? undefined : { bytes, segment }
    } finally {
      if (bytes === undefined) this.#segments.release(segment)
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
      if (this.#segments.aheadBytes > this.#options.cacheBytesMax / 2) return
      const [first] = sought
      // Whoever wants a blob of it meets the failure.
      if (first !== undefined) this.#begin(key, first, { wanted: sought, isAhead: true })
    }
  }

  /** How far ahead of one reader it is worth to look. */
  get aheadBytesMax(): number {
    return Math.min(AHEAD_BYTES_MAX, this.#options.cacheBytesMax / 4)
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
    const known = segment.good.get(offset)
    const isKnown = known?.length === length && known.type === type && equalBytes(known.id, id)
    if (isKnown) return blob
    if (!equalBytes(this.#identifier.id(type, blob), id)) return undefined
    setGood(segment, { id, location })
    return blob
  }

  #begin(key: string, place: Place, { wanted, isAhead }: Beginning): Segment {
    const { plainBytes, blobCount } = place.location.segment
    const segment = this.#segments.begin(key, {
      plainBytes,
      roomBytes: segmentRoomBytes(plainBytes),
      contentBytes: plainBytes - blobCount * SEGMENT_ROW_BYTES,
      isAhead,
    })
    const ready = this.#decode(segment, place, wanted)
    ready.catch(() => {})
    this.#coming.set(key, { segment, ready })
    return segment
  }

  async #decode(segment: Segment, place: Place, wanted: readonly Sought[]): Promise<void> {
    try {
      const { good } = await this.#decoder.decode(place, segment.room, wanted)
      for (const i of good) setGood(segment, wanted[i])
      this.#segments.add(segment)
    } catch (error) {
      // A thread that is lost may write to its memory yet.
      if (!this.#decoder.isBroken) this.#segments.drop(segment)
      throw error
    } finally {
      this.#coming.delete(segment.key)
    }
  }
}

function setGood(segment: Segment, blob: Omit<Sought, 'pack'> | undefined): void {
  if (blob === undefined) return
  const { offset, length, type } = blob.location
  // A copy: an id is a view of many, which would stay as long as it.
  segment.good.set(offset, { id: Uint8Array.from(blob.id), length, type })
}

function keyOf({ pack, location }: Place): string {
  return `${pack.name}:${location.segment.offset}`
}

function shortContent(): CairnError {
  return new CairnError('CAIRN_CORRUPT', 'the content is shorter than the file')
}

function pushZeros(pieces: Uint8Array[], byteCount: number): void {
  for (let left = byteCount; left > 0; left -= ZEROS.length) {
    pieces.push(left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS)
  }
}
