/**
 * How a restore reaches a directory below its root without ever following a link.
 *
 * `DirectoryHandles` (Linux) opens directories one component at a time with O_NOFOLLOW and addresses
 * their entries through the descriptor, so that a directory swapped for a link later changes nothing.
 * `CheckedPaths` (elsewhere) looks at every directory on the way with lstat each time: that finds
 * planted links, but a swap between the look and the call is not noticed.
 */

import { closeSync, constants, lstatSync, openSync } from 'node:fs'
import { assert } from '../base/errors.ts'
import type { ByteString } from '../base/bytes.ts'
import { libc } from './libc.ts'
import { descriptorPath, type NativePath, nativePath, O_PATH } from './native-path.ts'
import { errorAbout, systemError } from './system-error.ts'
import { validateComponent } from './target-files.ts'
import type { Origin } from './target-xattrs.ts'

/** What is known beforehand of a file that is made in a directory. */
export interface NewFileTraits {
  /** It can be made without a name, to get one when it is whole. */
  readonly canBeUnnamed: boolean
  /** What it has without being asked. `inheriting` if others can change what that is. */
  readonly origin: Origin
  /** Whom it belongs to, and what its mode is cut by; undefined if others can change that. */
  readonly given: { readonly uid: number; readonly gid: number; readonly umask: number } | undefined
}

/** A directory that can be used until the next call of `reach`. */
export class Directory {
  /** A descriptor of it, or -1. */
  readonly descriptor: number
  /** Its path, to put a name behind. */
  readonly prefix: ByteString
  /** Remembered by new-file-traits.ts. */
  traits: NewFileTraits | undefined = undefined

  constructor(descriptor: number, prefix: ByteString) {
    this.descriptor = descriptor
    this.prefix = prefix
  }

  /** The path of an entry, for Node. */
  path(name: ByteString): NativePath {
    return nativePath(this.prefix + name)
  }
}

export interface PinnedDirectory {
  readonly directory: Directory
  release(): void
}

export interface DirectoryAccess {
  readonly root: Directory
  /** The directory at a path below the root. ENOTDIR if there is a link or a file on the way. */
  reach(path: ByteString): Directory
  /** The same directory, usable until its release, whatever is reached meanwhile. */
  pin(directory: Directory): PinnedDirectory
  /** Must be called when what was at `path` has been removed or replaced. */
  forget(path: ByteString): void
  /** Closes every descriptor but the root's. Usable after it, as at first. */
  close(): void
}

/** Descriptors kept open. A walk in depth-first order needs few; the limit of a process is 1,024. */
const HANDLES_MAX = 64

export class DirectoryHandles implements DirectoryAccess {
  readonly root: Directory
  /** By path; the least recently used first. */
  readonly #handles = new Map<ByteString, Directory>()
  /** The same for all of them: what it has opened, it has to close. */
  readonly #libc = libc()
  #lastPath: ByteString = ''
  #last: Directory

  constructor(rootFd: number) {
    this.root = new Directory(rootFd, `${descriptorPath(rootFd)}/`)
    this.#last = this.root
  }

  reach(path: ByteString): Directory {
    if (path === this.#lastPath) return this.#last
    const directory = this.#find(path) ?? this.#open(path)
    this.#lastPath = path
    this.#last = directory
    return directory
  }

  #find(path: ByteString): Directory | undefined {
    if (path === '') return this.root
    const directory = this.#handles.get(path)
    if (directory === undefined) return undefined
    this.#handles.delete(path)
    this.#handles.set(path, directory)
    return directory
  }

  #open(path: ByteString): Directory {
    assert(!path.startsWith('/'), 'a target path is relative to the root')
    // Up to the deepest directory that is open, then down again.
    let end = path.length
    let directory: Directory | undefined
    while (directory === undefined) {
      end = path.lastIndexOf('/', end - 1)
      if (end < 0) break
      directory = this.#find(path.slice(0, end))
    }
    let current = directory ?? this.root
    while (end < path.length) {
      const start = end + 1
      end = path.indexOf('/', start)
      if (end < 0) end = path.length
      current = this.#openChild(current, path.slice(start, end), path.slice(0, end))
    }
    return current
  }

  #openChild(parent: Directory, name: ByteString, path: ByteString): Directory {
    assertComponent(name)
    const descriptor = this.#openDirectory(parent, name, path)
    const directory = new Directory(descriptor, `${descriptorPath(descriptor)}/`)
    this.#handles.set(path, directory)
    if (this.#handles.size > HANDLES_MAX) {
      const [oldest] = this.#handles
      if (oldest !== undefined) this.#drop(oldest[0], oldest[1])
    }
    return directory
  }

  #openDirectory(parent: Directory, name: ByteString, path: ByteString): number {
    const flags = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW
    if (this.#libc !== undefined) {
      return this.#libc.openat(parent.descriptor, name, { flags, mode: 0, path })
    }
    try {
      return openSync(parent.path(name), flags)
    } catch (error) {
      throw errorAbout(path, error)
    }
  }

  pin(directory: Directory): PinnedDirectory {
    const descriptor = openSync(directory.path('.'), O_PATH | constants.O_DIRECTORY)
    return {
      directory: new Directory(descriptor, `${descriptorPath(descriptor)}/`),
      release: () => closeSync(descriptor),
    }
  }

  forget(path: ByteString): void {
    const below = `${path}/`
    for (const [at, directory] of this.#handles) {
      if (at === path || at.startsWith(below)) this.#drop(at, directory)
    }
  }

  #drop(path: ByteString, directory: Directory): void {
    this.#handles.delete(path)
    if (this.#libc !== undefined) this.#libc.close(directory.descriptor, path)
    else closeSync(directory.descriptor)
    if (this.#last === directory) {
      this.#lastPath = ''
      this.#last = this.root
    }
  }

  close(): void {
    for (const [path, directory] of this.#handles) this.#drop(path, directory)
  }
}

export class CheckedPaths implements DirectoryAccess {
  readonly root: Directory

  constructor(rootPath: ByteString) {
    this.root = new Directory(-1, rootPath.endsWith('/') ? rootPath : `${rootPath}/`)
  }

  reach(path: ByteString): Directory {
    if (path === '') return this.root
    assert(!path.startsWith('/'), 'a target path is relative to the root')
    for (let end = 0, start = 0; end < path.length; start = end + 1) {
      end = path.indexOf('/', start)
      if (end < 0) end = path.length
      assertComponent(path.slice(start, end))
      const at = path.slice(0, end)
      if (!this.#isDirectory(at)) throw systemError('ENOTDIR', 'open', at)
    }
    return new Directory(-1, `${this.root.prefix}${path}/`)
  }

  #isDirectory(path: ByteString): boolean {
    try {
      return lstatSync(this.root.path(path)).isDirectory()
    } catch (error) {
      throw errorAbout(path, error)
    }
  }

  pin(directory: Directory): PinnedDirectory {
    return { directory, release: () => {} }
  }

  forget(): void {}

  close(): void {}
}

/** The engine has refused bad names long before; this is the last door. */
export function assertComponent(name: ByteString): void {
  const reason = validateComponent(name)
  assert(reason === undefined, `a component of a target path is valid: ${reason}`)
}

/** The path of the directory that holds `path`: '' for the root. */
export function parentOf(path: ByteString): ByteString {
  const slash = path.lastIndexOf('/')
  assert(slash !== 0, 'a target path is relative to the root')
  return slash < 0 ? '' : path.slice(0, slash)
}
