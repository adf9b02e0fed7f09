/**
 * Trees of one repository written again in another: the same entries, with the ids that their blobs
 * have there. Each directory and chunk list is written once, however many snapshots share it; memory
 * is an open node for each level of directories.
 */

import { CairnError, throwIfAborted } from '../../base/errors.ts'
import { blobIdOf, shortId } from '../../base/ids.ts'
import { LIMIT, REFERENCE_BYTES } from '../../format/constants.ts'
import { forEachBlob, type NodeRoot, type TreeEntry } from '../../format/tree.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import { readChunkList, readDirectory, type RefusedEntry } from '../../repository/tree-reader.ts'
import type { TreeStore } from '../tree-store.ts'
import { BlobMap } from './blob-map.ts'

export interface TreeCopierParts {
  /** Of the repository that is copied from. */
  readonly blobs: BlobReader
  /** Of the one that is copied to. */
  readonly store: TreeStore
  /** The id there of a blob of contents, or undefined if it was not copied. */
  readonly newId: (id: Uint8Array) => Uint8Array | undefined
  /** Told of an entry that no directory may have. */
  readonly onRefused: (entry: RefusedEntry) => void
  readonly signal?: AbortSignal | undefined
}

/** New roots by old ones. */
class RootMap {
  readonly #heights: { readonly ids: BlobMap; readonly newHeights: number[] }[] = []

  get({ id, height }: NodeRoot): NodeRoot | undefined {
    const known = this.#heights[height]
    const newId = known?.ids.get(id)
    if (known === undefined || newId === undefined) return undefined
    return { id: Uint8Array.from(newId), height: known.newHeights[known.ids.find(id)] ?? 0 }
  }

  set({ id, height }: NodeRoot, root: NodeRoot): void {
    const known = (this.#heights[height] ??= { ids: new BlobMap(), newHeights: [] })
    known.newHeights[known.ids.set(id, root.id)] = root.height
  }
}

export class TreeCopier {
  readonly #parts: TreeCopierParts
  readonly #operation: { readonly signal?: AbortSignal | undefined }
  readonly #directories = new RootMap()
  readonly #lists = new RootMap()

  constructor(parts: TreeCopierParts) {
    this.#parts = parts
    this.#operation = { signal: parts.signal }
  }

  /** Returns the root there. Throws CAIRN_CORRUPT if anything below cannot be read or was not copied. */
  async directory(root: NodeRoot, depth = 0): Promise<NodeRoot> {
    const known = this.#directories.get(root)
    if (known !== undefined) return known
    if (depth > LIMIT.depthMax) {
      throw new CairnError('CAIRN_CORRUPT', `more than ${LIMIT.depthMax} directories deep`)
    }
    const { blobs, store, onRefused, signal } = this.#parts
    const tree = await store.newTree()
    for await (const entries of readDirectory(blobs, root, { ...this.#operation, onRefused })) {
      throwIfAborted(signal)
      for (const entry of entries) tree.add(await this.#entry(entry, depth))
      await store.ready()
    }
    const copied = tree.finish()
    this.#directories.set(root, copied)
    return copied
  }

  async #entry(entry: TreeEntry, depth: number): Promise<TreeEntry> {
    const { content, contentList, subtree, xattrsId } = entry
    return {
      ...entry,
      ...(content === undefined ? {} : { content: this.#references(content) }),
      ...(contentList === undefined ? {} : { contentList: await this.#list(contentList) }),
      ...(subtree === undefined ? {} : { subtree: await this.directory(subtree, depth + 1) }),
      ...(xattrsId === undefined ? {} : { xattrsId: this.#newId(xattrsId) }),
    }
  }

  async #list(root: NodeRoot): Promise<NodeRoot> {
    const known = this.#lists.get(root)
    if (known !== undefined) return known
    const { blobs, store } = this.#parts
    const list = await store.newList()
    for await (const references of readChunkList(blobs, root, this.#operation)) {
      list.add(this.#references(references))
      await store.ready()
    }
    const copied = list.finish()
    this.#lists.set(root, copied)
    return copied
  }

  #references(references: Uint8Array): Uint8Array {
    const copied = Uint8Array.from(references)
    forEachBlob(references, (id, i) => copied.set(this.#newId(id), i * REFERENCE_BYTES))
    return copied
  }

  #newId(id: Uint8Array): Uint8Array {
    const newId = this.#parts.newId(id)
    if (newId !== undefined) return Uint8Array.from(newId)
    throw new CairnError('CAIRN_CORRUPT', `blob ${shortId(blobIdOf(id))} is missing or damaged`)
  }
}
