/**
 * The blobs of a copy: what the target lacks is read from the packs of the source in worker threads,
 * checked, and sealed into packs of the target. Nothing is cut again.
 */

import { equalBytes } from '../../base/bytes.ts'
import { CairnError } from '../../base/errors.ts'
import { type FileName, ID_BYTES } from '../../base/ids.ts'
import { BLOB_TYPE } from '../../format/constants.ts'
import type { PackDirectory } from '../../format/directory.ts'
import type { BlobLookup } from '../../pipeline/index/blob-index.ts'
import { openLookup } from '../../pipeline/index/open-lookup.ts'
import type { RepackResult } from '../../pipeline/repack-body.ts'
import type { OpenedIndex } from '../../repository/open-index.ts'
import type { Repository } from '../../repository/repository.ts'
import type { IdTable } from '../id-table.ts'
import type { PackInventory } from '../prune/pack-inventory.ts'
import { usageOf } from '../prune/pack-usage.ts'
import { longestBlob, Repacker, type RepackItem } from '../prune/repacker.ts'
import { BlobMap } from './blob-map.ts'
import type { CopyOptions } from './copy-options.ts'

/** Whether equal blobs have equal ids in both, so that trees can be taken as they are. */
export function haveSameIds(a: Repository, b: Repository): boolean {
  return (
    equalBytes(a.keyring.ids.data, b.keyring.ids.data) &&
    equalBytes(a.keyring.ids.metadata, b.keyring.ids.metadata)
  )
}

const TREE_TYPES: ReadonlySet<number> = new Set([BLOB_TYPE.leaf, BLOB_TYPE.inner, BLOB_TYPE.list])

export class BlobCopier {
  /** New ids by old ones; empty where both are the same. */
  readonly map = new BlobMap()
  /** Packs of the target that hold what is needed. */
  readonly relied = new Set<FileName>()
  /** Blobs that were needed and that no pack of the source has in a good state. */
  lostCount = 0
  bytesWritten = 0
  readonly #options: CopyOptions
  readonly #hasSameIds: boolean
  readonly #opened: OpenedIndex
  readonly #there: BlobLookup

  private constructor(options: CopyOptions, opened: OpenedIndex, there: BlobLookup) {
    this.#options = options
    this.#hasSameIds = haveSameIds(options.source, options.target)
    this.#opened = opened
    this.#there = there
  }

  /** `opened` is the target's index, with the states of its packs. */
  static async open(options: CopyOptions, opened: OpenedIndex): Promise<BlobCopier> {
    return new BlobCopier(options, opened, await openLookup(opened.index.share()))
  }

  async close(): Promise<void> {
    await this.#there.close()
  }

  /** The id in the target of a blob of contents, if it was copied or is known to be there. */
  newId(id: Uint8Array): Uint8Array | undefined {
    if (!this.#hasSameIds) return this.map.get(id)
    return this.#isThere(id) ? id : this.map.get(id)
  }

  /**
   * Copies what `needed` names of the source: all blobs where ids are the same, else those of
   * contents. Returns once all of it is durable and named by index files.
   */
  async copy(inventory: PackInventory, needed: IdTable): Promise<void> {
    const usage = usageOf({
      packs: inventory.packs.values(),
      used: needed,
      doomed: new Set(),
      bad: new Map(),
    })
    this.lostCount = usage.missing.length
    const items: RepackItem[] = []
    for (const { claim, wanted } of usage.packs) {
      if (claim === undefined) continue
      const item = { claim, wanted: this.#lacking(claim.directory, wanted) }
      if (item.wanted.includes(1)) items.push(item)
    }
    if (items.length > 0) await this.#run(items)
  }

  /** Which of the wanted blobs are to be copied. */
  #lacking(directory: PackDirectory, wanted: Uint8Array): Uint8Array {
    return wanted.map((isWanted, blob) => {
      if (isWanted === 0) return 0
      if (!this.#hasSameIds && TREE_TYPES.has(directory.type(blob))) return 0
      const id = directory.id(blob)
      const newId = this.#hasSameIds ? id : this.map.get(id)
      return newId !== undefined && this.#isThere(newId) ? 0 : 1
    })
  }

  #isThere(newId: Uint8Array): boolean {
    const { buffer, byteOffset, byteLength } = newId
    const packNumber = this.#there.findPack(Buffer.from(buffer, byteOffset, byteLength))
    if (packNumber >= 0) this.relied.add(this.#opened.index.pack(packNumber).name)
    return packNumber >= 0
  }

  async #run(items: readonly RepackItem[]): Promise<void> {
    const { environment, source, target, level, verify, packBytes, signal, listener } =
      this.#options
    const repacker = await Repacker.open({
      environment,
      repository: source,
      target: { repository: target, there: this.#opened.index.share() },
      level,
      verify,
      ...(packBytes === undefined ? {} : { packBytes }),
      signal,
      byteCount: items.reduce((sum, { claim }) => sum + claim.byteCount, 0),
      blobBytesMax: longestBlob(items),
      onIndexed: async (packs) => {
        for (const { name } of packs) this.relied.add(name)
      },
    })
    let done = 0
    try {
      await repacker.each('copy', items, (item, result) => {
        this.#take(item, result)
        listener.onProgress?.(++done, items.length)
      })
      await repacker.finish()
      this.bytesWritten = repacker.bytesWritten
    } finally {
      await repacker.close()
    }
  }

  #take({ claim, wanted }: RepackItem, { damaged, foreign, unreadable }: RepackResult): void {
    if (unreadable !== undefined || foreign === undefined) {
      throw new CairnError('CAIRN_FAILED', `cannot read pack ${claim.name}: ${unreadable}`)
    }
    const bad = new Set(damaged)
    this.lostCount += bad.size
    for (const packNumber of foreign.packNumbers) {
      this.relied.add(this.#opened.index.pack(packNumber).name)
    }
    let at = 0
    for (const [blob, isWanted] of wanted.entries()) {
      if (isWanted === 0) continue
      const newId = foreign.ids.subarray(at, at + ID_BYTES)
      at += ID_BYTES
      if (!bad.has(blob)) this.map.set(claim.directory.id(blob), newId)
    }
  }
}
