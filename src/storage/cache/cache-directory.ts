/**
 * The folder of one repository's local cache. Nothing in it is needed: losing or corrupting it costs
 * time, never correctness. Hence no fsync, and whoever reads a file here checks what it holds.
 *
 * Calls are synchronous, because workers use them. What is not there is undefined; any failure
 * throws a plain Error, which callers take as "no cache" and may tell. Neither is ever fatal.
 *
 * A checksum finds accidents, not intent: whoever can write here can make a backup believe that a
 * file has not changed. So a folder that another user owns, or may write to, is not used.
 */

import * as fs from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { toHex } from '../../base/bytes.ts'
import { makeDirectories } from '../../base/make-directories.ts'
import { type Clock, type Randomness, wallMs } from '../../base/seams.ts'

export interface CacheOptions {
  /** Where caches of all repositories are; the user's cache folder by default. */
  readonly root?: string
  readonly repositoryId: string
  /** For what is no cache, and should not look like one to those who tidy up. */
  readonly isUntagged?: boolean
  readonly clock: Clock
  readonly random: Randomness
}

/** A cache, or the reason why there is none. */
export type OpenedCache =
  | { readonly cache: CacheDirectory }
  | { readonly cache: undefined; readonly reason: string }

export interface CacheFile {
  readonly byteCount: number
  /** Reads up to `length` bytes into `into` at `offset`; returns how many, 0 at the end. */
  read(into: Uint8Array, offset: number, length: number, position: number): number
  close(): void
}

export interface CacheWriter {
  write(bytes: Uint8Array): void
  /** Closes, and puts the file in place of an older one of its name. */
  commit(): void
  /** Closes, and removes what was written. Harmless after `commit` and after a failure. */
  discard(): void
}

/** https://bford.info/cachedir/: backup programs leave such a folder out. */
const CACHE_TAG_NAME = 'CACHEDIR.TAG'
const CACHE_TAG = `Signature: 8a477f597d28d172789f06886806bc55
# This file is a cache directory tag created by cairn.
# For information about cache directory tags see https://bford.info/cachedir/
`

/** What a killed run left is removed once it cannot be of a run under way. */
const LEFTOVER_AGE_MS = 24 * 60 * 60 * 1000
const TEMPORARY_PREFIX = '.tmp-'

// O_NOFOLLOW and O_NONBLOCK are missing on Windows.
const READ_FLAGS =
  fs.constants.O_RDONLY | (fs.constants.O_NOFOLLOW ?? 0) | (fs.constants.O_NONBLOCK ?? 0)

export function defaultCacheRoot(
  environment: Readonly<Record<string, string | undefined>> = process.env,
  platform: NodeJS.Platform = process.platform,
): string {
  const xdg = environment['XDG_CACHE_HOME']
  // The specification says to ignore a path that is not absolute.
  if (xdg?.startsWith('/')) return join(xdg, 'cairn')
  const home = environment['HOME'] || homedir()
  return platform === 'darwin'
    ? join(home, 'Library', 'Caches', 'cairn')
    : join(home, '.cache', 'cairn')
}

/** Where memory is kept: what cannot be made anew, unlike a cache. */
export function defaultStateRoot(
  environment: Readonly<Record<string, string | undefined>>,
  platform: NodeJS.Platform = process.platform,
): string {
  const xdg = environment['XDG_STATE_HOME']
  if (xdg?.startsWith('/')) return join(xdg, 'cairn')
  const home = environment['HOME'] || homedir()
  return platform === 'darwin'
    ? join(home, 'Library', 'Application Support', 'cairn')
    : join(home, '.local', 'state', 'cairn')
}

/** Whether there is a folder for the cache of a repository; not whether it can be trusted. */
export function hasCacheDirectory(repositoryId: string, root = defaultCacheRoot()): boolean {
  return fs.existsSync(join(root, repositoryId))
}

export function openCacheDirectory(options: CacheOptions): OpenedCache {
  if (!/^[0-9A-Za-z][0-9A-Za-z_-]*$/.test(options.repositoryId)) {
    throw new RangeError(`not a repository id: '${options.repositoryId}'`)
  }
  try {
    const root = options.root ?? defaultCacheRoot()
    const path = join(root, options.repositoryId)
    const reason = prepareFolder(root) ?? prepareFolder(path)
    if (reason !== undefined) return { cache: undefined, reason }
    // A root that is somebody's folder for other things as well is not all cache.
    const isTagged = options.isUntagged !== true
    const isOwnRoot = fs.readdirSync(root).every((name) => name === options.repositoryId)
    if (isTagged && isOwnRoot) writeTag(root)
    if (isTagged) writeTag(path)
    const cache = new CacheDirectory(path, options.random)
    cache.removeLeftovers(wallMs(options.clock) - LEFTOVER_AGE_MS)
    return { cache }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { cache: undefined, reason: `cannot open the cache: ${reason}` }
  }
}

/** Makes a private folder, or says why the one that is there cannot be trusted. */
function prepareFolder(path: string): string | undefined {
  makeDirectories(path, 0o700)
  const stat = fs.lstatSync(path)
  if (stat.isSymbolicLink()) return `the cache '${path}' is a symbolic link`
  if (!stat.isDirectory()) return `the cache '${path}' is not a directory`
  const uid = process.geteuid?.()
  if (uid === undefined) return undefined // Windows, where the user's profile is private.
  if (stat.uid !== uid) return `the cache '${path}' belongs to user ${stat.uid}, not to ${uid}`
  if ((stat.mode & 0o022) !== 0) return `the cache '${path}' is writable by other users`
  return undefined
}

