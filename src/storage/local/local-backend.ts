/**
 * A repository in a directory of this machine, or of a file system mounted on it.
 *
 *     README.txt                 what this is, for whoever finds it
 *     packs/<2 hex>/<sha256>     sharded by the first byte
 *     config/ keys/ index/ snapshots/ retired/ marks/ sessions/    <sha256>
 *     tmp/<name>-<random>        files being written
 *     reserve                    1 MiB that is given up when the disk is full
 *
 * Its main idea: a file appears under its final name whole and synced or not at all
 * (`atomic-save.ts`), and its directory entry is durable after the next flush (`directory-sync.ts`).
 * It must never overwrite, never tell that something is absent because a disk is not mounted
 * (`place.ts`), and never return a file or a listing that is not whole (`local-reading.ts`).
 */

import { dirname, join, resolve } from 'node:path'
import { isCairnError, throwIfAborted } from '../../base/errors.ts'
import { type Clock, type Randomness, wallMs } from '../../base/seams.ts'
import type {
  Backend,
  ByteRange,
  FileInfo,
  FileKind,
  FileRef,
  ForeignFile,
  OpOptions,
} from '../backend.ts'
import { describeFile } from '../file-errors.ts'
import { forEachBounded } from './bounded.ts'
import { DirectorySync } from './directory-sync.ts'
import { storageError } from './local-errors.ts'
import {
  errnoOf,
  isKeptByThisKernel,
  type LocalFileSystem,
  nodeFileSystem,
  repeatInterrupted,
} from './local-file-system.ts'
import { Listing, loadFile, namesIn } from './local-reading.ts'
import { LocalWriter } from './local-writer.ts'
import { Place } from './place.ts'

export interface LocalBackendOptions {
  readonly path: string
  readonly clock: Clock
  readonly random: Randomness
  /** The system calls; tests make them fail. */
  readonly fileSystem?: LocalFileSystem
}

/** Touches nothing yet: a repository that is not there shows with the first call. */
export function openLocalBackend(options: LocalBackendOptions): Backend {
  return new LocalBackend(options)
}

/**
 * What forget and prune write before they can remove anything. On a full disk the reserve is given
 * up for them, so that there is a way out; `sweepTemporary` makes it again.
 */
const KINDS_WORTH_THE_RESERVE: ReadonlySet<FileKind> = new Set(['marks', 'retired'])

const SWEEP_CONCURRENCY_MAX = 16

class LocalBackend implements Backend {
  readonly location: string
  readonly #clock: Clock
  readonly #fs: LocalFileSystem
  readonly #sync: DirectorySync
  readonly #place: Place
  readonly #writer: LocalWriter

  constructor(options: LocalBackendOptions) {
    this.location = resolve(options.path)
    this.#clock = options.clock
    this.#fs = repeatInterrupted(options.fileSystem ?? nodeFileSystem())
    this.#sync = new DirectorySync(this.#fs)
    this.#place = new Place(this.location, this.#fs, this.#sync)
    this.#writer = new LocalWriter(this.#fs, this.#place, this.#sync, options.random)
  }

