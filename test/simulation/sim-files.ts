/** A file system in memory: what clients back up, and what they restore into. */

import type { ByteString } from '../../src/base/bytes.ts'
import { type ExtendedMetadata, NO_EXTENDED } from '../../src/source/extended-metadata.ts'
import type {
  EntryType,
  OpenSourceFile,
  SourceDirectory,
  SourceFiles,
  SourceStat,
} from '../../src/source/source-files.ts'
import type {
  CommitOptions,
  ExistingFile,
  MetadataFailure,
  Target,
  TargetFile,
  TargetFiles,
  TargetMetadata,
} from '../../src/source/target-files.ts'

interface SimNode {
  readonly type: EntryType
  readonly inode: bigint
  mode: number
  mtimeNs: bigint
  ctimeNs: bigint
  /** Of a file, or where a link leads. Never changed in place. */
  bytes: Uint8Array
}

export class SimFiles implements SourceFiles, TargetFiles {
  readonly #nodes = new Map<ByteString, SimNode>()
  readonly #nowNs: () => bigint
  #inodes = 1n

  constructor(nowNs: () => bigint) {
    this.#nowNs = nowNs
    this.#put('/', 'directory', new Uint8Array(), 0o755)
  }

  /** The same files on another machine, which go their own way from here. */
  copyTo(other: SimFiles): void {
    other.#nodes.clear()
    for (const [path, node] of this.#nodes) other.#nodes.set(path, { ...node })
    other.#inodes = this.#inodes
  }

  #put(path: ByteString, type: EntryType, bytes: Uint8Array, mode: number): SimNode {
    const nowNs = this.#nowNs()
    const inode = this.#inodes++
    const node = { type, inode, mode, mtimeNs: nowNs, ctimeNs: nowNs, bytes }
    this.#nodes.set(path, node)
    const parent = this.#nodes.get(parentOf(path))
    if (parent !== undefined) {
      parent.mtimeNs = nowNs
      parent.ctimeNs = nowNs
    }
    return node
  }

  /** Writes a file anew or over the old one, and the directories above it. */
  writeFile(path: ByteString, bytes: Uint8Array): void {
    this.#makeParents(path)
    const there = this.#nodes.get(path)
    if (there?.type !== 'file') {
      this.#put(path, 'file', bytes, 0o644)
      return
    }
    there.bytes = bytes
    there.mtimeNs = this.#nowNs()
    there.ctimeNs = there.mtimeNs
  }

  #makeParents(path: ByteString): void {
    const parent = parentOf(path)
    if (this.#nodes.has(parent)) return
    this.#makeParents(parent)
    this.#put(parent, 'directory', new Uint8Array(), 0o755)
  }

  deleteTree(path: ByteString): void {
    for (const each of this.#nodes.keys()) {
      if (each === path || each.startsWith(`${path}/`)) this.#nodes.delete(each)
    }
    const parent = this.#nodes.get(parentOf(path))
    if (parent !== undefined) parent.mtimeNs = parent.ctimeNs = this.#nowNs()
  }

  /** Paths of the files below `path`, sorted. */
  filesBelow(path: ByteString): ByteString[] {
    const found: ByteString[] = []
    for (const [each, { type }] of this.#nodes) {
      if (type === 'file' && each.startsWith(`${path}/`)) found.push(each)
    }
    return found.sort()
  }

  contentOf(path: ByteString): Uint8Array | undefined {
    const node = this.#nodes.get(path)
    return node?.type === 'file' ? node.bytes : undefined
  }

  // SourceFiles

  readonly hasExtended = false

  lstat(path: ByteString): SourceStat | undefined {
    const node = this.#nodes.get(path)
    return node === undefined ? undefined : statOf(node)
  }

