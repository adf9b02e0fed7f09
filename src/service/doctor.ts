/** `doctor`: asks the machine. */

import { availableParallelism, totalmem } from 'node:os'
import { resolve } from 'node:path'
import { toHex } from '../base/bytes.ts'
import { errorChain } from '../base/errors.ts'
import { nodeClock, nodeRandomness } from '../base/node-seams.ts'
import { wallMs } from '../base/seams.ts'
import { formatBytes } from '../base/units.ts'
import { type Check, examine, nativeParts } from '../engine/doctor.ts'
import { libc } from '../source/libc.ts'
import {
  canMakeDirectory,
  type DirectoryProbe,
  memoryLimitBytes,
  probeDirectory,
  probeFuse,
} from '../source/probe-directory.ts'
import { defaultCacheRoot } from '../storage/cache/cache-directory.ts'
import { usableCores } from './node-environment.ts'
import type { Environment } from './text-file.ts'

export type { Check }

export interface DoctorRequest {
  readonly directory: string
  readonly cacheDir: string | undefined
  readonly environment: Environment
}

function tryDirectory(path: string): DirectoryProbe | string {
  try {
    return probeDirectory(path, toHex(nodeRandomness().bytes(8)))
  } catch (error) {
    return errorChain(error)
  }
}

export async function examineMachine(request: DoctorRequest): Promise<Check[]> {
  const path = resolve(request.directory)
  const probe = tryDirectory(path)
  const cachePath = request.cacheDir ?? defaultCacheRoot()
  return examine(
    {
      nodeVersion: process.versions.node,
      parts: await nativeParts(),
      hasLibc: libc() !== undefined,
      fuse: probeFuse(request.environment['PATH'] ?? ''),
      isRoot: process.geteuid?.() === 0,
      usableCores: usableCores(),
      cores: availableParallelism(),
      memoryBytes: Math.min(totalmem(), memoryLimitBytes() ?? Number.POSITIVE_INFINITY),
      nowMs: wallMs(nodeClock()),
      cache: { path: cachePath, isUsable: canMakeDirectory(cachePath) },
      directory: { path, probe },
    },
    formatBytes,
  )
}
