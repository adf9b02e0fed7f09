/** `benchmark` */

import { resolve } from 'node:path'
import { toHex } from '../base/bytes.ts'
import { CairnError, isCairnError } from '../base/errors.ts'
import { nodeClock, nodeRandomness } from '../base/node-seams.ts'
import { type StageSpeed, stageSpeeds } from '../engine/benchmark.ts'
import { openFileSpeedProbe } from '../source/probe-directory.ts'

export type { StageSpeed }

export interface BenchmarkRequest {
  /** Where to write and read a file of 16 MiB. */
  readonly directory: string
  readonly stageMs: number
  /** zstd's. */
  readonly level: number
  readonly signal: AbortSignal
}

/** Each stage as soon as it is measured. */
export async function* benchmark(request: BenchmarkRequest): AsyncGenerator<StageSpeed> {
  const { stageMs, level, signal } = request
  const directory = resolve(request.directory)
  const file = openFileSpeedProbe(directory, toHex(nodeRandomness().bytes(8)))
  try {
    yield* stageSpeeds({ clock: nodeClock(), file, stageMs, level, signal })
  } catch (cause) {
    if (isCairnError(cause)) throw cause
    throw new CairnError('CAIRN_FAILED', `cannot measure in '${directory}'`, { cause })
  } finally {
    file.close()
  }
}
