/** What the operations of the library take and give. Paths are text; times are `Date`s. */

/** For every operation. */
export interface OperationOptions {
  /** Ends the operation, which then rejects with CAIRN_ABORTED. */
  readonly signal?: AbortSignal | undefined
}

/** Narrows what `latest` and times mean. All of it must hold. */
export interface SnapshotChoice {
  /** One of them must be the snapshot's host. */
  readonly hosts?: readonly string[]
  /** The snapshot must have all of them among its paths. */
  readonly paths?: readonly string[]
  /** The snapshot must have all tags of one of the lists. */
  readonly tags?: readonly (readonly string[])[]
}

export interface BackupOptions extends OperationOptions {
  /** Files and directories; relative ones begin at the working directory of the process. */
  readonly paths?: readonly string[]
  /** Instead of paths: one file with this absolute path in the snapshot, and what is in it. */
  readonly stream?: { readonly path: string; readonly content: AsyncIterable<Uint8Array> }
  /** Patterns of what to leave out, as `--exclude` has them. */
  readonly exclude?: readonly string[]
  readonly tags?: readonly string[]
  /** Instead of the machine's name. */
  readonly hostname?: string
  /** Does not cross into other file systems. */
  readonly oneFileSystem?: boolean
  /** Reads every file again, whatever the last backup saw. */
  readonly force?: boolean
  /** Makes no snapshot if nothing differs from the one before. */
  readonly skipIfUnchanged?: boolean
  /** Stores nothing. */
  readonly dryRun?: boolean
  /** zstd level; false stores without compression. 3 by default. */
  readonly compression?: number | false
  readonly onProgress?: (progress: BackupProgress) => void
  /** A source that could not be read, or not as it was; the backup goes on without it. */
  readonly onError?: (path: string, error: Error) => void
}

export interface BackupProgress {
  readonly filesDone: number
  readonly bytesDone: number
  /** Estimates until the scan is done; absent if there is nothing to estimate from. */
  readonly totalFiles?: number
  readonly totalBytes?: number
}

interface Counts {
  readonly new: number
  readonly modified: number
  readonly unchanged: number
}

export interface BackupResult {
  /** Undefined if none was made: a dry run, or nothing had changed and that was asked for. */
  readonly snapshotId: string | undefined
  readonly parentId: string | undefined
  readonly files: Counts
  readonly directories: Counts
  /** Of all files that are in the snapshot. */
  readonly bytesProcessed: number
  /** New bytes, and what they take in the storage. */
  readonly bytesAdded: number
  readonly bytesStored: number
  /** 0 if everything that was asked for is in the snapshot. */
  readonly errorCount: number
  readonly start: Date
  readonly end: Date
}

export interface Snapshot {
  readonly id: string
  /** When the backup began. */
  readonly time: Date
  readonly hostname: string
  readonly username: string
  readonly paths: readonly string[]
  readonly tags: readonly string[]
  readonly parentId: string | undefined
  /** Bytes of the files in it; undefined for a key that may not read. */
  readonly byteCount: number | undefined
  /** What an interrupted run had done: not all of its sources. */
  readonly isPartial: boolean
}

export interface ListOptions extends OperationOptions, SnapshotChoice {
  /** Absolute paths; only what is directly in them is listed. Everything if there are none. */
  readonly directories?: readonly string[]
  /** With `directories`: all that is below them. */
  readonly recursive?: boolean
}

export interface Entry {
  readonly path: string
  readonly name: string
  readonly type: 'file' | 'dir' | 'symlink' | 'fifo' | 'socket' | 'chardev' | 'dev' | 'irregular'
  /** Permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Of files. */
  readonly size: number | undefined
  readonly mtime: Date
  /** Of symbolic links. */
  readonly target: string | undefined
}

export interface RestoreOptions extends OperationOptions, SnapshotChoice {
  /** A directory, made if it is not there. Nothing outside it is touched. */
  readonly target: string
  /** Patterns as `--include` and `--exclude` have them; not both. */
  readonly include?: readonly string[]
  readonly exclude?: readonly string[]
  readonly overwrite?: 'always' | 'if-changed' | 'if-newer' | 'never' | 'keep-both'
  /** Removes what the snapshot does not have, inside what is restored. */
  readonly delete?: boolean
  readonly dryRun?: boolean
  /** Reads what was written and compares. */
  readonly verify?: boolean
  readonly sparse?: boolean
  readonly onProgress?: (progress: RestoreProgress) => void
  /** Something that could not be restored as it was; the restore goes on. */
  readonly onError?: (path: string, error: Error) => void
}

