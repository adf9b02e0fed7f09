/**
 * What of each pack is needed. Of several copies of a blob one is kept: the one in the pack of which
 * most is needed. A copy in a pack that is doomed is kept only if there is no other.
 */

import { type FileName, ID_BYTES } from '../../base/ids.ts'
import {
  COMPRESSION,
  SEGMENT_HEADER_BYTES,
  SEGMENT_KIND,
  SEGMENT_ROW_BYTES,
} from '../../format/constants.ts'
import type { DirectorySegment, PackDirectory } from '../../format/directory.ts'
import type { IndexedPack } from '../../format/index-file.ts'
import { segmentBodyBytes } from '../../format/segment.ts'
import { idsOf } from '../../pipeline/index/memory-index.ts'
import type { IdTable } from '../id-table.ts'
import type { ListedPack } from './pack-inventory.ts'

export interface PackUsage {
  readonly pack: ListedPack
  /** What the pack is read by; undefined if claims differ or there is none. */
  readonly claim: IndexedPack | undefined
  readonly isMetadata: boolean
  readonly isUncompressed: boolean
  readonly isDoomed: boolean
  readonly blobCount: number
  /** Blobs of which this is the copy that is kept. */
  readonly keptBlobs: number
  /** Needed, but kept elsewhere. */
  readonly duplicateBlobs: number
  readonly keptBytes: number
  readonly duplicateBytes: number
  /** Of the file: what is neither of these. */
  readonly unusedBytes: number
  /** One byte for each blob of the claim: 1 if it is kept. */
  readonly wanted: Uint8Array
}

export interface Usage {
  readonly packs: readonly PackUsage[]
  /** Numbers of needed blobs that no pack has. */
  readonly missing: readonly number[]
  /** For each needed blob how many copies there are, up to 255. */
  readonly copies: Uint8Array
}

export interface UsageInput {
  readonly packs: Iterable<ListedPack>
  readonly used: IdTable
  readonly doomed: ReadonlySet<FileName>
  /** Numbers of blobs that are damaged in a pack: no copies. */
  readonly bad: ReadonlyMap<FileName, ReadonlySet<number>>
}

const NOBODY = -1
/** Below this share saved a pack counts as not compressed. */
const COMPRESSED_SHARE = 0.5

export function usageOf(input: UsageInput): Usage {
  const copies = new Uint8Array(input.used.size)
  const drafts = [...input.packs].map((pack) => new Draft(pack, input))
  for (const draft of drafts) draft.count(copies)
  const keepers = new Int32Array(input.used.size).fill(NOBODY)
  const order = [...drafts.keys()].sort((a, b) => compare(drafts[a], drafts[b]))
  for (const number of order) drafts[number]?.claimBlobs(keepers, number)
  const missing: number[] = []
  for (const [blob, keeper] of keepers.entries()) if (keeper === NOBODY) missing.push(blob)
  return { packs: drafts.map((draft) => draft.finish()), missing, copies }
}

/** Packs whose copies are kept come first. */
function compare(a: Draft | undefined, b: Draft | undefined): number {
  if (a === undefined || b === undefined) return 0
  return (
    Number(a.isDoomed) - Number(b.isDoomed) ||
    Number(b.pack.isIndexed) - Number(a.pack.isIndexed) ||
    b.usedShare - a.usedShare ||
    (a.pack.name < b.pack.name ? -1 : 1)
  )
}

class Draft {
  readonly pack: ListedPack
  readonly isDoomed: boolean
  usedShare = 0
  readonly #used: IdTable
  readonly #bad: ReadonlySet<number> | undefined
  readonly #wanted: Uint8Array
  /** For each claim the numbers of its blobs, or NOBODY. */
  readonly #numbers: Int32Array[] = []
  #isUncompressed = false
  #kept = { blobs: 0, bytes: 0 }
  #duplicate = { blobs: 0, bytes: 0 }
  #allBytes = 0

  constructor(pack: ListedPack, { used, doomed, bad }: UsageInput) {
    this.pack = pack
    this.isDoomed = doomed.has(pack.name)
    this.#used = used
    this.#bad = bad.get(pack.name)
    this.#wanted = new Uint8Array(
      pack.claims.length === 1 ? (this.#claim?.directory.blobCount ?? 0) : 0,
    )
  }

