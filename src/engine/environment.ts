/**
 * The seams of the engine, all in one place: time, chance, files, threads. Nothing in the engine
 * reaches around it, so that the deterministic simulation runs the real engine on one thread.
 */

import type { Clock, Process, Randomness } from '../base/seams.ts'
import type { WorkEnvironment } from '../pipeline/work-pool.ts'
import type { SourceFiles } from '../source/source-files.ts'
import type { TargetFiles } from '../source/target-files.ts'

export interface Environment {
  readonly clock: Clock
  readonly random: Randomness
  readonly process: Process
  readonly source: SourceFiles
  readonly target: TargetFiles
  /** Worker threads that may be used: 0 does everything inline. */
  readonly threads: number
  /** The compiled entry of a thread; undefined if there are none. */
  readonly workerEntry: URL | undefined
  /** Lets pending events run: between slices of synchronous work. */
  yield(): Promise<void>
}

export function workEnvironment(environment: Environment): WorkEnvironment {
  const { clock, random, process, source } = environment
  return { clock, random, pid: process.pid, source }
}
