/** A running program in the simulation: it can be put to sleep at any call, and die at any. */

import type { FileKind } from '../../src/storage/backend.ts'
import type { Verb } from './faults.ts'
import type { Kernel, Owner } from './kernel.ts'
import type { SeededRandom } from './seeded-random.ts'

/** Strikes at the storage call of this number, from 0. */
export interface Interruption {
  readonly atCall: number
  readonly kind: 'crash-before' | 'crash-after' | 'pause'
  /** Of a pause. */
  readonly forMs: number
}

/** A storage call as the tables count it. */
export interface CallPoint {
  readonly verb: Verb
  readonly kind: FileKind | '-'
}

export interface ProcessOptions {
  readonly kernel: Kernel
  readonly client: string
  readonly pid: number
  /** Decides delays and faults of this process's calls. */
  readonly random: SeededRandom
  readonly interruption: Interruption | undefined
  /** Of the process's calls, this is number `at`, from 0. */
  readonly onCall: (call: CallPoint, at: number) => void
  readonly onDeath: (call: CallPoint, kind: Interruption['kind']) => void
  readonly onSleep: (call: CallPoint, forMs: number) => void
}

export class SimProcess implements Owner {
  readonly #options: ProcessOptions
  isDead = false
  /** Whoever waits for it has been told that it is over. */
  hasEnded = false
  asleepUntilMs = 0
  /** While asleep, the monotonic clock stands still. */
  sleptMs = 0
  calls = 0

  constructor(options: ProcessOptions) {
    this.#options = options
  }

  get client(): string {
    return this.#options.client
  }

  get pid(): number {
    return this.#options.pid
  }

  get random(): SeededRandom {
    return this.#options.random
  }

  /** Begins a call. `before`: it dies with it not yet sent; `after`: once it is done. */
  beginCall(call: CallPoint): 'before' | 'after' | undefined {
    const { interruption, kernel, onSleep, onDeath, onCall } = this.#options
    const at = this.calls++
    onCall(call, at)
    if (at !== interruption?.atCall) return undefined
    if (interruption.kind === 'pause') {
      this.asleepUntilMs = kernel.nowMs + interruption.forMs
      this.sleptMs += interruption.forMs
      onSleep(call, interruption.forMs)
      return undefined
    }
    this.isDead = true
    onDeath(call, interruption.kind)
    return interruption.kind === 'crash-before' ? 'before' : 'after'
  }

  /** Dies between two calls. */
  kill(): void {
    this.isDead = true
  }
}
