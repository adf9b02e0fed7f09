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

type Node =
  | { readonly kind: 'inner'; readonly rows: readonly InnerRow[] }
  | { readonly kind: 'leaf'; readonly entries: readonly TreeEntry[] }
  | { readonly kind: 'list'; readonly references: Uint8Array }

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
    return thenAnswer(this.#node(root, BLOB_TYPE.list), (node) => {
      if (node.kind === 'list') return holeBytesOf(node.references)
      if (node.kind !== 'inner') return 0
      const references = node.rows.reduce((sum, row) => sum + row.entryCount, 0)
      if (references > referencesMax) return 0
      const from = (i: number, sum: number): Answer<number> => {
        const row = node.rows[i]
        if (row === undefined) return sum
        const child = { id: row.id, height: root.height - 1 }
        return thenAnswer(this.holeBytes(child, referencesMax), (more) => from(i + 1, sum + more))
      }
      return from(0, 0)
    })
  }

  #descend(
    root: NodeRoot,
    leafType: typeof BLOB_TYPE.leaf | typeof BLOB_TYPE.list,
    choose: Choose,
  ): Answer<Found | undefined> {
    if (root.height > LIMIT.treeHeightMax) {
      throw new CairnError('CAIRN_CORRUPT', `a tree of height ${root.height} is refused`)
    }
    const step = (at: NodeRoot, where: Omit<Found, 'node'>): Answer<Found | undefined> =>
      thenAnswer(this.#node(at, leafType), (node) => {
        if (node.kind !== 'inner') return { node, ...where }
        let { entriesBefore, bytesBefore } = where
        for (const [i, row] of node.rows.entries()) {
          if (choose(row, { entries: entriesBefore, bytes: bytesBefore })) {
            const isLast = where.isLast && i === node.rows.length - 1
            return step(
              { id: row.id, height: at.height - 1 },
              { entriesBefore, bytesBefore, isLast },
            )
          }
          entriesBefore += row.entryCount
          bytesBefore += row.byteCount
        }
        return undefined
      })
    return step(root, { entriesBefore: 0, bytesBefore: 0, isLast: true })
  }

  #node(
    { id, height }: NodeRoot,
    leafType: typeof BLOB_TYPE.leaf | typeof BLOB_TYPE.list,
  ): Answer<Node> {
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

function decodeNode(bytes: Uint8Array, height: number, leafType: number): Node {
  if (height > 0) return { kind: 'inner', rows: decodeInner(bytes, height) }
  if (leafType === BLOB_TYPE.list) return { kind: 'list', references: decodeListLeaf(bytes) }
  const entries: TreeEntry[] = []
  decodeLeaf(
    bytes,
    (entry) => entries.push(entry),
    () => {}, // A name that no entry may have is not shown; `check` tells of it.
  )
  return { kind: 'leaf', entries }
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
    next: isLast ? undefined : entriesBefore + entries.length,
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
