/** Carries out a batch: jobs to workers, what comes back into files, damaged copies replaced. */

import { assert, throwIfAborted } from '../../base/errors.ts'
import {
  encodeFiles,
  FILE_STATUS,
  type RestoreResult,
  ROW_COLUMNS,
  SHARED_FILE,
  type WriteJob,
} from '../../pipeline/restore-job.ts'
import { Batch, type BlobSource } from './batch.ts'
import { inlineReferences } from './references.ts'
import { noteFlags, type RestoreContext } from './restore-context.ts'
import { localPath, loadSegments } from './segment-loader.ts'
import type { SpreadFile } from './spread-file.ts'
import { countUnset } from './unset-counts.ts'
import { factsOf } from './wanted-xattrs.ts'
import type { FileTask } from './window.ts'
import type { RestoreWorkers } from './worker-pool.ts'
import { type PlannedJob, writeJobs } from './write-jobs.ts'

/** A blob that is asked for again, of another copy. */
interface LostRow {
  readonly file: SpreadFile
  readonly id: Uint8Array
  readonly length: number
  readonly position: number
}

/** A batch that is being carried out. */
export interface BatchRun {
  /** Resolves when workers have all of its jobs: those of another batch may follow. */
  readonly handedOut: Promise<void>
  /** Resolves when every file of it that can be written is. Rejects only when no job of it runs. */
  readonly done: Promise<void>
}

export class BatchRunner {
  readonly #context: RestoreContext
  readonly #workers: RestoreWorkers
  readonly #blobs: BlobSource
  /** Jobs of all batches. */
  readonly #running = new Set<Promise<void>>()

  constructor(context: RestoreContext, workers: RestoreWorkers, blobs: BlobSource) {
    this.#context = context
    this.#workers = workers
    this.#blobs = blobs
  }

