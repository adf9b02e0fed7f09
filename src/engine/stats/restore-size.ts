/**
 * What restoring snapshots would write: entries, and bytes of files, those of a file with several
 * names once for each snapshot. Each distinct directory is read once.
 */

import { CairnError, throwIfAborted } from '../../base/errors.ts'
import { LIMIT } from '../../format/constants.ts'
import { ENTRY_TYPE, type NodeRoot } from '../../format/tree.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import { readDirectory } from '../../repository/tree-reader.ts'
import { IdTable } from '../id-table.ts'
import type { FileTotals } from './totals.ts'

/** A directory with all below it. */
interface Sum {
  readonly fileCount: number
  /** Of files with one name. */
  readonly byteCount: number
  /** Files with several names, here and below; undefined where there are none. */
  readonly linked: Linked | undefined
}

interface Linked {
  readonly files: readonly (readonly [group: bigint, byteCount: number])[]
  readonly below: readonly Linked[]
}

export class RestoreSize {
  readonly #blobs: BlobReader
  readonly #signal: AbortSignal
  readonly #known = new IdTable()
  readonly #sums: Sum[] = []
  #fileCount = 0
  #byteCount = 0

  constructor(blobs: BlobReader, signal: AbortSignal) {
    this.#blobs = blobs
    this.#signal = signal
  }

  get totals(): FileTotals {
    return { fileCount: this.#fileCount, byteCount: this.#byteCount }
  }

  async add(root: NodeRoot): Promise<void> {
    const { fileCount, byteCount, linked } = await this.#sum(root, 0)
    this.#fileCount += fileCount
    this.#byteCount += byteCount
    const seen = new Set<bigint>()
    const visited = new Set<Linked>()
    const pending = linked === undefined ? [] : [linked]
    for (let one = pending.pop(); one !== undefined; one = pending.pop()) {
      // The same directory at a second place has the same files again: they count once.
      if (visited.has(one)) continue
      visited.add(one)
      for (const [group, size] of one.files) {
        if (!seen.has(group)) this.#byteCount += size
        seen.add(group)
      }
      pending.push(...one.below)
    }
  }

  async #sum(root: NodeRoot, depth: number): Promise<Sum> {
    const known = this.#sums[this.#known.find(root.id)]
    if (known !== undefined) return known
    throwIfAborted(this.#signal)
    if (depth > LIMIT.depthMax) {
      throw new CairnError('CAIRN_CORRUPT', `more than ${LIMIT.depthMax} directories deep`)
    }
    let fileCount = 0
    let byteCount = 0
    const files: (readonly [bigint, number])[] = []
    const below: Linked[] = []
    for await (const entries of readDirectory(this.#blobs, root, { signal: this.#signal })) {
      for (const { type, size, linkGroup, subtree } of entries) {
        fileCount++
        if (type === ENTRY_TYPE.file && linkGroup === undefined) byteCount += size
        else if (type === ENTRY_TYPE.file && linkGroup !== undefined) files.push([linkGroup, size])
        if (type !== ENTRY_TYPE.directory || subtree === undefined) continue
        const child = await this.#sum(subtree, depth + 1)
        fileCount += child.fileCount
        byteCount += child.byteCount
        if (child.linked !== undefined) below.push(child.linked)
      }
    }
    const hasLinked = files.length + below.length > 0
    const sum = { fileCount, byteCount, linked: hasLinked ? { files, below } : undefined }
    this.#sums[this.#known.add(root.id)] = sum
    return sum
  }
}
