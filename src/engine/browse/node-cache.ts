/** Decoded leaves of directories and chunk lists, found by position or by name (FORMAT.md 12, 13). */

import type { ByteString } from '../../base/bytes.ts'
import { toHex } from '../../base/bytes.ts'
import { CairnError } from '../../base/errors.ts'
import { BLOB_TYPE, LIMIT } from '../../format/constants.ts'
import {
  decodeInner,
  decodeLeaf,
  decodeListLeaf,
  type InnerRow,
  isHole,
  type NodeRoot,
  referenceCount,
  referenceId,
  referenceLength,
  type TreeEntry,
} from '../../format/tree.ts'
import { type Answer, thenAnswer } from '../../base/answer.ts'
import type { BlobCache } from './blob-cache.ts'

/** Entries of directories, references and rows that are kept: about 400 bytes each at most. */
const KEPT_ITEMS_MAX = 100_000

/** Some neighbouring entries of a directory. */
export interface DirectoryLeaf {
  /** The position of the first in the directory. */
  readonly first: number
  readonly entries: readonly TreeEntry[]
  /** Where the next leaf begins, or undefined if this is the last. */
  readonly next: number | undefined
}

/** Some neighbouring references of a file. */
export interface ListLeaf {
  /** Where its first chunk begins in the file. */
  readonly start: number
  readonly references: Uint8Array
  /** Where each chunk begins, and where the last ends. */
  readonly starts: Float64Array
}

/** Entries of a directory, or references and bytes of a file, that are at or below a node. */
type Counts = Pick<InnerRow, 'entryCount' | 'byteCount'>

type Node = Counts &
  (
    | { readonly kind: 'inner'; readonly rows: readonly InnerRow[] }
    | { readonly kind: 'leaf'; readonly entries: readonly TreeEntry[] }
    | { readonly kind: 'list'; readonly references: Uint8Array }
  )

type LeafType = typeof BLOB_TYPE.leaf | typeof BLOB_TYPE.list

/** Chooses the row to go down by, from what lies in front of it. */
type Choose = (
  row: InnerRow,
  before: { readonly entries: number; readonly bytes: number },
) => boolean

interface Found {
  readonly node: Node
  readonly entriesBefore: number
  readonly bytesBefore: number
  readonly isLast: boolean
}

export class NodeCache {
  readonly #blobs: BlobCache
  /** The least recently used first. */
  readonly #nodes = new Map<string, Node>()
  #items = 0

  constructor(blobs: BlobCache) {
    this.#blobs = blobs
  }

  /** The leaf that holds the entry at `position`; undefined behind the last. */
  leafAt(root: NodeRoot, position: number): Answer<DirectoryLeaf | undefined> {
    const choose: Choose = (row, before) => position < before.entries + row.entryCount
    return thenAnswer(this.#descend(root, BLOB_TYPE.leaf, choose), (found) =>
      found === undefined ? undefined : directoryLeaf(found),
    )
  }

