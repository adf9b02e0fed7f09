/**
 * A file whose blobs come from several jobs: large ones, and such as are scattered. The main thread
 * opens and names it; workers write into it meanwhile, each blob to its place.
 */

import { assert } from '../../base/errors.ts'
import type { TargetFile, Xattr } from '../../source/target-files.ts'
import { noteFlags, reportUnset, type RestoreContext, targetMetadata } from './restore-context.ts'
import type { FileTask } from './window.ts'

/** Files being put together: to be taken back if the restore ends early. */
export type OpenSpreadFiles = Set<SpreadFile>

export class SpreadFile {
  readonly task: FileTask
  readonly #context: RestoreContext
  readonly #open: OpenSpreadFiles
  readonly #xattrs: readonly Xattr[] | undefined
  #file: TargetFile | undefined
  #rowsLeft = 0
  /** Jobs that may still write into it: until they are over it stays open. */
  #jobs = 0
  #isWholeKnown = false

  /** `xattrs` undefined leaves those that are there. */
  constructor(
    context: RestoreContext,
    task: FileTask,
    {
      open,
      xattrs,
    }: {
      readonly open: OpenSpreadFiles
      readonly xattrs: readonly Xattr[] | undefined
    },
  ) {
    this.#context = context
    this.task = task
    this.#open = open
    this.#xattrs = xattrs
    open.add(this)
  }

  get isOver(): boolean {
    return this.task.state !== 'pending'
  }

  /** A blob of it has been asked for. */
  expectRow(): void {
    this.#rowsLeft++
  }

  /** All of its blobs have been asked for. */
  seal(): void {
    this.#isWholeKnown = true
    this.#finishIfWhole()
  }

  /** For a job that has blobs of it; -1 if there is no use in them. To be given back in any case. */
  lend(): number {
    this.#jobs++
    if (this.isOver) return -1
    try {
      return this.#create().shared
    } catch (error) {
      this.fail(error)
      return -1
    }
  }

  giveBack(): void {
    this.#jobs--
    if (this.task.state === 'failed') this.#discardIfIdle()
  }

  /** A blob of it is where it belongs. */
  written(length: number): void {
    if (this.isOver) return
    this.#rowsLeft--
    this.#context.reporter.addBytes(length)
    this.#finishIfWhole()
  }

  #create(): TargetFile {
    if (this.#file !== undefined) return this.#file
    const { target } = this.#context
    assert(target !== undefined, 'files are written only where there is a target')
    this.#file = target.createFile(this.task.path)
    this.#file.truncate(this.task.entry.size)
    return this.#file
  }

  #finishIfWhole(): void {
    if (!this.#isWholeKnown || this.#rowsLeft > 0 || this.isOver) return
    const { reporter } = this.#context
    const { path, entry, replaces } = this.task
    try {
      const file = this.#create()
      const failures = file.setMetadata(targetMetadata(this.#context, entry, this.#xattrs))
      const afterwards = file.commit({ overwrite: replaces })
      this.#open.delete(this)
      this.task.state = 'restored'
      reportUnset(reporter, path, [...failures, ...afterwards])
      noteFlags(this.#context, this.task)
      reporter.restored(path, replaces, entry.size)
    } catch (error) {
      this.fail(error)
    }
  }

  /** Takes the file back and says why; throws what concerns not only this file. */
  fail(error: unknown): void {
    if (this.isOver) return
    this.task.state = 'failed'
    this.#discardIfIdle()
    this.#context.reporter.failure(this.task.path, error)
  }

  #discardIfIdle(): void {
    if (this.#jobs === 0) this.discard()
  }

  /** No job may have it any more. */
  discard(): void {
    this.#open.delete(this)
    try {
      this.#file?.discard()
    } catch {
      // What failed first is what to tell; a later restore knows the name for what it is.
    }
    this.#file = undefined
  }
}
