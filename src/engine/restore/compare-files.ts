/** Has workers compare files of the target with what they should be. */

import { isCairnError, throwIfAborted } from '../../base/errors.ts'
import { REFERENCE_BYTES } from '../../format/constants.ts'
import { referenceLength } from '../../format/tree.ts'
import {
  type CompareJob,
  encodeFiles,
  FILE_STATUS,
  type RestoreResult,
} from '../../pipeline/restore-job.ts'
import { referencesOf } from './references.ts'
import type { RestoreContext } from './restore-context.ts'
import type { FileTask } from './window.ts'
import { factsOf } from './wanted-xattrs.ts'
import type { RestoreWorkers } from './worker-pool.ts'
import { LARGE_XATTRS_BYTES } from './write-jobs.ts'

const FILES_MAX = 256
const BYTES_MAX = 32 << 20

export interface Comparison {
  readonly task: FileTask
  /** One of FILE_STATUS. */
  readonly status: number
  readonly unset: number
  readonly reports: RestoreResult['reports']
}

export interface CompareOptions {
  /** Sets the metadata of equal files. */
  readonly adopt: boolean
  /** Told of each file once. */
  readonly onCompared: (comparison: Comparison) => void
}

/** A piece of a file to compare. */
interface Piece {
  readonly task: FileTask
  readonly start: number
  readonly references: Uint8Array
}

export class Comparer {
  readonly #context: RestoreContext
  readonly #workers: RestoreWorkers
  readonly #running = new Set<Promise<void>>()

  constructor(context: RestoreContext, workers: RestoreWorkers) {
    this.#context = context
    this.#workers = workers
  }

  /** Compares by content; with `check: 'adopt'`, by size alone. */
  async run(tasks: readonly FileTask[], options: CompareOptions): Promise<void> {
    try {
      let pieces: Piece[] = []
      let byteCount = 0
      for (const task of tasks) {
        if (task.check !== 'adopt' && task.entry.contentList !== undefined) {
          await this.#compareLarge(task, options)
          continue
        }
        const references = task.check === 'adopt' ? NONE : (task.entry.content ?? NONE)
        pieces.push({ task, start: 0, references })
        byteCount += references.length === 0 ? 0 : task.entry.size
        if (task.entry.xattrsId !== undefined) byteCount += LARGE_XATTRS_BYTES
        if (pieces.length < FILES_MAX && byteCount < BYTES_MAX) continue
        await this.#start(pieces, options)
        pieces = []
        byteCount = 0
      }
      if (pieces.length > 0) await this.#start(pieces, options)
      await Promise.all(this.#running)
    } finally {
      await Promise.allSettled(this.#running)
    }
  }

  async #start(pieces: readonly Piece[], options: CompareOptions): Promise<void> {
    throwIfAborted(this.#context.options.signal)
    while (this.#running.size >= this.#workers.jobsAtOnce) await Promise.race(this.#running)
    const running = this.#compare(pieces, options.adopt)
      .then((result) => tell(pieces, result, options))
      .finally(() => this.#running.delete(running))
    running.catch(() => {})
    this.#running.add(running)
  }

  async #compare(pieces: readonly Piece[], adopt: boolean): Promise<RestoreResult> {
    const tasks = pieces.map(({ task }) => task)
    const job: CompareJob = {
      kind: 'compare',
      files: encodeFiles(await factsOf(this.#context, tasks)),
      adopt,
      starts: Float64Array.from(pieces, ({ start }) => start),
      counts: Uint32Array.from(pieces, ({ references }) => references.length / REFERENCE_BYTES),
      references: Buffer.concat(pieces.map(({ references }) => references)),
    }
    return await this.#workers.run(job)
  }

  /** A file with a list of references, piece by piece; its metadata last. */
  async #compareLarge(task: FileTask, options: CompareOptions): Promise<void> {
    try {
      tell([{ task }], await this.#resultOfLarge(task, options.adopt), options)
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      const report = { file: 0, what: 'content' as const, code: error.code, message: error.message }
      options.onCompared({ task, status: FILE_STATUS.failed, unset: 0, reports: [report] })
    }
  }

  async #resultOfLarge(task: FileTask, adopt: boolean): Promise<RestoreResult> {
    let start = 0
    for await (const leaf of referencesOf(this.#context.options, task.entry)) {
      for (const references of slices(leaf)) {
        throwIfAborted(this.#context.options.signal)
        const result = await this.#compare([{ task, start, references }], false)
        if (result.statuses[0] !== FILE_STATUS.done) return result
        for (let i = 0; i < references.length / REFERENCE_BYTES; i++) {
          start += referenceLength(references, i)
        }
      }
    }
    return await this.#compare([{ task, start, references: NONE }], adopt)
  }
}

const NONE = new Uint8Array()

/** Parts of a leaf that make a job of ordinary size. */
function* slices(leaf: Uint8Array): Generator<Uint8Array> {
  let first = 0
  let byteCount = 0
  for (let i = 0; i < leaf.length / REFERENCE_BYTES; i++) {
    byteCount += referenceLength(leaf, i)
    if (byteCount < BYTES_MAX) continue
    yield leaf.subarray(first, (i + 1) * REFERENCE_BYTES)
    first = (i + 1) * REFERENCE_BYTES
    byteCount = 0
  }
  if (first < leaf.length) yield leaf.subarray(first)
}

function tell(
  pieces: readonly { readonly task: FileTask }[],
  { statuses, unset, reports }: RestoreResult,
  { onCompared }: CompareOptions,
): void {
  for (const [i, { task }] of pieces.entries()) {
    onCompared({
      task,
      status: statuses[i] ?? FILE_STATUS.failed,
      unset: unset[i] ?? 0,
      reports: reports.length === 0 ? reports : reports.filter(({ file }) => file === i),
    })
  }
}
