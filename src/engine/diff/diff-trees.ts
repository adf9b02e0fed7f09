/**
 * Compares two directories of snapshots. What has the same id on both sides is never read, so that
 * the work is that of the changes. The price: a blob counts as added also if something unchanged has
 * it already. Memory: one leaf for each level of directories on both sides, and `BlobDifference`.
 */

import { type ByteString, textOf } from '../../base/bytes.ts'
import { CairnError, isCairnError, throwIfAborted } from '../../base/errors.ts'
import { BLOB_TYPE, LIMIT } from '../../format/constants.ts'
import { ENTRY_TYPE, type NodeRoot, type TreeEntry } from '../../format/tree.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import { DirectoryCursor, type EntryPair, pairEntries } from '../../repository/directory-cursor.ts'
import { type BlobCounts, BlobDifference, type Side } from './blob-difference.ts'
import { hasSameContent, hasSameMetadata, isSameRoot } from './same-entry.ts'

export interface DiffOptions {
  readonly blobs: BlobReader
  readonly before: NodeRoot
  readonly after: NodeRoot
  /** Whether changes of metadata alone are told. */
  readonly metadata: boolean
  readonly signal: AbortSignal
  /**
   * `+` added, `-` removed, `T` another type, `M` other content, `?` other content although nothing
   * else has changed, `U` other metadata. Directories end in a slash.
   */
  onChange(path: ByteString, modifier: string): void
  /** Something could not be compared. */
  onDamage(path: string, error: unknown): void
  /** Awaited now and then, so that what is told does not pile up. */
  drain(): Promise<void>
}

export interface SideCounts extends BlobCounts {
  readonly files: number
  readonly directories: number
  readonly others: number
}

export interface DiffReport {
  readonly changedFiles: number
  readonly added: SideCounts
  readonly removed: SideCounts
  readonly damageCount: number
}

export async function diffTrees(options: DiffOptions): Promise<DiffReport> {
  const comparison = new Comparison(options)
  await comparison.directories('', options.before, options.after, 0)
  return comparison.report()
}

const SIGNS: Readonly<Record<Side, string>> = { before: '-', after: '+' }

/** How many pairs of directories are read before they are compared. */
const READ_AHEAD = 8

