/** The engine's seams on a real machine. */

import { setFlagsFromString } from 'node:v8'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { nodeClock, nodeProcess, nodeRandomness } from '../base/node-seams.ts'
import type { Environment } from '../engine/environment.ts'
import { nodeSourceFiles } from '../source/node-source-files.ts'
import { nodeTargetFiles } from '../source/node-target-files.ts'

export { shareHeaps } from '../source/malloc.ts'

/** The processors that the control group grants, or infinity. */
function cgroupCores(): number {
  try {
    const [quota, period] = readFileSync('/sys/fs/cgroup/cpu.max', 'utf8').trim().split(' ')
    if (quota === undefined || quota === 'max') return Number.POSITIVE_INFINITY
    return Math.max(1, Math.ceil(Number(quota) / Number(period)))
  } catch {
    return Number.POSITIVE_INFINITY // No such control group: nothing is limited.
  }
}

/** Cores that this process may use, by affinity and by control group. */
export function usableCores(): number {
  return Math.min(availableParallelism(), cgroupCores())
}

/** Within vitest the sources run as they are, but a thread needs compiled code. */
function workerEntry(): URL {
  const isSource = import.meta.url.endsWith('.ts')
  const path = isSource ? '../../dist/pipeline/worker-entry.js' : '../pipeline/worker-entry.js'
  return new URL(path, import.meta.url)
}

export function nodeEnvironment(jobs: number | undefined): Environment {
  const randomness = nodeRandomness()
  return {
    clock: nodeClock(),
    random: randomness,
    process: nodeProcess(),
    source: nodeSourceFiles(),
    target: nodeTargetFiles({ randomness }),
    threads: jobs ?? usableCores(),
    workerEntry: workerEntry(),
    yield: () => new Promise((resolve) => setImmediate(resolve)),
  }
}

/**
 * From now on V8 gives objects that die at once no more room than they have: measured on a first
 * backup, 20 MB of its peak for no gain in time. Only for a process that is cairn's alone.
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}

/**
 * From now on V8 optimizes functions later, in all threads. Measured on checks and restores of a
 * second or two, of which optimizing took a tenth: 2 to 9 % less CPU; 10 % on reading 600 MB from a
 * mount. For V8 11, of Node.js 20; later ones do not have the flag and take less. Only for a process
 * that is cairn's alone.
 */
function optimizeLater(): void {
  if (process.versions.v8.startsWith('11.')) setFlagsFromString('--interrupt-budget=250000')
}

/**
 * From now on threads that are started can give a buffer's memory back before the garbage collector
 * finds it, as ciphers do. Measured: 6 % less CPU and 38 MB less memory for a first backup, 12 % and
 * 50 MB for reading 600 MB from a mount, 3 % less CPU for a check. For V8 11, of Node.js 20; later ones
 * always can. Only for a process that is cairn's alone.
 */
export function letBuffersBeGivenBack(): void {
  if (process.versions.v8.startsWith('11.')) setFlagsFromString('--harmony-rab-gsab-transfer')
}

/** Both of these, for commands that open what is stored. */
export function tuneForReading(): void {
  optimizeLater()
  letBuffersBeGivenBack()
}

/**
 * From now on V8 inlines next to nothing when it optimizes a function: what runs for seconds in several
 * threads compiles for longer than it saves. Measured on a first backup: 0.3 s of processor time less
 * for compiling, 0.05 s more for what is compiled; on a check of 1 GB, 0.05 s less of 2.1 in all. Only
 * for a process that is cairn's alone.
 */
export function compileLess(): void {
  setFlagsFromString('--max-inlined-bytecode-size-cumulative=60')
}
