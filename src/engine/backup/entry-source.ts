/** What a scan asks the file system, through directories that it holds open, and how that fails. */

import type { ByteString } from '../../base/bytes.ts'
import { type ExtendedMetadata, NO_EXTENDED } from '../../source/extended-metadata.ts'
import type { SourceDirectory, SourceFiles, SourceStat } from '../../source/source-files.ts'
import { type DirectoryPlace, OpenDirectories } from './open-directories.ts'
import type { Frame } from './scan-frame.ts'
import { type EntryExtras, extendedExtras } from './tree-entry.ts'

export class EntrySource {
  readonly #source: SourceFiles
  readonly #directories: OpenDirectories
  readonly #onError: (path: ByteString, error: Error) => void

  constructor(source: SourceFiles, onError: (path: ByteString, error: Error) => void) {
    this.#source = source
    this.#directories = new OpenDirectories(source)
    this.#onError = onError
  }

  /** Tells an error of the system; any other is cairn's own mistake and ends the run. */
  fail(path: ByteString, error: unknown): void {
    const { code } = error as NodeJS.ErrnoException
    if (code === undefined || code.startsWith('ERR_')) throw error
    this.#onError(path, error as Error)
  }

  failWith(path: ByteString, message: string, code: string): void {
    this.#onError(path, Object.assign(new Error(message), { code }))
  }

  /** Runs `action`; undefined if the system fails it, which is said. */
  attempt<T>(path: ByteString, action: () => T): T | undefined {
    try {
      return action()
    } catch (error) {
      this.fail(path, error)
      return undefined
    }
  }

  /** The directory that the scan begins with, whichever that is. */
  rootPlace(path: ByteString): DirectoryPlace {
    const directory = this.#source.openDirectory(path, true)
    directory.close()
    return { path, follow: true, identity: directory.stat }
  }

  /** The names in a directory, sorted by byte. */
  names(place: DirectoryPlace): readonly ByteString[] {
    const names = this.#directories.get(place).names()
    return names.filter((name, i) => {
      if (i === 0 || name !== names[i - 1]) return true
      const path = place.path === '/' ? `/${name}` : `${place.path}/${name}`
      this.failWith(path, 'the file system lists it more than once', 'EEXIST')
      return false
    })
  }

  /** What an entry is; undefined if nothing is there, or if that cannot be told, which is said. */
  look(frame: Frame, name: ByteString, path: ByteString): SourceStat | undefined {
    const node = frame.children?.get(name)
    const follow = node?.children !== undefined
    try {
      const stat = this.#inDirectory(frame, name, (directory) => directory.look(name, follow))
      if (stat !== undefined) return stat
    } catch (error) {
      const isAbsent = node !== undefined && (error as NodeJS.ErrnoException).code === 'ENOENT'
      if (!isAbsent) {
        this.fail(path, error)
        return undefined
      }
    }
    // A name that came from a listing was there a moment ago; one that the user gave may never be.
    const isNamed = node !== undefined
    const message = isNamed ? 'no such file or directory' : 'it vanished before it could be read'
    this.failWith(path, message, 'ENOENT')
    return undefined
  }

  /** A link, pipe, socket or device; undefined if it cannot be saved, which is said. */
  special(
    frame: Frame,
    name: ByteString,
    path: ByteString,
    stat: SourceStat,
  ): Partial<EntryExtras> | undefined {
    if (stat.type === 'other') {
      this.failWith(path, 'it is of a type that cannot be backed up', 'ENOTSUP')
      return undefined
    }
    return this.attempt(path, () =>
      this.#inDirectory(frame, name, (directory) => {
        const isLink = stat.type === 'symlink'
        const target = isLink ? { target: Uint8Array.from(directory.readLink(name)) } : {}
        return { ...target, ...this.#extended(path, () => directory.extended(name, stat)) }
      }),
    )
  }

  /** A directory's own; read once, and only if it is needed. */
  ownExtended(frame: Frame): Pick<EntryExtras, 'xattrs' | 'flags'> {
    if (frame.parent === undefined) return {} // The root of a snapshot has no entry.
    frame.extended ??= this.#extended(frame.path, () => this.#directories.get(frame).ownExtended())
    return frame.extended
  }

  /** The same of a directory that the scan may be done with, except for files that are out. */
  extendedSoFar(frame: Frame): Pick<EntryExtras, 'xattrs' | 'flags'> {
    const extended = this.ownExtended(frame)
    if (frame.isWalked) this.leave(frame)
    return extended
  }

  /** Nothing more will be asked about what is in `place`. */
  leave(place: DirectoryPlace): void {
    this.#directories.close(place)
  }

  close(): void {
    this.#directories.closeAll()
  }

  /** Calls `action` with the directory that an entry is in. */
  #inDirectory<T>(frame: Frame, name: ByteString, action: (directory: SourceDirectory) => T): T {
    const node = frame.children?.get(name)
    if (node === undefined) return action(this.#directories.get(frame))
    // On the way to sources, a directory of the snapshot may be put together from several.
    const parent = node.path.slice(0, node.path.lastIndexOf('/')) || '/'
    const directory = this.#source.openDirectory(parent, true)
    try {
      return action(directory)
    } finally {
      directory.close()
    }
  }

  /** What `read` gives. What cannot be read is said, and left out of the entry. */
  #extended(path: ByteString, read: () => ExtendedMetadata): Pick<EntryExtras, 'xattrs' | 'flags'> {
    const found = this.attempt(path, read)
    if (found === undefined || found === NO_EXTENDED) return {}
    for (const problem of found.problems) this.#onError(path, problem)
    return extendedExtras(found)
  }
}
