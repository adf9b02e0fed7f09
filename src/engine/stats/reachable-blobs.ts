/** All blobs that trees need, each told once. 40 to 50 bytes of memory for each. */

import { CairnError, throwIfAborted } from '../../base/errors.ts'
import { BLOB_TYPE, LIMIT } from '../../format/constants.ts'
import {
  decodeInner,
  decodeLeaf,
  decodeListLeaf,
  forEachBlob,
  type NodeRoot,
  type TreeEntry,
} from '../../format/tree.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import { IdTable } from '../id-table.ts'

export class ReachableBlobs {
  readonly #blobs: BlobReader
  readonly #signal: AbortSignal
  readonly #onBlob: (id: Uint8Array) => void
  readonly #seen = new IdTable()

  constructor(blobs: BlobReader, signal: AbortSignal, onBlob: (id: Uint8Array) => void) {
    this.#blobs = blobs
    this.#signal = signal
    this.#onBlob = onBlob
  }

  /** Adds all below a directory. Throws CAIRN_CORRUPT where a node cannot be read. */
  async add(root: NodeRoot): Promise<void> {
    const pending: NodeRoot[] = [root]
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      throwIfAborted(this.#signal)
      await this.#open(node, BLOB_TYPE.leaf, (bytes) => this.#leaf(bytes, pending))
    }
  }

  /** False if it has been told already. */
  #tell(id: Uint8Array): boolean {
    const size = this.#seen.size
    if (this.#seen.add(id) < size) return false
    this.#onBlob(id)
    return true
  }

  /** Opens all leaves below a node that have not been seen. */
  async #open(
    { id, height }: NodeRoot,
    leafType: typeof BLOB_TYPE.leaf | typeof BLOB_TYPE.list,
    onLeaf: (bytes: Uint8Array) => Promise<void>,
  ): Promise<void> {
    if (height > LIMIT.treeHeightMax) {
      throw new CairnError('CAIRN_CORRUPT', `a tree of height ${height} is refused`)
    }
    if (!this.#tell(id)) return
    const type = height === 0 ? leafType : BLOB_TYPE.inner
    const bytes = await this.#blobs.load(id, type, this.#signal)
    if (height === 0) return await onLeaf(bytes)
    for (const row of decodeInner(bytes, height)) {
      await this.#open({ id: row.id, height: height - 1 }, leafType, onLeaf)
    }
  }

  async #leaf(bytes: Uint8Array, pending: NodeRoot[]): Promise<void> {
    const entries: TreeEntry[] = []
    const add = (entry: TreeEntry) => void entries.push(entry)
    decodeLeaf(bytes, add, add)
    for (const { content, contentList, subtree, xattrsId } of entries) {
      if (xattrsId !== undefined) this.#tell(xattrsId)
      if (content !== undefined) this.#references(content)
      if (contentList !== undefined) {
        await this.#open(contentList, BLOB_TYPE.list, async (list) =>
          this.#references(decodeListLeaf(list)),
        )
      }
      if (subtree !== undefined && !this.#seen.has(subtree.id)) {
        pending.push({ id: Uint8Array.from(subtree.id), height: subtree.height })
      }
    }
  }

  #references(references: Uint8Array): void {
    forEachBlob(references, (id) => this.#tell(id))
  }
}
