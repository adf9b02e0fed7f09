/**
 * A client of the simulation: a machine with files, a scan cache, a clock that may be wrong, and
 * programs that run on it one after the other.
 */

import type { Process } from '../../src/base/seams.ts'
import type { Environment } from '../../src/engine/environment.ts'
import { CairnError } from '../../src/base/errors.ts'
import { MemoryCache } from '../support/backup-harness.ts'
import type { Kernel } from './kernel.ts'
import type { SeededRandom } from './seeded-random.ts'
import { SimFiles } from './sim-files.ts'
import type { SimProcess } from './sim-process.ts'

/** Where virtual time begins: 2026-11-21 in nanoseconds since 1970. */
const EPOCH_NS = 1_795_219_200_000_000_000n

export interface MachineOptions {
  readonly kernel: Kernel
  readonly name: string
  /** Its wall clock minus the true time. */
  readonly skewMs: number
  readonly random: SeededRandom
}

export class SimMachine {
  readonly name: string
  readonly files: SimFiles
  readonly cache = new MemoryCache()
  readonly #kernel: Kernel
  readonly #running = new Map<number, SimProcess>()
  #random: SeededRandom
  #hostname: string
  #bootId: string
  #skewMs: number
  #pids = 100

  constructor(options: MachineOptions) {
    this.name = options.name
    this.#kernel = options.kernel
    this.#skewMs = options.skewMs
    this.#random = options.random
    this.#hostname = options.name
    this.#bootId = `boot-${options.name}`
    this.files = new SimFiles(() => this.wallNs())
  }

  get hostname(): string {
    return this.#hostname
  }

  /** Becomes what `original` is now, to the last bit of memory: a virtual machine restored twice. */
  becomeCloneOf(original: SimMachine): void {
    original.files.copyTo(this.files)
    this.cache.files.clear()
    for (const [name, bytes] of original.cache.files) this.cache.files.set(name, bytes)
    this.#random = original.#random.clone()
    this.#hostname = original.#hostname
    this.#bootId = original.#bootId
    this.#skewMs = original.#skewMs
    this.#pids = original.#pids
  }

  reboot(): void {
    this.#bootId = `boot-${this.name}-${this.#kernel.nowMs}`
  }

  wallNs(): bigint {
    return EPOCH_NS + BigInt(Math.round((this.#kernel.nowMs + this.#skewMs) * 1e6))
  }

  nextPid(): number {
    return ++this.#pids
  }

  begin(process: SimProcess): void {
    this.#running.set(process.pid, process)
  }

  end(process: SimProcess): void {
    process.kill()
    this.#running.delete(process.pid)
  }

  /** The power goes. */
  killAll(): void {
    for (const process of this.#running.values()) process.kill()
    this.#running.clear()
  }

  environment(process: SimProcess): Environment {
    const kernel = this.#kernel
    return {
      clock: {
        wallNs: () => this.wallNs(),
        monotonicMs: () => kernel.nowMs - process.sleptMs,
        sleep: (delayMs, signal) => sleep(kernel, process, delayMs, signal),
        every: (periodMs, action) => every(kernel, process, periodMs, action),
      },
      random: this.#random,
      process: this.#processSeam(process),
      source: this.files,
      target: this.files,
      threads: 0,
      workerEntry: undefined,
      yield: () => new Promise((resolve) => kernel.schedule(0.01, process, resolve)),
    }
  }

  #processSeam({ pid }: SimProcess): Process {
    return {
      pid,
      hostname: this.#hostname,
      username: 'user',
      uid: 1000,
      gid: 1000,
      bootId: this.#bootId,
      system: 'linux',
      architecture: 'x64',
      isAlive: (other) => this.#running.has(other),
    }
  }
}

function sleep(
  kernel: Kernel,
  process: SimProcess,
  delayMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(new CairnError('CAIRN_ABORTED', 'interrupted'))
    if (signal?.aborted) return abort()
    signal?.addEventListener('abort', abort, { once: true })
    kernel.schedule(delayMs, process, resolve)
  })
}

function every(
  kernel: Kernel,
  process: SimProcess,
  periodMs: number,
  action: () => void,
): () => void {
  let isOver = false
  const again = () => {
    if (isOver) return
    action()
    kernel.schedule(periodMs, process, again)
  }
  kernel.schedule(periodMs, process, again)
  return () => {
    isOver = true
  }
}
