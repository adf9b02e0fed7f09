/** What a scan asks the file system about entries that are no regular files, and how it fails. */

import type { ByteString } from '../../base/bytes.ts'
import { NO_EXTENDED } from '../../source/extended-metadata.ts'
import type { SourceFiles, SourceStat } from '../../source/source-files.ts'
import { type EntryExtras, extendedExtras } from './tree-entry.ts'

export class EntrySource {
  readonly #source: SourceFiles
  readonly #onError: (path: ByteString, error: Error) => void

  constructor(source: SourceFiles, onError: (path: ByteString, error: Error) => void) {
    this.#source = source
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

  /** What is at `path` now; undefined if nothing is, or if that cannot be told, which is said. */
  lookAgain(path: ByteString): SourceStat | undefined {
    try {
      const stat = this.#source.lstat(path)
      if (stat === undefined) this.failWith(path, 'it vanished before it could be read', 'ENOENT')
      return stat
    } catch (error) {
      this.fail(path, error)
      return undefined
    }
  }

  /** A link, pipe, socket or device; undefined if it cannot be saved, which is said. */
  special(path: ByteString, stat: SourceStat): Partial<EntryExtras> | undefined {
    if (stat.type === 'other') {
      this.failWith(path, 'it is of a type that cannot be backed up', 'ENOTSUP')
      return undefined
    }
    try {
      const target =
        stat.type === 'symlink' ? { target: Uint8Array.from(this.#source.readLink(path)) } : {}
      return { ...target, ...this.extended(path, stat) }
    } catch (error) {
      this.fail(path, error)
      return undefined
    }
  }

  /** Of what is no regular file. What cannot be read is said, and left out of the entry. */
  extended(path: ByteString, stat: SourceStat): Pick<EntryExtras, 'xattrs' | 'flags'> {
    try {
      const found = this.#source.extended(path, stat)
      if (found === NO_EXTENDED) return {}
      for (const problem of found.problems) this.#onError(path, problem)
      return extendedExtras(found)
    } catch (error) {
      this.fail(path, error)
      return {}
    }
  }
}
