/** What a scan is given, and what it tells. */

import type { ByteString } from '../../base/bytes.ts'
import type { TreeWriter } from '../../repository/tree-writer.ts'
import type { Xattr } from '../../source/extended-metadata.ts'
import type { SourceFiles, SourceStat } from '../../source/source-files.ts'
import type { Exclusions } from './exclusions.ts'
import type { MatchRules, ScanCacheReader } from './scan-cache.ts'
import type { ScanCacheWriter } from './scan-cache-writer.ts'
import type { EntryExtras, EntryOptions } from './tree-entry.ts'

/** What a scan needs once something has changed: it can begin, and end, without. */
export interface TreeServices {
  newTree(): TreeWriter
  /** Undefined where there is no cache. */
  readonly cacheWriter: ScanCacheWriter | undefined
  /** The pack of every blob that the tree being written rests on goes to `handles` until further notice. */
  collectHandles(handles: Set<number> | undefined): void
  linkGroup(stat: SourceStat): bigint
  /** How an entry holds these: itself, or in a blob that is stored now. */
  storeXattrs(xattrs: readonly Xattr[]): Pick<EntryExtras, 'xattrs' | 'xattrsId'>
}

export type ItemAction = 'new' | 'modified' | 'unchanged'

export interface ScanHooks {
  /** A regular file must be read. `done` is to be called once, whenever that is. */
  readFile(file: PendingFile): void
  onError(path: ByteString, error: Error): void
  onItem(item: ScanItem): void
  /** A directory that was kept whole rests on these packs. */
  onReused(handles: readonly number[]): void
}

export interface ScanItem {
  readonly path: ByteString
  readonly isDirectory: boolean
  readonly action: ItemAction
  readonly stat: SourceStat
}

/** How reading a file ended: its content, or undefined if it is left out. */
export interface ReadContent {
  readonly size: number
  readonly extras: Partial<EntryExtras>
  readonly handles: readonly number[]
}

export interface PendingFile {
  readonly path: ByteString
  readonly stat: SourceStat
  done(content: ReadContent | undefined): void
  /** Something else is at the path now: look at it again. */
  again(): void
}

export interface ScanOptions {
  readonly source: SourceFiles
  /** The paths that the user named: `--one-file-system` does not leave them out. */
  readonly named: ReadonlySet<ByteString>
  readonly exclusions: Exclusions
  readonly cache: ScanCacheReader | undefined
  readonly rules: MatchRules
  readonly entries: EntryOptions
  /** Handles of the cache's packs that are gone or doomed: what rests on them is read again. */
  readonly badHandles: ReadonlySet<number>
  /** Entries changed at or after this time may change again unseen. */
  readonly startNs: bigint
  /** Looks again at a file that was replaced while it was opened, at most this often. */
  readonly hooks: ScanHooks
}