  /** The entry by a name, and its position. */
  find(
    root: NodeRoot,
    name: ByteString,
  ): Answer<{ readonly entry: TreeEntry; readonly position: number } | undefined> {
    const choose: Choose = (row) => name <= row.lastName
    return thenAnswer(this.#descend(root, BLOB_TYPE.leaf, choose), (found) => {
      if (found === undefined) return undefined
      const { entries, first } = directoryLeaf(found)
      const at = searchName(entries, name)
      const entry = entries[at]
      return entry?.name === name ? { entry, position: first + at } : undefined
    })
  }

  /** The references around byte `offset` of a file; undefined behind its end. */
  listAt(root: NodeRoot, offset: number): Answer<ListLeaf | undefined> {
    const choose: Choose = (row, before) => offset < before.bytes + row.byteCount
    return thenAnswer(this.#descend(root, BLOB_TYPE.list, choose), (found) => {
      if (found?.node.kind !== 'list') return undefined
      return listLeaf(found.node.references, found.bytesBefore)
    })
  }

  /**
   * How many bytes of a file are holes. A list of more than `referencesMax` references counts as
   * having none: reading it all would take too long for what asks.
   */
  holeBytes(root: NodeRoot, referencesMax: number): Answer<number> {
    return thenAnswer(this.#node(root, BLOB_TYPE.list), (node) =>
      node.entryCount > referencesMax ? 0 : this.#holeBytesBelow(node, root.height),
    )
  }

  #holeBytesBelow(node: Node, height: number): Answer<number> {
    if (node.kind === 'list') return holeBytesOf(node.references)
    const rows = node.kind === 'inner' ? node.rows : []
    const from = (i: number, sum: number): Answer<number> => {
      const row = rows[i]
      if (row === undefined) return sum
      const below = thenAnswer(this.#childOf(row, height, BLOB_TYPE.list), (child) =>
        this.#holeBytesBelow(child, height - 1),
      )
      return thenAnswer(below, (more) => from(i + 1, sum + more))
    }
    return from(0, 0)
  }

  #descend(root: NodeRoot, leafType: LeafType, choose: Choose): Answer<Found | undefined> {
    if (root.height > LIMIT.treeHeightMax) {
      throw new CairnError('CAIRN_CORRUPT', `a tree of height ${root.height} is refused`)
    }
    const step = (found: Found, height: number): Answer<Found | undefined> => {
      const { node } = found
      if (node.kind !== 'inner') return found
      let { entriesBefore, bytesBefore } = found
      for (const [i, row] of node.rows.entries()) {
        if (choose(row, { entries: entriesBefore, bytes: bytesBefore })) {
          const isLast = found.isLast && i === node.rows.length - 1
          const where = { entriesBefore, bytesBefore, isLast }
          return thenAnswer(this.#childOf(row, height, leafType), (child) =>
            step({ node: child, ...where }, height - 1),
          )
        }
        entriesBefore += row.entryCount
        bytesBefore += row.byteCount
      }
      return undefined
    }
    return thenAnswer(this.#node(root, leafType), (node) =>
      step({ node, entriesBefore: 0, bytesBefore: 0, isLast: true }, root.height),
    )
  }

  /**
   * The node that a row of one of `height` is about. Positions are counted by what rows say: where
   * that is not so, one would be that of several, and who goes on from there might never get further.
   */
  #childOf(row: InnerRow, height: number, leafType: LeafType): Answer<Node> {
    return thenAnswer(this.#node({ id: row.id, height: height - 1 }, leafType), (node) => {
      const isSo =
        node.entryCount === row.entryCount &&
        (leafType === BLOB_TYPE.leaf || node.byteCount === row.byteCount)
      if (isSo) return node
      throw new CairnError('CAIRN_CORRUPT', 'a node does not hold what the one above it says')
    })
  }

  #node({ id, height }: NodeRoot, leafType: LeafType): Answer<Node> {
    const key = `${height}${toHex(id)}`
    const known = this.#nodes.get(key)
    if (known !== undefined) {
      this.#nodes.delete(key)
      this.#nodes.set(key, known)
      return known
    }
    const type = height === 0 ? leafType : BLOB_TYPE.inner
    return thenAnswer(this.#blobs.load(id, type), (bytes) => {
      const node = decodeNode(bytes, height, leafType)
      this.#remember(key, node)
      return node
    })
  }

  #remember(key: string, node: Node): void {
    if (this.#nodes.has(key)) return
    this.#nodes.set(key, node)
    this.#items += itemCount(node)
    for (const [oldKey, old] of this.#nodes) {
      if (this.#items <= KEPT_ITEMS_MAX || oldKey === key) break
      this.#nodes.delete(oldKey)
      this.#items -= itemCount(old)
    }
  }
}

function decodeNode(bytes: Uint8Array, height: number, leafType: LeafType): Node {
  if (height > 0) return innerNode(decodeInner(bytes, height))
  if (leafType === BLOB_TYPE.list) {
    const references = decodeListLeaf(bytes)
    const { starts } = listLeaf(references, 0)
    return {
      kind: 'list',
      references,
      entryCount: starts.length - 1,
      byteCount: starts.at(-1) ?? 0,
    }
  }
  const entries: TreeEntry[] = []
  let refusedCount = 0
  decodeLeaf(
    bytes,
    (entry) => entries.push(entry),
    () => refusedCount++, // A name that no entry may have is not shown; `check` tells of it.
  )
  return { kind: 'leaf', entries, entryCount: entries.length + refusedCount, byteCount: 0 }
}

function innerNode(rows: readonly InnerRow[]): Node {
  let entryCount = 0
  let byteCount = 0
  for (const row of rows) {
    // Nothing bounds how many nodes without contents there are below a few.
    if (row.entryCount === 0) throw new CairnError('CAIRN_CORRUPT', 'a node holds nothing')
    entryCount += row.entryCount
    byteCount += row.byteCount
  }
  return { kind: 'inner', rows, entryCount, byteCount }
}

function itemCount(node: Node): number {
  if (node.kind === 'inner') return node.rows.length
  return node.kind === 'leaf' ? node.entries.length : referenceCount(node.references)
}

function directoryLeaf({ node, entriesBefore, isLast }: Found): DirectoryLeaf {
  const entries = node.kind === 'leaf' ? node.entries : []
  return {
    first: entriesBefore,
    entries,
    next: isLast ? undefined : entriesBefore + node.entryCount,
  }
}

/** How many bytes of what `references` say are holes. */
export function holeBytesOf(references: Uint8Array): number {
  let byteCount = 0
  for (let i = 0; i < referenceCount(references); i++) {
    if (isHole(referenceId(references, i))) byteCount += referenceLength(references, i)
  }
  return byteCount
}

/** `references`, which begin at `start` of their file, with the bounds of their chunks. */
export function listLeaf(references: Uint8Array, start: number): ListLeaf {
  const count = referenceCount(references)
  const starts = new Float64Array(count + 1)
  let at = start
  for (let i = 0; i < count; i++) {
    starts[i] = at
    at += referenceLength(references, i)
  }
  starts[count] = at
  return { start, references, starts }
}

/** The index of `name`, or of the first entry behind it. */
function searchName(entries: readonly TreeEntry[], name: ByteString): number {
  let [low, high] = [0, entries.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((entries[middle]?.name ?? '') < name) low = middle + 1
    else high = middle
  }
  return low
}
