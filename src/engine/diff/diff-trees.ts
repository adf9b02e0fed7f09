/**
 * Compares two directories of snapshots. What has the same id on both sides is never read, so that
 * the work is that of the changes. The price: a blob counts as added also if something unchanged has
 * it already. Memory: one leaf for each level of directories on both sides, and `BlobDifference`.
 */

import { equalBytes, type ByteString, textOf } from '../../base/bytes.ts'
import { CairnError, isCairnError, throwIfAborted } from '../../base/errors.ts'
import { LIMIT } from '../../format/constants.ts'
import { ENTRY_TYPE, type NodeRoot, type TreeEntry } from '../../format/tree.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import { DirectoryCursor, pairEntries } from '../../repository/directory-cursor.ts'
import { type BlobCounts, BlobDifference, type Side } from './blob-difference.ts'
import { hasSameContent, hasSameMetadata } from './same-entry.ts'

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
      const pairs = pairEntries(this.#cursor('before', before), this.#cursor('after', after))
      for await (const pair of pairs) {
        throwIfAborted(signal)
        if (pair.before !== undefined && pair.after !== undefined) {
          await this.#both(path, pair.before, pair.after, depth)
        } else if (pair.before !== undefined) {
          await this.#one('before', path, pair.before, depth)
        } else if (pair.after !== undefined) {
          await this.#one('after', path, pair.after, depth)
        }
        await drain()
      }
    })
  }

  async #both(
    directory: ByteString,
    before: TreeEntry,
    after: TreeEntry,
    depth: number,
  ): Promise<void> {
    const path = `${directory}/${after.name}`
    const isFile = before.type === ENTRY_TYPE.file && after.type === ENTRY_TYPE.file
    const isSame = hasSameContent(before, after)
    if (isFile && isSame) this.#difference.addCommon(after)
    else await this.#withDamage(path, () => this.#difference.addContents(before, after))
    const modifier = this.#modifier(before, after, isFile, isSame)
    const shown = after.type === ENTRY_TYPE.directory ? `${path}/` : path
    if (modifier !== '') this.#options.onChange(shown, modifier)
    if (before.subtree === undefined || after.subtree === undefined) return
    if (equalBytes(before.subtree.id, after.subtree.id)) return
    await this.directories(path, before.subtree, after.subtree, depth + 1)
  }

  #modifier(before: TreeEntry, after: TreeEntry, isFile: boolean, isSame: boolean): string {
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
      for (let entry = await cursor.peek(); entry !== undefined; entry = await cursor.peek()) {
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
