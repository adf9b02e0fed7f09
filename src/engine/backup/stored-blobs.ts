/** What is stored and named by a durable index file: to look up what rests on a fingerprint. */

import type { IndexedPack } from '../../format/index-file.ts'
import type { BlobLookup } from '../../pipeline/index/blob-index.ts'
import { MemoryIndex } from '../../pipeline/index/memory-index.ts'
import { openLookup } from '../../pipeline/index/open-lookup.ts'
import type { OpenedIndex } from '../../repository/open-index.ts'

export class StoredBlobs {
  readonly #opened: OpenedIndex
  #last: readonly IndexedPack[] = []

  constructor(opened: OpenedIndex) {
    this.#opened = opened
  }

  /**
   * Takes packs that an index file names. What the last one names stays out of the cached index, since
   * nobody but `firstMissing` asks for it any more: the next run applies the file if it needs it.
   */
  async add(packs: readonly IndexedPack[], isLast: boolean): Promise<void> {
    if (!isLast) {
      await this.#opened.add(packs)
      return
    }
    this.#last = packs
  }

  /** The first of `ids` that is nowhere, if there is one. */
  async firstMissing(ids: readonly Uint8Array[]): Promise<Uint8Array | undefined> {
    const { index } = this.#opened
    const others = ids.filter((id) => index.find(id).length === 0)
    if (others.length === 0) return undefined
    const last = await lookupOf(this.#last)
    return others.find((id) => last.findPack(Buffer.from(id)) < 0)
  }
}

async function lookupOf(packs: readonly IndexedPack[]): Promise<BlobLookup> {
  const blobCount = packs.reduce((sum, { directory }) => sum + directory.blobCount, 0)
  const index = new MemoryIndex(blobCount)
  await index.add(packs)
  index.setStates(new Map(packs.map(({ name, byteCount }) => [name, byteCount])), new Set())
  return await openLookup(index.share())
}