  start(batch: Batch): BatchRun {
    const round = new Round(this.#context, this.#workers, this.#running)
    const handedOut = round.handOut(batch)
    const done = this.#finish(round, handedOut, batch.refresh)
    handedOut.catch(() => {})
    done.catch(() => {})
    return { handedOut, done }
  }

  async #finish(first: Round, handedOut: Promise<void>, refresh: boolean): Promise<void> {
    let round = first
    await round.finish(handedOut)
    while (round.hasLost) {
      const batch = round.again(new Batch(this.#blobs, refresh))
      round = new Round(this.#context, this.#workers, this.#running)
      await round.finish(round.handOut(batch))
    }
  }
}

/** One batch, and what damage has left of it to be done again. */
class Round {
  readonly #context: RestoreContext
  readonly #workers: RestoreWorkers
  readonly #slots: Set<Promise<void>>
  readonly #own: Promise<void>[] = []
  #failure: { readonly error: unknown } | undefined
  readonly #lostFiles: FileTask[] = []
  readonly #lostRows: LostRow[] = []

  constructor(context: RestoreContext, workers: RestoreWorkers, slots: Set<Promise<void>>) {
    this.#context = context
    this.#workers = workers
    this.#slots = slots
  }

  get hasLost(): boolean {
    return this.#lostFiles.length > 0 || this.#lostRows.length > 0
  }

  async handOut(batch: Batch): Promise<void> {
    const { options } = this.#context
    for (const job of writeJobs(batch)) {
      while (this.#slots.size >= this.#workers.jobsAtOnce) await Promise.race(this.#slots)
      if (this.#failure !== undefined || options.signal?.aborted === true) break
      const done = this.#runJob(job)
        .catch((error: unknown) => {
          this.#failure ??= { error }
        })
        .finally(() => this.#slots.delete(done))
      this.#slots.add(done)
      this.#own.push(done)
    }
  }

  async finish(handedOut: Promise<void>): Promise<void> {
    const [handing] = await Promise.allSettled([handedOut])
    await Promise.all(this.#own)
    if (handing.status === 'rejected') throw handing.reason
    if (this.#failure !== undefined) throw this.#failure.error
    throwIfAborted(this.#context.options.signal)
  }

  async #runJob(job: PlannedJob): Promise<void> {
    const { options } = this.#context
    const packs = job.packs.map((rank) => {
      const pack = job.batch.packs[rank]
      assert(pack !== undefined, 'a job names packs of its batch')
      return { key: pack.key, path: localPath(options, pack.packNumber) }
    })
    const isLocal = packs.every(({ path }) => path !== undefined)
    const sealed = isLocal ? [] : await loadSegments(options, job)
    const moved = sealed.map(({ buffer }) => buffer)
    const transfer = moved.filter((buffer) => buffer instanceof ArrayBuffer)
    const files = encodeFiles(await factsOf(this.#context, job.tasks))
    const shared = Int32Array.from(job.spread, (file) => file.lend())
    const { refresh } = job.batch
    const message: WriteJob = { ...job.message, refresh, files, packs, sealed, shared }
    this.#settle(job, await this.#workers.run(message, transfer))
    // After a failure nobody knows who still writes: the files stay lent until all workers are gone.
    for (const file of job.spread) file.giveBack()
    this.#context.reporter.progress()
  }

  #settle(job: PlannedJob, result: RestoreResult): void {
    const { reporter } = this.#context
    for (const [i, row] of result.damagedRows.entries()) {
      job.batch.markDamaged(job.batchRows[row] ?? 0, result.damage[i] ?? 'it is damaged')
    }
    for (const [file, task] of job.tasks.entries()) {
      const status = result.statuses[file]
      if (status === FILE_STATUS.damaged) this.#lostFiles.push(task)
      if (status === FILE_STATUS.failed) task.state = 'failed'
      if (status !== FILE_STATUS.done) continue
      const { path, entry, replaces } = task
      task.state = 'restored'
      reporter.addBytes(entry.size)
      reporter.restored(path, replaces, entry.size)
      countUnset(reporter, result.unset[file] ?? 0)
      noteFlags(this.#context, task)
    }
    for (const { file, what, code, message, isRefused = false } of result.reports) {
      const path = job.tasks[file]?.path ?? ''
      if (what !== 'content') reporter.explainUnset(path, { what, message, isRefused })
      else reporter.error(path, Object.assign(new Error(message), { code }))
    }
    this.#spread(job, result)
  }

  #spread(job: PlannedJob, result: RestoreResult): void {
    const { batch, spread, batchRows, message } = job
    if (spread.length === 0) return
    for (const { shared, code, message: text } of result.sharedFailures) {
      spread[shared]?.fail(Object.assign(new Error(text), { code }))
    }
    const damaged = new Set(result.damagedRows)
    for (const [row, batchRow] of batchRows.entries()) {
      const number = message.rows[row * ROW_COLUMNS + 2] ?? 0
      const file = number < SHARED_FILE ? undefined : spread[number - SHARED_FILE]
      if (file === undefined || file.isOver) continue
      const length = batch.length[batchRow] ?? 0
      if (damaged.has(row)) {
        const id = batch.ids.subarray(batchRow * 32, batchRow * 32 + 32)
        const position = batch.position[batchRow] ?? 0
        this.#lostRows.push({ file, id, length, position })
      } else file.written(length)
    }
  }

  /** Adds what was lost to damage, from other copies where there are any. */
  again(batch: Batch): Batch {
    for (const task of this.#lostFiles) {
      try {
        // The first copies were close together; the others may not be, and one job takes them all.
        batch.addWhole(task, inlineReferences(task.entry), Number.POSITIVE_INFINITY)
      } catch (error) {
        task.state = 'failed'
        this.#context.reporter.failure(task.path, error)
      }
    }
    for (const { file, id, length, position } of this.#lostRows) {
      try {
        batch.addSpread(file, id, length, position)
      } catch (error) {
        file.fail(error)
      }
    }
    return batch
  }
}