export interface RestoreProgress {
  readonly filesDone: number
  readonly totalFiles: number
  readonly bytesDone: number
  readonly totalBytes: number
}

export interface RestoreResult {
  readonly snapshotId: string
  readonly filesRestored: number
  readonly filesSkipped: number
  readonly filesDeleted: number
  readonly bytesRestored: number
  readonly errorCount: number
  /** Everything that was asked for was done. */
  readonly isComplete: boolean
}

export interface CheckOptions extends OperationOptions {
  /** Reads all stored data too, not only the small files and the trees. */
  readonly readData?: boolean
  readonly onFinding?: (finding: Finding) => void
  readonly onProgress?: (progress: CheckProgress) => void
}

export interface CheckProgress {
  readonly snapshotsDone: number
  readonly snapshotsTotal: number
  readonly bytesDone: number
  readonly bytesTotal: number
}

/** An error is something that is not as it was written; a note is worth knowing and harmless. */
export interface Finding {
  readonly severity: 'error' | 'note'
  /** With what it affects and what to do. */
  readonly text: string
}

export interface CheckResult {
  readonly errorCount: number
  readonly findings: readonly Finding[]
  readonly snapshotCount: number
}

export interface DumpOptions extends OperationOptions, SnapshotChoice {
  /** What a directory becomes; tar by default. */
  readonly format?: 'tar' | 'zip'
  /** Something that the archive's format has no place for. */
  readonly onLeftOut?: (path: string) => void
}

/** Which snapshots stay, as the command line's `--keep-*` have it; -1 keeps all. */
export interface KeepRules {
  readonly last?: number
  readonly hourly?: number
  readonly daily?: number
  readonly weekly?: number
  readonly monthly?: number
  readonly yearly?: number
  /** All younger than this, seen from the newest, such as `1y5m7d2h`. */
  readonly within?: string
  /** All that have every tag of one of the lists. */
  readonly tags?: readonly (readonly string[])[]
}

/** Either `snapshots` or `keep`. The other options narrow what the rules look at. */
export interface ForgetOptions extends OperationOptions, SnapshotChoice {
  /** These are forgotten, and no others. */
  readonly snapshots?: readonly string[]
  /** Applied to the snapshots of each author, host and set of paths by themselves. */
  readonly keep?: KeepRules
  /** Lets a group lose all its snapshots. */
  readonly allowRemoveAll?: boolean
  readonly dryRun?: boolean
}

export interface ForgetResult {
  /** Those that the rules kept; empty if snapshots were named. */
  readonly keptIds: readonly string[]
  /** Of a dry run: those that would be. */
  readonly forgottenIds: readonly string[]
}

/** How many of the packs or snapshots of the step that is under way are done. */
export interface StepProgress {
  readonly done: number
  readonly total: number
}

export interface PruneOptions extends OperationOptions {
  /** How much that nothing needs may stay, in percent of the repository; 5 by default. */
  readonly maxUnusedPercent?: number
  readonly maxRepackBytes?: number
  /** How long packs stay marked where a backup may be using them; by default what the config says, a day. */
  readonly graceMs?: number
  /** zstd level of packs that are written; false stores without compression. 3 by default. */
  readonly compression?: number | false
  readonly dryRun?: boolean
  readonly onProgress?: (progress: StepProgress) => void
}

export interface PruneResult {
  readonly packsRemoved: number
  readonly bytesRemoved: number
  /** Packs that a later prune removes: a backup may be using them. */
  readonly packsMarked: number
  readonly bytesMarked: number
  readonly bytesWritten: number
  /** Names of packs that were kept because not all of them can be read; `check` says more. */
  readonly damagedPacks: readonly string[]
}

export interface StatsOptions extends OperationOptions, SnapshotChoice {
  /** All that are chosen if there are none. */
  readonly snapshots?: readonly string[]
  /** What they take in the storage together, instead of what restoring each would give. */
  readonly stored?: boolean
  readonly onProgress?: (progress: StepProgress) => void
}

export interface StatsResult {
  readonly snapshotCount: number
  readonly byteCount: number
  /** Files, directories and all else; not with `stored`. */
  readonly entryCount: number | undefined
  /** With `stored`. */
  readonly blobCount: number | undefined
  readonly uncompressedBytes: number | undefined
}
