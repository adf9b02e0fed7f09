import type { RefusedEntry } from '../../repository/tree-reader.ts'
import type { Repository } from '../../repository/repository.ts'
import type { Snapshot } from '../../repository/snapshots.ts'
import type { Environment } from '../environment.ts'

export interface CopyListener {
  /** It was copied before. */
  onSkipped?(snapshot: Snapshot, copy: Snapshot): void
  /** It is going to be copied. */
  onSnapshot?(snapshot: Snapshot): void
  /** Packs of the source that were read, and how many there are to read. */
  onProgress?(done: number, total: number): void
  onNotice?(message: string): void
}

export interface CopyOptions {
  readonly environment: Environment
  readonly source: Repository
  readonly target: Repository
  readonly choose: (snapshots: readonly Snapshot[]) => readonly Snapshot[]
  /** zstd level, or undefined for no compression. */
  readonly level: number | undefined
  readonly verify: boolean
  readonly packBytes?: number
  /** Of the target's index. */
  readonly cacheDirectory: string | undefined
  readonly listener: CopyListener
  readonly signal?: AbortSignal | undefined
}

export interface CopiedSnapshot {
  readonly source: Snapshot
  readonly snapshot: Snapshot
}

export interface FailedSnapshot {
  readonly source: Snapshot
  readonly error: unknown
}

export interface CopyReport {
  readonly copied: readonly CopiedSnapshot[]
  readonly skippedCount: number
  /** Damaged in the source. */
  readonly failed: readonly FailedSnapshot[]
  /** Snapshots of the source that are damaged themselves, so that nobody knows whether they were meant. */
  readonly damagedCount: number
  /** Entries that were left out because no directory may have them. */
  readonly refused: readonly RefusedEntry[]
  /** Bytes of packs that were written. */
  readonly bytesWritten: number
}
