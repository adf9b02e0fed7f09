/** What a prune is asked to do, and what it reports. */

import type { FileName, SnapshotId } from '../../base/ids.ts'
import type { Repository } from '../../repository/repository.ts'
import type { Environment } from '../environment.ts'

/** How much that nothing needs may stay, in packs that hold something needed as well. */
export type UnusedLimit =
  | { readonly kind: 'percent'; readonly percent: number }
  | { readonly kind: 'bytes'; readonly byteCount: number }
  | { readonly kind: 'unlimited' }

export interface PruneSettings {
  readonly maxUnused: UnusedLimit
  /** Bytes of packs that are repacked at most; what was doomed before is not counted. */
  readonly maxRepackBytes: number | undefined
  /** Joins packs smaller than this, if there are several; 0 leaves them. */
  readonly smallPackBytes: number
  readonly repackCacheableOnly: boolean
  readonly repackUncompressed: boolean
  /** Removes what needs no new pack, and that before anything is written that can be left. */
  readonly isDiskFull: boolean
  /** How long marked packs stay where they cannot be removed at once. */
  readonly graceMs: number
}

export interface PruneOptions {
  readonly environment: Environment
  readonly repository: Repository
  readonly settings: PruneSettings
  readonly dryRun: boolean
  /** Counted as forgotten by a dry run: those that a dry run of `forget` would forget. */
  readonly without?: ReadonlySet<SnapshotId>
  /** zstd level of packs that are written; undefined stores without compression. */
  readonly level: number | undefined
  /** False skips opening what was sealed. */
  readonly verify: boolean
  readonly packBytes?: number
  readonly listener: PruneListener
  readonly signal?: AbortSignal | undefined
}

export type PrunePhase = 'load' | 'snapshots' | 'plan' | 'repack' | 'remove'

export interface PruneListener {
  readonly onPhase?: (phase: PrunePhase) => void
  readonly onProgress?: (done: number, total: number) => void
  readonly onPlan?: (statistics: PruneStatistics) => void
  /** Something that its user should know, in words. */
  readonly onNotice?: (message: string) => void
}

/** In restic's names. */
export interface PruneStatistics {
  readonly blobs: {
    readonly used: number
    readonly duplicate: number
    readonly unused: number
    readonly total: number
    readonly repack: number
    readonly repack_remove: number
    readonly remove: number
    readonly remove_total: number
    readonly remaining: number
  }
  readonly bytes: {
    readonly used: number
    readonly duplicate: number
    readonly unused: number
    readonly unreferenced: number
    readonly total: number
    readonly uncompressed: number
    readonly repack: number
    readonly repack_remove: number
    readonly remove: number
    readonly remove_total: number
    readonly remaining: number
    readonly remaining_unused: number
  }
  readonly packfiles: {
    readonly used: number
    readonly partly_used: number
    readonly unused: number
    readonly unreferenced: number
    readonly total: number
    readonly keep: number
    readonly repack: number
    readonly remove: number
    readonly remove_total: number
  }
}

/** A pack that is kept because not all of it can be read. */
export interface DamagedPack {
  readonly name: FileName
  readonly problem: string
}

export interface PruneReport {
  readonly statistics: PruneStatistics
  readonly packsRemoved: number
  readonly bytesRemoved: number
  /** Packs that are marked and wait for a later prune. */
  readonly packsMarked: number
  readonly bytesMarked: number
  readonly bytesWritten: number
  readonly damaged: readonly DamagedPack[]
}

/** What the parts of one prune share. */
export interface PruneContext extends PruneOptions {
  readonly operation: { readonly signal?: AbortSignal | undefined }
}
