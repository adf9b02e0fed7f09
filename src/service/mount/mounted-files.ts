/** Shows a browse tree to the kernel. */

import { type Answer, orElse, thenAnswer } from '../../base/answer.ts'
import { toHex } from '../../base/bytes.ts'
import { CairnError, isCairnError } from '../../base/errors.ts'
import { MODE_TYPE } from '../../base/mode-type.ts'
import type { BlobCache } from '../../engine/browse/blob-cache.ts'
import type { BrowseChild, BrowseDirectory, BrowsePage } from '../../engine/browse/browse-node.ts'
import { FileContent } from '../../engine/browse/file-content.ts'
import { holeBytesOf, type NodeCache } from '../../engine/browse/node-cache.ts'
import { ENTRY_TYPE, type TreeEntry } from '../../format/tree.ts'
import {
  type Attributes,
  type DirectorySink,
  type Entry,
  FuseError,
  type FuseFileSystem,
  type NoEntry,
  type OpenedDirectory,
  type StatfsFigures,
} from '../../fuse/file-system.ts'
import { deviceNumber, modeType } from '../browse/attributes.ts'
import { madeDirectoryEntry, type Made } from '../browse/browse-root.ts'
import { Neighbours } from './neighbours.ts'
import { inodeIn, KnownDirectories, type KnownDirectory, ROOT_NODE } from './known-directories.ts'

/** What is made up may have changed after this; what is stored never does. */
const MADE_LIFETIME_MS = 1_000
const FILES_KEPT_MAX = 64
const HOLES_KEPT_MAX = 10_000
/** Files of more chunks count as being without holes: reading their lists would slow `ls` down. */
const HOLE_REFERENCES_MAX = 16_384
/** Of which older kernels refuse to list a directory at all. */
const NAME_BYTES_MAX = 1_024
const BLOCK_BYTES = 4_096
/** `.` and `..` come before the entries of a directory. */
const DOTS = 2

/** Owner and time are those of the root. */
export interface MountedFilesOptions extends Made {
  readonly root: BrowseDirectory
  readonly blobs: BlobCache
  readonly nodes: NodeCache
  /** Everything belongs to root. */
  readonly ownerRoot: boolean
  readonly statfs: () => StatfsFigures
  readonly xattrs: (entry: TreeEntry) => Answer<ReadonlyMap<string, Uint8Array>>
}

export class MountedFiles implements FuseFileSystem {
  readonly #options: MountedFilesOptions
  readonly #directories: KnownDirectories
  readonly #neighbours: Neighbours
  /** By node; the least recently read first. */
  readonly #files = new Map<number, FileContent>()
  /** Bytes of holes by the id of a chunk list; the oldest first. */
  readonly #holes = new Map<string, number>()

  constructor(options: MountedFilesOptions) {
    this.#options = options
    this.#directories = new KnownDirectories(options.root)
    this.#neighbours = new Neighbours(options.blobs)
  }

  /** Directories that are remembered because the kernel knows something in them. */
  get knownDirectoryCount(): number {
    return this.#directories.count
  }

