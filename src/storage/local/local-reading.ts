/** Loading and listing: whole results or an error, and absent only what is truly absent. */

import { join, relative } from 'node:path'
import { CairnError, throwIfAborted } from '../../base/errors.ts'
import { isFileName } from '../../base/ids.ts'
import type { ByteRange, FileInfo, FileKind, FileRef, ForeignFile } from '../backend.ts'
import { checkedRange, describeFile, repositoryPath, shortReadError } from '../file-errors.ts'
import { forEachBounded } from './bounded.ts'
import { errnoOf, type LocalFileSystem } from './local-file-system.ts'
import type { Place } from './place.ts'

const STAT_CONCURRENCY_MAX = 32
const SHARD_CONCURRENCY_MAX = 4

/** More than any file of cairn has: what claims to be longer is not read into memory. */
const LOAD_BYTES_MAX = 2 ** 31 - 1

type Signal = AbortSignal | undefined

/** What is wrong when something else than a file has a file's name. */
export function notAFileError(file: FileRef, location: string, verb: 'save' | 'load'): CairnError {
  return new CairnError(
    'CAIRN_CORRUPT',
    `cannot ${verb} ${describeFile(file)} in '${location}': ` +
      'what has its name is not a regular file; move it away',
    { details: { file: repositoryPath(file) } },
  )
}

export async function loadFile(
  fs: LocalFileSystem,
  place: Place,
  file: FileRef,
  { range, signal }: { readonly range: ByteRange | undefined; readonly signal: Signal },
): Promise<Uint8Array | undefined> {
  let descriptor: number
  try {
    descriptor = await fs.openFile(place.pathOf(file))
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ELOOP' || errno === 'EMLINK') throw notAFileError(file, place.root, 'load')
    if (errno !== 'ENOENT') throw error
    await place.confirmAbsent(file.kind)
    return undefined
  }
  try {
    place.noteSeen()
    const stat = await fs.fstat(descriptor)
    if (stat.type !== 'file') throw notAFileError(file, place.root, 'load')
    const wanted = checkedRange(file, place.root, { range, fileByteCount: stat.byteCount })
    if (wanted.byteCount > LOAD_BYTES_MAX) throw tooLongError(file, place.root, wanted.byteCount)
    const bytes = new Uint8Array(wanted.byteCount)
    const found = await readInto(fs, descriptor, bytes, { offset: wanted.offset, signal })
    if (found === bytes.byteLength) return bytes
    const { offset, byteCount: expected } = wanted
    throw shortReadError(file, place.root, { offset, expected, found })
  } finally {
    await fs.close(descriptor).catch(() => {}) // Nothing was written: nothing to lose.
  }
}

/** Fills `bytes` as far as the file goes. Returns how far that is. */
async function readInto(
  fs: LocalFileSystem,
  descriptor: number,
  bytes: Uint8Array,
  { offset, signal }: { readonly offset: number; readonly signal: Signal },
): Promise<number> {
  let at = 0
  while (at < bytes.byteLength) {
    throwIfAborted(signal)
    const count = await fs.read(descriptor, bytes, at, offset + at)
    if (count <= 0) break
    at += count
  }
  return at
}

function tooLongError(file: FileRef, location: string, byteCount: number): CairnError {
  return new CairnError(
    'CAIRN_CORRUPT',
    `cannot load ${describeFile(file)} from '${location}': ${byteCount} bytes are more than any ` +
      "file of cairn has; run 'cairn check'",
    { details: { file: repositoryPath(file), expected: LOAD_BYTES_MAX, found: byteCount } },
  )
}

/** The names in a directory, or undefined if it is not there. */
export async function namesIn(
  fs: LocalFileSystem,
  directory: string,
): Promise<string[] | undefined> {
  try {
    return await fs.readDirectory(directory)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** One listing of one kind. */
export class Listing {
  readonly files: FileInfo[] = []
  readonly #fs: LocalFileSystem
  readonly #place: Place
  readonly #kind: FileKind
  readonly #signal: Signal
  readonly #onForeign: ((file: ForeignFile) => void) | undefined
  #hasVanished = false

  constructor(
    fs: LocalFileSystem,
    place: Place,
    kind: FileKind,
    to: { readonly signal: Signal; readonly onForeign?: (file: ForeignFile) => void },
  ) {
    this.#fs = fs
    this.#place = place
    this.#kind = kind
    this.#signal = to.signal
    this.#onForeign = to.onForeign
  }

  async run(): Promise<FileInfo[]> {
    const folder = this.#place.folderOf(this.#kind)
    const names = await namesIn(this.#fs, folder)
    if (names === undefined) {
      await this.#place.confirmAbsent(this.#kind, 'CAIRN_REPOSITORY_MISSING')
      return []
    }
    this.#place.noteSeen()
    if (this.#kind === 'packs') {
      await forEachBounded(names, SHARD_CONCURRENCY_MAX, (shard) => this.#addShard(folder, shard))
    } else {
      await this.#addFolder(folder, names, isFileName)
    }
    // One file that vanished has been removed. If the disk has vanished, this is not a listing.
    if (this.#hasVanished) await this.#place.confirmAbsent(this.#kind)
    return this.files
  }

  async #addShard(folder: string, shard: string): Promise<void> {
    throwIfAborted(this.#signal)
    const path = join(folder, shard)
    if (!/^[0-9a-f]{2}$/.test(shard)) return this.#foreign(path)
    let names: string[] | undefined
    try {
      names = await namesIn(this.#fs, path)
    } catch (error) {
      if (errnoOf(error) !== 'ENOTDIR') throw error
      await this.#place.confirmAbsent(this.#kind) // Rejects if the folders above are meant.
      return this.#foreign(path)
    }
    if (names === undefined) {
      this.#hasVanished = true
      return
    }
    await this.#addFolder(path, names, (name) => isFileName(name) && name.startsWith(shard))
  }

  async #addFolder(
    folder: string,
    names: readonly string[],
    isOurs: (name: string) => boolean,
  ): Promise<void> {
    await forEachBounded(names, STAT_CONCURRENCY_MAX, async (name) => {
      throwIfAborted(this.#signal)
      const path = join(folder, name)
      if (!isOurs(name)) return this.#foreign(path)
      const stat = await this.#place.lstatIfThere(path)
      if (stat === undefined) {
        this.#hasVanished = true
        return
      }
      if (stat.type !== 'file' || !isFileName(name)) return this.#foreign(path)
      this.files.push({ name, byteCount: stat.byteCount, mtimeMs: stat.mtimeMs })
    })
  }

  #foreign(path: string): void {
    const inRepository = relative(this.#place.root, path).replaceAll('\\', '/')
    this.#onForeign?.({ kind: this.#kind, path: inRepository })
  }
}
