/** What a restore is asked to do, and what it reports. */

import type { ByteString } from '../../base/bytes.ts'
import type { NodeRoot } from '../../format/tree.ts'
import type { BlobIndex } from '../../pipeline/index/blob-index.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import type { Repository } from '../../repository/repository.ts'
import type { PatternMatcher } from '../../source/patterns.ts'
import type { XattrPatterns } from '../../source/target-xattrs.ts'
import type { Environment } from '../environment.ts'
import type { EarlyRestoreThreads } from './worker-pool.ts'

/**
 * What to do with a file that is there. `always` keeps it if it is the same to the byte,
 * `if-changed` if size and mtime are; `keep-both` restores beside what is different.
 */
export type OverwritePolicy = 'always' | 'if-changed' | 'if-newer' | 'never' | 'keep-both'

export interface RestoreOptions {
  readonly environment: Environment
  /** Started before the repository was open. Whoever started them closes them, too. */
  readonly threads?: EarlyRestoreThreads
  readonly repository: Repository
  readonly index: BlobIndex
  readonly blobs: BlobReader
  /** The directory to restore: the snapshot's root, or one below it. */
  readonly root: NodeRoot
  /** Where `root` is in the snapshot: `/`, or `/home/ann` for `snapshot:/home/ann`. */
  readonly rootPath: ByteString
  /** Where the snapshot's sources are in it: `delete` works at and below them only. */
  readonly sourcePaths: readonly ByteString[]
  /** What is neither removed nor written to, below `target`, without a leading slash. */
  readonly keptPlaces?: readonly ByteString[]
  /** An absolute path. */
  readonly target: ByteString
  /** Only what any of these matches, by its path below `root` with a leading slash. */
  readonly include?: readonly PatternMatcher[]
  /** Nothing that any of these matches. */
  readonly exclude?: readonly PatternMatcher[]
  readonly overwrite: OverwritePolicy
  readonly dryRun: boolean
  /** Reads everything again that was written, and compares. */
  readonly verify: boolean
  readonly sparse: boolean
  readonly delete: boolean
  /** Whose a file is to be (`--ownership-by-name`). */
  readonly mapOwner?: (owner: Owner) => Owner
  /** Which extended attributes are restored, by name. All, without it. */
  readonly xattrPatterns?: XattrPatterns
  readonly signal?: AbortSignal | undefined
  readonly listener: RestoreListener
}

export interface Owner {
  readonly uid: number
  readonly gid: number
}

/** Paths are below `root`, with a leading slash. */
export interface RestoreListener {
  /** An entry that is not as it should be; the restore goes on. */
  onError?(path: ByteString, error: Error): void
  onItem?(item: RestoredItem): void
  /** Called often; the counters grow while the snapshot is still being read. */
  onProgress?(counts: RestoreCounts): void
}

export interface RestoredItem {
  readonly action: 'restored' | 'updated' | 'unchanged' | 'deleted'
  readonly path: ByteString
  /** Of files. */
  readonly size?: number
}

/** As in restic's summary; directories count as files. */
export interface RestoreCounts {
  readonly seconds_elapsed: number
  readonly total_files: number
  readonly files_restored: number
  readonly files_skipped: number
  readonly files_deleted: number
  readonly total_bytes: number
  readonly bytes_restored: number
  readonly bytes_skipped: number
}

export type MetadataKind = 'owner' | 'mode' | 'times' | 'xattrs' | 'flags'

/** A kind of metadata that could not be set. */
export interface UnsetMetadata {
  readonly count: number
  /** Of these, what an ordinary user has no right to set: no failure of the restore. */
  readonly refusedCount: number
  /** A few of them, in words. */
  readonly examples: readonly string[]
}

export interface RestoreReport {
  readonly counts: RestoreCounts
  readonly errorCount: number
  /** The first thousand. */
  readonly errors: readonly { readonly path: ByteString; readonly error: Error }[]
  /** What was restored without. Each entry counts once a kind. Owners, and what was refused, are told here alone. */
  readonly unset: ReadonlyMap<MetadataKind, UnsetMetadata>
  /** Files that were read again and are as they should be. */
  readonly verifiedFiles: number
  /** Everything that was asked for was done: exit 0, else 3. */
  readonly isComplete: boolean
}
