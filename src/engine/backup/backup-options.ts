/** What a backup is asked to do, and what it reports. */

import type { ByteString } from '../../base/bytes.ts'
import type { SnapshotId } from '../../base/ids.ts'
import type { Repository } from '../../repository/repository.ts'
import type { Snapshot } from '../../repository/snapshots.ts'
import type { Environment } from '../environment.ts'
import type { ExclusionRules } from './exclusions.ts'
import type { ItemAction, ScanItem } from './scan-options.ts'
import type { ScanCacheFiles } from './scan-cache.ts'

export interface BackupOptions {
  readonly environment: Environment
  /** Still being opened: the scan begins meanwhile. */
  readonly opening: Promise<Repository>
  /** Where the scan cache is; undefined for none (`--no-cache`). */
  readonly scanCache: { readonly files: ScanCacheFiles; readonly name: string } | undefined
  /** A folder for the index's mirror; undefined keeps the index in memory. */
  readonly cacheDirectory: string | undefined
  readonly input: BackupInput
  readonly exclusions: ExclusionRules
  /** As the user wrote them, for the snapshot. */
  readonly excludePatterns: readonly string[]
  readonly tags: readonly string[]
  readonly hostname: string
  /** The snapshot's time; undefined: when the run began. */
  readonly timeNs?: bigint
  /** Chooses the parent among the snapshots there are. */
  readonly chooseParent: (
    snapshots: readonly Snapshot[],
    paths: readonly ByteString[],
  ) => Snapshot | undefined
  /** Reads every file, whatever the scan cache says. */
  readonly force: boolean
  readonly ignoreInode: boolean
  readonly ignoreCtime: boolean
  readonly withAtime: boolean
  readonly dryRun: boolean
  readonly skipIfUnchanged: boolean
  /** zstd level; undefined stores without compression. */
  readonly level: number | undefined
  readonly packBytes?: number
  /** Opens again what was sealed, before it is stored. */
  readonly verify: boolean
  readonly program: string
  readonly signal?: AbortSignal | undefined
  readonly listener: BackupListener
}

export type BackupInput =
  | {
      readonly kind: 'paths'
      readonly paths: readonly ByteString[]
      readonly workingDirectory: string
    }
  | {
      readonly kind: 'stream'
      readonly name: ByteString
      /** Rejects if the source failed: then there is no snapshot. */
      readonly chunks: AsyncIterable<Uint8Array>
    }

export interface BackupListener {
  onOpened?(repository: Repository): void
  onParent?(parent: Snapshot | undefined): void
  onError?(path: ByteString, error: Error): void
  onItem?(item: ScanItem): void
  onProgress?(progress: BackupProgress): void
  /** Something the user should know that is no error: the repository was left out of itself. */
  onNotice?(message: string): void
}

export interface BackupProgress {
  readonly filesDone: number
  readonly bytesDone: number
  /** Totals are estimates until the scan is done, and absent if there is nothing to estimate from. */
  readonly totalFiles?: number
  readonly totalBytes?: number
  readonly errorCount: number
  readonly currentFiles: readonly ByteString[]
}

export interface BackupReport {
  readonly snapshotId: SnapshotId | undefined
  readonly parentId: SnapshotId | undefined
  readonly rootId: Uint8Array
  readonly files: Readonly<Record<ItemAction, number>>
  readonly directories: Readonly<Record<ItemAction, number>>
  readonly dataBlobs: number
  readonly treeBlobs: number
  readonly bytesAdded: number
  readonly bytesAddedStored: number
  readonly filesProcessed: number
  readonly bytesProcessed: number
  readonly errorCount: number
  readonly startNs: bigint
  readonly endNs: bigint
}
