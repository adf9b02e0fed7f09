/**
 * Where work is done: in worker threads, or inline on the calling thread. A worker's body is one
 * synchronous function either way, so that small runs pay for no thread and the simulation can run
 * the real engine on one.
 *
 * A pool never outlives the operation that opened it: `close` ends its threads.
 */

import { Worker } from 'node:worker_threads'
import { BugError, CairnError } from '../base/errors.ts'
import type { Clock, Randomness } from '../base/seams.ts'
import type { SourceFiles } from '../source/source-files.ts'
import { createBody, type Purposes, type Purpose } from './bodies.ts'

/** The seams as a body sees them. */
export interface WorkEnvironment {
  readonly clock: Clock
  readonly random: Randomness
  readonly pid: number
  readonly source: SourceFiles
}

/** What a body can do besides returning a result. */
export interface BodyHost {
  readonly environment: WorkEnvironment
  /** Tells the pool's owner something; `transfer` moves buffers instead of copying them. */
  post(note: unknown, transfer?: readonly ArrayBuffer[]): void
}

/** One worker's state and its function. Everything is synchronous. */
export interface WorkBody<Job, Result> {
  run(job: Job): Result
  /** Takes what the owner broadcasts or returns between jobs. */
  receive(note: unknown): void
  close(): Promise<void>
}

export interface PoolOptions<P extends Purpose> {
  readonly purpose: P
  /** May still be on its way: threads load their code meanwhile. Jobs wait for it. */
  readonly init: Purposes[P]['init'] | Promise<Purposes[P]['init']>
  /** 0 runs inline. */
  readonly threads: number
  readonly environment: WorkEnvironment
  /** The compiled entry of a thread; undefined where threads are never asked for. */
  readonly entry: URL | undefined
  readonly onNote: (note: unknown, worker: number) => void
}

export interface WorkPool<P extends Purpose> {
  /** 1 when inline. */
  readonly size: number
  /** Runs a job on the worker with the least to do, or on `worker`. */
  run(job: Purposes[P]['job'], options?: RunOptions): Promise<Purposes[P]['result']>
  /** Sends a note to one worker, or to all. */
  send(note: unknown, worker?: number, transfer?: readonly ArrayBuffer[]): void
  /** Jobs given and not yet answered. */
  readonly pending: number
  /** A thread has been lost, or the pool is closed: every job rejects, and one may be running yet. */
  readonly isBroken: boolean
  /** Ends the threads at once, whatever they do. Running jobs reject. */
  close(): Promise<void>
}

export interface RunOptions {
  readonly worker?: number
  readonly transfer?: readonly ArrayBuffer[]
}

export async function openPool<P extends Purpose>(options: PoolOptions<P>): Promise<WorkPool<P>> {
  return options.threads === 0 ? await openInline(options) : new ThreadPool(options)
}

async function openInline<P extends Purpose>(options: PoolOptions<P>): Promise<WorkPool<P>> {
  const body = await createBody(options.purpose, await options.init, {
    environment: options.environment,
    post: (note) => options.onNote(note, 0),
  })
  return {
    size: 1,
    pending: 0,
    isBroken: false,
    // Not async: the job is done when `run` returns, whenever its promise is looked at.
    run: (job) => {
      try {
        return Promise.resolve(body.run(job))
      } catch (error) {
        return Promise.reject(error as Error)
      }
    },
    send: (note) => body.receive(note),
    close: () => body.close(),
  }
}

/** What travels to and from a thread. */
export type ToThread =
  | { readonly kind: 'init'; readonly init: unknown }
  | { readonly kind: 'job'; readonly id: number; readonly job: unknown }
  | { readonly kind: 'note'; readonly note: unknown }
export type FromThread =
  | { readonly kind: 'result'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly failure: ThreadFailure }
  | { readonly kind: 'note'; readonly note: unknown }
  /** All code is there, native libraries too. */
  | { readonly kind: 'loaded' }

/** An error as it crosses threads: a class does not survive, its facts do. */
export interface ThreadFailure {
  readonly name: string
  readonly code: string | undefined
  readonly messages: readonly string[]
  readonly stack: string | undefined
}

function revive(failure: ThreadFailure): Error {
  const [message = 'unknown error', ...causes] = failure.messages
  const cause = causes.length > 0 ? new Error(causes.join(': ')) : undefined
  if (failure.code?.startsWith('CAIRN_')) {
    return new CairnError(failure.code as CairnError['code'], message, { cause })
  }
  const error = new Error(message, { cause })
  error.name = failure.name
  if (failure.stack !== undefined) error.stack = failure.stack
  return error
}

