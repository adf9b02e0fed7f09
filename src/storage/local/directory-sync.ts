/**
 * Which directories have entries that a power cut would take back, and how they become durable.
 *
 * A directory is added after its entry has changed, never before: a flush that runs in between
 * would otherwise count the change as done.
 */

import { throwIfAborted } from '../../base/errors.ts'
import { forEachBounded } from './bounded.ts'
import { errnoOf, type LocalFileSystem } from './local-file-system.ts'

const CONCURRENCY_MAX = 8

/**
 * File systems that cannot sync a directory say so with these; they keep order by themselves. Every
 * other failure leaves the directory dirty. Unlike a file, it may be synced again: its changes are
 * in the journal, and a file system that cannot write that stops taking any.
 */
const CANNOT_SYNC: ReadonlySet<string | undefined> = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'])

export class DirectorySync {
  readonly #fs: LocalFileSystem
  readonly #dirty = new Set<string>()
  #lastRun: Promise<void> = Promise.resolve()

  constructor(fs: LocalFileSystem) {
    this.#fs = fs
  }

  /** Call it once an entry of `directory` has been added or removed. */
  add(directory: string): void {
    this.#dirty.add(directory)
  }

  /**
   * Returns once every directory added before this call has been synced. Runs follow each other:
   * the directories that an earlier run has in hand are clean only when it has succeeded.
   */
  flush(signal: AbortSignal | undefined): Promise<void> {
    const run = this.#lastRun.then(() => this.#syncAll(signal))
    this.#lastRun = run.catch(() => {}) // Told to its own caller; what failed is dirty still.
    return run
  }

  async #syncAll(signal: AbortSignal | undefined): Promise<void> {
    throwIfAborted(signal)
    await forEachBounded([...this.#dirty], CONCURRENCY_MAX, async (directory) => {
      throwIfAborted(signal)
      this.#dirty.delete(directory) // Before the sync: what changes meanwhile adds it again.
      try {
        await syncDirectory(this.#fs, directory)
      } catch (error) {
        this.#dirty.add(directory)
        throw error
      }
    })
  }
}

/** Makes the entries of one directory durable. */
export async function syncDirectory(fs: LocalFileSystem, path: string): Promise<void> {
  const descriptor = await fs.openDirectory(path)
  let failure: unknown
  try {
    await fs.fsync(descriptor)
  } catch (error) {
    if (!CANNOT_SYNC.has(errnoOf(error))) failure = error
  }
  try {
    await fs.close(descriptor)
  } catch (error) {
    failure ??= error
  }
  if (failure !== undefined) throw failure
}
