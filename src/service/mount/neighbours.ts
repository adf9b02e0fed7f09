/**
 * Files of a directory that are read one after another, as archivers and copiers do: what comes next
 * is decoded ahead. A file's own content is read ahead of by itself.
 */

import type { BlobCache } from '../../engine/browse/blob-cache.ts'
import { BLOB_TYPE } from '../../format/constants.ts'
import { isHole, referenceCount, referenceId } from '../../format/tree.ts'
import type { KnownDirectory } from './known-directories.ts'

/** Positions between two files that are still read one after the other: directories lie between. */
const GAP_MAX = 16
const AHEAD_FILES = 128
const AHEAD_BYTES = 1 << 20

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
    const ids: Uint8Array[] = []
    let bytes = 0
    let at = from
    for (const { entry } of page.children) {
      if (at - position > AHEAD_FILES || bytes >= AHEAD_BYTES) break
      at++
      const { content } = entry
      // The beginning of each: the rest of a large one is asked for once it is read.
      if (content === undefined || referenceCount(content) === 0) continue
      const id = referenceId(content, 0)
      if (!isHole(id)) ids.push(id)
      bytes += entry.size
    }
    parent.aheadPosition = at
    if (ids.length > 0) this.#blobs.prefetch(ids, BLOB_TYPE.data)
  }
}
