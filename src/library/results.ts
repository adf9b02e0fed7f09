/** What services report, as the library gives it. */

import type { BackupReport } from '../service/backup.ts'
import type { ShownEntry } from '../service/list-tree.ts'
import type { PruneReport } from '../service/prune.ts'
import type { ShownSnapshot } from '../service/snapshots.ts'
import type { StatsReport } from '../service/stats.ts'
import type { BackupResult, Entry, PruneResult, Snapshot, StatsResult } from './operations.ts'

function dateOf(nanoseconds: bigint): Date {
  return new Date(Number(nanoseconds / 1_000_000n))
}

export function backupResult(report: BackupReport): BackupResult {
  return {
    snapshotId: report.snapshotId,
    parentId: report.parentId,
    files: report.files,
    directories: report.directories,
    bytesProcessed: report.bytesProcessed,
    bytesAdded: report.bytesAdded,
    bytesStored: report.bytesAddedStored,
    errorCount: report.errorCount,
    start: dateOf(report.startNs),
    end: dateOf(report.endNs),
  }
}

export function snapshotOf(shown: ShownSnapshot): Snapshot {
  return {
    id: shown.id,
    time: dateOf(shown.time),
    hostname: shown.hostname,
    username: shown.username,
    paths: shown.paths,
    tags: shown.tags,
    parentId: shown.parent,
    byteCount: shown.summary?.total_bytes_processed,
    isPartial: shown.partial ?? false,
  }
}

export function entryOf(shown: ShownEntry): Entry {
  return {
    path: shown.path,
    name: shown.name,
    type: shown.type,
    mode: shown.mode,
    uid: shown.uid,
    gid: shown.gid,
    size: shown.size,
    mtime: dateOf(shown.mtime),
    target: shown.linktarget,
  }
}

export function pruneResult(report: PruneReport): PruneResult {
  return {
    packsRemoved: report.packsRemoved,
    bytesRemoved: report.bytesRemoved,
    packsMarked: report.packsMarked,
    bytesMarked: report.bytesMarked,
    bytesWritten: report.bytesWritten,
    damagedPacks: report.damaged.map(({ name }) => name),
  }
}

export function statsResult(report: StatsReport): StatsResult {
  return {
    snapshotCount: report.snapshots_count,
    byteCount: report.total_size,
    entryCount: report.total_file_count,
    blobCount: report.total_blob_count,
    uncompressedBytes: report.total_uncompressed_size,
  }
}
