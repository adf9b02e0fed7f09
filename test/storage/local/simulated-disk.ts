/**
 * A file system in memory that knows what is durable: file contents since their last fsync and
 * directory entries since their directory's last fsync may be lost by a power cut, each for itself
 * and in any order, as ALICE (OSDI '14) found that file systems do between them.
 */

import type { Randomness } from '../../../src/base/seams.ts'
import type { LocalFileSystem, LocalStat } from '../../../src/storage/local/local-file-system.ts'

interface EntryChange {
  readonly name: string
  readonly before: Inode | undefined
}

export interface Inode {
  readonly type: 'file' | 'directory'
  content: Uint8Array
  isSynced: boolean
  readonly entries: Map<string, Inode>
  /** Changes of entries that no fsync of this directory has followed. */
  changes: EntryChange[]
}

/** What disks write at least. */
const SECTOR_BYTES = 512

/** Numbers from 0 up to 1: choose what survives. Constant 0 loses all it can. */
export type Chance = () => number

/** What may be left of a file's unsynced content. The length may be durable before the bytes are. */
export const CONTENT_LOSSES = ['empty', 'prefix', 'zeros', 'whole'] as const

export class SimulatedDisk implements LocalFileSystem {
  /** Called after each call that has changed something. */
  afterChange: () => void = () => {}
  /** Without hard links, `link` fails with EPERM. */
  readonly hasLinks: boolean
  /** Broken on purpose, to show that the tests would notice. */
  readonly ignoresSync: 'files' | 'directories' | 'nothing'
  readonly root: Inode
  /** Whether `openDirect` is known; what a direct write takes at most. */
  readonly hasDirect: boolean
  directBytesMax = Infinity
  readonly #descriptors = new Map<number, { inode: Inode; isDirect: boolean }>()
  #nextDescriptor = 3

  constructor(
    options: {
      readonly root?: Inode
      readonly hasLinks?: boolean
      readonly hasDirect?: boolean
      readonly ignoresSync?: 'files' | 'directories' | 'nothing'
    } = {},
  ) {
    this.hasLinks = options.hasLinks ?? true
    this.hasDirect = options.hasDirect ?? true
    this.ignoresSync = options.ignoresSync ?? 'nothing'
    this.root = options.root ?? newInode('directory')
  }

  get openCount(): number {
    return this.#descriptors.size
  }

  /** The disk as it may be found after a power cut at this moment. */
  afterPowerCut(names: Chance, contents: Chance): SimulatedDisk {
    const copies = new Map<Inode, Inode>()
    const survive = (inode: Inode): Inode => {
      const known = copies.get(inode)
      if (known) return known
      const copy = newInode(inode.type)
      copies.set(inode, copy)
      copy.isSynced = true
      copy.content = inode.isSynced ? inode.content : remains(inode.content, contents)
      for (const [name, child] of survivingEntries(inode, names)) {
        copy.entries.set(name, survive(child))
      }
      return copy
    }
    const { hasLinks, hasDirect } = this
    return new SimulatedDisk({ root: survive(this.root), hasLinks, hasDirect })
  }

  /** Every file by its path. */
  files(): Map<string, Uint8Array> {
    const found = new Map<string, Uint8Array>()
    const visit = (inode: Inode, path: string) => {
      for (const [name, child] of inode.entries) {
        if (child.type === 'file') found.set(`${path}/${name}`, child.content)
        else visit(child, `${path}/${name}`)
      }
    }
    visit(this.root, '')
    return found
  }

  async makeDirectory(path: string): Promise<void> {
    this.#addEntry(path, newInode('directory'))
  }

  async createFile(path: string): Promise<number> {
    const inode = newInode('file')
    this.#addEntry(path, inode)
    return this.#open(inode)
  }

  async openDirect(path: string): Promise<number | undefined> {
    const inode = this.#find(path)
    return this.hasDirect ? this.#open(inode, true) : undefined
  }

  async openFile(path: string): Promise<number> {
    return this.#open(this.#find(path))
  }

  async openDirectory(path: string): Promise<number> {
    const inode = this.#find(path)
    if (inode.type !== 'directory') throw systemError('ENOTDIR')
    return this.#open(inode)
  }

