/** Trees without some of their entries. A directory in which nothing goes keeps its root. */

import type { ByteString } from '../../base/bytes.ts'
import { throwIfAborted } from '../../base/errors.ts'
import { ENTRY_TYPE, type NodeRoot, type TreeEntry } from '../../format/tree.ts'
import { readDirectory } from '../../repository/tree-reader.ts'
import type { TreeStore } from '../tree-store.ts'

export interface RewriteRules {
  readonly excludes: (path: ByteString) => boolean
  readonly onExcluded?: (path: ByteString) => void
  readonly signal?: AbortSignal | undefined
}

export interface RewrittenTree {
  readonly root: NodeRoot
  /** Regular files below it, and their bytes. */
  readonly fileCount: number
  readonly byteCount: number
  readonly entryCount: number
}

/** What becomes of an entry: undefined for one that goes. */
type Changes = Map<ByteString, NodeRoot | undefined>

/** Throws CAIRN_CORRUPT if a node cannot be read: what is not known cannot be left out. */
export async function rewriteTree(
  store: TreeStore,
  root: NodeRoot,
  rules: RewriteRules,
  path: ByteString = '',
): Promise<RewrittenTree> {
  throwIfAborted(rules.signal)
  const changes: Changes = new Map()
  const sum = { fileCount: 0, byteCount: 0, entryCount: 0 }
  for await (const entries of readDirectory(store.blobs, root, { signal: rules.signal })) {
    for (const entry of entries) {
      const entryPath = `${path}/${entry.name}`
      if (rules.excludes(entryPath)) {
        changes.set(entry.name, undefined)
        rules.onExcluded?.(entryPath)
        continue
      }
      sum.entryCount++
      if (entry.type === ENTRY_TYPE.file) {
        sum.fileCount++
        sum.byteCount += entry.size
      }
      if (entry.type !== ENTRY_TYPE.directory || entry.subtree === undefined) continue
      const below = await rewriteTree(store, entry.subtree, rules, entryPath)
      sum.fileCount += below.fileCount
      sum.byteCount += below.byteCount
      if (!isSameRoot(below.root, entry.subtree)) changes.set(entry.name, below.root)
    }
  }
  if (changes.size === 0) return { root, ...sum }
  return { root: await writeChanged(store, root, changes, rules), ...sum }
}

export function isSameRoot(a: NodeRoot, b: NodeRoot): boolean {
  return a.height === b.height && Buffer.compare(a.id, b.id) === 0
}

/** Reads the directory once more, so that memory is that of the changes. */
async function writeChanged(
  store: TreeStore,
  root: NodeRoot,
  changes: Changes,
  rules: RewriteRules,
): Promise<NodeRoot> {
  const tree = await store.newTree()
  for await (const entries of readDirectory(store.blobs, root, { signal: rules.signal })) {
    for (const entry of entries) {
      const changed = changedEntry(entry, changes)
      if (changed !== undefined) tree.add(changed)
    }
  }
  return tree.finish()
}

function changedEntry(entry: TreeEntry, changes: Changes): TreeEntry | undefined {
  if (!changes.has(entry.name)) return entry
  const subtree = changes.get(entry.name)
  return subtree === undefined ? undefined : { ...entry, subtree }
}
