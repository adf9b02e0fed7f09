/**
 * Walks the sources, depth first and in order of names, and builds their trees. Nothing here waits:
 * files to be read are handed out, and a directory is completed when the last of them has come back.
 *
 * An entry that stat cannot tell from what the scan cache has is not looked at further; a directory
 * all of whose entries are so keeps the tree it had, without being encoded. Memory is what is open:
 * the directories on the way, and the files that are out.
 */

import { type ByteString, equalBytes } from '../../base/bytes.ts'
import type { NodeRoot } from '../../format/tree.ts'
import { EntryEncoder } from './entry-encoder.ts'
import { EntrySource } from './entry-source.ts'
import { type PartialTree, writePartialTree } from './partial-tree.ts'
import { BlockBuilder } from './scan-cache-writer.ts'
import { type ChildBlock, Frame, type FrameInit, requireDepth, type Slot } from './scan-frame.ts'
import type { ItemAction, ScanOptions, TreeServices } from './scan-options.ts'
import type { SourceNode } from './source-roots.ts'

/** Two seconds: the coarsest clock of the file systems in use, which is that of FAT. */
const RACY_NS = 2_000_000_000n
const LOOKS_MAX = 3

export class Scan {
  readonly #options: ScanOptions
  readonly #entries: EntrySource
  readonly #root: Frame | undefined
  readonly #stack: Frame[] = []
  readonly #encoder: EntryEncoder
  #services: TreeServices | undefined
  /** Directories with something ready; the first is being looked at. */
  readonly #toDrain: Frame[] = []
  /** Frames that wait for the services. */
  #stalled = new Set<Frame>()
  /** Slots that came up and are not in a tree yet: bounds memory. */
  openSlots = 0
  /** How many of the sources that were asked for are there. */
  sourcesFound = 0
  #result: { root: NodeRoot; isUnchanged: boolean } | undefined