  readDirectory(path: ByteString): ByteString[] {
    if (this.#require(path).type !== 'directory') throw systemError('ENOTDIR', path)
    const prefix = path === '/' ? '/' : `${path}/`
    const names: ByteString[] = []
    for (const each of this.#nodes.keys()) {
      if (!each.startsWith(prefix) || each.length === prefix.length) continue
      const name = each.slice(prefix.length)
      if (!name.includes('/')) names.push(name)
    }
    return names.sort()
  }

  readLink(path: ByteString): Uint8Array {
    return this.#require(path).bytes
  }

  open(path: ByteString): OpenSourceFile {
    const node = this.#require(path)
    if (node.type !== 'file') throw systemError('EINVAL', path)
    return {
      stat: statOf(node),
      statNow: () => statOf(node),
      read: (into, offset, length, position) => {
        const part = node.bytes.subarray(position, position + length)
        into.set(part, offset)
        return part.length
      },
      mayHaveHoles: false,
      nextData: (position) =>
        position < node.bytes.length ? { start: position, end: node.bytes.length } : undefined,
      extended: () => NO_EXTENDED,
      close: () => {},
    }
  }

  /** There are no links that lead anywhere. */
  openDirectory(path: ByteString): SourceDirectory {
    const node = this.#require(path)
    if (node.type !== 'directory') throw systemError('ENOTDIR', path)
    const at = (name: ByteString) => (path === '/' ? `/${name}` : `${path}/${name}`)
    return {
      stat: statOf(node),
      names: () => this.readDirectory(path),
      look: (name) => this.lstat(at(name)),
      readLink: (name) => this.readLink(at(name)),
      extended: () => NO_EXTENDED,
      ownExtended: (): ExtendedMetadata => NO_EXTENDED,
      close: () => {},
    }
  }

  userName(): string {
    return 'user'
  }

  groupName(): string {
    return 'group'
  }

  #require(path: ByteString): SimNode {
    const node = this.#nodes.get(path)
    if (node === undefined) throw systemError('ENOENT', path)
    return node
  }

  // TargetFiles

  openTarget(root: ByteString): Target {
    this.#makeParents(`${root}/x`)
    return new SimTarget(this, root)
  }

  attachTarget(_rootFd: number, rootPath: ByteString): Target {
    return new SimTarget(this, rootPath)
  }

  makeDirectory(path: ByteString): 'created' | 'existing' {
    const there = this.#nodes.get(path)
    if (there?.type === 'directory') return 'existing'
    if (there !== undefined) throw systemError('EEXIST', path)
    this.#put(path, 'directory', new Uint8Array(), 0o700)
    return 'created'
  }

  /** Gives `path` to something new. */
  place(path: ByteString, type: EntryType, bytes: Uint8Array, { overwrite }: CommitOptions): void {
    const there = this.#nodes.get(path)
    if (there !== undefined && !overwrite) throw systemError('EEXIST', path)
    if (there?.type === 'directory') throw systemError('EISDIR', path)
    this.#put(path, type, bytes, type === 'symlink' ? 0o777 : 0o600)
  }

  setMetadata(path: ByteString, { mode, mtimeNs }: TargetMetadata): void {
    const node = this.#require(path)
    if (mode !== undefined) node.mode = mode
    if (mtimeNs !== undefined) node.mtimeNs = mtimeNs
    node.ctimeNs = this.#nowNs()
  }
}

class SimTarget implements Target {
  readonly rootFd = 0
  readonly liftedFlags = new Map<ByteString, number>()
  readonly rootPath: ByteString
  readonly #files: SimFiles
  readonly #open: SimTargetFile[] = []

  constructor(files: SimFiles, rootPath: ByteString) {
    this.#files = files
    this.rootPath = rootPath
  }