interface Waiting {
  readonly worker: number
  readonly resolve: (result: unknown) => void
  readonly reject: (error: Error) => void
}

class ThreadPool<P extends Purpose> implements WorkPool<P> {
  /** Resolve when a thread has loaded its code, or has ended. */
  readonly #loaded: Promise<void>[] = []
  readonly #workers: Worker[]
  readonly #load: number[]
  readonly #waiting = new Map<number, Waiting>()
  readonly #onNote: PoolOptions<P>['onNote']
  readonly #ready: Promise<void>
  #isReady = false
  #nextId = 1
  #failure: Error | undefined
  #closed = false

  constructor(options: PoolOptions<P>) {
    const { entry } = options
    if (entry === undefined) throw new BugError('this environment has no entry for threads')
    this.#onNote = options.onNote
    this.#load = Array.from({ length: options.threads }, () => 0)
    this.#workers = this.#load.map((_, index) => {
      const worker = new Worker(entry, {
        workerData: { purpose: options.purpose },
        // A thread holds fixed buffers and little else.
        resourceLimits: { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 6 },
      })
      this.#loaded.push(
        new Promise((resolve) => {
          worker.on('message', (message: FromThread) => {
            if (message.kind === 'loaded') resolve()
            else this.#receive(message, index)
          })
          worker.on('exit', () => resolve())
        }),
      )
      worker.on('messageerror', (error) => this.#fail(error as Error))
      worker.on('error', (error) => this.#fail(error as Error))
      worker.on('exit', (code) => {
        if (!this.#closed) this.#fail(new Error(`a worker thread ended with code ${code}`))
      })
      return worker
    })
    this.#ready = this.#start(options.init)
    // Whoever runs a job hears of it.
    this.#ready.catch(() => {})
  }

  async #start(init: PoolOptions<P>['init']): Promise<void> {
    const message: ToThread = { kind: 'init', init: await init }
    for (const worker of this.#workers) worker.postMessage(message)
    this.#isReady = true
  }

  get size(): number {
    return this.#workers.length
  }

  get pending(): number {
    return this.#waiting.size
  }

  get isBroken(): boolean {
    return this.#failure !== undefined
  }

  #fail(error: Error): void {
    this.#failure ??= error
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure)
    this.#waiting.clear()
  }

  #receive(message: Exclude<FromThread, { kind: 'loaded' }>, worker: number): void {
    if (message.kind === 'note') {
      this.#onNote(message.note, worker)
      return
    }
    const waiting = this.#waiting.get(message.id)
    if (waiting === undefined) return
    this.#waiting.delete(message.id)
    this.#load[worker] = (this.#load[worker] ?? 1) - 1
    if (message.kind === 'result') waiting.resolve(message.result)
    else waiting.reject(revive(message.failure))
  }

  async run(job: Purposes[P]['job'], options: RunOptions = {}): Promise<Purposes[P]['result']> {
    // Messages keep their order: what is sent before the threads are ready would come first.
    if (!this.#isReady) await this.#ready
    if (this.#failure !== undefined) throw this.#failure
    const index = options.worker ?? this.#load.indexOf(Math.min(...this.#load))
    const id = this.#nextId++
    this.#load[index] = (this.#load[index] ?? 0) + 1
    return await new Promise((resolve, reject) => {
      // The map is keyed by id, so that each result meets the promise of its own job.
      this.#waiting.set(id, {
        worker: index,
        resolve: resolve as (result: unknown) => void,
        reject,
      })
      const message: ToThread = { kind: 'job', id, job }
      this.#workers[index]?.postMessage(message, [...(options.transfer ?? [])])
    })
  }

  send(note: unknown, worker?: number, transfer: readonly ArrayBuffer[] = []): void {
    const message: ToThread = { kind: 'note', note }
    if (worker === undefined) for (const each of this.#workers) each.postMessage(message)
    else this.#workers[worker]?.postMessage(message, [...transfer])
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#fail(new CairnError('CAIRN_ABORTED', 'interrupted'))
    // A thread that is stopped while it loads a native library takes the process with it.
    await Promise.all(this.#loaded)
    await Promise.all(this.#workers.map((worker) => worker.terminate()))
  }
}
