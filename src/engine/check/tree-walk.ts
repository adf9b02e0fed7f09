/**
 * Walks the trees of snapshots, each node once however many snapshots share it, and resolves every
 * reference. What cannot be had goes to `lost`; who is affected is asked later, and only if there
 * is any (affected-paths.ts).
 */

import { type ByteString, textOf } from '../../base/bytes.ts'
import { CairnError, errorChain } from '../../base/errors.ts'
import { type FileName, shortId } from '../../base/ids.ts'
import { BLOB_TYPE, type BlobType, LIMIT } from '../../format/constants.ts'
import {
  decodeInner,
  decodeLeaf,
  decodeListLeaf,
  ENTRY_TYPE,
  type InnerRow,
  isHole,
  type NodeRoot,
  referenceCount,
  referenceId,
  referenceLength,
  type TreeEntry,
} from '../../format/tree.ts'
import type { MemoryIndex } from '../../pipeline/index/memory-index.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import type { FilelessSnapshot } from '../../repository/snapshots.ts'
import { type CheckContext, readTwice } from './check-context.ts'
import { decoded } from './check-objects.ts'
import { IdTable, NodeMemo } from '../id-table.ts'

/** A directory on the way down: its path is made only when something is wrong. */
export interface Place {
  readonly parent: Place | undefined
  readonly name: ByteString
  readonly depth: number
}

export const ROOT: Place = { parent: undefined, name: '', depth: 0 }

export function pathOf(place: Place, name: ByteString = ''): string {
  const names: ByteString[] = []
  for (let at: Place | undefined = place; at !== undefined; at = at.parent) names.unshift(at.name)
  return textOf(name === '' ? names.join('/') || '/' : [...names, name].join('/'))
}

/** The value of a node whose figures are not known because something below it is damaged. */
const UNKNOWN = -1
const PROBLEMS_MAX = 100

export class TreeWalk {
  readonly #context: CheckContext
  readonly #index: MemoryIndex
  readonly #blobs: BlobReader
  /** Entries of a directory below a node. */
  readonly #trees = new NodeMemo()
  /** Bytes of a file below a node. */
  readonly #lists = new NodeMemo()
  /** Blobs that no listed pack has, or that cannot be read. */
  readonly lost = new IdTable()
  /** What was wrong in packs that a node was read from. */
  readonly packProblems = new Map<FileName, string>()
  readonly #usedPacks = new Set<number>()
  #snapshot: FilelessSnapshot | undefined
  problemCount = 0

  constructor(context: CheckContext, index: MemoryIndex, blobs: BlobReader) {
    this.#context = context
    this.#index = index
    this.#blobs = blobs
  }

  /** The packs that hold what was walked. */
  get usedPacks(): Set<FileName> {
    return new Set([...this.#usedPacks].map((number) => this.#index.pack(number).name))
  }

  async walk(snapshot: FilelessSnapshot): Promise<void> {
    this.#snapshot = snapshot
    const root = snapshot.content?.root
    if (root !== undefined) await this.#tree(root, ROOT)
  }

  #problem(path: string, problem: string): void {
    if (++this.problemCount > PROBLEMS_MAX || this.#snapshot === undefined) return
    const { id } = this.#snapshot
    this.#context.findings.error(
      { kind: 'snapshots', name: id },
      `snapshot ${shortId(id)}: '${path}': ${problem}`,
      'it was stored so: back up again',
    )
  }

  /** Whether a blob of this type and length is in a pack that is there. */
  #resolve(id: Uint8Array, type: BlobType, length: number | undefined): boolean {
    const packNumber = this.#index.holder(id, type, length)
    if (packNumber < 0) this.lost.add(id)
    else this.#usedPacks.add(packNumber)
    return packNumber >= 0
  }

  /** The bytes of a node, or undefined, with `lost` told. */
  async #load(id: Uint8Array, type: BlobType): Promise<Uint8Array | undefined> {
    if (!this.#resolve(id, type, undefined)) return undefined
    const { signal } = this.#context
    const bytes = await readTwice(this.#context, () => this.#blobs.load(id, type, signal))
    if (!(bytes instanceof CairnError)) return bytes
    this.lost.add(id)
    for (const location of this.#index.find(id)) {
      const { name } = this.#index.pack(location.packNumber)
      if (!this.packProblems.has(name)) this.packProblems.set(name, errorChain(bytes))
    }
    return undefined
  }

  /** Walks a directory, or a part of it, and returns how many entries it has. */
  async #tree(root: NodeRoot, place: Place): Promise<number> {
    const { id, height } = root
    const known = this.#trees.get(height, id)
    if (known !== undefined) return known
    this.#trees.set(height, id, UNKNOWN) // Here a cycle would end.
    const entryCount = await this.#newTree(root, place)
    this.#trees.set(height, id, entryCount)
    return entryCount
  }