  constructor(root: SourceNode, options: ScanOptions) {
    this.#options = options
    this.#encoder = new EntryEncoder(options.entries)
    this.#entries = new EntrySource(options.source, options.hooks.onError)
    const offset = options.cache?.rootOffset ?? 0
    this.#root = this.#entries.attempt(root.path, () => this.#enterRoot(root, offset))
    if (this.#root === undefined) return
    this.#stack.push(this.#root)
    if (root.children === undefined) this.sourcesFound++
  }

  /** Whether every name has come up; files may still be out. */
  get isWalked(): boolean {
    return this.#stack.length === 0
  }

  /** Whether something waits for the services. */
  get isStalled(): boolean {
    return this.#stalled.size > 0
  }

  /** The root, once everything is in. */
  get result(): { readonly root: NodeRoot; readonly isUnchanged: boolean } | undefined {
    return this.#result
  }

  /** A tree of what is in so far; undefined if there is none yet, or all is in. */
  partialTree(): PartialTree | undefined {
    const services = this.#services
    if (services === undefined || this.#result !== undefined) return undefined
    const parts = { services, encoder: this.#encoder, entries: this.#entries }
    return this.#root && writePartialTree(this.#root, parts)
  }

  /** From now on trees can be written. */
  provide(services: TreeServices): void {
    this.#services = services
    const stalled = this.#stalled
    this.#stalled = new Set()
    for (const frame of stalled) this.#drain(frame)
  }

  /** Looks at the next name. Call until `isWalked`. */
  step(): void {
    const frame = this.#stack.at(-1)
    if (frame === undefined) return
    const name = frame.names[frame.next]
    if (name !== undefined) {
      frame.next++
      this.#visit(frame, name)
      return
    }
    this.#stack.pop()
    // While it is still open, if it is going to be needed.
    if (!this.#isKept(frame)) this.#entries.ownExtended(frame)
    this.#entries.leave(frame)
    frame.isWalked = true
    this.#drain(frame)
  }

  /** Must be called when the scan is given up; at its end there is nothing left to close. */
  close(): void {
    this.#entries.close()
  }

  #enterRoot({ path, children }: SourceNode, cachedOffset: number): Frame {
    const place = this.#entries.rootPlace(path)
    const above = { parent: undefined, slot: undefined, device: undefined }
    return this.#enter({ ...above, place, children }, cachedOffset)
  }

  /** Throws what the system says if the directory cannot be listed. */
  #enter(
    init: Pick<FrameInit, 'parent' | 'slot' | 'children' | 'device' | 'place'>,
    cachedOffset: number,
  ): Frame {
    requireDepth(init.parent)
    const { source, exclusions, cache, badHandles } = this.#options
    const { place, children } = init
    const names =
      children === undefined
        ? exclusions.taggedNames(place.path, this.#entries.names(place), source)
        : [...children.keys()].sort()
    let cached = cachedOffset === 0 ? undefined : cache?.directory(cachedOffset)
    if (cached?.handles.some((handle) => badHandles.has(handle))) cached = undefined
    return new Frame({ ...init, names, cached, cachedOffset })
  }

  /** The cached row of a name; names come in order, so that this only goes forward. */
  #findRow(frame: Frame, name: ByteString): number {
    const { cached } = frame
    if (cached === undefined) return -1
    while (frame.cachedRow < cached.rowCount) {
      const known = cached.name(frame.cachedRow)
      if (known === name) return frame.cachedRow++
      if (known > name) return -1
      frame.cachedRow++
    }
    return -1
  }

  #visit(frame: Frame, name: ByteString): void {
    const { exclusions } = this.#options
    const path = frame.childPath(name)
    const isNamed = frame.children?.has(name) ?? false
    if (!isNamed && exclusions.excludesPath(path)) return
    const stat = this.#entries.look(frame, name, path)
    if (stat === undefined) return
    if (exclusions.excludesEntry(path, stat) && !(isNamed && stat.type !== 'directory')) return
    const node = frame.children?.get(name)
    if (node !== undefined && node.children === undefined) this.sourcesFound++
    const row = this.#findRow(frame, name)
    const slot: Slot = {
      state: 'open',
      name,
      row,
      knownRow: row,
      stat,
      extras: undefined,
      child: undefined,
      frame: undefined,
    }
    frame.slots.push(slot)
    this.openSlots++
    this.#take(frame, slot, path, LOOKS_MAX)
  }

  /** Decides what becomes of an entry, by its type. */
  #take(frame: Frame, slot: Slot, path: ByteString, looks: number): void {
    const { type } = slot.stat
    if (type === 'directory') this.#takeDirectory(frame, slot, path)
    else if (this.#isKnown(frame, slot)) this.#ready(frame, slot, path, 'unchanged')
    else if (type === 'file') this.#takeFile(frame, slot, path, looks)
    else this.#takeSpecial(frame, slot, path)
  }

  #isKnown(frame: Frame, slot: Slot): boolean {
    if (slot.row < 0 || frame.cached === undefined) return false
    if (frame.cached.matches(slot.row, slot.stat, this.#options.rules)) return true
    slot.row = -1
    return false
  }

  #ready(frame: Frame, slot: Slot, path: ByteString, action: ItemAction): void {
    slot.state = 'ready'
    const { stat } = slot
    this.#options.hooks.onItem({ path, isDirectory: stat.type === 'directory', action, stat })
    this.#drain(frame)
  }

  #leaveOut(frame: Frame, slot: Slot): void {
    slot.state = 'left out'
    this.#drain(frame)
  }

