/** A directory while it is being scanned, and its entries until they are in its tree. */

import type { ByteString } from '../../base/bytes.ts'
import { LIMIT } from '../../format/constants.ts'
import type { TreeWriter } from '../../repository/tree-writer.ts'
import type { SourceStat } from '../../source/source-files.ts'
import type { DirectoryPlace } from './open-directories.ts'
import type { CachedDirectory } from './scan-cache.ts'
import type { BlockBuilder } from './scan-cache-writer.ts'
import type { SourceNode } from './source-roots.ts'
import type { EntryExtras } from './tree-entry.ts'

export type SlotState = 'open' | 'ready' | 'left out'

/** One entry of a directory, from the moment its name came up until it is in the tree. */
export interface Slot {
  state: SlotState
  readonly name: ByteString
  /** The row of the cache that it equals, or -1. */
  row: number
  /** The row of the cache with this name, whatever is there now, or -1. */
  readonly knownRow: number
  stat: SourceStat
  /** What the entry has besides its stat; undefined as long as that is not known. */
  extras: Partial<EntryExtras> | undefined
  /** Of a directory: where its block is in the new cache, or in the old one if it is kept. */
  child: ChildBlock | undefined
  /** Of a directory that is being scanned. */
  frame: Frame | undefined
}

export type ChildBlock = { readonly where: 'old' | 'new'; readonly offset: number }

export type FrameInit = Pick<
  Frame,
  'parent' | 'slot' | 'names' | 'children' | 'cached' | 'cachedOffset' | 'device'
> & { readonly place: DirectoryPlace }

/** FORMAT.md 20. Throws ENAMETOOLONG if what is in `parent` can have no directory of its own. */
export function requireDepth(parent: Frame | undefined): void {
  if (parent === undefined || parent.depth < LIMIT.depthMax) return
  const error = new Error(`it is more than ${LIMIT.depthMax} directories deep`)
  throw Object.assign(error, { code: 'ENAMETOOLONG' })
}

export class Frame implements DirectoryPlace {
  readonly path: ByteString
  readonly parent: Frame | undefined
  /** How many directories are above it in the snapshot. */
  readonly depth: number
  /** Its own slot in the parent. */
  readonly slot: Slot | undefined
  readonly names: readonly ByteString[]
  /** Only of directories on the way to a source. */
  readonly children: ReadonlyMap<ByteString, SourceNode> | undefined
  readonly cached: CachedDirectory | undefined
  readonly cachedOffset: number
  readonly device: bigint | undefined
  readonly follow: boolean
  readonly identity: DirectoryPlace['identity']
  /** Its extended metadata; undefined until it is needed. */
  extended: Pick<EntryExtras, 'xattrs' | 'flags'> | undefined
  next = 0
  /** The first cached row not below the next name. */
  cachedRow = 0
  readonly slots: Slot[] = []
  head = 0
  isWalked = false
  /** Rows of the cache that the directory has been equal to so far; -1 once it differs. */
  same = 0
  tree: TreeWriter | undefined
  block: BlockBuilder | undefined

  constructor(init: FrameInit) {
    this.path = init.place.path
    this.follow = init.place.follow
    this.identity = init.place.identity
    this.parent = init.parent
    this.depth = init.parent === undefined ? 0 : init.parent.depth + 1
    this.slot = init.slot
    this.names = init.names
    this.children = init.children
    this.cached = init.cached
    this.cachedOffset = init.cachedOffset
    this.device = init.device
    if (this.cached === undefined) this.same = -1
    if (this.slot !== undefined) this.slot.frame = this
  }

  childPath(name: ByteString): ByteString {
    const node = this.children?.get(name)
    if (node !== undefined) return node.path
    return this.path === '/' ? `/${name}` : `${this.path}/${name}`
  }
}
