/** Counts what a restore does, and collects what went wrong. */

import type { ByteString } from '../../base/bytes.ts'
import type { Clock } from '../../base/seams.ts'
import { CairnError, isCairnError, isUnreadable } from '../../base/errors.ts'
import type {
  MetadataKind,
  RestoreCounts,
  RestoredItem,
  RestoreListener,
  RestoreReport,
} from './restore-options.ts'

const ERRORS_KEPT_MAX = 1000
const EXAMPLES_MAX = 5

export class Reporter {
  readonly #listener: RestoreListener
  readonly #clock: Clock
  readonly #startMs: number
  readonly #errors: { path: ByteString; error: Error }[] = []
  readonly #unset = new Map<
    MetadataKind,
    { count: number; refusedCount: number; examples: string[] }
  >()
  #errorCount = 0
  #totalFiles = 0
  #restoredFiles = 0
  #skippedFiles = 0
  #deletedFiles = 0
  #totalBytes = 0
  #restoredBytes = 0
  #skippedBytes = 0
  verifiedFiles = 0

  constructor(listener: RestoreListener, clock: Clock) {
    this.#listener = listener
    this.#clock = clock
    this.#startMs = clock.monotonicMs()
  }

  /** `path` is relative, as the target has it. */
  #shown(path: ByteString): ByteString {
    return `/${path}`
  }

  /** Something is going to be restored. */
  expect(byteCount: number): void {
    this.#totalFiles++
    this.#totalBytes += byteCount
  }

  /** What was expected turned out to be there already. */
  keep(path: ByteString, byteCount: number): void {
    this.#totalFiles--
    this.#totalBytes -= byteCount
    this.skip(byteCount)
    this.#listener.onItem?.({ action: 'unchanged', path: this.#shown(path), size: byteCount })
  }

  skip(byteCount: number): void {
    this.#skippedFiles++
    this.#skippedBytes += byteCount
  }

  addBytes(byteCount: number): void {
    this.#restoredBytes += byteCount
  }

  /** `size` of files only. */
  restored(path: ByteString, isUpdate: boolean, size?: number): void {
    this.#restoredFiles++
    const action: RestoredItem['action'] = isUpdate ? 'updated' : 'restored'
    const item = { action, path: this.#shown(path) }
    this.#listener.onItem?.(size === undefined ? item : { ...item, size })
  }

  deleted(path: ByteString): void {
    this.#deletedFiles++
    this.#listener.onItem?.({ action: 'deleted', path: this.#shown(path) })
  }

  error(path: ByteString, error: Error): void {
    this.#errorCount++
    const shown = this.#shown(path)
    if (this.#errors.length < ERRORS_KEPT_MAX) this.#errors.push({ path: shown, error })
    this.#listener.onError?.(shown, error)
  }

  /** Records a failure that concerns one entry only; throws any other. */
  failure(path: ByteString, error: unknown): void {
    if (!concernsOneEntry(error)) throw error
    this.error(path, error)
  }

  /** Something of this kind could not be set, perhaps because an ordinary user has no right to. */
  unset(kind: MetadataKind, isRefused = false): void {
    let known = this.#unset.get(kind)
    if (known === undefined) {
      this.#unset.set(kind, (known = { count: 0, refusedCount: 0, examples: [] }))
    }
    known.count++
    if (isRefused) known.refusedCount++
  }

  /** In words what `unset` counts; all but owners and what was refused are told as they come. */
  explainUnset(
    path: ByteString,
    why: { readonly what: MetadataKind; readonly message: string; readonly isRefused?: boolean },
  ): void {
    const { what, message, isRefused = false } = why
    const known = this.#unset.get(what)
    if (known !== undefined && known.examples.length < EXAMPLES_MAX) known.examples.push(message)
    if (what === 'owner' || isRefused) return
    const error = new CairnError('CAIRN_INCOMPLETE', `cannot set ${what}: ${message}`)
    this.#listener.onError?.(this.#shown(path), error)
  }

  progress(): void {
    this.#listener.onProgress?.(this.counts)
  }

  get counts(): RestoreCounts {
    return {
      seconds_elapsed: (this.#clock.monotonicMs() - this.#startMs) / 1000,
      total_files: this.#totalFiles,
      files_restored: this.#restoredFiles,
      files_skipped: this.#skippedFiles,
      files_deleted: this.#deletedFiles,
      total_bytes: this.#totalBytes,
      bytes_restored: this.#restoredBytes,
      bytes_skipped: this.#skippedBytes,
    }
  }

  #isAllSet(): boolean {
    return [...this.#unset.values()].every(({ count, refusedCount }) => count === refusedCount)
  }

  report(): RestoreReport {
    return {
      counts: this.counts,
      errorCount: this.#errorCount,
      errors: this.#errors,
      unset: this.#unset,
      verifiedFiles: this.verifiedFiles,
      isComplete: this.#errorCount === 0 && this.#isAllSet(),
    }
  }
}

/** Damage, or what the file system said: the rest of the restore can go on. */
function concernsOneEntry(error: unknown): error is Error {
  if (isCairnError(error)) {
    const isOwn = error.code === 'CAIRN_CORRUPT' || error.code === 'CAIRN_INCOMPLETE'
    return isOwn || isUnreadable(error)
  }
  if (!(error instanceof Error)) return false
  const { code } = error as NodeJS.ErrnoException
  return code !== undefined && !code.startsWith('ERR_')
}