  /** Not remembered: a disk may be mounted here later than this object was made. */
  get listsConsistently(): boolean {
    return isKeptByThisKernel(this.#fs.fileSystemType(this.location), process.platform)
  }

  async create({ signal }: OpOptions = {}): Promise<void> {
    throwIfAborted(signal)
    await explained(`cannot make a repository in '${this.location}'`, async () => {
      await this.#place.create()
      await this.#writer.saveBesides(signal)
      await this.#sync.flush(signal)
    })
  }

  async save(file: FileRef, bytes: Uint8Array, { signal }: OpOptions = {}): Promise<void> {
    throwIfAborted(signal)
    const save = () =>
      explained(`cannot save ${describeFile(file)} in '${this.location}'`, () =>
        this.#writer.save(file, bytes, signal),
      )
    try {
      await save()
    } catch (error) {
      if (!KINDS_WORTH_THE_RESERVE.has(file.kind) || !isOutOfSpace(error)) throw error
      if (!(await this.#writer.giveUpReserve())) throw error
      await save()
    }
  }

  async flush({ signal }: OpOptions = {}): Promise<void> {
    await explained(`cannot make saved files durable in '${this.location}'`, () =>
      this.#sync.flush(signal),
    )
  }

  async load(
    file: FileRef,
    range?: ByteRange,
    { signal }: OpOptions = {},
  ): Promise<Uint8Array | undefined> {
    throwIfAborted(signal)
    return explained(`cannot load ${describeFile(file)} from '${this.location}'`, () =>
      loadFile(this.#fs, this.#place, file, { range, signal }),
    )
  }

  async list(
    kind: FileKind,
    options: OpOptions & { readonly onForeign?: (file: ForeignFile) => void } = {},
  ): Promise<FileInfo[]> {
    const { signal, onForeign } = options
    throwIfAborted(signal)
    const to = { signal, ...(onForeign && { onForeign }) }
    const files = await explained(`cannot list the folder '${kind}' of '${this.location}'`, () =>
      new Listing(this.#fs, this.#place, kind, to).run(),
    )
    // Packs lie in many folders, and are saved again by whoever takes up what a run has left.
    if (kind !== 'packs' && files.length > 0) this.#sync.add(this.#place.folderOf(kind))
    return files
  }

  async remove(file: FileRef, { signal }: OpOptions = {}): Promise<void> {
    throwIfAborted(signal)
    const failed = `cannot remove ${describeFile(file)} from '${this.location}'`
    await explained(failed, async () => {
      const path = this.#place.pathOf(file)
      const folder = dirname(path)
      if (!(await this.#unlinkIfThere(path))) {
        await this.#place.confirmAbsent(file.kind)
        // It may be gone by an earlier try whose answer was lost, and that has to be durable too.
        if ((await this.#place.statIfThere(folder)) === undefined) return
      }
      this.#sync.add(folder)
    })
  }

  localPath(file: FileRef): string {
    return this.#place.pathOf(file)
  }

  async sweepTemporary(olderThanMs: number, { signal }: OpOptions = {}): Promise<number> {
    throwIfAborted(signal)
    const folder = this.#place.temporary
    let removedCount = 0
    await explained(`cannot clear '${folder}'`, async () => {
      const names = await namesIn(this.#fs, folder)
      if (names === undefined) return this.#place.requireRepository()
      await forEachBounded(names, SWEEP_CONCURRENCY_MAX, async (name) => {
        throwIfAborted(signal)
        if (await this.#sweepOne(join(folder, name), olderThanMs)) removedCount++
      })
      await this.#writer.restoreReserve(signal)
    })
    return removedCount
  }

  async close(): Promise<void> {
    // Nothing is held open between calls.
  }

  async #sweepOne(path: string, olderThanMs: number): Promise<boolean> {
    if (this.#writer.inUse.has(path)) return false
    const stat = await this.#place.lstatIfThere(path)
    if (stat === undefined || stat.type === 'directory') return false
    if (stat.mtimeMs >= wallMs(this.#clock) - olderThanMs) return false
    return this.#unlinkIfThere(path)
  }

  /** Whether there was something to unlink. */
  async #unlinkIfThere(path: string): Promise<boolean> {
    try {
      await this.#fs.unlink(path)
      return true
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false
      throw error
    }
  }
}

/** Says what failed, before the reason, where `action` rejects with a system error. */
async function explained<T>(failed: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    throw storageError(failed, error)
  }
}

function isOutOfSpace(error: unknown): boolean {
  if (!isCairnError(error, 'CAIRN_STORAGE_REFUSED')) return false
  return error.details['errno'] === 'ENOSPC' || error.details['errno'] === 'EDQUOT'
}
