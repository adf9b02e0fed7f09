/**
 * The directories that a scan is in, held open. Of a path that is deeper than that, the outermost
 * are closed and opened again when they are needed: the system's limit on open files is not ours.
 */

import type { ByteString } from '../../base/bytes.ts'
import type { SourceDirectory, SourceFiles, SourceStat } from '../../source/source-files.ts'

const OPEN_MAX = 64

/** What is to be held open, and what it was when that began. */
export interface DirectoryPlace {
  readonly path: ByteString
  /** Whether a link may be on the way to it: then it leads to a source. */
  readonly follow: boolean
  /** The directory that this is; another one at its path is not. */
  readonly identity: Pick<SourceStat, 'dev' | 'ino'>
}

export class OpenDirectories {
  readonly #source: SourceFiles
  /** The outermost first. */
  readonly #open = new Map<DirectoryPlace, SourceDirectory>()

  constructor(source: SourceFiles) {
    this.#source = source
  }

  /** Usable until another one is asked for. Throws ESTALE if it is another directory now. */
  get(place: DirectoryPlace): SourceDirectory {
    const known = this.#open.get(place)
    if (known !== undefined) return known
    const directory = this.#source.openDirectory(place.path, place.follow)
    const { dev, ino } = place.identity
    if (directory.stat.dev !== dev || directory.stat.ino !== ino) {
      directory.close()
      const error = new Error('another directory was put in its place')
      throw Object.assign(error, { code: 'ESTALE' })
    }
    if (this.#open.size >= OPEN_MAX) {
      const [outermost] = this.#open.keys()
      if (outermost !== undefined) this.close(outermost)
    }
    this.#open.set(place, directory)
    return directory
  }

  close(place: DirectoryPlace): void {
    this.#open.get(place)?.close()
    this.#open.delete(place)
  }

  closeAll(): void {
    for (const directory of this.#open.values()) directory.close()
    this.#open.clear()
  }
}