class Comparison {
  readonly #options: DiffOptions
  readonly #difference: BlobDifference
  readonly #counts = {
    before: { files: 0, directories: 0, others: 0 },
    after: { files: 0, directories: 0, others: 0 },
  }
  #changedFiles = 0
  #damageCount = 0

  constructor(options: DiffOptions) {
    this.#options = options
    this.#difference = new BlobDifference(options.blobs, options.signal)
  }

  report(): DiffReport {
    return {
      changedFiles: this.#changedFiles,
      added: { ...this.#counts.after, ...this.#difference.only('after') },
      removed: { ...this.#counts.before, ...this.#difference.only('before') },
      damageCount: this.#damageCount,
    }
  }

  async #withDamage(path: ByteString, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      this.#damageCount++
      this.#options.onDamage(path === '' ? '/' : textOf(path), error)
    }
  }

  #cursor(side: Side, root: NodeRoot): DirectoryCursor {
    const { blobs, signal } = this.#options
    return new DirectoryCursor(blobs, root, {
      signal,
      onNode: (id, byteCount) => this.#difference.addNode(side, id, byteCount),
    })
  }

  async directories(
    path: ByteString,
    before: NodeRoot,
    after: NodeRoot,
    depth: number,
  ): Promise<void> {
    const { signal, drain } = this.#options
    await this.#withDamage(path, async () => {
      requireDepth(depth)
      const runs = pairEntries(this.#cursor('before', before), this.#cursor('after', after))
      for await (const pairs of runs) {
        const ahead = this.#readAhead(pairs)
        for (const pair of pairs) {
          throwIfAborted(signal)
          if (!this.#tellSame(path, pair)) await this.#pair(path, pair, depth, ahead)
        }
        await drain()
      }
    })
  }

  async #pair(
    path: ByteString,
    { before, after }: EntryPair,
    depth: number,
    ahead: () => void,
  ): Promise<void> {
    if (before !== undefined && after !== undefined)
      await this.#both(path, before, after, depth, ahead)
    else if (before !== undefined) await this.#one('before', path, before, depth)
    else if (after !== undefined) await this.#one('after', path, after, depth)
  }

  /** Begins to read the first directories of a run that differ; one more whenever it is called. */
  #readAhead(pairs: readonly EntryPair[]): () => void {
    const { blobs, signal } = this.#options
    const roots = pairs.flatMap(({ before, after }) => {
      const [left, right] = [before?.subtree, after?.subtree]
      return left === undefined || right === undefined || isSameRoot(left, right)
        ? []
        : [[left, right]]
    })
    let at = 0
    const ahead = () => {
      for (const { id, height } of roots[at++] ?? []) {
        blobs.readAhead(id, height === 0 ? BLOB_TYPE.leaf : BLOB_TYPE.inner, signal)
      }
    }
    while (at < READ_AHEAD) ahead()
    return ahead
  }

  /** Where both sides have the same contents there is nothing to read, and nothing to wait for. */
  #tellSame(directory: ByteString, { before, after }: EntryPair): boolean {
    if (before === undefined || after === undefined) return false
    if (!hasSameContent(before, after) || !isSameRoot(before.subtree, after.subtree)) return false
    if (before.type === ENTRY_TYPE.file && after.type === ENTRY_TYPE.file) {
      this.#difference.addCommon(after)
    }
    this.#tell(directory, before, after, true)
    return true
  }

  #tell(directory: ByteString, before: TreeEntry, after: TreeEntry, isSame: boolean): void {
    const modifier = this.#modifier(before, after, isSame)
    if (modifier === '') return
    const end = after.type === ENTRY_TYPE.directory ? '/' : ''
    this.#options.onChange(`${directory}/${after.name}${end}`, modifier)
  }

  async #both(
    directory: ByteString,
    before: TreeEntry,
    after: TreeEntry,
    depth: number,
    ahead: () => void,
  ): Promise<void> {
    const path = `${directory}/${after.name}`
    await this.#withDamage(path, () => this.#difference.addContents(before, after))
    this.#tell(directory, before, after, hasSameContent(before, after))
    if (before.subtree === undefined || after.subtree === undefined) return
    if (isSameRoot(before.subtree, after.subtree)) return
    ahead()
    await this.directories(path, before.subtree, after.subtree, depth + 1)
  }

  #modifier(before: TreeEntry, after: TreeEntry, isSame: boolean): string {
    const isFile = before.type === ENTRY_TYPE.file && after.type === ENTRY_TYPE.file
    let modifier = before.type === after.type ? '' : 'T'
    if (isFile && !isSame) {
      this.#changedFiles++
      modifier += 'M'
      // Content that changed behind the back of everything else may be the disk's doing.
      if (before.size === after.size && hasSameMetadata(before, after)) modifier += '?'
    } else if (this.#options.metadata && !hasSameMetadata(before, after)) modifier += 'U'
    return modifier
  }

  async #one(side: Side, directory: ByteString, entry: TreeEntry, depth: number): Promise<void> {
    const path = `${directory}/${entry.name}`
    const counts = this.#counts[side]
    const isDirectory = entry.type === ENTRY_TYPE.directory
    this.#options.onChange(isDirectory ? `${path}/` : path, SIGNS[side])
    if (entry.type === ENTRY_TYPE.file) {
      counts.files++
      const [before, after] = side === 'before' ? [entry, undefined] : [undefined, entry]
      await this.#withDamage(path, () => this.#difference.addContents(before, after))
    } else if (isDirectory) counts.directories++
    else counts.others++
    if (isDirectory && entry.subtree !== undefined) {
      await this.#whole(side, path, entry.subtree, depth + 1)
    }
  }

  /** A directory that the other side has not. */
  async #whole(side: Side, path: ByteString, root: NodeRoot, depth: number): Promise<void> {
    const { signal, drain } = this.#options
    await this.#withDamage(path, async () => {
      requireDepth(depth)
      const cursor = this.#cursor(side, root)
      for (;;) {
        const entry = cursor.entry ?? (await cursor.peek())
        if (entry === undefined) break
        throwIfAborted(signal)
        cursor.advance()
        await this.#one(side, path, entry, depth)
        await drain()
      }
    })
  }
}

function requireDepth(depth: number): void {
  if (depth <= LIMIT.depthMax) return
  throw new CairnError('CAIRN_CORRUPT', `it is more than ${LIMIT.depthMax} directories deep`)
}
