/**
 * Restores windows one after another: compares what is there, plans, writes, links, verifies, and
 * finishes the directories that the walk has left. One window is being written while the next is
 * walked, compared and planned; its last jobs are still running when those of the next begin.
 */

import { CairnError } from '../../base/errors.ts'
import { REFERENCE_BYTES } from '../../format/constants.ts'
import { isHole, referenceId, referenceLength } from '../../format/tree.ts'
import { FILE_STATUS } from '../../pipeline/restore-job.ts'
import { Batch, type BlobSource } from './batch.ts'
import { BatchRunner } from './batch-runner.ts'
import { Comparer, type Comparison } from './compare-files.ts'
import type { Directories } from './directories.ts'
import { restoreLinks } from './links.ts'
import { inlineReferences, referencesOf } from './references.ts'
import { noteFlags, type RestoreContext } from './restore-context.ts'
import { type OpenSpreadFiles, SpreadFile } from './spread-file.ts'
import { countUnset } from './unset-counts.ts'
import { wantedXattrs } from './wanted-xattrs.ts'
import { type FileTask, Window } from './window.ts'
import type { RestoreWorkers } from './worker-pool.ts'

const TASKS_PER_SLICE = 512

export class WindowRunner {
  readonly #context: RestoreContext
  readonly #directories: Directories
  readonly #comparer: Comparer
  readonly #batches: BatchRunner
  readonly #blobs: BlobSource
  readonly #openFiles: OpenSpreadFiles = new Set()
  /** Files whose first name could not be had: they come again, with what they hold. */
  #again = new Window()
  /** It is done in directories that were finished before. */
  #isAgain = false
  /** Workers have all jobs of the batches before. */
  #handedOut: Promise<void> = Promise.resolve()
  /** All windows before are finished. */
  #writing: Promise<void> = Promise.resolve()
  /** All windows but the last are. */
  #writingBefore: Promise<void> = Promise.resolve()

  constructor(context: RestoreContext, directories: Directories, workers: RestoreWorkers) {
    const { index, repository } = context.options
    this.#context = context
    this.#directories = directories
    this.#comparer = new Comparer(context, workers)
    const packKey = (preamble: Uint8Array) => repository.packKey(preamble)
    this.#blobs = { index, packKey, damaged: new Map() }
    this.#batches = new BatchRunner(context, workers, this.#blobs)
  }

  /** Resolves when the next window may be handed over: this one is being written. */
  async take(window: Window): Promise<void> {
    await this.#compare(window.files.filter(({ check }) => check !== 'none'))
    const wanted = window.files.filter(({ state }) => state === 'pending')
    const isDry = this.#context.options.dryRun
    if (isDry) for (const task of wanted) this.#pretend(task)
    const batch = isDry ? undefined : await this.#plan(wanted)
    const before = this.#writing
    await this.#startBatch(batch)
    this.#writingBefore = before
    this.#writing = this.#writing.then(() => this.#finish(window))
    this.#writing.catch(() => {})
  }

  /** Resolves when everything is done. */
  async finish(): Promise<void> {
    await this.#writing
    while (this.#again.files.length > 0) {
      const window = this.#again
      this.#again = new Window()
      this.#isAgain = true
      for (const directory of window.left) this.#directories.reopen(directory)
      await this.take(window)
      await this.#writing
    }
  }

  /** Takes back what is half written. */
  async stop(): Promise<void> {
    await this.#writing.catch(() => {})
    for (const file of this.#openFiles) file.discard()
  }

  /** Resolves when the batch has begun. A failure shows where the next begins, and at the end. */
  async #startBatch(batch: Batch | undefined): Promise<void> {
    await this.#handedOut
    await this.#writingBefore
    if (batch === undefined) return
    const { handedOut, done } = this.#batches.start(batch)
    this.#handedOut = handedOut
    const before = this.#writing
    // Also when it fails: nothing runs any more then.
    this.#writing = Promise.allSettled([before, done])
      .then(() => Promise.all([before, done]))
      .then(() => {})
    this.#writing.catch(() => {})
  }

