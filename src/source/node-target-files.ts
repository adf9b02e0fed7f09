/** The real file system, as a restore writes it. `directory-handles.ts` has how it stays inside. */

import { closeSync, constants, fstatSync, lstatSync } from 'node:fs'
import { mkdirSync, openSync, readlinkSync, symlinkSync } from 'node:fs'
import { byteString, type ByteString, toHex } from '../base/bytes.ts'
import { MODE_TYPE } from '../base/mode-type.ts'
import type { Randomness } from '../base/seams.ts'
import { assertComponent, CheckedPaths, DirectoryHandles, parentOf } from './directory-handles.ts'
import type { Directory, DirectoryAccess } from './directory-handles.ts'
import { liftFlags } from './inode-flags.ts'
import { libc } from './libc.ts'
import { descriptorPath, hasDescriptorPaths, nativePath, O_PATH } from './native-path.ts'
import { NewFile, type Temporary, TemporaryNames, writeFully } from './new-file.ts'
import { listNames, sourceStat } from './node-source-files.ts'
import { removeTree } from './remove-tree.ts'
import type { EntryType, SourceStat } from './source-files.ts'
import { about, errorAbout, errorCode, systemError } from './system-error.ts'
import type { CommitOptions, ExistingFile, HardLinkOptions } from './target-files.ts'
import type { MetadataFailure, Target } from './target-files.ts'
import type { TargetFile, TargetFiles, TargetMetadata } from './target-files.ts'
import { openExistingFile, requireType, setFlagsOfFile, setOfDirectory } from './target-existing.ts'
import { setByDescriptor, setByLinkPath, setByPath } from './target-metadata.ts'
import { giveName, linkOfType, removeTemporary } from './target-names.ts'
import { hasOwner, newFileTraits } from './new-file-traits.ts'
import { openRoot } from './target-root.ts'
import { writeUnnamedFile } from './unnamed-file.ts'

export interface NodeTargetOptions {
  /** For temporary names that an attacker cannot plant. */
  readonly randomness: Randomness
  /** False only in tests of what other systems than Linux do. */
  readonly useDescriptors?: boolean
}

export function nodeTargetFiles(options: NodeTargetOptions): TargetFiles {
  const { randomness, useDescriptors = hasDescriptorPaths() } = options
  const openAt = (rootFd: number, rootPath: ByteString, ownsRoot: boolean): Target => {
    const access = useDescriptors ? new DirectoryHandles(rootFd) : new CheckedPaths(rootPath)
    const names = new TemporaryNames(toHex(randomness.bytes(8)))
    return new NodeTarget({ rootFd, rootPath, ownsRoot, access, names })
  }
  return {
    openTarget: (root) => openAt(openRoot(root), root, true),
    attachTarget: (rootFd, rootPath) => openAt(rootFd, rootPath, false),
  }
}

const BIGINT = { bigint: true } as const
const LSTAT_OPTIONS = { bigint: true, throwIfNoEntry: false } as const

/** Types that `mknod` makes. */
const TYPE_BITS: Partial<Record<EntryType, number>> = {
  fifo: MODE_TYPE.fifo,
  socket: MODE_TYPE.socket,
  chardevice: MODE_TYPE.chardevice,
  blockdevice: MODE_TYPE.blockdevice,
}

interface Place {
  readonly directory: Directory
  readonly name: ByteString
}

class NodeTarget implements Target {
  readonly rootFd: number
  readonly rootPath: ByteString
  readonly #ownsRoot: boolean
  readonly #access: DirectoryAccess
  readonly #names: TemporaryNames
  readonly liftedFlags = new Map<ByteString, number>()

  constructor(options: {
    readonly rootFd: number
    readonly rootPath: ByteString
    readonly ownsRoot: boolean
    readonly access: DirectoryAccess
    readonly names: TemporaryNames
  }) {
    this.rootFd = options.rootFd
    this.rootPath = options.rootPath
    this.#ownsRoot = options.ownsRoot
    this.#access = options.access
    this.#names = options.names
  }

  #place(path: ByteString): Place {
    const name = path.slice(path.lastIndexOf('/') + 1)
    assertComponent(name)
    return { directory: this.#access.reach(parentOf(path)), name }
  }

