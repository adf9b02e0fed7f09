/** What `find` looks for by the ids of blobs and trees. */

import { toHex } from '../../base/bytes.ts'
import { CairnError } from '../../base/errors.ts'
import { BLOB_TYPE, LIMIT } from '../../format/constants.ts'
import {
  decodeInner,
  decodeListLeaf,
  type NodeRoot,
  referenceCount,
  referenceId,
  type TreeEntry,
} from '../../format/tree.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import { IdTable } from '../id-table.ts'
import type { SearchGoal } from './tree-search.ts'

export interface FoundObject {
  readonly type: 'blob' | 'tree'
  /** 64 hex digits. */
  readonly id: string
  /** The directory that a blob was found in, by the id of its root. */
  readonly parentTree: string | undefined
}

/** Ids, whole or by their beginning. */
export class WantedIds {
  readonly #whole = new IdTable()
  readonly #prefixes: { readonly firstByte: number; readonly hex: string }[] = []

  get isEmpty(): boolean {
    return this.#whole.size + this.#prefixes.length === 0
  }

  add(id: Uint8Array): void {
    this.#whole.add(id)
  }

  /** `hex`: at least 4 digits. */
  addPrefix(hex: string): void {
    this.#prefixes.push({ firstByte: Number.parseInt(hex.slice(0, 2), 16), hex })
  }

  has(id: Uint8Array): boolean {
    if (this.#whole.has(id)) return true
    return this.#prefixes.some(
      ({ firstByte, hex }) => id[0] === firstByte && toHex(id).startsWith(hex),
    )
  }
}

export interface ObjectQuery {
  /** Chunks, and blobs of extended attributes. */
  readonly blobs: WantedIds
  /** Nodes of directories and of chunk lists. */
  readonly trees: WantedIds
}

export function objectGoal(
  reader: BlobReader,
  query: ObjectQuery,
  signal: AbortSignal,
): SearchGoal<FoundObject> {
  const search = new ObjectSearch(reader, query, signal)
  return {
    dependsOnPath: false,
    looksAtAll: true,
    covers: () => false,
    mayFindBelow: () => true,
    entryHits: (entry, parent) => search.entryHits(entry, parent),
    nodeHits: (id) => search.treeHits(id),
  }
}

class ObjectSearch {
  readonly #reader: BlobReader
  readonly #query: ObjectQuery
  readonly #signal: AbortSignal

  constructor(reader: BlobReader, query: ObjectQuery, signal: AbortSignal) {
    this.#reader = reader
    this.#query = query
    this.#signal = signal
  }

  treeHits(id: Uint8Array): FoundObject[] {
    if (!this.#query.trees.has(id)) return []
    return [{ type: 'tree', id: toHex(id), parentTree: undefined }]
  }

  entryHits(entry: TreeEntry, parent: NodeRoot): FoundObject[] | Promise<FoundObject[]> {
    const hits: FoundObject[] = []
    this.#addBlob(hits, entry.xattrsId, parent)
    if (entry.content !== undefined) this.#addReferences(hits, entry.content, parent)
    const { contentList } = entry
    if (contentList === undefined) return hits
    return this.#addList(hits, contentList, parent).then(() => hits)
  }

  #addBlob(hits: FoundObject[], id: Uint8Array | undefined, parent: NodeRoot): void {
    if (id === undefined || !this.#query.blobs.has(id)) return
    hits.push({ type: 'blob', id: toHex(id), parentTree: toHex(parent.id) })
  }

  #addReferences(hits: FoundObject[], references: Uint8Array, parent: NodeRoot): void {
    if (this.#query.blobs.isEmpty) return
    for (let at = 0; at < referenceCount(references); at++) {
      this.#addBlob(hits, referenceId(references, at), parent)
    }
  }

  async #addList(hits: FoundObject[], { id, height }: NodeRoot, parent: NodeRoot): Promise<void> {
    if (height > LIMIT.treeHeightMax) {
      throw new CairnError('CAIRN_CORRUPT', `a chunk list of height ${height} is refused`)
    }
    hits.push(...this.treeHits(id))
    const type = height === 0 ? BLOB_TYPE.list : BLOB_TYPE.inner
    const bytes = await this.#reader.load(id, type, this.#signal)
    if (height === 0) return this.#addReferences(hits, decodeListLeaf(bytes), parent)
    for (const row of decodeInner(bytes, height)) {
      await this.#addList(hits, { id: row.id, height: height - 1 }, parent)
    }
  }
}
