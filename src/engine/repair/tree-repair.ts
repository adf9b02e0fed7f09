/**
 * Trees without what is lost. A directory that lacks nothing stays the node it was; another is written
 * anew, with what is left of its entries under names that say that they are damaged.
 */

import { type ByteString, textOf } from '../../base/bytes.ts'
import { CairnError, isCairnError, throwIfAborted } from '../../base/errors.ts'
import { ENTRY_TYPE, type NodeRoot, type TreeEntry } from '../../format/tree.ts'
import type { BlobIndex } from '../../pipeline/index/blob-index.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import { readChunkList, readDirectory } from '../../repository/tree-reader.ts'
import type { ChunkListWriter, TreeWriter } from '../../repository/tree-writer.ts'
import { NodeMemo } from '../id-table.ts'
import {
  damagedName,
  fitsInline,
  mendedFile,
  withHoles,
  withoutLostXattrs,
} from './damaged-entry.ts'

export interface TreeRepairParts {
  readonly index: BlobIndex
  readonly blobs: BlobReader
  readonly newTree: () => TreeWriter
  readonly newList: () => ChunkListWriter
  /** Told of each path that has lost something. */
  readonly onLost: (path: string) => void
  readonly signal?: AbortSignal | undefined
}

interface Repaired {
  readonly root: NodeRoot
  /** Of the directory itself, or of something below it. */
  readonly isChanged: boolean
  /** Entries of the directory itself are lost. */
  readonly isDamaged: boolean
}

export class TreeRepair {
  readonly #parts: TreeRepairParts
  /** Places in `results`. */
  readonly #known = new NodeMemo()
  readonly #results: Repaired[] = []

  constructor(parts: TreeRepairParts) {
    this.#parts = parts
  }

  /** `isDamaged` of a snapshot's root says that its own entries are lost in part or all. */
  async directory(root: NodeRoot, path: ByteString): Promise<Repaired> {
    const known = this.#known.get(root.height, root.id)
    const before = known === undefined ? undefined : this.#results[known]
    if (before !== undefined) return before
    const repaired = await this.#newDirectory(root, path)
    this.#known.set(root.height, root.id, this.#results.push(repaired) - 1)
    return repaired
  }

  async #newDirectory(root: NodeRoot, path: ByteString): Promise<Repaired> {
    const { blobs, newTree, onLost, signal } = this.#parts
    throwIfAborted(signal)
    let isDamaged = false
    const entries: { readonly old: TreeEntry; readonly mended: TreeEntry }[] = []
    const options = {
      signal,
      onDamage: () => {
        isDamaged = true
      },
    }
    for await (const leaf of readDirectory(blobs, root, options)) {
      for (const old of leaf) entries.push({ old, mended: await this.#entry(old, path) })
    }
    if (isDamaged) onLost(textOf(path === '' ? '/' : path))
    const isChanged = isDamaged || entries.some(({ old, mended }) => mended !== old)
    if (!isChanged) return { root, isChanged, isDamaged }
    const tree = newTree()
    for (const entry of renamed(entries)) tree.add(entry)
    return { root: tree.finish(), isChanged, isDamaged }
  }

  /** The entry itself if it lacks nothing. One with another subtree keeps its name. */
  async #entry(entry: TreeEntry, parent: ByteString): Promise<TreeEntry> {
    const path = `${parent}/${entry.name}`
    if (entry.unknownCritical === true) {
      throw new CairnError(
        'CAIRN_FORMAT_TOO_NEW',
        `cannot repair '${textOf(path)}': it was stored by a newer version; update cairn`,
      )
    }
    const kept = withoutLostXattrs(entry, this.#parts.index)
    const isLacking = kept !== entry
    if (entry.type === ENTRY_TYPE.directory && entry.subtree !== undefined) {
      const { root, isChanged, isDamaged } = await this.directory(entry.subtree, path)
      if (isLacking && !isDamaged) this.#parts.onLost(textOf(path))
      if (!isChanged && !isLacking) return entry
      const name = isDamaged || isLacking ? marked(entry.name) : entry.name
      return { ...kept, subtree: root, name }
    }
    const content = entry.type === ENTRY_TYPE.file ? await this.#content(entry) : 'whole'
    if (content === 'whole' && !isLacking) return entry
    this.#parts.onLost(textOf(path))
    const mended = content === 'whole' ? kept : mendedFile(kept, content)
    return { ...mended, name: marked(entry.name) }
  }

  async #content(entry: TreeEntry): Promise<'whole' | Uint8Array | NodeRoot | undefined> {
    const { index } = this.#parts
    if (entry.content !== undefined) return withHoles(entry.content, index) ?? 'whole'
    if (entry.contentList === undefined) return 'whole'
    try {
      return await this.#list(entry.contentList)
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      return undefined
    }
  }

  async #list(root: NodeRoot): Promise<'whole' | Uint8Array | NodeRoot> {
    const { blobs, index, newList, signal } = this.#parts
    const list = newList()
    const parts: Uint8Array[] = []
    let isWhole = true
    const options = { signal }
    for await (const references of readChunkList(blobs, root, options)) {
      const mended = withHoles(references, index)
      if (mended !== undefined) isWhole = false
      parts.push(mended ?? Uint8Array.from(references))
    }
    if (isWhole) return 'whole'
    const all = Buffer.concat(parts)
    if (fitsInline(all)) return all
    for (const references of parts) list.add(references)
    return list.finish()
  }
}

/** Stands before the name of an entry that needs another, until its siblings are known. */
const MARK = '/'

function marked(name: ByteString): ByteString {
  return `${MARK}${name}`
}

/** In the order of their final names. */
function renamed(
  entries: readonly { readonly old: TreeEntry; readonly mended: TreeEntry }[],
): TreeEntry[] {
  const taken = new Set(entries.map(({ old }) => old.name))
  const all = entries.flatMap(({ mended }) => {
    if (!mended.name.startsWith(MARK)) return [mended]
    const name = damagedName(mended.name.slice(MARK.length), taken)
    taken.add(name)
    return [{ ...mended, name }]
  })
  return all.sort((a, b) => (a.name < b.name ? -1 : 1))
}
