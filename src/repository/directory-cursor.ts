/**
 * Reads a directory node by node, so that what two directories share need not be read: leaves end
 * where names decide, and so have the same ids again behind a change.
 */

import { equalBytes } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { BLOB_TYPE, LIMIT } from '../format/constants.ts'
import type { EntryRow } from '../format/entry-row.ts'
import { decodeInner, type NodeRoot, scanLeaf, type TreeEntry } from '../format/tree.ts'
import type { BlobReader } from './blob-reader.ts'

export interface CursorOptions {
  readonly signal?: AbortSignal | undefined
  /** Told of every node that is read. */
  onNode?(id: Uint8Array, byteCount: number): void
  /** Which entries are wanted, if not all. The others are checked and passed over. */
  wants?(row: EntryRow): boolean
}

export class DirectoryCursor {
  readonly #blobs: BlobReader
  readonly #options: CursorOptions
  /** Nodes to come, the next one last. */
  readonly #nodes: NodeRoot[]
  #entries: TreeEntry[] = []
  #at = 0

  constructor(blobs: BlobReader, root: NodeRoot, options: CursorOptions = {}) {
    if (root.height > LIMIT.treeHeightMax) {
      throw new CairnError('CAIRN_CORRUPT', `a tree of height ${root.height} is refused`)
    }
    this.#blobs = blobs
    this.#options = options
    this.#nodes = [root]
  }

  /** The node to be read next; undefined in the middle of a leaf, and at the end. */
  get nextNode(): NodeRoot | undefined {
    return this.#at < this.#entries.length ? undefined : this.#nodes.at(-1)
  }

  /** Passes over `nextNode`. */
  skipNode(): void {
    this.#nodes.pop()
  }

  /** Reads `nextNode`: its entries, or the nodes below it, come next. */
  async openNode(): Promise<void> {
    const node = this.#nodes.pop()
    if (node === undefined) return
    const { id, height } = node
    const type = height === 0 ? BLOB_TYPE.leaf : BLOB_TYPE.inner
    const bytes = await this.#blobs.load(id, type, this.#options.signal)
    this.#options.onNode?.(id, bytes.length)
    if (height > 0) {
      const children = decodeInner(bytes, height)
      for (const child of children.toReversed()) {
        this.#nodes.push({ id: child.id, height: height - 1 })
      }
      return
    }
    this.#entries = []
    this.#at = 0
    const { wants } = this.#options
    scanLeaf(
      bytes,
      (row) => {
        if (wants === undefined || wants(row)) this.#entries.push(row.entry())
      },
      (_row, problem) => {
        throw new CairnError('CAIRN_CORRUPT', `a name is refused: ${problem}`)
      },
    )
  }

  /** The entry that comes next; undefined at the end, and where a node has to be read first. */
  get entry(): TreeEntry | undefined {
    return this.#entries[this.#at]
  }

  /** The entry that comes next; undefined at the end. */
  async peek(): Promise<TreeEntry | undefined> {
    while (this.nextNode !== undefined) await this.openNode()
    return this.entry
  }

  advance(): void {
    this.#at++
  }
}

function isSameNode(a: NodeRoot, b: NodeRoot): boolean {
  return a.height === b.height && equalBytes(a.id, b.id)
}

/** Passes over all nodes that both have next. */
async function skipShared(a: DirectoryCursor, b: DirectoryCursor): Promise<void> {
  for (;;) {
    const [nextA, nextB] = [a.nextNode, b.nextNode]
    if (nextA === undefined || nextB === undefined) return
    if (isSameNode(nextA, nextB)) {
      a.skipNode()
      b.skipNode()
      continue
    }
    if (nextA.height === 0 && nextB.height === 0) return
    await Promise.all([
      nextA.height >= nextB.height ? a.openNode() : undefined,
      nextB.height >= nextA.height ? b.openNode() : undefined,
    ])
  }
}

export interface EntryPair {
  readonly before: TreeEntry | undefined
  readonly after: TreeEntry | undefined
}

/**
 * The entries of two directories by name, without those in nodes that both have. In runs, each as
 * far as the leaves go that are read: a step of a generator for each entry takes longer than the entry.
 */
export async function* pairEntries(
  a: DirectoryCursor,
  b: DirectoryCursor,
): AsyncGenerator<readonly EntryPair[]> {
  for (;;) {
    await skipShared(a, b)
    await Promise.all([a.peek(), b.peek()])
    const pairs: EntryPair[] = []
    while (a.nextNode === undefined && b.nextNode === undefined) {
      const pair = takePair(a, b)
      if (pair === undefined) break
      pairs.push(pair)
    }
    if (pairs.length === 0) return
    yield pairs
  }
}

/** What comes first of what comes next; undefined at the end of both. */
function takePair(a: DirectoryCursor, b: DirectoryCursor): EntryPair | undefined {
  const [before, after] = [a.entry, b.entry]
  if (before === undefined && after === undefined) return undefined
  const isFirst = after === undefined || (before !== undefined && before.name <= after.name)
  const isSecond = before === undefined || (after !== undefined && after.name <= before.name)
  if (isFirst) a.advance()
  if (isSecond) b.advance()
  return { before: isFirst ? before : undefined, after: isSecond ? after : undefined }
}
