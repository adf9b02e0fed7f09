/**
 * Where blobs are: blob id to pack, segment and offset. Filled from index files, which are the
 * truth; every implementation is a copy that may be thrown away. Look-ups are synchronous and can be
 * done by all workers at once.
 */

import type { FileName } from '../../base/ids.ts'
import type { BlobType } from '../../format/constants.ts'
import type { DirectorySegment } from '../../format/directory.ts'
import type { IndexedPack } from '../../format/index-file.ts'

export interface BlobLocation {
  /** A number of the index's own, for `pack` and `PackStates`. */
  readonly packNumber: number
  readonly segment: DirectorySegment
  /** Where the blob begins in the segment's plaintext. */
  readonly offset: number
  readonly length: number
  readonly type: BlobType
}

export interface KnownPack {
  readonly name: FileName
  readonly byteCount: number
  readonly verified: boolean
  readonly author: Uint8Array
  readonly preamble: Uint8Array
}

/**
 * An entry counts only if its pack is in the current listing with its length (FORMAT.md 10), and,
 * for a writer, if the pack is not doomed by a mark (FORMAT.md 16).
 */
export const PACK_STATE = { gone: 0, live: 1, doomed: 2 } as const

/** The state of each pack by number, in shared memory. */
export class PackStates {
  readonly buffer: SharedArrayBuffer
  readonly #states: Uint8Array

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer
    this.#states = new Uint8Array(buffer)
  }

  static create(packCount: number): PackStates {
    return new PackStates(new SharedArrayBuffer(Math.max(1, packCount)))
  }

  get(packNumber: number): number {
    return this.#states[packNumber] ?? PACK_STATE.gone
  }

  set(packNumber: number, state: number): void {
    this.#states[packNumber] = state
  }
}

/** What a worker needs to open its own view of an index: plain data. */
export type IndexShare =
  | { readonly kind: 'empty' }
  | {
      readonly kind: 'memory'
      readonly buffer: SharedArrayBuffer
      readonly states: SharedArrayBuffer
    }
  | {
      readonly kind: 'level'
      readonly directory: string
      readonly filter: SharedArrayBuffer
      readonly states: SharedArrayBuffer
      /** The first 4 bytes of each pack's name: part of what its rows are checked against. */
      readonly tags: SharedArrayBuffer
      readonly repositoryId: Uint8Array
    }

/** What workers ask: is there a good copy, and in which pack? */
export interface BlobLookup {
  /** The number of a live pack that holds the blob, or -1. `id` has 32 bytes. */
  findPack(id: Buffer): number
  close(): Promise<void>
}

export interface BlobIndex {
  readonly implementation: 'memory' | 'level'
  /** All copies in packs that are live or doomed, live ones first. */
  find(id: Uint8Array): BlobLocation[]
  pack(packNumber: number): KnownPack
  packNumberOf(name: FileName): number | undefined
  /** Every pack number in use, in no order. */
  packNumbers(): Iterable<number>
  /**
   * Adds packs and their blobs. What is known already is passed over; what says something else
   * about a pack of the same name is kept beside it. A new pack counts as the states given last say.
   */
  add(packs: readonly IndexedPack[]): Promise<void>
  /**
   * Says which packs are there (name to length) and which of them are doomed; until this was
   * called, all count as gone.
   */
  setStates(listed: ReadonlyMap<FileName, number>, doomed: ReadonlySet<FileName>): void
  share(): IndexShare
  close(): Promise<void>
}
