/** The workers of a restore: opened when first needed, stopped without leaving anything behind. */

import { assert } from '../../base/errors.ts'
import type { Target } from '../../source/target-files.ts'
import type { RestoreJob, RestoreResult } from '../../pipeline/restore-job.ts'
import { openPool, type WorkPool } from '../../pipeline/work-pool.ts'
import { workEnvironment } from '../environment.ts'
import type { RestoreOptions } from './restore-options.ts'

/** Jobs that a worker has while it does one: it never waits for the main thread. */
const JOBS_PER_WORKER = 3
/** How long workers get to take back what they are writing. */
const STOP_MS_MAX = 1500

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
    const { environment, repository, sparse } = this.#options
    const { data, metadata } = repository.keyring.ids
    const target = this.#target
    assert(target !== undefined, 'there is work only where there is a target')
    const { rootFd, rootPath } = target
    const inline = environment.threads === 0 ? { target } : {}
    return await openPool({
      purpose: 'restore',
      init: {
        rootFd,
        rootPath,
        idKeys: { data, metadata },
        control: this.#control,
        sparse,
        ...inline,
      },
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
    const timeout = new AbortController()
    const stopped = Promise.allSettled(this.#running).then(() => timeout.abort())
    await Promise.race([stopped, clock.sleep(STOP_MS_MAX, timeout.signal).catch(() => {})])
    const pool = await this.#opening.catch(() => undefined)
    await pool?.close()
  }
}
