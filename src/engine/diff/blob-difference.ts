/** Which blobs one side of a comparison has and the other has not. 40 to 50 bytes for each blob. */

import { BLOB_TYPE, LIMIT } from '../../format/constants.ts'
import {
  decodeInner,
  decodeListLeaf,
  forEachBlob,
  type NodeRoot,
  referenceCount,
  referenceId,
  referenceLength,
  type TreeEntry,
} from '../../format/tree.ts'
import { CairnError } from '../../base/errors.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import { IdTable } from '../id-table.ts'

/** Blobs with their lengths. */
class BlobSet {
  readonly ids = new IdTable()
  readonly #lengths: number[] = []

  add(id: Uint8Array, length: number): void {
    this.#lengths[this.ids.add(id)] = length
  }

  /** How many are in neither of the others, and their bytes. */
  without(others: readonly IdTable[]): { readonly count: number; readonly byteCount: number } {
    let count = 0
    let byteCount = 0
    for (let number = 0; number < this.ids.size; number++) {
      const id = this.ids.at(number)
      if (others.some((other) => other.has(id))) continue
      count++
      byteCount += this.#lengths[number] ?? 0
    }
    return { count, byteCount }
  }
}

function idsWithout(ids: readonly Uint8Array[], others: readonly Uint8Array[]): Uint8Array[] {
  const table = new IdTable()
  for (const other of others) table.add(other)
  return ids.filter((id) => !table.has(id))
}

export interface BlobCounts {
  readonly dataBlobs: number
  readonly treeBlobs: number
  readonly byteCount: number
}

export type Side = 'before' | 'after'

export class BlobDifference {
  readonly #blobs: BlobReader
  readonly #signal: AbortSignal
  readonly #data = { before: new BlobSet(), after: new BlobSet() }
  readonly #trees = { before: new BlobSet(), after: new BlobSet() }
  /** Chunks of files that are the same on both sides. */
  readonly #common = new IdTable()

  constructor(blobs: BlobReader, signal: AbortSignal) {
    this.#blobs = blobs
    this.#signal = signal
  }

  addNode(side: Side, id: Uint8Array, byteCount: number): void {
    this.#trees[side].add(id, byteCount)
  }

  addCommon({ content }: TreeEntry): void {
    if (content === undefined) return
    for (let at = 0; at < referenceCount(content); at++) this.#common.add(referenceId(content, at))
  }

  #addReferences(side: Side, references: Uint8Array): void {
    forEachBlob(references, (id, i) => this.#data[side].add(id, referenceLength(references, i)))
  }

  /** The chunks of a file before and after; undefined on a side where there is none. */
  async addContents(before: TreeEntry | undefined, after: TreeEntry | undefined): Promise<void> {
    if (before?.content !== undefined) this.#addReferences('before', before.content)
    if (after?.content !== undefined) this.#addReferences('after', after.content)
    const [listBefore, listAfter] = [before?.contentList, after?.contentList]
    if (listBefore !== undefined || listAfter !== undefined) {
      await this.#addLists(listBefore, listAfter)
    }
  }

  /** Nodes of two chunk lists level by level, without those that both have. */
  async #addLists(before: NodeRoot | undefined, after: NodeRoot | undefined): Promise<void> {
    let level = Math.max(before?.height ?? 0, after?.height ?? 0)
    if (level > LIMIT.treeHeightMax) {
      throw new CairnError('CAIRN_CORRUPT', `a chunk list of height ${level} is refused`)
    }
    let idsBefore: Uint8Array[] = []
    let idsAfter: Uint8Array[] = []
    for (; level >= 0; level--) {
      if (before?.height === level) idsBefore.push(before.id)
      if (after?.height === level) idsAfter.push(after.id)
      const [left, right] = [idsWithout(idsBefore, idsAfter), idsWithout(idsAfter, idsBefore)]
      idsBefore = await this.#openAll('before', left, level)
      idsAfter = await this.#openAll('after', right, level)
    }
  }

  /** Reads nodes of a chunk list; returns the ids of those below them. */
  async #openAll(side: Side, ids: readonly Uint8Array[], level: number): Promise<Uint8Array[]> {
    const below: Uint8Array[] = []
    for (const id of ids) {
      const type = level === 0 ? BLOB_TYPE.list : BLOB_TYPE.inner
      const bytes = await this.#blobs.load(id, type, this.#signal)
      this.addNode(side, id, bytes.length)
      if (level === 0) this.#addReferences(side, decodeListLeaf(bytes))
      else for (const row of decodeInner(bytes, level)) below.push(row.id)
    }
    return below
  }

  /** What only this side has. */
  only(side: Side): BlobCounts {
    const other = side === 'before' ? 'after' : 'before'
    const data = this.#data[side].without([this.#data[other].ids, this.#common])
    const trees = this.#trees[side].without([this.#trees[other].ids])
    return {
      dataBlobs: data.count,
      treeBlobs: trees.count,
      byteCount: data.byteCount + trees.byteCount,
    }
  }
}
