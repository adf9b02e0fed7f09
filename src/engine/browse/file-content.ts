/**
 * Any range of a file's content. Reading in order is noticed, and what comes next is decoded ahead.
 */

import { CairnError } from '../../base/errors.ts'
import { BLOB_TYPE } from '../../format/constants.ts'
import { isHole, referenceCount, referenceId, type TreeEntry } from '../../format/tree.ts'
import { type Answer, thenAnswer } from '../../base/answer.ts'
import type { BlobCache, ContentPart, TakePieces } from './blob-cache.ts'
import { type ListLeaf, listLeaf, type NodeCache } from './node-cache.ts'

/**
 * How far ahead of a reader in order at least. It grows to as much again as was read, so that a look
 * at the beginning of a file costs little.
 */
const AHEAD_BYTES_MIN = 1 << 20
/** The kernel's own read-ahead comes in pieces that may change places. */
const ORDER_SLACK_BYTES = 4 << 20
const NOTHING = new Uint8Array()

export class FileContent {
  readonly #entry: TreeEntry
  readonly #blobs: BlobCache
  readonly #nodes: NodeCache
  /** The references around where it was read last. */
  #leaf: ListLeaf | undefined
  /** Where reading in order began; behind the last byte of it, and that was decoded ahead. */
  #orderStart = 0
  #orderEnd = 0
  #aheadEnd = 0

  constructor(entry: TreeEntry, blobs: BlobCache, nodes: NodeCache) {
    this.#entry = entry
    this.#blobs = blobs
    this.#nodes = nodes
  }

  get byteCount(): number {
    return this.#entry.size
  }

  /**
   * Calls `take` with up to `byteCount` bytes from `offset`, in pieces that are valid until it
   * returns: less than that only at the end of the file. Throws CAIRN_CORRUPT where the content is
   * damaged; what lies elsewhere can still be read.
   */
  read(offset: number, byteCount: number, take: TakePieces): Answer<void> {
    const end = Math.min(offset + byteCount, this.byteCount)
    if (end <= offset) return take([])
    return thenAnswer(this.#parts(offset, end, []), (parts) => {
      const answer = this.#blobs.read(parts, take)
      // What is waited for has begun: what comes behind it is decoded meanwhile.
      this.#readAhead(offset, end)
      return answer
    })
  }

  /** As `read`, into the caller's memory; returns how much there was. */
  readInto(offset: number, into: Uint8Array): Answer<number> {
    let at = 0
    const take: TakePieces = (pieces) => {
      for (const piece of pieces) {
        into.set(piece, at)
        at += piece.length
      }
    }
    return thenAnswer(this.read(offset, into.length, take), () => at)
  }

  /** Adds what lies between `at` and `end` to `parts`. */
  #parts(at: number, end: number, parts: ContentPart[]): Answer<readonly ContentPart[]> {
    let position = at
    while (position < end) {
      const leaf = this.#leafAt(position)
      if (leaf instanceof Promise) return leaf.then(() => this.#parts(position, end, parts))
      const i = chunkAt(leaf, position)
      const stop = Math.min(end, leaf.starts[i + 1] ?? 0)
      if (stop <= position) throw shortContent()
      const id = referenceId(leaf.references, i)
      parts.push({
        id: isHole(id) ? undefined : id,
        from: position - (leaf.starts[i] ?? 0),
        length: stop - position,
      })
      position = stop
    }
    return parts
  }

  #leafAt(offset: number): Answer<ListLeaf> {
    const known = this.#leaf
    const isThere =
      known !== undefined &&
      offset >= known.start &&
      offset < (known.starts[known.starts.length - 1] ?? 0)
    if (isThere) return known
    return thenAnswer(this.#findLeaf(offset), (leaf) => {
      if (leaf === undefined) throw shortContent()
      this.#leaf = leaf
      return leaf
    })
  }

  #findLeaf(offset: number): Answer<ListLeaf | undefined> {
    const { content, contentList } = this.#entry
    const found =
      contentList === undefined
        ? listLeaf(content ?? NOTHING, 0)
        : this.#nodes.listAt(contentList, offset)
    return thenAnswer(found, (leaf) =>
      // A list that is one leaf is found by any offset, also behind its end.
      leaf !== undefined && offset < (leaf.starts[leaf.starts.length - 1] ?? 0) ? leaf : undefined,
    )
  }

  #readAhead(offset: number, end: number): void {
    const isInOrder = Math.abs(offset - this.#orderEnd) <= ORDER_SLACK_BYTES
    this.#orderEnd = isInOrder ? Math.max(this.#orderEnd, end) : end
    if (!isInOrder) {
      this.#orderStart = offset
      this.#aheadEnd = end
      return
    }
    const leaf = this.#leaf
    const doneBytes = this.#orderEnd - this.#orderStart
    const aheadBytes = Math.min(Math.max(doneBytes, AHEAD_BYTES_MIN), this.#blobs.aheadBytesMax)
    const from = Math.max(this.#aheadEnd, end)
    // In large steps: what is decoded is whole segments.
    if (leaf === undefined || from - end > aheadBytes / 2) return
    this.#aheadEnd = end + aheadBytes
    this.#prefetch(leaf, chunkAt(leaf, from), this.#aheadEnd)
  }

  #prefetch(leaf: ListLeaf, first: number, end: number): void {
    const ids: Uint8Array[] = []
    const count = referenceCount(leaf.references)
    for (let i = first; i < count && (leaf.starts[i] ?? end) < end; i++) {
      const id = referenceId(leaf.references, i)
      if (!isHole(id)) ids.push(id)
    }
    if (ids.length > 0) this.#blobs.prefetch(ids, BLOB_TYPE.data)
  }

  /** The next byte at or behind `offset` that is data, or that is not; undefined if there is none. */
  async seek(offset: number, what: 'data' | 'hole'): Promise<number | undefined> {
    let at = offset
    while (at < this.byteCount) {
      const leaf = await this.#leafAt(at)
      const count = referenceCount(leaf.references)
      for (let i = chunkAt(leaf, at); i < count; i++) {
        if (isHole(referenceId(leaf.references, i)) === (what === 'hole')) {
          return Math.max(offset, leaf.starts[i] ?? offset)
        }
      }
      at = leaf.starts[count] ?? this.byteCount
    }
    // Every file ends in a hole.
    return what === 'hole' && offset < this.byteCount ? this.byteCount : undefined
  }
}

/** The chunk that holds byte `offset`. */
function chunkAt({ starts }: ListLeaf, offset: number): number {
  let [low, high] = [0, starts.length - 1]
  while (low < high - 1) {
    const middle = (low + high) >>> 1
    if ((starts[middle] ?? 0) <= offset) low = middle
    else high = middle
  }
  return low
}

function shortContent(): CairnError {
  return new CairnError('CAIRN_CORRUPT', 'the content is shorter than the file')
}
