/** Carries out a batch: jobs to workers, what comes back into files, damaged copies replaced. */

import { assert, throwIfAborted } from '../../base/errors.ts'
import { FILE_STATUS, type RestoreResult, type WriteJob } from '../../pipeline/restore-job.ts'
import { Batch, type BlobSource } from './batch.ts'
import { inlineReferences } from './references.ts'
import { reportUnsupported, type RestoreContext } from './restore-context.ts'
import { localPath, loadSegments } from './segment-loader.ts'
import type { SpreadFile } from './spread-file.ts'
import { countUnset } from './unset-counts.ts'
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

export class BatchRunner {
  readonly #context: RestoreContext
  readonly #workers: RestoreWorkers
  readonly #blobs: BlobSource
  readonly #spillBuffers: Uint8Array[] = []
  /** What damage has left to be done again. */
  #lostFiles: FileTask[] = []
  #lostRows: LostRow[] = []

  constructor(context: RestoreContext, workers: RestoreWorkers, blobs: BlobSource) {
    this.#context = context
    this.#workers = workers
    this.#blobs = blobs
  }

  /** Returns when every file of the batch that can be written is. */
  async run(first: Batch): Promise<void> {
    let batch = first
    for (;;) {
      await this.#runJobs(batch)
      if (this.#lostFiles.length === 0 && this.#lostRows.length === 0) return
      batch = this.#again()
    }
  }

  async #runJobs(batch: Batch): Promise<void> {
    const { options } = this.#context
    const running = new Set<Promise<void>>()
    let failure: { readonly error: unknown } | undefined
    for (const job of writeJobs(batch, options)) {
      while (running.size >= this.#workers.jobsAtOnce) await Promise.race(running)
      if (failure !== undefined || options.signal?.aborted === true) break
      const done = this.#runJob(job)
        .catch((error: unknown) => {
          failure ??= { error }
        })
        .finally(() => running.delete(done))
      running.add(done)
    }
    await Promise.all(running)
    if (failure !== undefined) throw failure.error
    throwIfAborted(options.signal)
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
    const spill = this.#spillBuffer(job.spillBytes)
    const message: WriteJob = { ...job.message, packs, sealed, spill }
    const moved = [...sealed, spill].map(({ buffer }) => buffer)
    const transfer = moved.filter((buffer) => buffer instanceof ArrayBuffer)
    const result = await this.#workers.run(message, transfer)
    this.#settle(job, result)
    if (result.spill.length > 0) this.#spillBuffers.push(result.spill)
    this.#context.reporter.progress()
  }

  #spillBuffer(byteCount: number): Uint8Array {
    if (byteCount === 0) return new Uint8Array()
    const kept = this.#spillBuffers.pop()
    return kept !== undefined && kept.length >= byteCount ? kept : new Uint8Array(byteCount)
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
      reportUnsupported(reporter, path, entry)
    }
    for (const { file, what, code, message } of result.reports) {
      const path = job.tasks[file]?.path ?? ''
      if (what !== 'content') reporter.explainUnset(path, what, message)
      else reporter.error(path, Object.assign(new Error(message), { code }))
    }
    this.#spread(job, result)
  }

  #spread({ batch, spilled, message }: PlannedJob, result: RestoreResult): void {
    const damaged = new Set(result.damagedRows)
    for (const [row, batchRow, spread] of spilled) {
      const file = batch.spread[spread]
      if (file === undefined || file.isOver) continue
      const length = batch.length[batchRow] ?? 0
      const position = batch.position[batchRow] ?? 0
      if (damaged.has(row)) {
        const id = batch.ids.subarray(batchRow * 32, batchRow * 32 + 32)
        this.#lostRows.push({ file, id, length, position })
      } else file.write(result.spill, message.positions[row] ?? 0, length, position)
    }
  }

  /** A batch of what was lost to damage, from other copies where there are any. */
  #again(): Batch {
    const batch = new Batch(this.#blobs)
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
    this.#lostFiles = []
    this.#lostRows = []
    return batch
  }
}
