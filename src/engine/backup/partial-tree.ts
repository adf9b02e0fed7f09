/**
 * The tree of a scan that is not done: directories that are complete, files that have been read, and
 * the directories on the way to them. The scan itself is left as it is.
 */

import { assert } from '../../base/errors.ts'
import type { NodeRoot } from '../../format/tree.ts'
import type { TreeWriter } from '../../repository/tree-writer.ts'
import type { EntryEncoder } from './entry-encoder.ts'
import type { EntrySource } from './entry-source.ts'
import type { Frame, Slot } from './scan-frame.ts'
import type { TreeServices } from './scan-options.ts'

export interface PartialTree {
  readonly root: NodeRoot
  /** Packs that what was kept of the scan cache rests on. */
  readonly handles: ReadonlySet<number>
}

export interface PartialTreeParts {
  readonly services: TreeServices
  readonly encoder: EntryEncoder
  readonly entries: EntrySource
}

/** A directory whose first so many slots are in its tree. */
interface Level {
  readonly frame: Frame
  readonly tree: TreeWriter
  next: number
}

/** In a loop: there may be more levels than the stack has room for. */
export function writePartialTree(root: Frame, parts: PartialTreeParts): PartialTree {
  const handles = new Set<number>()
  const levels = [begin(root, parts, handles)]
  for (;;) {
    const level = levels.at(-1)
    assert(level !== undefined, 'the root ends the loop')
    const child = addUntilDirectory(level, parts)
    if (child !== undefined) {
      levels.push(begin(child, parts, handles))
      continue
    }
    const node = level.tree.finish()
    levels.pop()
    const parent = levels.at(-1)
    if (parent === undefined) return { root: node, handles }
    addDirectory(parent, level.frame, node, parts)
  }
}

function begin(frame: Frame, { services }: PartialTreeParts, handles: Set<number>): Level {
  const { cached, same } = frame
  for (const handle of cached?.handles ?? []) handles.add(handle)
  const tree = frame.tree?.copy() ?? services.newTree()
  if (frame.tree === undefined && cached !== undefined) {
    for (let row = 0; row < same; row++) tree.addEncoded(cached.name(row), cached.entry(row))
  }
  return { frame, tree, next: frame.head }
}

/** Returns the next directory that is not done; undefined if there is none. */
function addUntilDirectory(level: Level, parts: PartialTreeParts): Frame | undefined {
  const { frame, tree } = level
  for (; level.next < frame.slots.length; level.next++) {
    const slot = frame.slots[level.next]
    if (slot?.frame !== undefined) return slot.frame
    const bytes = slot === undefined ? undefined : entryBytes(frame, slot, parts)
    if (slot !== undefined && bytes !== undefined) tree.addEncoded(slot.name, bytes)
  }
  return undefined
}

function addDirectory(level: Level, child: Frame, node: NodeRoot, parts: PartialTreeParts): void {
  const slot = level.frame.slots[level.next++]
  assert(slot !== undefined, 'a directory has its slot')
  const subtree = { id: Uint8Array.from(node.id), height: node.height }
  const extras = { subtree, ...parts.entries.extendedSoFar(child) }
  level.tree.addEncoded(slot.name, parts.encoder.encode(slot, extras, parts.services))
}

function entryBytes(
  frame: Frame,
  slot: Slot,
  { encoder, services }: PartialTreeParts,
): Uint8Array | undefined {
  if (slot.state !== 'ready') return undefined
  if (slot.row >= 0) return frame.cached?.entry(slot.row)
  return slot.extras === undefined ? undefined : encoder.encode(slot, slot.extras, services)
}