  #child(node: number): Answer<BrowseChild> {
    const { parent, position } = this.#directories.place(node)
    const find = () => parent.directory.at(position)
    return thenAnswer(this.#about(parent, undefined, find), (child) => {
      if (child === undefined) throw new FuseError('ESTALE')
      return child
    })
  }

  #directory(node: number): Answer<KnownDirectory> {
    const known = this.#directories.find(node)
    if (known !== undefined) return known
    const { parent } = this.#directories.place(node)
    return thenAnswer(this.#child(node), (child) => this.#directories.enter(node, parent, child))
  }

  /** Says of what fails what it is: whoever reads the log has to know which file is meant. */
  #about<T>(parent: KnownDirectory, name: string | undefined, ask: () => Answer<T>): Answer<T> {
    return orElse(ask, (cause) => {
      if (!isCairnError(cause)) throw cause
      const path = this.#directories.pathOf(parent, name)
      const error = new CairnError(cause.code, `cannot read '${path}'`, { cause })
      throw new FuseError('EIO', { cause: error })
    })
  }

  #attributes(parentInode: number, child: BrowseChild): Attributes {
    const { entry } = child
    const type = modeType(entry) ?? MODE_TYPE.file
    const byteCount = entry.type === ENTRY_TYPE.symlink ? (entry.target?.length ?? 0) : entry.size
    const { ownerRoot } = this.#options
    return {
      inode: inodeIn(parentInode, child),
      byteCount,
      blockCount: Math.ceil((byteCount - this.#holeBytes(entry)) / 512),
      atime: entry.atime ?? entry.mtime,
      mtime: entry.mtime,
      ctime: entry.mtime,
      mode: type | entry.mode,
      // How many links there were is not stored; more than one is what tools look for.
      linkCount: entry.linkGroup === undefined ? 1 : 2,
      uid: ownerRoot ? 0 : entry.uid,
      gid: ownerRoot ? 0 : entry.gid,
      device: deviceNumber(entry.device),
      blockBytes: BLOCK_BYTES,
    }
  }

  /** Of a file with a chunk list, as `#prepare` has found. */
  #holeBytes({ content, contentList }: TreeEntry): number {
    if (contentList !== undefined) return this.#holes.get(toHex(contentList.id)) ?? 0
    return content === undefined ? 0 : holeBytesOf(content)
  }

  /** Reads what the attributes of an entry depend on and a directory does not say. */
  #prepare({ entry: { contentList } }: BrowseChild): Answer<void> {
    if (contentList === undefined) return
    const key = toHex(contentList.id)
    if (this.#holes.has(key)) return
    const { nodes } = this.#options
    const read = () => nodes.holeBytes(contentList, HOLE_REFERENCES_MAX)
    // Damage is told to who reads the file; what it looks like can be shown all the same.
    return thenAnswer(
      orElse(read, () => 0),
      (byteCount) => {
        const [oldest] = this.#holes.keys()
        if (oldest !== undefined && this.#holes.size >= HOLES_KEPT_MAX) this.#holes.delete(oldest)
        this.#holes.set(key, byteCount)
      },
    )
  }

  #prepareAll(children: readonly BrowseChild[], from = 0): Answer<void> {
    for (let i = from; i < children.length; i++) {
      const child = children[i]
      const ready = child === undefined ? undefined : this.#prepare(child)
      if (ready instanceof Promise)
        return thenAnswer(ready, () => this.#prepareAll(children, i + 1))
    }
  }

  #entry(parent: KnownDirectory, child: BrowseChild): Entry {
    return {
      node: this.#directories.nodeOf(parent, child),
      attributes: this.#attributes(parent.inode, child),
      lifetimeMs: lifetimeIn(parent.directory),
    }
  }

  lookup(parentNode: number, name: string): Answer<Entry | NoEntry> {
    return thenAnswer(this.#directory(parentNode), (parent) => {
      const find = () => parent.directory.find(name)
      return thenAnswer(this.#about(parent, name, find), (child) => {
        if (child === undefined) return { node: 0, lifetimeMs: lifetimeIn(parent.directory) }
        return thenAnswer(this.#prepare(child), () => {
          const entry = this.#entry(parent, child)
          parent.uses++
          return entry
        })
      })
    })
  }

  forget(node: number, count: number): void {
    this.#files.delete(node)
    this.#directories.forget(node, count)
  }

  attributes(node: number): Answer<Pick<Entry, 'attributes' | 'lifetimeMs'>> {
    if (node === ROOT_NODE) return this.#rootEntry()
    const { parent } = this.#directories.place(node)
    return thenAnswer(this.#child(node), (child) =>
      thenAnswer(this.#prepare(child), () => this.#entry(parent, child)),
    )
  }

  #rootEntry(): Entry {
    const { root } = this.#options
    const entry = madeDirectoryEntry(this.#options)
    const child = { name: 'root', position: 0, entry, origin: '', open: () => root }
    const attributes = this.#attributes(0, child)
    return { node: ROOT_NODE, attributes, lifetimeMs: MADE_LIFETIME_MS }
  }

  readLink(node: number): Answer<Uint8Array> {
    return thenAnswer(this.#child(node), ({ entry }) => {
      if (entry.target === undefined) throw new FuseError('EINVAL')
      return entry.target
    })
  }

  openDirectory(node: number): Answer<OpenedDirectory> {
    return thenAnswer(this.#directory(node), (known) => {
      known.uses++
      return { handle: known.number, isImmutable: known.directory.isImmutable }
    })
  }

  releaseDirectory(handle: number): void {
    const known = this.#directories.byNumber(handle)
    if (known !== undefined) this.#directories.release(known, 1)
  }

  readDirectory(handle: number, offset: number, sink: DirectorySink): Answer<void> {
    const known = this.#directories.byNumber(handle)
    if (known === undefined) throw new FuseError('EBADF')
    const dots = [known, known.parent ?? known].map(({ inode }) => inode)
    for (let i = offset; i < DOTS; i++) {
      const name = i === 0 ? '.' : '..'
      const mode = MODE_TYPE.directory
      const entry = () => this.#rootEntry() // Not asked for: these two are not looked up.
      if (!sink.add({ name, inode: dots[i] ?? 0, mode, next: i + 1, entry })) return
    }
    return this.#fill(known, Math.max(0, offset - DOTS), sink)
  }

  #fill(known: KnownDirectory, position: number, sink: DirectorySink): Answer<void> {
    const ask = (): Answer<BrowsePage> => known.directory.page(position)
    return thenAnswer(this.#about(known, undefined, ask), ({ children, next }) =>
      thenAnswer(this.#prepareAll(children), () => {
        for (const child of children) if (!this.#add(known, child, sink)) return
        return next === undefined ? undefined : this.#fill(known, next, sink)
      }),
    )
  }

  #add(known: KnownDirectory, child: BrowseChild, sink: DirectorySink): boolean {
    const { name, position, entry } = child
    if (name.length > NAME_BYTES_MAX) return true
    return sink.add({
      name,
      inode: inodeIn(known.inode, child),
      mode: modeType(entry) ?? 0,
      next: position + DOTS + 1,
      entry: () => {
        const shown = this.#entry(known, child)
        known.uses++
        return shown
      },
    })
  }

  read(
    node: number,
    offset: number,
    byteCount: number,
    send: (pieces: readonly Uint8Array[]) => void,
  ): Answer<void> {
    return thenAnswer(this.#file(node), (file) => {
      const result = file.read(offset, byteCount, send)
      return result instanceof Promise ? this.#aboutFile(node, () => result) : result
    })
  }

  async seek(node: number, offset: number, what: 'data' | 'hole'): Promise<number> {
    const file = await this.#file(node)
    const found = await this.#aboutFile(node, () => file.seek(offset, what))
    if (found === undefined) throw new FuseError('ENXIO')
    return found
  }

  /** As `#about`, with the name of a file looked up only if there is something to say. */
  async #aboutFile<T>(node: number, ask: () => Promise<T>): Promise<T> {
    try {
      return await ask()
    } catch (error) {
      if (!isCairnError(error)) throw error
      const { parent } = this.#directories.place(node)
      const { name } = await this.#child(node)
      return await this.#about(parent, name, () => Promise.reject(error))
    }
  }

  #file(node: number): Answer<FileContent> {
    const known = this.#files.get(node)
    if (known !== undefined) {
      this.#files.delete(node)
      this.#files.set(node, known)
      return known
    }
    return thenAnswer(this.#child(node), ({ entry }) => {
      if (entry.type !== ENTRY_TYPE.file) throw new FuseError('EINVAL')
      const { blobs, nodes } = this.#options
      const { parent, position } = this.#directories.place(node)
      this.#neighbours.readAt(parent, position)
      const file = new FileContent(entry, blobs, nodes)
      const [oldest] = this.#files.keys()
      if (oldest !== undefined && this.#files.size >= FILES_KEPT_MAX) this.#files.delete(oldest)
      this.#files.set(node, file)
      return file
    })
  }

  xattr(node: number, name: string): Answer<Uint8Array | undefined> {
    return thenAnswer(this.#xattrs(node), (attributes) => attributes.get(name))
  }

  xattrNames(node: number): Answer<readonly string[]> {
    return thenAnswer(this.#xattrs(node), (attributes) => [...attributes.keys()])
  }

  #xattrs(node: number): Answer<ReadonlyMap<string, Uint8Array>> {
    if (node === ROOT_NODE) return new Map()
    const { parent } = this.#directories.place(node)
    return thenAnswer(this.#child(node), ({ name, entry }) =>
      this.#about(parent, name, () => this.#options.xattrs(entry)),
    )
  }

  statfs(): StatfsFigures {
    return this.#options.statfs()
  }
}

function lifetimeIn(directory: BrowseDirectory): number {
  return directory.isImmutable ? Number.POSITIVE_INFINITY : MADE_LIFETIME_MS
}