  #pretend(task: FileTask): void {
    const { reporter } = this.#context
    task.state = 'restored'
    reporter.addBytes(task.entry.size)
    reporter.restored(task.path, task.replaces, task.entry.size)
  }

  async #compare(tasks: readonly FileTask[]): Promise<void> {
    const sound = tasks.filter((task) => this.#hasSoundReferences(task))
    if (sound.length === 0) return
    const adopt = !this.#context.options.dryRun
    await this.#comparer.run(sound, { adopt, onCompared: (each) => this.#compared(each) })
  }

  /** What its entry says of a file must be right before anything is held against it. */
  #hasSoundReferences(task: FileTask): boolean {
    try {
      if (task.entry.contentList === undefined) inlineReferences(task.entry)
      return true
    } catch (error) {
      this.#failTask(task, error)
      return false
    }
  }

  #compared({ task, status, unset, reports }: Comparison): void {
    const { reporter } = this.#context
    const isTrusted = task.check === 'adopt' && status === FILE_STATUS.unadopted
    if (status === FILE_STATUS.done || isTrusted) {
      task.state = 'kept'
      reporter.keep(task.path, task.entry.size)
      countUnset(reporter, unset)
      for (const { what, message, isRefused = false } of reports) {
        if (what !== 'content') reporter.explainUnset(task.path, { what, message, isRefused })
      }
      noteFlags(this.#context, task)
    } else if (task.besidePath !== undefined && status !== FILE_STATUS.unadopted) {
      task.path = task.besidePath
      task.replaces = false
    } else if (task.besidePath !== undefined) {
      // Both are the same, so there is nothing to keep beside the other.
      task.state = 'kept'
      reporter.keep(task.path, task.entry.size)
    }
  }

  /** Plans files; batches that are full are written meanwhile. Returns the last. */
  async #plan(tasks: readonly FileTask[]): Promise<Batch> {
    let batch = new Batch(this.#blobs, this.#isAgain)
    const hand = async (): Promise<void> => {
      const full = batch
      batch = new Batch(this.#blobs, this.#isAgain)
      await this.#startBatch(full)
    }
    for (const [i, task] of tasks.entries()) {
      // Workers of the window before must not run out of jobs.
      if (i % TASKS_PER_SLICE === 0) await this.#context.options.environment.yield()
      try {
        const { contentList } = task.entry
        const isWhole =
          contentList === undefined && batch.addWhole(task, inlineReferences(task.entry))
        if (!isWhole) await this.#spread(task, () => batch, hand)
        else if (batch.isFull) await hand()
      } catch (error) {
        this.#failTask(task, error)
      }
    }
    return batch
  }

  #failTask(task: FileTask, error: unknown): void {
    if (task.state === 'failed') return
    task.state = 'failed'
    this.#context.reporter.failure(task.path, error)
  }

  /** Adds a file blob by blob; `hand` is called whenever the batch is full. */
  async #spread(task: FileTask, batch: () => Batch, hand: () => Promise<void>): Promise<void> {
    const xattrs = await wantedXattrs(this.#context, task)
    const file = new SpreadFile(this.#context, task, { open: this.#openFiles, xattrs })
    try {
      let position = 0
      for await (const references of referencesOf(this.#context.options, task.entry)) {
        for (let i = 0; i < references.length / REFERENCE_BYTES && !file.isOver; i++) {
          const id = referenceId(references, i)
          const length = referenceLength(references, i)
          if (!isHole(id)) {
            file.expectRow()
            batch().addSpread(file, id, length, position)
          }
          position += length
          if (batch().isFull) await hand()
        }
      }
      file.seal()
    } catch (error) {
      file.fail(error)
    }
  }

  async #finish(window: Window): Promise<void> {
    const { options } = this.#context
    restoreLinks(this.#context, window.links, this.#again)
    if (options.verify && !options.dryRun) await this.#verify(window.files)
    for (const directory of window.left) await this.#directories.finish(directory)
    this.#context.reporter.progress()
  }

  /** Reads back what was written, and what was trusted without being read. */
  async #verify(files: readonly FileTask[]): Promise<void> {
    const written = files.filter(
      ({ state, check }) => state === 'restored' || (state === 'kept' && check === 'adopt'),
    )
    const { reporter } = this.#context
    await this.#comparer.run(
      written.map((task): FileTask => ({ ...task, check: 'compare' })),
      {
        adopt: false,
        onCompared: ({ task, status, reports }) => {
          if (status === FILE_STATUS.done) {
            reporter.verifiedFiles++
            return
          }
          const why = reports[0]?.message ?? 'its contents are not those of the snapshot'
          const error = new CairnError('CAIRN_INCOMPLETE', `verification failed: ${why}`)
          reporter.error(task.path, error)
        },
      },
    )
  }
}