function writeTag(folder: string): void {
  try {
    fs.writeFileSync(join(folder, CACHE_TAG_NAME), CACHE_TAG, { flag: 'wx', mode: 0o600 })
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error
  }
}

export class CacheDirectory {
  readonly path: string
  readonly #random: Randomness

  /** Use `openCacheDirectory`, which looks whether the folder can be trusted. */
  constructor(path: string, random: Randomness) {
    this.path = path
    this.#random = random
  }

  /** The whole file, or undefined if it is not there. */
  readFile(name: string): Uint8Array | undefined {
    const file = this.openForRead(name)
    if (file === undefined) return undefined
    try {
      const bytes = new Uint8Array(file.byteCount)
      let at = 0
      while (at < bytes.byteLength) {
        const count = file.read(bytes, at, bytes.byteLength - at, at)
        if (count === 0) throw new Error(`cannot read the cached file '${name}': it became shorter`)
        at += count
      }
      return bytes
    } finally {
      file.close()
    }
  }

  /** Puts a whole file in place of an older one of its name. */
  writeFileAtomically(name: string, bytes: Uint8Array): void {
    const writer = this.createWriter(name)
    try {
      writer.write(bytes)
      writer.commit()
    } finally {
      writer.discard()
    }
  }

  /** Undefined if it is not there. The file stays readable if it is replaced meanwhile. */
  openForRead(name: string): CacheFile | undefined {
    const path = this.#pathOf(name)
    let descriptor: number
    try {
      descriptor = fs.openSync(path, READ_FLAGS)
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined
      throw error
    }
    try {
      const stat = fs.fstatSync(descriptor)
      if (!stat.isFile()) throw new Error(`the cached '${path}' is not a regular file`)
      return openedFile(descriptor, stat.size)
    } catch (error) {
      fs.closeSync(descriptor)
      throw error
    }
  }

  /** Several writers of one name do not disturb each other: the last commit stays. */
  createWriter(name: string): CacheWriter {
    const path = this.#pathOf(name)
    const suffix = toHex(this.#random.bytes(8))
    return new TemporaryWriter(join(this.path, `${TEMPORARY_PREFIX}${name}-${suffix}`), path)
  }

  /** Removing what is not there succeeds. */
  remove(name: string): void {
    fs.rmSync(this.#pathOf(name), { force: true })
  }

  /** Removes what writers have left that never came to an end. */
  removeLeftovers(olderThanWallMs: number): void {
    for (const name of fs.readdirSync(this.path)) {
      if (!name.startsWith(TEMPORARY_PREFIX)) continue
      const path = join(this.path, name)
      const stat = fs.lstatSync(path, { throwIfNoEntry: false })
      if (stat !== undefined && stat.mtimeMs < olderThanWallMs) fs.rmSync(path, { force: true })
    }
  }

  #pathOf(name: string): string {
    if (!/^[0-9A-Za-z][0-9A-Za-z._-]*$/.test(name) || name === CACHE_TAG_NAME) {
      throw new RangeError(`not a name for a cached file: '${name}'`)
    }
    return join(this.path, name)
  }
}

function openedFile(descriptor: number, byteCount: number): CacheFile {
  let isOpen = true
  return {
    byteCount,
    read: (into, offset, length, position) => {
      // A number that has been closed may belong to another file by now.
      if (!isOpen) throw new Error('the cached file is closed')
      return length === 0 ? 0 : fs.readSync(descriptor, into, offset, length, position)
    },
    close: () => {
      if (isOpen) fs.closeSync(descriptor)
      isOpen = false
    },
  }
}

class TemporaryWriter implements CacheWriter {
  readonly #temporary: string
  readonly #final: string
  /** Undefined once the file is committed, discarded, or has failed. */
  #descriptor: number | undefined

  constructor(temporary: string, final: string) {
    this.#temporary = temporary
    this.#final = final
    this.#descriptor = fs.openSync(temporary, 'wx', 0o600)
  }

  write(bytes: Uint8Array): void {
    const descriptor = this.#open()
    this.#discardOnFailure(() => {
      let at = 0
      while (at < bytes.byteLength) at += fs.writeSync(descriptor, bytes, at)
    })
  }

  commit(): void {
    const descriptor = this.#open()
    this.#discardOnFailure(() => {
      this.#descriptor = undefined
      fs.closeSync(descriptor)
      fs.renameSync(this.#temporary, this.#final)
    })
  }

  discard(): void {
    if (this.#descriptor === undefined) return
    this.#remove()
  }

  #open(): number {
    if (this.#descriptor === undefined) throw new Error('the writer of a cached file has ended')
    return this.#descriptor
  }

  #discardOnFailure(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.#remove()
      throw error
    }
  }

  /** Never throws: what is left over goes with the leftovers of another day. */
  #remove(): void {
    const descriptor = this.#descriptor
    this.#descriptor = undefined
    try {
      if (descriptor !== undefined) fs.closeSync(descriptor)
    } catch {
      // The bytes are not wanted any more.
    }
    try {
      fs.rmSync(this.#temporary, { force: true })
    } catch {
      // Left over.
    }
  }
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
