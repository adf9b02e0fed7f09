/** Reads directories and chunk lists (FORMAT.md 12 and 13), one node at a time. */

import type { ByteString } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { BLOB_TYPE, LIMIT } from '../format/constants.ts'
import {
  decodeInner,
  decodeLeaf,
  decodeListLeaf,
  ENTRY_TYPE,
  type NodeRoot,
  type TreeEntry,
} from '../format/tree.ts'
import { decodeXattrs } from '../format/xattrs.ts'
import type { BlobReader } from './blob-reader.ts'

/** A name that no entry may have: told, passed over. */
export interface RefusedEntry {
  readonly name: ByteString
  readonly problem: string
}

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined
  readonly onRefused?: (entry: RefusedEntry) => void
  /**
   * Told of a node that is damaged or missing; its siblings are still read. Without it the error
   * is thrown.
   */
  readonly onDamage?: (error: unknown) => void
}

/** The entries of a directory in order of names, leaf by leaf: memory is one leaf a level. */
export async function* readDirectory(
  blobs: BlobReader,
  root: NodeRoot,
  options: ReadOptions = {},
): AsyncGenerator<TreeEntry[]> {
  for await (const leaf of leaves(blobs, root, BLOB_TYPE.leaf, options)) {
    const entries: TreeEntry[] = []
    try {
      decodeLeaf(
        leaf,
        (entry) => entries.push(entry),
        ({ name }, problem) => options.onRefused?.({ name, problem }),
      )
    } catch (error) {
      if (options.onDamage === undefined) throw error
      options.onDamage(error)
    }
    yield entries
  }
}

/** The references of a chunk list, 36 bytes each, leaf by leaf. */
export async function* readChunkList(
  blobs: BlobReader,
  root: NodeRoot,
  options: ReadOptions = {},
): AsyncGenerator<Uint8Array> {
  for await (const leaf of leaves(blobs, root, BLOB_TYPE.list, options)) yield decodeListLeaf(leaf)
}

/** The extended attributes of an entry, wherever they are kept. */
export async function loadXattrs(
  blobs: BlobReader,
  { xattrs, xattrsId }: TreeEntry,
  signal?: AbortSignal,
): Promise<NonNullable<TreeEntry['xattrs']>> {
  if (xattrsId === undefined) return xattrs ?? []
  const bytes = await blobs.load(xattrsId, BLOB_TYPE.aux, signal)
  return decodeXattrs(bytes)
}

async function* leaves(
  blobs: BlobReader,
  root: NodeRoot,
  leafType: typeof BLOB_TYPE.leaf | typeof BLOB_TYPE.list,
  options: ReadOptions,
): AsyncGenerator<Uint8Array> {
  if (root.height > LIMIT.treeHeightMax) {
    throw new CairnError('CAIRN_CORRUPT', `a tree of height ${root.height} is refused`)
  }
  let bytes: Uint8Array
  try {
    const type = root.height === 0 ? leafType : BLOB_TYPE.inner
    bytes = await blobs.load(root.id, type, options.signal)
  } catch (error) {
    if (options.onDamage === undefined) throw error
    options.onDamage(error)
    return
  }
  if (root.height === 0) {
    yield bytes
    return
  }
  for (const row of decodeInner(bytes, root.height)) {
    yield* leaves(blobs, { id: row.id, height: root.height - 1 }, leafType, options)
  }
}

/** The entry at a path of components below `root`, or undefined if there is none. */
export async function findEntry(
  blobs: BlobReader,
  root: NodeRoot,
  components: readonly ByteString[],
  signal?: AbortSignal,
): Promise<TreeEntry | undefined> {
  let directory = root
  let found: TreeEntry | undefined
  const options = { signal }
  for (const [depth, name] of components.entries()) {
    found = undefined
    for await (const entries of readDirectory(blobs, directory, options)) {
      found = entries.find((entry) => entry.name === name)
      if (found !== undefined) break
    }
    if (found === undefined) return undefined
    if (depth === components.length - 1) return found
    if (found.type !== ENTRY_TYPE.directory || found.subtree === undefined) return undefined
    directory = found.subtree
  }
  return found
}