  #takeDirectory(frame: Frame, slot: Slot, path: ByteString): void {
    const { exclusions } = this.#options
    const node = frame.children?.get(slot.name)
    const isNamed = this.#options.named.has(path)
    const isOther =
      node === undefined && !isNamed && exclusions.isOtherFileSystem(slot.stat, frame.device)
    const children = isOther ? new Map<ByteString, SourceNode>() : node?.children
    const offset = slot.row < 0 ? undefined : frame.cached?.childOffset(slot.row)
    // A source's own device is what --one-file-system holds its contents against.
    const isSource = isNamed || (node !== undefined && children === undefined)
    const enter = (): Frame => {
      const device = isSource ? slot.stat.dev : frame.device
      const place = { path, follow: children !== undefined, identity: slot.stat }
      return this.#enter({ place, children, parent: frame, slot, device }, offset ?? 0)
    }
    const child = this.#entries.attempt(path, () => {
      try {
        return enter()
      } catch (error) {
        // A file system was mounted as it was opened, perhaps: then it is that from now on.
        const now =
          (error as NodeJS.ErrnoException).code === 'ESTALE' &&
          this.#entries.look(frame, slot.name, path)
        if (now === false || now?.type !== 'directory') throw error
        slot.stat = now
        return enter()
      }
    })
    if (child === undefined) this.#leaveOut(frame, slot)
    else this.#stack.push(child)
  }

  /** Whether a directory's own stat is what it was; its contents may not be. */
  #isKept({ parent, slot }: Frame): boolean {
    if (parent?.cached === undefined || slot === undefined || slot.row < 0) return false
    return parent.cached.matches(slot.row, slot.stat, this.#options.rules)
  }

  #takeFile(frame: Frame, slot: Slot, path: ByteString, looks: number): void {
    const { hooks } = this.#options
    hooks.readFile({
      path,
      stat: slot.stat,
      done: (content) => {
        if (content === undefined) {
          this.#leaveOut(frame, slot)
          return
        }
        const { extras } = content
        slot.extras = { size: content.size, ...extras }
        this.#keepHandles(frame, content.handles)
        this.#ready(frame, slot, path, this.#actionOf(frame, slot))
      },
      again: () => this.#lookAgain(frame, slot, path, looks - 1),
    })
  }

  #lookAgain(frame: Frame, slot: Slot, path: ByteString, looks: number): void {
    const entries = this.#entries
    const stat = this.#entries.look(frame, slot.name, path)
    if (stat !== undefined && looks > 0 && stat.type !== 'directory') {
      slot.stat = stat
      slot.row = -1
      this.#take(frame, slot, path, looks)
      return
    }
    if (stat !== undefined && looks === 0) {
      entries.failWith(path, 'it was replaced again and again while it was read', 'ESTALE')
    } else if (stat !== undefined) {
      entries.failWith(path, 'it became a directory while it was read', 'EISDIR')
    }
    this.#leaveOut(frame, slot)
  }

  #takeSpecial(frame: Frame, slot: Slot, path: ByteString): void {
    slot.extras = this.#entries.special(frame, slot.name, path, slot.stat)
    if (slot.extras === undefined) this.#leaveOut(frame, slot)
    else this.#ready(frame, slot, path, this.#actionOf(frame, slot))
  }

  /** What became of an entry that was looked at again: it may have turned out to be the same. */
  #actionOf(frame: Frame, slot: Slot): ItemAction {
    const { knownRow, extras } = slot
    const services = this.#services
    if (knownRow < 0 || frame.cached === undefined) return 'new'
    if (services === undefined || extras === undefined) return 'modified'
    const bytes = this.#encoder.encode(slot, extras, services)
    return equalBytes(bytes, frame.cached.entry(knownRow)) ? 'unchanged' : 'modified'
  }

  #keepHandles(frame: Frame, handles: readonly number[]): void {
    this.#block(frame)
    for (const handle of handles) frame.block?.handles.add(handle)
  }

  #block(frame: Frame): BlockBuilder {
    frame.block ??= new BlockBuilder()
    return frame.block
  }

  /** Moves what is ready into trees, in a loop: there may be more levels than the stack has room for. */
  #drain(frame: Frame): void {
    this.#toDrain.push(frame)
    if (this.#toDrain.length > 1) return
    for (let next: Frame | undefined = frame; next !== undefined; next = this.#toDrain[0]) {
      this.#drainOne(next)
      this.#toDrain.shift()
    }
  }

  #drainOne(frame: Frame): void {
    for (;;) {
      const slot = frame.slots[frame.head]
      if (slot === undefined) break
      if (slot.state === 'open') return
      if (slot.state === 'ready' && slot.row >= 0 && slot.row === frame.same) frame.same++
      else {
        if (this.#services === undefined) {
          this.#stalled.add(frame)
          return
        }
        this.#differ(frame, this.#services)
        if (slot.state === 'ready') this.#addSlot(frame, slot, this.#services)
      }
      this.openSlots--
      frame.head++
      if (frame.head > 4096) {
        frame.slots.splice(0, frame.head)
        frame.head = 0
      }
    }
    if (frame.isWalked) this.#finish(frame)
  }

  /** From here on the directory is not what it was: what was equal so far goes into a new tree. */
  #differ(frame: Frame, services: TreeServices): void {
    if (frame.tree !== undefined) return
    const { cached, same } = frame
    frame.tree = services.newTree()
    const block = this.#block(frame)
    frame.same = -1
    if (cached === undefined) return
    // What is kept of the directory rests on the packs that it rested on.
    for (const handle of cached.handles) block.handles.add(handle)
    this.#options.hooks.onReused(cached.handles)
    for (let row = 0; row < same; row++) this.#addKnownRow(frame, row, services)
  }

  #addKnownRow(frame: Frame, row: number, services: TreeServices): void {
    const { cached } = frame
    if (cached === undefined) return
    const entry = cached.entry(row)
    this.#addToTree(frame, cached.name(row), entry, services)
    const child = cached.childOffset(row)
    const offset = child === undefined ? undefined : this.#copyBlock(child, services)
    frame.block?.addKnownRow(cached, row, offset)
  }

  #copyBlock(offset: number, services: TreeServices): number | undefined {
    const { cache } = this.#options
    if (cache === undefined || services.cacheWriter === undefined) return undefined
    return services.cacheWriter.copy(cache, offset)
  }

  #addSlot(frame: Frame, slot: Slot, services: TreeServices): void {
    const { stat, child, row, name, extras } = slot
    if (row >= 0 && frame.cached !== undefined) {
      this.#addKnownRow(frame, row, services)
      return
    }
    if (extras === undefined) return
    services.collectHandles(frame.block?.handles)
    const bytes = this.#encoder.encode(slot, extras, services)
    services.collectHandles(undefined)
    this.#addToTree(frame, name, bytes, services)
    const offset = child?.where === 'old' ? this.#copyBlock(child.offset, services) : child?.offset
    const newest = stat.ctimeNs > stat.mtimeNs ? stat.ctimeNs : stat.mtimeNs
    const isRacy = stat.type !== 'directory' && newest >= this.#options.startNs - RACY_NS
    frame.block?.addRow(stat, bytes, offset, isRacy)
  }

  #addToTree(frame: Frame, name: ByteString, entry: Uint8Array, services: TreeServices): void {
    services.collectHandles(frame.block?.handles)
    frame.tree?.addEncoded(name, entry)
    services.collectHandles(undefined)
  }

  /** Every entry of the directory is in: gives it its root, and its entry to the parent. */
  #finish(frame: Frame): void {
    const { cached } = frame
    const isSame = cached !== undefined && frame.same === cached.rowCount
    if (isSame) {
      this.#options.hooks.onReused(cached.handles)
      this.#give(frame, cached.root, { where: 'old', offset: frame.cachedOffset }, true)
      return
    }
    const services = this.#services
    if (services === undefined) {
      this.#stalled.add(frame)
      return
    }
    this.#differ(frame, services)
    const block = this.#block(frame)
    services.collectHandles(block.handles)
    const root = frame.tree?.finish()
    services.collectHandles(undefined)
    if (root === undefined) return
    const offset = services.cacheWriter?.add(block, root)
    const child = offset === undefined ? undefined : ({ where: 'new', offset } as const)
    this.#give(frame, root, child, false)
  }

  #give(frame: Frame, root: NodeRoot, child: ChildBlock | undefined, isSame: boolean): void {
    const { parent, slot } = frame
    if (parent === undefined || slot === undefined) {
      this.#result = { root, isUnchanged: isSame }
      return
    }
    slot.child = child
    slot.frame = undefined
    const isKept = isSame && this.#isKept(frame)
    if (!isKept) {
      slot.row = -1
      const subtree = { id: Uint8Array.from(root.id), height: root.height }
      slot.extras = { subtree, ...this.#entries.ownExtended(frame) }
      this.#entries.leave(frame)
    }
    const action = isKept ? 'unchanged' : this.#actionOf(parent, slot)
    this.#ready(parent, slot, frame.path, action)
  }
}