  #at(path: ByteString): ByteString {
    return path === '' ? this.rootPath : `${this.rootPath}/${path}`
  }

  lstat(path: ByteString): SourceStat | undefined {
    return this.#files.lstat(this.#at(path))
  }

  readDirectory(path: ByteString): ByteString[] {
    return this.#files.readDirectory(this.#at(path))
  }

  readLink(path: ByteString): Uint8Array {
    return this.#files.readLink(this.#at(path))
  }

  makeDirectory(path: ByteString): 'created' | 'existing' {
    return this.#files.makeDirectory(this.#at(path))
  }

  createFile(path: ByteString): TargetFile {
    const file = new SimTargetFile(this.#files, this.#at(path), this.#open.length)
    this.#open.push(file)
    return file
  }

  writeShared(
    shared: number,
    bytes: Uint8Array,
    { offset, length, position }: { offset: number; length: number; position: number },
  ): void {
    this.#open[shared]?.write(bytes, offset, length, position)
  }

  writeWholeFile(
    path: ByteString,
    bytes: Uint8Array,
    metadata: TargetMetadata,
    options: CommitOptions,
  ): readonly MetadataFailure[] {
    const file = this.createFile(path)
    file.write(bytes, 0, bytes.length, 0)
    file.setMetadata(metadata)
    return file.commit(options)
  }

  openExisting(path: ByteString): ExistingFile {
    const at = this.#at(path)
    const open = this.#files.open(at)
    return {
      ...open,
      nextData: (position) => open.nextData(position)?.start,
      adopt: (metadata) => {
        this.#files.setMetadata(at, metadata)
        return []
      },
    }
  }

  makeSymlink(path: ByteString, target: Uint8Array, options: CommitOptions): void {
    this.#files.place(this.#at(path), 'symlink', Uint8Array.from(target), options)
  }

  makeHardLink(path: ByteString): void {
    throw systemError('ENOSYS', path)
  }

  makeSpecial(path: ByteString): void {
    throw systemError('ENOSYS', path)
  }

  setMetadata(path: ByteString, _expected: EntryType, metadata: TargetMetadata): readonly never[] {
    this.#files.setMetadata(this.#at(path), metadata)
    return []
  }

  setFlags(): readonly never[] {
    return []
  }

  refresh(): void {
    // Nothing is remembered.
  }

  remove(path: ByteString): void {
    this.#files.deleteTree(this.#at(path))
  }

  close(): void {
    // Nothing to release.
  }
}

class SimTargetFile implements TargetFile {
  readonly shared: number
  readonly #files: SimFiles
  readonly #path: ByteString
  #bytes = new Uint8Array()
  #metadata: TargetMetadata = {}

  constructor(files: SimFiles, path: ByteString, shared: number) {
    this.#files = files
    this.#path = path
    this.shared = shared
  }

  write(bytes: Uint8Array, offset: number, length: number, position: number): void {
    if (position + length > this.#bytes.length) this.truncate(position + length)
    this.#bytes.set(bytes.subarray(offset, offset + length), position)
  }

  truncate(byteCount: number): void {
    const resized = new Uint8Array(byteCount)
    resized.set(this.#bytes.subarray(0, byteCount))
    this.#bytes = resized
  }

  setMetadata(metadata: TargetMetadata): readonly never[] {
    this.#metadata = { ...this.#metadata, ...metadata }
    return []
  }

  commit(options: CommitOptions): readonly never[] {
    this.#files.place(this.#path, 'file', this.#bytes, options)
    this.#files.setMetadata(this.#path, this.#metadata)
    return []
  }

  discard(): void {
    // It never had a name.
  }
}

function parentOf(path: ByteString): ByteString {
  const slash = path.lastIndexOf('/')
  return slash <= 0 ? '/' : path.slice(0, slash)
}

function statOf(node: SimNode): SourceStat {
  return {
    type: node.type,
    mode: node.mode,
    uid: 1000,
    gid: 1000,
    size: node.bytes.length,
    mtimeNs: node.mtimeNs,
    ctimeNs: node.ctimeNs,
    atimeNs: node.mtimeNs,
    birthtimeNs: 0n,
    dev: 1n,
    ino: node.inode,
    linkCount: 1,
    rdev: 0n,
    blocks: Math.ceil(node.bytes.length / 512),
  }
}

function systemError(code: string, path: ByteString): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}
