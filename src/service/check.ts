/** `check`: from the arguments to the engine. */

import { checkRepository } from '../engine/check/check.ts'
import type { CheckOptions, CheckReport } from '../engine/check/check-options.ts'
import { findingLines, findingText } from '../engine/check/finding.ts'
import type { SnapshotFilter } from '../engine/snapshot-filter.ts'
import type { Access } from './access.ts'
import { chooseSnapshots } from './select-snapshots.ts'

export type { CheckReport }
export { findingLines, findingText }

export interface CheckRequest {
  readonly readData: CheckOptions['readData']
  readonly references: readonly string[]
  readonly filter: SnapshotFilter
  readonly onFinding: NonNullable<CheckOptions['onFinding']>
  readonly onPhase: NonNullable<CheckOptions['onPhase']>
  readonly onProgress: NonNullable<CheckOptions['onProgress']>
}

function isFiltered({ references, filter }: CheckRequest): boolean {
  const { hosts, paths, tags } = filter
  return references.length + hosts.length + paths.length + tags.length > 0
}

export async function runCheck(access: Access, request: CheckRequest): Promise<CheckReport> {
  const opening = access.open()
  // Its failure is thrown where the repository is first needed.
  opening.catch(() => {})
  const nowNs = access.seams.clock.wallNs()
  return await checkRepository({
    environment: access.seams,
    backend: access.backend,
    opening,
    readData: request.readData,
    select: isFiltered(request)
      ? (snapshots) => chooseSnapshots(snapshots, request, nowNs)
      : undefined,
    memory: () => access.memory()?.memory,
    onFinding: request.onFinding,
    onPhase: request.onPhase,
    onProgress: request.onProgress,
    signal: access.signal,
  })
}