  async fstat(descriptor: number): Promise<LocalStat> {
    return statOf(this.#opened(descriptor).inode)
  }

  async read(descriptor: number, into: Uint8Array, at: number, position: number): Promise<number> {
    const { content } = this.#opened(descriptor).inode
    const part = content.subarray(position, position + Math.min(into.byteLength - at, 1000))
    into.set(part, at)
    return part.byteLength
  }

  async write(
    descriptor: number,
    bytes: Uint8Array,
    { at, byteCount }: { readonly at: number; readonly byteCount: number },
  ): Promise<number> {
    const { inode, isDirect } = this.#opened(descriptor)
    if (isDirect && (at % SECTOR_BYTES !== 0 || byteCount % SECTOR_BYTES !== 0)) {
      throw systemError('EINVAL')
    }
    const isShort = !isDirect && byteCount < 10_000 // Short is legal.
    const count = isShort ? Math.ceil(byteCount / 2) : Math.min(byteCount, this.directBytesMax)
    const content = new Uint8Array(Math.max(inode.content.byteLength, at + count))
    content.set(inode.content)
    content.set(bytes.subarray(at, at + count), at)
    inode.content = content
    inode.isSynced = false
    this.afterChange()
    return count
  }

  async fsync(descriptor: number): Promise<void> {
    const { inode } = this.#opened(descriptor)
    if (inode.type === 'file' && this.ignoresSync !== 'files') inode.isSynced = true
    if (inode.type === 'directory' && this.ignoresSync !== 'directories') inode.changes = []
    this.afterChange()
  }

  async close(descriptor: number): Promise<void> {
    this.#opened(descriptor)
    this.#descriptors.delete(descriptor)
  }

  async link(from: string, to: string): Promise<void> {
    if (!this.hasLinks) throw systemError('EPERM')
    this.#addEntry(to, this.#find(from))
  }

  async rename(from: string, to: string): Promise<void> {
    const inode = this.#find(from)
    // Two changes in two directories, of which one may survive without the other. The disk is
    // never cut between them here, because a running system never shows that state.
    const target = this.#parent(to)
    this.#change(target.inode, target.name, inode)
    const source = this.#parent(from)
    this.#change(source.inode, source.name, undefined)
    this.afterChange()
  }

  async unlink(path: string): Promise<void> {
    const { inode, name } = this.#parent(path)
    const found = inode.entries.get(name)
    if (found === undefined) throw systemError('ENOENT')
    if (found.type === 'directory') throw systemError('EISDIR')
    this.#change(inode, name, undefined)
    this.afterChange()
  }

  async stat(path: string): Promise<LocalStat> {
    return statOf(this.#find(path))
  }

  lstat(path: string): Promise<LocalStat> {
    return this.stat(path)
  }

  async readDirectory(path: string): Promise<string[]> {
    const inode = this.#find(path)
    if (inode.type !== 'directory') throw systemError('ENOTDIR')
    return [...inode.entries.keys()]
  }

  fileSystemType(): number {
    return 0xef53
  }

  #find(path: string): Inode {
    let at = this.root
    for (const name of path.split('/').filter((part) => part !== '')) {
      if (at.type !== 'directory') throw systemError('ENOTDIR')
      const next = at.entries.get(name)
      if (next === undefined) throw systemError('ENOENT')
      at = next
    }
    return at
  }

  #parent(path: string): { readonly inode: Inode; readonly name: string } {
    const slash = path.lastIndexOf('/')
    return { inode: this.#find(path.slice(0, slash)), name: path.slice(slash + 1) }
  }

  #addEntry(path: string, child: Inode): void {
    const { inode, name } = this.#parent(path)
    if (inode.entries.has(name)) throw systemError('EEXIST')
    this.#change(inode, name, child)
    this.afterChange()
  }

  #change(directory: Inode, name: string, child: Inode | undefined): void {
    directory.changes.push({ name, before: directory.entries.get(name) })
    if (child === undefined) directory.entries.delete(name)
    else directory.entries.set(name, child)
  }

  #open(inode: Inode, isDirect = false): number {
    const descriptor = this.#nextDescriptor++
    this.#descriptors.set(descriptor, { inode, isDirect })
    return descriptor
  }

  #opened(descriptor: number): { inode: Inode; isDirect: boolean } {
    const opened = this.#descriptors.get(descriptor)
    if (opened === undefined) throw systemError('EBADF')
    return opened
  }
}

function newInode(type: Inode['type']): Inode {
  return { type, content: new Uint8Array(), isSynced: false, entries: new Map(), changes: [] }
}

function statOf(inode: Inode): LocalStat {
  return { type: inode.type, byteCount: inode.content.byteLength, mtimeMs: 0 }
}

/** Undoes a choice of the unsynced changes; of one name, the later ones with the first. */
function survivingEntries(directory: Inode, names: Chance): Map<string, Inode> {
  const lostNames = new Set<string>()
  const lost = directory.changes.filter(({ name }) => {
    if (!lostNames.has(name) && names() >= 0.5) return false
    lostNames.add(name)
    return true
  })
  const entries = new Map(directory.entries)
  for (const { name, before } of lost.reverse()) {
    if (before === undefined) entries.delete(name)
    else entries.set(name, before)
  }
  return entries
}

function remains(content: Uint8Array, contents: Chance): Uint8Array {
  const loss = CONTENT_LOSSES[Math.floor(contents() * CONTENT_LOSSES.length)]
  if (loss === 'whole') return content
  if (loss === 'zeros') return new Uint8Array(content.byteLength)
  return loss === 'prefix' ? content.slice(0, content.byteLength / 2) : new Uint8Array()
}

/** A disk on which `/disk` is durable. */
export async function diskWithFolder(
  options?: ConstructorParameters<typeof SimulatedDisk>[0],
): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk(options)
  await disk.makeDirectory('/disk')
  const { root } = disk.afterPowerCut(
    () => 0.99,
    () => 0.99,
  )
  return new SimulatedDisk({ ...options, root })
}

export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: made by a test`), { code })
}

/** Fast, and different at every call: all that names of temporary files need. */
export function countingRandomness(): Randomness {
  let count = 0
  return {
    bytes: (byteCount) => {
      const bytes = new Uint8Array(byteCount)
      new DataView(bytes.buffer).setUint32(0, ++count)
      return bytes
    },
  }
}