  async #newTree({ id, height }: NodeRoot, place: Place): Promise<number> {
    const bytes = await this.#load(id, height === 0 ? BLOB_TYPE.leaf : BLOB_TYPE.inner)
    if (bytes === undefined) return UNKNOWN
    if (height === 0) return await this.#leaf(id, bytes, place)
    const rows = this.#rows(id, bytes, height, pathOf(place))
    let sum = 0
    for (const row of rows ?? []) {
      const entryCount = await this.#tree({ id: row.id, height: height - 1 }, place)
      if (entryCount !== UNKNOWN && entryCount !== row.entryCount) {
        this.#problem(pathOf(place), `a part has ${entryCount} entries, not ${row.entryCount}`)
      }
      sum += row.entryCount
    }
    return rows === undefined ? UNKNOWN : sum
  }

  #rows(id: Uint8Array, bytes: Uint8Array, height: number, path: string): InnerRow[] | undefined {
    const rows = decoded(() => decodeInner(bytes, height))
    if (!(rows instanceof CairnError)) return rows
    this.lost.add(id)
    this.#problem(path, errorChain(rows))
    return undefined
  }

  async #leaf(id: Uint8Array, bytes: Uint8Array, place: Place): Promise<number> {
    const deeper: TreeEntry[] = []
    let entryCount = 0
    const failure = decoded(() =>
      decodeLeaf(
        bytes,
        (entry) => {
          entryCount++
          if (this.#entry(entry, place)) deeper.push(entry)
        },
        (entry, problem) => {
          entryCount++
          this.#problem(pathOf(place, entry.name), `its name is refused: ${problem}`)
        },
      ),
    )
    if (failure instanceof CairnError) {
      this.lost.add(id)
      this.#problem(pathOf(place), errorChain(failure))
    }
    for (const entry of deeper) await this.#below(entry, place)
    return failure instanceof CairnError ? UNKNOWN : entryCount
  }

  /** Checks an entry by itself; true if there are nodes below it. */
  #entry(entry: TreeEntry, place: Place): boolean {
    const problem = (text: string) => this.#problem(pathOf(place, entry.name), text)
    if (entry.type > ENTRY_TYPE.blockdevice) problem(`its type ${entry.type} is unknown`)
    if (entry.xattrsId !== undefined) this.#resolve(entry.xattrsId, BLOB_TYPE.aux, undefined)
    if (entry.type === ENTRY_TYPE.directory) {
      if (entry.subtree === undefined) problem('a directory without contents')
      else if (place.depth >= LIMIT.depthMax) problem('it is too deep')
      else return true
      return false
    }
    if (entry.type !== ENTRY_TYPE.file) return false
    if (entry.contentList !== undefined) return true
    const content = entry.content ?? new Uint8Array()
    const byteCount = this.#references(content)
    if (byteCount !== entry.size) problem(`its parts have ${byteCount} bytes, not ${entry.size}`)
    return false
  }

  /** Resolves references and returns how many bytes they stand for. */
  #references(references: Uint8Array): number {
    let sum = 0
    const count = referenceCount(references)
    for (let i = 0; i < count; i++) {
      const id = referenceId(references, i)
      const length = referenceLength(references, i)
      sum += length
      if (!isHole(id)) this.#resolve(id, BLOB_TYPE.data, length)
    }
    return sum
  }

  async #below(entry: TreeEntry, place: Place): Promise<void> {
    const { subtree, contentList, name } = entry
    if (subtree !== undefined && entry.type === ENTRY_TYPE.directory) {
      await this.#tree(subtree, { parent: place, name, depth: place.depth + 1 })
    } else if (contentList !== undefined) {
      const path = pathOf(place, name)
      const byteCount = await this.#list(contentList, path)
      if (byteCount !== UNKNOWN && byteCount !== entry.size) {
        this.#problem(path, `its parts have ${byteCount} bytes, not ${entry.size}`)
      }
    }
  }

  /** Walks a chunk list and returns how many bytes it stands for. */
  async #list(root: NodeRoot, path: string): Promise<number> {
    const { id, height } = root
    const known = this.#lists.get(height, id)
    if (known !== undefined) return known
    this.#lists.set(height, id, UNKNOWN)
    const byteCount = await this.#newList(root, path)
    this.#lists.set(height, id, byteCount)
    return byteCount
  }

  async #newList({ id, height }: NodeRoot, path: string): Promise<number> {
    const bytes = await this.#load(id, height === 0 ? BLOB_TYPE.list : BLOB_TYPE.inner)
    if (bytes === undefined) return UNKNOWN
    if (height === 0) {
      const references = decoded(() => decodeListLeaf(bytes))
      if (!(references instanceof CairnError)) return this.#references(references)
      this.lost.add(id)
      this.#problem(path, errorChain(references))
      return UNKNOWN
    }
    const rows = this.#rows(id, bytes, height, path)
    let sum = 0
    for (const row of rows ?? []) {
      const byteCount = await this.#list({ id: row.id, height: height - 1 }, path)
      if (byteCount !== UNKNOWN && byteCount !== row.byteCount) {
        this.#problem(path, `a part has ${byteCount} bytes, not ${row.byteCount}`)
      }
      sum += row.byteCount
    }
    return rows === undefined ? UNKNOWN : sum
  }
}
