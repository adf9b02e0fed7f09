/**
 * Which paths of a snapshot need a blob that is lost: a second walk, taken only if one is. Parts
 * that need none are visited once for all snapshots.
 */

import type { ByteString } from '../../base/bytes.ts'
import { isDamage } from '../../base/errors.ts'
import { BLOB_TYPE, type BlobType } from '../../format/constants.ts'
import {
  decodeInner,
  decodeLeaf,
  decodeListLeaf,
  ENTRY_TYPE,
  type NodeRoot,
  referenceCount,
  referenceId,
  type TreeEntry,
} from '../../format/tree.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import type { Snapshot } from '../../repository/snapshots.ts'
import { type IdTable, NodeMemo } from '../id-table.ts'
import { pathOf, type Place, ROOT } from './tree-walk.ts'

const PATHS_MAX = 100

export interface AffectedPaths {
  /** The first of them: directories end in a slash. */
  readonly paths: readonly string[]
  readonly count: number
}

export class AffectedWalk {
  readonly #blobs: BlobReader
  readonly #lost: IdTable
  readonly #signal: AbortSignal | undefined
  /** Affected entries below a node. */
  readonly #trees = new NodeMemo()
  readonly #lists = new NodeMemo()
  #paths: string[] = []

  constructor(blobs: BlobReader, lost: IdTable, signal: AbortSignal | undefined) {
    this.#blobs = blobs
    this.#lost = lost
    this.#signal = signal
  }

  async of(snapshot: Snapshot): Promise<AffectedPaths> {
    this.#paths = []
    const root = snapshot.content?.root
    const count = root === undefined ? 0 : await this.#tree(root, ROOT)
    return { paths: this.#paths, count }
  }

  #found(path: string): number {
    if (this.#paths.length < PATHS_MAX && this.#paths.at(-1) !== path) this.#paths.push(path)
    return 1
  }

  /** A node's bytes; undefined if it is lost. */
  async #load(id: Uint8Array, type: BlobType): Promise<Uint8Array | undefined> {
    if (this.#lost.has(id)) return undefined
    try {
      return await this.#blobs.load(id, type, this.#signal)
    } catch (error) {
      if (isDamage(error)) return undefined
      throw error
    }
  }

  async #tree({ id, height }: NodeRoot, place: Place): Promise<number> {
    const known = this.#trees.get(height, id)
    if (known === 0) return 0
    if (known !== undefined && this.#paths.length >= PATHS_MAX) return known
    this.#trees.set(height, id, 0)
    const bytes = await this.#load(id, height === 0 ? BLOB_TYPE.leaf : BLOB_TYPE.inner)
    let count = 0
    if (bytes === undefined) {
      const path = pathOf(place)
      count = this.#found(path === '/' ? path : `${path}/`)
    } else if (height === 0) count = await this.#leaf(bytes, place)
    else {
      for (const row of decodeInner(bytes, height)) {
        count += await this.#tree({ id: row.id, height: height - 1 }, place)
      }
    }
    this.#trees.set(height, id, count)
    return count
  }

  async #leaf(bytes: Uint8Array, place: Place): Promise<number> {
    const entries: TreeEntry[] = []
    const keep = (entry: TreeEntry) => entries.push(entry)
    decodeLeaf(bytes, keep, () => {})
    let count = 0
    for (const entry of entries) {
      if (await this.#isAffected(entry)) count += this.#found(pathOf(place, entry.name))
      count += await this.#below(entry, place)
    }
    return count
  }

  async #below({ type, subtree, name }: TreeEntry, place: Place): Promise<number> {
    if (type !== ENTRY_TYPE.directory || subtree === undefined) return 0
    return await this.#tree(subtree, placeBelow(place, name))
  }

  async #isAffected(entry: TreeEntry): Promise<boolean> {
    const { content, contentList, xattrsId } = entry
    if (xattrsId !== undefined && this.#lost.has(xattrsId)) return true
    if (content !== undefined && this.#hasLost(content)) return true
    return contentList !== undefined && (await this.#isListAffected(contentList))
  }

  #hasLost(references: Uint8Array): boolean {
    const count = referenceCount(references)
    for (let i = 0; i < count; i++) if (this.#lost.has(referenceId(references, i))) return true
    return false
  }

  async #isListAffected({ id, height }: NodeRoot): Promise<boolean> {
    const known = this.#lists.get(height, id)
    if (known !== undefined) return known > 0
    this.#lists.set(height, id, 0)
    const bytes = await this.#load(id, height === 0 ? BLOB_TYPE.list : BLOB_TYPE.inner)
    let isAffected = bytes === undefined
    if (bytes !== undefined && height === 0) isAffected = this.#hasLost(decodeListLeaf(bytes))
    else if (bytes !== undefined) {
      for (const row of decodeInner(bytes, height)) {
        isAffected = await this.#isListAffected({ id: row.id, height: height - 1 })
        if (isAffected) break
      }
    }
    this.#lists.set(height, id, isAffected ? 1 : 0)
    return isAffected
  }
}

function placeBelow(place: Place, name: ByteString): Place {
  return { parent: place, name, depth: place.depth + 1 }
}
