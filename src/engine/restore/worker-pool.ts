/** The workers of a restore: opened when first needed, stopped without leaving anything behind. */

import { assert } from '../../base/errors.ts'
import { waitAtMost } from '../../base/wait-at-most.ts'
import type { Target } from '../../source/target-files.ts'
import type { RestoreJob, RestoreResult } from '../../pipeline/restore-job.ts'
import type { RestoreInit } from '../../pipeline/restore-body.ts'
import { openPool, type WorkPool } from '../../pipeline/work-pool.ts'
import { type Environment, workEnvironment } from '../environment.ts'
import type { RestoreOptions } from './restore-options.ts'

/** Jobs that a worker has while it does one: it never waits for the main thread. */
const JOBS_PER_WORKER = 3
/** How long workers get to take back what they are writing. */
const STOP_MS_MAX = 1500

/** Threads that load their code before there is anything to tell them: while keys are derived. */
export class EarlyRestoreThreads {
  readonly #pool: Promise<WorkPool<'restore'>>
  #begin: (init: RestoreInit) => void = () => {}

  constructor(environment: Environment) {
    const init = new Promise<RestoreInit>((resolve) => {
      this.#begin = resolve
    })
    this.#pool = openPool({
      purpose: 'restore',
      init,
      threads: environment.threads,
      environment: workEnvironment(environment),
      entry: environment.workerEntry,
      onNote: () => {},
    })
    this.#pool.catch(() => {}) // Thrown by `begin`.
  }

  /** Undefined where all is done inline. */
  static start(environment: Environment): EarlyRestoreThreads | undefined {
    return environment.threads === 0 ? undefined : new EarlyRestoreThreads(environment)
  }

  async begin(init: RestoreInit): Promise<WorkPool<'restore'>> {
    this.#begin(init)
    return await this.#pool
  }

  /** Ends the threads, whether or not they have begun. */
  async close(): Promise<void> {
    const pool = await this.#pool.catch(() => undefined)
    await pool?.close()
  }
}

export class RestoreWorkers {
  readonly #options: RestoreOptions
  readonly #target: Target | undefined
  readonly #control = new SharedArrayBuffer(4)
  readonly #running = new Set<Promise<unknown>>()
  #opening: Promise<WorkPool<'restore'>> | undefined

  constructor(options: RestoreOptions, target: Target | undefined) {
    this.#options = options
    this.#target = target
  }

  get jobsAtOnce(): number {
    return Math.max(1, this.#options.environment.threads) * JOBS_PER_WORKER
  }

  /** Threads take a while to start: they do so meanwhile. A failure shows at the first job. */
  start(): void {
    this.#opening ??= this.#open()
    this.#opening.catch(() => {})
  }

  async #open(): Promise<WorkPool<'restore'>> {
    const { environment, repository, sparse, threads, xattrPatterns } = this.#options
    const { data, metadata } = repository.keyring.ids
    const target = this.#target
    assert(target !== undefined, 'there is work only where there is a target')
    const { rootFd, rootPath } = target
    const inline = environment.threads === 0 ? { target } : {}
    const init: RestoreInit = {
      rootFd,
      rootPath,
      idKeys: { data, metadata },
      control: this.#control,
      sparse,
      xattrPatterns: xattrPatterns ?? { include: [], exclude: [] },
      ...inline,
    }
    if (threads !== undefined) return await threads.begin(init)
    return await openPool({
      purpose: 'restore',
      init,
      threads: environment.threads,
      environment: workEnvironment(environment),
      entry: environment.workerEntry,
      onNote: () => {},
    })
  }

  async run(job: RestoreJob, transfer: readonly ArrayBuffer[] = []): Promise<RestoreResult> {
    this.start()
    const pool = await this.#opening
    assert(pool !== undefined, 'the pool has been opened')
    // Inline work would otherwise hold everything else up.
    if (this.#options.environment.threads === 0) await this.#options.environment.yield()
    const running = pool.run(job, { transfer })
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
    }
  }

  /** Tells workers to stop: what they do ends in CAIRN_ABORTED within milliseconds. */
  cancel(): void {
    Atomics.store(new Int32Array(this.#control), 0, 1)
  }

  async close(): Promise<void> {
    if (this.#opening === undefined) return
    this.cancel()
    const { clock } = this.#options.environment
    await waitAtMost(STOP_MS_MAX, Promise.allSettled(this.#running), clock)
    const pool = await this.#opening.catch(() => undefined)
    await pool?.close()
  }
}
