/** `prune`: from the arguments to the engine. */

import type { SnapshotId } from '../base/ids.ts'
import { prune } from '../engine/prune/prune.ts'
import type {
  PruneListener,
  PruneReport,
  PruneSettings,
  PruneStatistics,
  UnusedLimit,
} from '../engine/prune/prune-options.ts'
import type { ConfigBox } from '../format/config.ts'
import { requireNothingMissing } from './accept.ts'
import type { Access } from './access.ts'

export type { PruneListener, PruneReport, PruneStatistics, UnusedLimit }

/** As the command line has it. */
export interface PruneRequest {
  readonly maxUnused: UnusedLimit
  readonly maxRepackBytes: number | undefined
  /** Joins packs below four fifths of their target size. */
  readonly repackSmall: boolean
  readonly repackSmallerThan: number | undefined
  readonly repackCacheableOnly: boolean
  readonly repackUncompressed: boolean
  readonly isDiskFull: boolean
  /** Undefined: what the config says. */
  readonly graceMs: number | undefined
  readonly dryRun: boolean
  readonly level: number | undefined
  readonly verify: boolean
  readonly packBytes: number | undefined
  readonly listener: PruneListener
  /** Ids of snapshots that a dry run counts as forgotten. */
  readonly without?: ReadonlySet<string>
}

/** A pack below this share of its target size is small. */
const SMALL_SHARE = 0.8

export async function runPrune(access: Access, request: PruneRequest): Promise<PruneReport> {
  const repository = await access.open()
  await requireNothingMissing(access, 'prune')
  const { dryRun, level, verify, packBytes, listener } = request
  const targetBytes = packBytes ?? repository.box.dataPackBytes
  return await prune({
    environment: access.seams,
    repository,
    settings: settingsOf(request, repository.box, targetBytes),
    dryRun,
    ...(request.without === undefined
      ? {}
      : { without: request.without as ReadonlySet<SnapshotId> }),
    level,
    verify,
    ...(packBytes === undefined ? {} : { packBytes }),
    listener,
    signal: access.signal,
  })
}

/** What the engine is told; what the request leaves open is as the config has it. */
export function settingsOf(
  request: Omit<PruneRequest, 'listener'>,
  box: Pick<ConfigBox, 'graceSeconds'>,
  targetBytes: number,
): PruneSettings {
  const { repackSmall, repackSmallerThan = 0 } = request
  return {
    maxUnused: request.maxUnused,
    maxRepackBytes: request.maxRepackBytes,
    smallPackBytes: Math.max(repackSmallerThan, repackSmall ? targetBytes * SMALL_SHARE : 0),
    repackCacheableOnly: request.repackCacheableOnly,
    repackUncompressed: request.repackUncompressed,
    isDiskFull: request.isDiskFull,
    graceMs: request.graceMs ?? box.graceSeconds * 1000,
  }
}
