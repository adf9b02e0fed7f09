/**
 * Decoded segments, kept within a limit. Their memory is used again: a segment may be looked into
 * only while it is held, and no view of it may be kept beyond that.
 *
 * What has been read to its end goes first, and soon: whoever reads in order does not come back, and
 * the kernel keeps it anyway. After that goes what was used least recently.
 *
 * Memory: `byteCountMax`, and what is held beyond that; segments too large for the arena, which no
 * repository with chunks of up to 64 MiB has, are left to the garbage collector.
 */

import type { BlobType } from '../../format/constants.ts'
import { MemoryArena } from './memory-arena.ts'

/** Segments read to their end that are kept all the same: readers ahead of each other overlap. */
const READ_UP_BYTES_MAX = 8 << 20

/** What a blob was found to be. Another index file may say that something else lies there. */
export interface GoodBlob {
  readonly id: Uint8Array
  readonly type: BlobType
  readonly length: number
}

export interface Segment {
  readonly key: string
  readonly plain: Uint8Array
  /** The memory that `plain` is in. */
  readonly room: Uint8Array
  /** Blobs that have their ids, by offset. */
  readonly good: Map<number, GoodBlob>
  /** Who looks into it now, or will as soon as it is there. */
  holders: number
  /** Nobody has wanted it yet. */
  isAhead: boolean
  /** Bytes that nobody has read yet, as far as readers in order can tell. */
  unreadBytes: number
}

export interface NewSegment {
  readonly plainBytes: number
  /** What decoding it needs: its plaintext and a little more. */
  readonly roomBytes: number
  /** Of the blobs in it. */
  readonly contentBytes: number
  /** Nobody waits for it. */
  readonly isAhead: boolean
}

export class SegmentStore {
  readonly #byteCountMax: number
  readonly #arena: MemoryArena
  /** The least recently used first. */
  readonly #kept = new Map<string, Segment>()
  /** Those of them that were read to their end; in that order. */
  readonly #readUp = new Map<string, Segment>()
  #bytes = 0
  #aheadBytes = 0
  #readUpBytes = 0

  constructor(byteCountMax: number) {
    this.#byteCountMax = byteCountMax
    this.#arena = new MemoryArena(byteCountMax)
  }

  /** It counts as used just now. Look into it at once, or hold it. */
  get(key: string): Segment | undefined {
    const segment = this.#kept.get(key)
    if (segment === undefined) return undefined
    this.#kept.delete(key)
    this.#kept.set(key, segment)
    this.#want(segment)
    return segment
  }

  /** Keeps it from being dropped until `release`. */
  hold(segment: Segment): void {
    segment.holders++
    this.#want(segment)
  }

  release(segment: Segment): void {
    segment.holders--
  }

  /** Bytes of segments that are there, or on their way, before anybody wanted them. */
  get aheadBytes(): number {
    return this.#aheadBytes
  }

  #want(segment: Segment): void {
    if (!segment.isAhead) return
    segment.isAhead = false
    this.#aheadBytes -= segment.room.byteLength
  }

  has(key: string): boolean {
    return this.#kept.has(key)
  }

  /** A segment on its way, for `add` or `drop`; its memory may be written to from any thread. */
  begin(key: string, { plainBytes, roomBytes, contentBytes, isAhead }: NewSegment): Segment {
    const room = this.#reserve(roomBytes)
    if (isAhead) this.#aheadBytes += roomBytes
    const plain = room.subarray(0, plainBytes)
    return { key, plain, room, good: new Map(), holders: 0, isAhead, unreadBytes: contentBytes }
  }

  #reserve(byteCount: number): Uint8Array {
    while (this.#bytes + byteCount > this.#byteCountMax && this.#evictOne()) {
      // One after another, until there is room.
    }
    this.#bytes += byteCount
    for (;;) {
      const room = this.#arena.allocate(byteCount)
      if (room !== undefined) return room
      // What is free may be in pieces that are too short.
      if (!this.#evictOne()) return new Uint8Array(new SharedArrayBuffer(byteCount))
    }
  }

  add(segment: Segment): void {
    this.#kept.set(segment.key, segment)
  }

  /** Its memory is free again. */
  drop(segment: Segment): void {
    const { key, room } = segment
    this.#kept.delete(key)
    if (this.#readUp.delete(key)) this.#readUpBytes -= room.byteLength
    this.#want(segment)
    this.#bytes -= room.byteLength
    this.#arena.free(room)
  }

  /** `byteCount` bytes of a segment were read. */
  countRead(segment: Segment, byteCount: number): void {
    segment.unreadBytes -= byteCount
    if (segment.unreadBytes > 0 || this.#readUp.has(segment.key)) return
    // The same answer may have been the last of it before: its memory is not to be freed twice.
    if (this.#kept.get(segment.key) !== segment) return
    this.#readUp.set(segment.key, segment)
    this.#readUpBytes += segment.room.byteLength
    for (const old of this.#readUp.values()) {
      if (this.#readUpBytes <= READ_UP_BYTES_MAX) break
      if (old.holders === 0) this.drop(old)
    }
  }

  /** False if everything that is left is held. */
  #evictOne(): boolean {
    for (const segments of [this.#readUp, this.#kept]) {
      for (const segment of segments.values()) {
        if (segment.holders > 0) continue
        this.drop(segment)
        return true
      }
    }
    return false
  }
}
