/** Packs as index files name them, made from a seed, and a plain model of an index over them. */

import { sha256 } from '../../../src/crypto/sha256.ts'
import { type FileName, fileNameOf } from '../../../src/base/ids.ts'
import { roundUp } from '../../../src/base/bytes.ts'
import { BLOB_TYPE } from '../../../src/format/constants.ts'
import { DirectoryBuilder, PackDirectory } from '../../../src/format/directory.ts'
import type { IndexedPack } from '../../../src/format/index-file.ts'
import { segmentBodyBytes, writeSegmentRow } from '../../../src/format/segment.ts'
import type { BlobIndex, BlobLocation } from '../../../src/pipeline/index/blob-index.ts'

export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 1
  }

  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) | 0
    return Math.floor(((this.#state >>> 0) / 2 ** 32) * limit)
  }

  bytes(byteCount: number): Uint8Array {
    const bytes = new Uint8Array(byteCount)
    for (let at = 0; at < byteCount; at += 32) {
      const block = sha256(Buffer.from(`${this.below(2 ** 32)} ${this.below(2 ** 32)}`))
      bytes.set(block.subarray(0, Math.min(32, byteCount - at)), at)
    }
    return bytes
  }

  /** Another order of the same items. */
  shuffled<Item>(items: readonly Item[]): Item[] {
    const keyed = items.map((item) => ({ item, key: this.below(2 ** 32) }))
    return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item)
  }
}

/** A pack of these blobs, in segments of 1 to `segmentBlobsMax`. */
export function packOf(
  random: Random,
  ids: readonly Uint8Array[],
  segmentBlobsMax = 5,
): IndexedPack {
  const builder = new DirectoryBuilder()
  let offset = 128
  for (let first = 0; first < ids.length; ) {
    const chosen = ids.slice(first, first + 1 + random.below(segmentBlobsMax))
    const rows = new Uint8Array(chosen.length * 5)
    let plainBytes = rows.length
    chosen.forEach((_, i) => {
      const length = random.below(70_000)
      writeSegmentRow(rows, i * 5, random.below(2) === 0 ? BLOB_TYPE.data : BLOB_TYPE.aux, length)
      plainBytes += length
    })
    const compression = random.below(2)
    const storedBytes = compression === 0 ? plainBytes : plainBytes >> 1
    const blobCount = chosen.length
    builder.addSegment(
      { offset, storedBytes, plainBytes, blobCount, compression, kind: 0 },
      Buffer.concat(chosen),
      rows,
    )
    offset += 64 + segmentBodyBytes(storedBytes)
    first += blobCount
  }
  return {
    name: fileNameOf(random.bytes(32)),
    byteCount: roundUp(offset + 4096, 64),
    verified: random.below(4) === 0,
    author: random.bytes(8),
    preamble: random.bytes(128),
    directory: new PackDirectory(builder.encode()),
  }
}

/** Packs of new blobs, among which some that were in an earlier pack or in the same one. */
export function randomPacks(random: Random, packCount: number, blobsMax: number): IndexedPack[] {
  const ids: Uint8Array[] = []
  return Array.from({ length: packCount }, () => {
    const chosen = Array.from({ length: random.below(blobsMax + 1) }, () => {
      const older =
        ids.length > 0 && random.below(5) === 0 ? ids[random.below(ids.length)] : undefined
      const id = older ?? random.bytes(32)
      ids.push(id)
      return id
    })
    return packOf(random, chosen)
  })
}

export function idsOfPacks(packs: readonly IndexedPack[]): Buffer[] {
  const ids = new Map<string, Buffer>()
  for (const { directory } of packs) {
    for (let i = 0; i < directory.blobCount; i++) {
      const id = Buffer.from(directory.id(i))
      ids.set(id.toString('hex'), id)
    }
  }
  return [...ids.values()]
}

export const listingOf = (packs: readonly IndexedPack[]): Map<FileName, number> =>
  new Map(packs.map(({ name, byteCount }) => [name, byteCount]))

/** One copy of a blob as text, with the pack's name in the place of its number. */
export function copyText(name: FileName, location: Omit<BlobLocation, 'packNumber'>): string {
  const { segment, offset, length, type } = location
  const { storedBytes, plainBytes, blobCount, compression, kind } = segment
  return [name, segment.offset, storedBytes, plainBytes, blobCount, compression, kind]
    .concat([offset, length, type])
    .join(' ')
}

/** What an index answers, in order. */
export function answer(index: BlobIndex, id: Uint8Array): string[] {
  return index.find(id).map((location) => copyText(index.pack(location.packNumber).name, location))
}

/** The obvious index: a map from id to copies. */
export class ModelIndex {
  readonly #copies = new Map<string, { pack: IndexedPack; text: string }[]>()

  constructor(packs: readonly IndexedPack[]) {
    for (const pack of packs) {
      const { directory } = pack
      directory.forEach((blob, _, offset, segment) => {
        const id = Buffer.from(directory.id(blob)).toString('hex')
        const copies = this.#copies.get(id) ?? []
        const place = {
          segment,
          offset,
          length: directory.length(blob),
          type: directory.type(blob),
        }
        copies.push({ pack, text: copyText(pack.name, place) })
        this.#copies.set(id, copies)
      })
    }
  }

  answer(
    id: Uint8Array,
    listed: ReadonlyMap<FileName, number>,
    doomed: ReadonlySet<FileName>,
  ): string[] {
    const copies = this.#copies.get(Buffer.from(id).toString('hex')) ?? []
    const there = copies.filter(({ pack }) => listed.get(pack.name) === pack.byteCount)
    const isDoomed = (copy: { pack: IndexedPack }) => doomed.has(copy.pack.name)
    return [...there.filter((copy) => !isDoomed(copy)), ...there.filter(isDoomed)].map(
      ({ text }) => text,
    )
  }
}