  lstat(path: ByteString): SourceStat | undefined {
    try {
      if (path === '') return sourceStat(fstatSync(this.rootFd, BIGINT))
      const { directory, name } = this.#place(path)
      const stats = lstatSync(directory.path(name), LSTAT_OPTIONS)
      return stats && sourceStat(stats)
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined
      throw errorAbout(path, error)
    }
  }

  readDirectory(path: ByteString): ByteString[] {
    const directory = this.#access.reach(path)
    return about(path, () => listNames(directory.path('')))
  }

  readLink(path: ByteString): Uint8Array {
    const { directory, name } = this.#place(path)
    return about(path, () => readlinkSync(directory.path(name), 'buffer'))
  }

  makeDirectory(path: ByteString): 'created' | 'existing' {
    const { directory, name } = this.#place(path)
    try {
      mkdirSync(directory.path(name), 0o700)
      return 'created'
    } catch (error) {
      const found = errorCode(error) === 'EEXIST' ? this.lstat(path) : undefined
      if (found?.type !== 'directory') throw errorAbout(path, error)
      const flags = liftFlags(directory.path(name), path)
      if (flags !== 0) this.liftedFlags.set(path, flags)
      if ((found.mode & 0o700) !== 0o700 && found.uid === process.geteuid?.()) {
        this.setMetadata(path, 'directory', { mode: found.mode | 0o700 })
      }
      return 'existing'
    }
  }

  createFile(path: ByteString): TargetFile {
    const { temporary, descriptor } = this.#create(path)
    return new NewFile({ access: this.#access, path, temporary, descriptor })
  }

  /** A temporary file for `path`, in a directory that is usable until the next call. */
  #create(path: ByteString): Place & Temporary {
    const { directory, name } = this.#place(path)
    try {
      const { temporary, descriptor } = this.#names.create(directory, path)
      return { directory, name, temporary, descriptor }
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error
    }
    // Another thread may have removed the directory behind a handle, and made it anew.
    this.#access.close()
    const fresh = this.#place(path)
    return { ...fresh, ...this.#names.create(fresh.directory, path) }
  }

  writeShared(
    shared: number,
    bytes: Uint8Array,
    range: { readonly offset: number; readonly length: number; readonly position: number },
  ): void {
    writeFully(shared, bytes, range)
  }

  writeWholeFile(
    path: ByteString,
    bytes: Uint8Array,
    metadata: TargetMetadata,
    { overwrite }: CommitOptions,
  ): readonly MetadataFailure[] {
    if ((metadata.flags ?? 0) !== 0) return this.#writeFlagged(path, bytes, metadata, { overwrite })
    if (!overwrite) {
      const { directory, name } = this.#place(path)
      const failures = newFileTraits(directory).canBeUnnamed
        ? writeUnnamedFile({ directory, name, bytes, metadata, shown: path })
        : undefined
      if (failures !== undefined) return failures
    }
    return this.#writeByTemporaryName(path, bytes, metadata, overwrite)
  }

  #writeFlagged(
    path: ByteString,
    bytes: Uint8Array,
    metadata: TargetMetadata,
    options: CommitOptions,
  ): readonly MetadataFailure[] {
    const file = this.createFile(path)
    try {
      file.write(bytes, 0, bytes.byteLength, 0)
      const failures = file.setMetadata(metadata)
      return [...failures, ...file.commit(options)]
    } finally {
      file.discard()
    }
  }

  #writeByTemporaryName(
    path: ByteString,
    bytes: Uint8Array,
    metadata: TargetMetadata,
    overwrite: boolean,
  ): readonly MetadataFailure[] {
    const { directory, name, temporary, descriptor } = this.#create(path)
    let isOpen = true
    try {
      writeFully(descriptor, bytes, { offset: 0, length: bytes.byteLength, position: 0 })
      const { origin } = newFileTraits(directory)
      const failures = setByDescriptor(descriptor, metadata, { shown: path, origin })
      isOpen = false
      closeSync(descriptor)
      giveName({ directory, temporary, name, overwrite, shown: path })
      return failures
    } catch (error) {
      try {
        if (isOpen) closeSync(descriptor)
        removeTemporary(directory, temporary)
      } catch {
        // What failed first is what to tell; a later restore knows the name for what it is.
      }
      throw errorAbout(path, error)
    }
  }

  openExisting(path: ByteString): ExistingFile {
    const { directory, name } = this.#place(path)
    return openExistingFile(directory.path(name), path)
  }

