/** Saving: files of the repository, and the two files besides (README.txt and the reserve). */

import { basename, join } from 'node:path'
import { toHex } from '../../base/bytes.ts'
import { CairnError, isCairnError, throwIfAborted } from '../../base/errors.ts'
import type { Randomness } from '../../base/seams.ts'
import type { FileRef } from '../backend.ts'
import { describeFile, differentLengthError } from '../file-errors.ts'
import { publish, writeTemporary } from './atomic-save.ts'
import type { DirectorySync } from './directory-sync.ts'
import { errnoOf, type LocalFileSystem, takesDirectWrites } from './local-file-system.ts'
import { notAFileError } from './local-reading.ts'
import type { Place } from './place.ts'

const RESERVE_BYTES = 1024 * 1024
/** What `Randomness` hands out at once; it divides the reserve. */
const RANDOM_BYTES_MAX = 65_536

/**
 * From here on what is saved goes past the page cache, where it would push out what others use, for
 * bytes that are synced at once and seldom read soon. Measured with 30 packs on ext4: 20 ms of CPU
 * where it was 120, and 960 in a virtual machine whose free memory belongs to the host.
 */
const DIRECT_BYTES_MIN = 2 * 1024 * 1024

const README = `This folder is a repository of cairn, a backup program.

Its files are encrypted and belong together: do not rename, edit or delete any of them by hand.
The name of each file is the SHA-256 of its bytes, so that 'sha256sum' can tell damaged ones.
To read the backups use 'cairn -r <this folder> snapshots' and 'cairn restore', with the
repository's password or key. The format is described in FORMAT.md of the cairn sources.
`

type Signal = AbortSignal | undefined

export class LocalWriter {
  readonly #fs: LocalFileSystem
  readonly #place: Place
  readonly #sync: DirectorySync
  readonly #random: Randomness
  /** The temporary files of saves under way, which no sweep of this process may take. */
  readonly inUse = new Set<string>()
  /** Undefined until it matters. */
  #isDirectDisk: boolean | undefined

  constructor(fs: LocalFileSystem, place: Place, sync: DirectorySync, random: Randomness) {
    this.#fs = fs
    this.#place = place
    this.#sync = sync
    this.#random = random
  }

  async save(file: FileRef, bytes: Uint8Array, signal: Signal): Promise<void> {
    const folder = await this.#place.prepareFolderOf(file)
    if (!(await this.#isThere(file, bytes.byteLength))) {
      throwIfAborted(signal)
      const isPublished = await this.#writeAndPublish(this.#place.pathOf(file), bytes, signal)
      if (!isPublished && !(await this.#isThere(file, bytes.byteLength))) {
        throw new CairnError(
          'CAIRN_STORAGE_DOWN',
          `cannot save ${describeFile(file)} in '${this.#place.root}': ` +
            'another process removed the file of that name meanwhile',
        )
      }
    }
    this.#sync.add(folder) // Also if it was there: its entry may be as young as this call.
  }

  /** Saves README.txt and the reserve unless they are there. */
  async saveBesides(signal: Signal): Promise<void> {
    await this.#saveBesides('README.txt', () => new TextEncoder().encode(README), signal)
    await this.#saveBesides('reserve', () => this.#reserveBytes(), signal)
  }

  /** Frees the reserve for something that helps a full disk. Returns whether there was one. */
  async giveUpReserve(): Promise<boolean> {
    try {
      await this.#fs.unlink(join(this.#place.root, 'reserve'))
      return true
    } catch {
      return false // The caller tells the lack of space, which is the news.
    }
  }

  /** Makes the reserve again where it was given up, if there is space for it now. */
  async restoreReserve(signal: Signal): Promise<void> {
    try {
      await this.#saveBesides('reserve', () => this.#reserveBytes(), signal)
    } catch (error) {
      if (isCairnError(error, 'CAIRN_ABORTED')) throw error
      // No space for it yet: the next sweep tries again.
    }
  }

  /** Whether a file of that name and length is there. Rejects if it has another length. */
  async #isThere(file: FileRef, expected: number): Promise<boolean> {
    const stat = await this.#place.lstatIfThere(this.#place.pathOf(file))
    if (stat === undefined) return false
    if (stat.type !== 'file') throw notAFileError(file, this.#place.root, 'save')
    const found = stat.byteCount
    if (found === expected) return true
    throw differentLengthError(file, this.#place.root, { expected, found })
  }

  async #saveBesides(name: string, bytes: () => Uint8Array, signal: Signal): Promise<void> {
    const path = join(this.#place.root, name)
    if ((await this.#place.lstatIfThere(path)) !== undefined) return
    throwIfAborted(signal)
    await this.#writeAndPublish(path, bytes(), signal)
    this.#sync.add(this.#place.root)
  }

  /** Returns false if something of that name was there first. */
  async #writeAndPublish(final: string, bytes: Uint8Array, signal: Signal): Promise<boolean> {
    const suffix = toHex(this.#random.bytes(8))
    const temporary = join(this.#place.temporary, `${basename(final)}-${suffix}`)
    this.inUse.add(temporary)
    try {
      await this.#writeTemporary(temporary, bytes, signal)
      return await publish(this.#fs, temporary, final)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') this.#place.forgetFolders()
      throw error
    } finally {
      this.inUse.delete(temporary)
    }
  }

  async #writeTemporary(path: string, bytes: Uint8Array, signal: Signal): Promise<void> {
    const isDirect = bytes.byteLength >= DIRECT_BYTES_MIN && this.#takesDirectWrites()
    const how = { isDirect, signal }
    try {
      await writeTemporary(this.#fs, path, bytes, how)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
      await this.#place.prepareTemporary()
      await writeTemporary(this.#fs, path, bytes, how)
    }
  }

  #takesDirectWrites(): boolean {
    this.#isDirectDisk ??= takesDirectWrites(
      this.#fs.fileSystemType(this.#place.root),
      process.platform,
    )
    return this.#isDirectDisk
  }

  /** Not zeros: a file system that compresses would reserve nothing for them. */
  #reserveBytes(): Uint8Array {
    const bytes = new Uint8Array(RESERVE_BYTES)
    for (let at = 0; at < RESERVE_BYTES; at += RANDOM_BYTES_MAX) {
      bytes.set(this.#random.bytes(RANDOM_BYTES_MAX), at)
    }
    return bytes
  }
}
