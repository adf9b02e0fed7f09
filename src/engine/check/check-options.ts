/** What a check is asked to do, and what it reports. */

import type { Repository } from '../../repository/repository.ts'
import type { Snapshot } from '../../repository/snapshots.ts'
import type { Environment } from '../environment.ts'
import type { Memory } from '../rollback.ts'
import type { Finding } from './finding.ts'
import type { DataSubset } from './subset.ts'

export type Backend = Repository['backend']
export type FileKind = Parameters<Backend['list']>[0]

export interface CheckOptions {
  readonly environment: Environment
  readonly backend: Backend
  /** Still being opened: packs are hashed meanwhile. */
  readonly opening: Promise<Repository>
  /** Which packs to read; undefined checks the structure alone. */
  readonly readData: DataSubset | undefined
  /** Chooses the snapshots to check; only packs that these need are read then. */
  readonly select?: ((snapshots: readonly Snapshot[]) => readonly Snapshot[]) | undefined
  /** What this client saw of the repository before. */
  readonly memory?: () => Memory | undefined
  readonly onFinding?: (finding: Finding) => void
  readonly onPhase?: (phase: CheckPhase) => void
  readonly onProgress?: (progress: CheckProgress) => void
  readonly signal?: AbortSignal | undefined
}

/** `data` may begin while the others are under way. */
export type CheckPhase = 'objects' | 'index' | 'snapshots' | 'data' | 'paths'

export interface CheckProgress {
  readonly snapshotsDone: number
  readonly snapshotsTotal: number
  readonly packsDone: number
  readonly packsTotal: number
  readonly bytesDone: number
  readonly bytesTotal: number
}

export interface CheckReport {
  readonly findings: readonly Finding[]
  /** In restic's names. */
  readonly summary: {
    readonly num_errors: number
    readonly broken_packs: readonly string[]
    readonly suggest_repair_index: boolean
    readonly suggest_prune: boolean
  }
  /** Reads that were damaged and good when they were repeated. */
  readonly transientCount: number
  readonly snapshotCount: number
  readonly packsRead: number
  readonly bytesRead: number
}
