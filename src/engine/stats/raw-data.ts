/**
 * The blobs that snapshots need, each once, as they are stored. The stored size of a blob is its
 * share of its segment (FORMAT.md 8).
 */

import { COMPRESSION } from '../../format/constants.ts'
import type { NodeRoot } from '../../format/tree.ts'
import type { BlobIndex } from '../../pipeline/index/blob-index.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import { ReachableBlobs } from './reachable-blobs.ts'

export interface RawTotals {
  readonly blobCount: number
  readonly plainBytes: number
  readonly storedBytes: number
  /** Of blobs in compressed segments. */
  readonly compressed: { readonly plainBytes: number; readonly storedBytes: number }
  /** Blobs that no pack has. */
  readonly missingCount: number
}

export class RawData {
  readonly #index: BlobIndex
  readonly #reachable: ReachableBlobs
  #blobCount = 0
  #missingCount = 0
  #plainBytes = 0
  #storedBytes = 0
  #compressedPlain = 0
  #compressedStored = 0

  constructor(blobs: BlobReader, index: BlobIndex, signal: AbortSignal) {
    this.#index = index
    this.#reachable = new ReachableBlobs(blobs, signal, (id) => this.#count(id))
  }

  get totals(): RawTotals {
    return {
      blobCount: this.#blobCount,
      plainBytes: this.#plainBytes,
      storedBytes: Math.round(this.#storedBytes),
      compressed: {
        plainBytes: this.#compressedPlain,
        storedBytes: Math.round(this.#compressedStored),
      },
      missingCount: this.#missingCount,
    }
  }

  async add(root: NodeRoot): Promise<void> {
    await this.#reachable.add(root)
  }

  #count(id: Uint8Array): void {
    const [location] = this.#index.find(id)
    if (location === undefined) {
      this.#missingCount++
      return
    }
    const { segment, length } = location
    const share = segment.plainBytes === 0 ? 0 : length / segment.plainBytes
    const storedBytes = segment.storedBytes * share
    this.#blobCount++
    this.#plainBytes += length
    this.#storedBytes += storedBytes
    if (segment.compression === COMPRESSION.none) return
    this.#compressedPlain += length
    this.#compressedStored += storedBytes
  }
}
