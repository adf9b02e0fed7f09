/**
 * Files of a directory that are read one after another, as archivers and copiers do: what comes next
 * is decoded ahead, and at its end the beginning of the directory behind it. A large file is read
 * ahead of by itself.
 */

import type { BlobCache } from '../../engine/browse/blob-cache.ts'
import type { BrowseChild } from '../../engine/browse/browse-node.ts'
import { BLOB_TYPE } from '../../format/constants.ts'
import { isHole, referenceCount, referenceId } from '../../format/tree.ts'
import { type KnownDirectory, positionOf } from './known-directories.ts'

/** Positions between two files that are still read one after the other: directories lie between. */
const GAP_MAX = 16
const AHEAD_FILES = 128
const AHEAD_BYTES = 1 << 20
/** Small files share segments: one in so many bytes is asked for, and the others come along. */
const SAMPLE_BYTES = 64 << 10

export class Neighbours {
  readonly #blobs: Pick<BlobCache, 'prefetch'>

  constructor(blobs: Pick<BlobCache, 'prefetch'>) {
    this.#blobs = blobs
  }

  /** The file at `position` of a directory begins to be read. */
  readAt(parent: KnownDirectory, position: number): void {
    const gap = position - parent.readPosition
    parent.readPosition = position
    if (gap <= 0 || gap > GAP_MAX) parent.aheadPosition = position + 1
    else if (parent.aheadPosition - position <= AHEAD_FILES / 2) this.#lookAhead(parent, position)
  }

  #lookAhead(parent: KnownDirectory, position: number): void {
    const from = Math.max(parent.aheadPosition, position + 1)
    const page = parent.directory.page(from)
    // Whoever lists the directory has its nodes loaded; it is not worth more.
    if (page instanceof Promise) return
    const { children, next } = page
    const count = this.#prefetch(children, AHEAD_FILES - (from - position - 1))
    parent.aheadPosition = from + count
    if (next !== undefined || count < children.length) return
    parent.aheadPosition = Number.POSITIVE_INFINITY
    // Whoever gets there meets what fails.
    this.#lookBehind(parent).catch(() => {})
  }

  /** What follows on the end of a directory. */
  async #lookBehind({ parent, node }: KnownDirectory): Promise<void> {
    if (parent?.directory.isImmutable !== true) return
    const siblings = await parent.directory.page(positionOf(node) + 1)
    const open = siblings.children.find((child) => child.open !== undefined)?.open
    if (open === undefined) return
    const { children } = await open().page(0)
    this.#prefetch(children, AHEAD_FILES)
  }

  /** Returns how many were looked at. */
  #prefetch(children: readonly BrowseChild[], countMax: number): number {
    const ids: Uint8Array[] = []
    let count = 0
    let bytes = 0
    let sampledBytes = Number.NEGATIVE_INFINITY
    for (const { entry } of children) {
      if (count >= countMax || bytes >= AHEAD_BYTES) break
      count++
      const { content } = entry
      bytes += entry.size
      // The beginning of each: the rest of a large one is asked for once it is read.
      if (content === undefined || referenceCount(content) === 0) continue
      if (bytes - sampledBytes < SAMPLE_BYTES) continue
      sampledBytes = bytes
      const id = referenceId(content, 0)
      if (!isHole(id)) ids.push(id)
    }
    if (ids.length > 0) this.#blobs.prefetch(ids, BLOB_TYPE.data)
    return count
  }
}