  makeSymlink(path: ByteString, target: Uint8Array, options: CommitOptions): void {
    const text = nativePath(byteString(target))
    this.#makeEntry(path, options, (at) => symlinkSync(text, nativePath(at)))
  }

  makeHardLink(path: ByteString, existing: ByteString, options: HardLinkOptions): void {
    const { type = 'file' } = options
    const from = this.#place(existing)
    // On the way to the other directory the handle of this one may be given up.
    const pinned = this.#access.pin(from.directory)
    try {
      this.#makeEntry(path, options, (at) =>
        linkOfType(pinned.directory.path(from.name), nativePath(at), { type, existing, path }),
      )
    } finally {
      pinned.release()
    }
  }

  makeSpecial(path: ByteString, type: EntryType, device: bigint, options: CommitOptions): void {
    const bits = TYPE_BITS[type]
    const mknod = libc()?.mknod
    if (bits === undefined)
      throw systemError('EINVAL', 'mknod', path, `is no special file: ${type}`)
    if (mknod === undefined) throw systemError('ENOSYS', 'mknod', path)
    this.#makeEntry(path, options, (at) => mknod(at, bits | 0o600, device))
  }

  /** `make` gets a path for Node, of the final name or of a temporary one that then replaces it. */
  #makeEntry(path: ByteString, { overwrite }: CommitOptions, make: (at: ByteString) => void): void {
    const { directory, name } = this.#place(path)
    try {
      if (!overwrite) return make(directory.prefix + name)
      const temporary = this.#names.next()
      make(directory.prefix + temporary)
      try {
        giveName({ directory, temporary, name, overwrite, shown: path })
      } finally {
        // Also after success: a rename onto another link to the same file does nothing.
        removeTemporary(directory, temporary)
      }
    } catch (error) {
      throw errorAbout(path, error)
    }
  }

  setMetadata(
    path: ByteString,
    expected: Exclude<EntryType, 'file' | 'other'>,
    metadata: TargetMetadata,
    { isNew }: { readonly isNew: boolean } = { isNew: false },
  ): readonly MetadataFailure[] {
    try {
      return this.#setMetadata(path, expected, metadata, isNew)
    } catch (error) {
      throw errorAbout(path, error)
    }
  }

  #setMetadata(
    path: ByteString,
    expected: EntryType,
    metadata: TargetMetadata,
    isNew: boolean,
  ): readonly MetadataFailure[] {
    if (path === '' && expected === 'directory') {
      return setByDescriptor(this.rootFd, metadata, { shown: path, origin: 'existing' })
    }
    const { directory, name } = this.#place(path)
    const traits = isNew ? newFileTraits(directory) : undefined
    const options = {
      shown: path,
      origin: traits?.origin ?? 'existing',
      hasOwner: hasOwner(metadata, traits?.given),
    } as const
    const { mode: _mode, ...withoutMode } = metadata
    const settable = expected === 'symlink' ? withoutMode : metadata
    if (directory.descriptor < 0) {
      const at = directory.prefix + name
      requireType(lstatSync(nativePath(at), BIGINT), expected, path)
      const setHere = expected === 'symlink' ? setByLinkPath : setByPath
      return setHere(at, settable, options)
    }
    if (isNew && expected === 'symlink' && options.hasOwner) {
      // Nobody else can have put anything in its place, and no owner is given away.
      return setByLinkPath(directory.prefix + name, settable, options)
    }
    if (expected === 'directory') {
      const failures = setOfDirectory(directory.path(name), settable, options)
      if (failures !== undefined) return failures
    }
    // A descriptor of the entry itself, link or not: what has been checked is what is changed.
    const descriptor = openSync(directory.path(name), O_PATH | constants.O_NOFOLLOW)
    try {
      requireType(fstatSync(descriptor, BIGINT), expected, path)
      return setByPath(descriptorPath(descriptor), settable, options)
    } finally {
      closeSync(descriptor)
    }
  }

  setFlags(
    path: ByteString,
    expected: Pick<SourceStat, 'size' | 'mtimeNs'>,
    flags: number,
  ): readonly MetadataFailure[] {
    const { directory, name } = this.#place(path)
    return setFlagsOfFile(directory.path(name), expected, { flags, path })
  }

  refresh(): void {
    this.#access.close()
  }

  remove(path: ByteString): void {
    removeTree(this.#access, path)
  }

  close(): void {
    this.#access.close()
    if (this.#ownsRoot) closeSync(this.rootFd)
  }
}