  get #claim(): IndexedPack | undefined {
    return this.pack.claims[0]
  }

  count(copies: Uint8Array): void {
    let usedBytes = 0
    let plainBytes = 0
    let storedBytes = 0
    this.#forEach((number, bytes) => {
      this.#allBytes += bytes
      if (number < 0) return
      usedBytes += bytes
      copies[number] = Math.min(255, (copies[number] ?? 0) + 1)
    })
    for (const { directory } of this.pack.claims) {
      for (let s = 0; s < directory.segmentCount; s++) {
        const segment = directory.segment(s)
        plainBytes += segment.plainBytes
        if (segment.compression !== COMPRESSION.none) storedBytes += segment.plainBytes
      }
    }
    this.#isUncompressed = plainBytes > 0 && storedBytes < plainBytes * COMPRESSED_SHARE
    this.usedShare = this.#allBytes === 0 ? 0 : usedBytes / this.#allBytes
  }

  claimBlobs(keepers: Int32Array, self: number): void {
    this.#forEach((number, bytes, blob) => {
      if (number < 0) return
      if (keepers[number] === NOBODY) {
        keepers[number] = self
        if (this.#wanted.length > blob) this.#wanted[blob] = 1
        this.#kept.blobs++
        this.#kept.bytes += bytes
      } else if (keepers[number] !== self || this.#wanted[blob] !== 1) {
        this.#duplicate.blobs++
        this.#duplicate.bytes += bytes
      }
    })
  }

  /** Every blob of every claim: its number if it is needed and good, its share of the pack. */
  #forEach(visit: (number: number, bytes: number, blob: number) => void): void {
    for (const [i, { directory }] of this.pack.claims.entries()) {
      const numbers = (this.#numbers[i] ??= this.#numbersOf(directory))
      directory.forEach((blob, _segment, _offset, segment) => {
        const bytes = storedShare(segment, directory.length(blob))
        visit(numbers[blob] ?? NOBODY, bytes, blob)
      })
    }
  }

  /** Looked up once, all ids where they lie: there may be millions. */
  #numbersOf(directory: PackDirectory): Int32Array {
    const numbers = new Int32Array(directory.blobCount)
    if (numbers.length === 0) return numbers
    const ids = idsOf(directory)
    for (let blob = 0; blob < numbers.length; blob++) {
      const isBad = this.#bad?.has(blob) === true
      numbers[blob] = isBad ? NOBODY : this.#used.find(ids, blob * ID_BYTES)
    }
    return numbers
  }

  finish(): PackUsage {
    const { pack, isDoomed } = this
    const { byteCount, claims } = pack
    // Preambles, footers and padding are shared out, so that the parts add up to the file.
    const scale = this.#allBytes === 0 ? 0 : byteCount / this.#allBytes
    const keptBytes = Math.round(this.#kept.bytes * scale)
    const duplicateBytes = Math.min(
      byteCount - keptBytes,
      Math.round(this.#duplicate.bytes * scale),
    )
    return {
      pack,
      claim: claims.length === 1 ? claims[0] : undefined,
      isMetadata: claims.some(
        ({ directory }) =>
          directory.segmentCount > 0 && directory.segment(0).kind === SEGMENT_KIND.metadata,
      ),
      isUncompressed: this.#isUncompressed,
      isDoomed,
      blobCount: claims.reduce((sum, { directory }) => sum + directory.blobCount, 0),
      keptBlobs: this.#kept.blobs,
      duplicateBlobs: this.#duplicate.blobs,
      keptBytes,
      duplicateBytes,
      unusedBytes: byteCount - keptBytes - duplicateBytes,
      wanted: this.#wanted,
    }
  }
}

/** FORMAT.md 8, "Stored size of a blob". */
function storedShare(segment: DirectorySegment, length: number): number {
  const plain = segment.plainBytes - SEGMENT_ROW_BYTES * segment.blobCount
  const stored = SEGMENT_HEADER_BYTES + segmentBodyBytes(segment.storedBytes)
  return plain === 0 ? stored / segment.blobCount : (stored * length) / plain
}
