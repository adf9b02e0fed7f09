/** What `backup` prints. */

import { shortId } from '../../base/ids.ts'
import { formatBytes, formatDuration, formatPercent, formatRfc3339Ns } from '../../base/units.ts'
import type { ShownSummary } from '../../service/snapshots.ts'
import { type JsonValue, omitEmpty } from './json-lines.ts'
import { printable } from './printable.ts'

/** How far a backup is. Names are restic's. */
export interface BackupStatus {
  readonly seconds_elapsed: number
  /** 0 while unknown. */
  readonly seconds_remaining: number
  /** 0 until the source has been counted. */
  readonly total_files: number
  readonly files_done: number
  readonly total_bytes: number
  readonly bytes_done: number
  readonly error_count: number
  readonly current_files: readonly string[]
}

/** How a backup ended. Names are restic's. */
export interface BackupSummary extends ShownSummary {
  readonly dry_run: boolean
  /** Seconds. */
  readonly total_duration: number
  /** Absent if none was made. */
  readonly snapshot_id?: string
}

export interface BackupItem {
  readonly action: 'new' | 'modified' | 'unchanged'
  /** A directory's path ends with a slash. */
  readonly item: string
  readonly isDirectory: boolean
  /** Seconds. */
  readonly duration: number
  readonly data_size: number
  readonly data_size_in_repo: number
  readonly metadata_size: number
  readonly metadata_size_in_repo: number
}

/** The status line and below it the files being read. `bytesPerSecond` is shown if it is known. */
export function backupStatusLines(status: BackupStatus, bytesPerSecond?: number): string[] {
  const { total_files, files_done, total_bytes, bytes_done, error_count } = status
  const elapsed = `[${formatDuration(status.seconds_elapsed)}]`
  const rate = bytesPerSecond === undefined ? '' : `, ${formatBytes(Math.round(bytesPerSecond))}/s`
  const done = `${files_done} files, ${formatBytes(bytes_done)}`
  let line = `${elapsed} ${done}, ${error_count} errors${rate}`
  if (total_files > 0 || total_bytes > 0) {
    const isTimed = status.seconds_remaining > 0 && bytes_done < total_bytes
    const percent = isTimed ? `${formatPercent(bytes_done, total_bytes)}  ` : ''
    const eta = isTimed ? ` ETA ${formatDuration(status.seconds_remaining)}` : ''
    line =
      `${elapsed} ${percent}${files_done} files ${formatBytes(bytes_done)}, total ` +
      `${total_files} files ${formatBytes(total_bytes)}, ${error_count} errors${rate}${eta}`
  }
  return [line, ...status.current_files.map(printable).toSorted()]
}

export function backupStatusJson(status: BackupStatus): JsonValue {
  const { total_bytes, bytes_done, current_files, ...counts } = status
  return {
    message_type: 'status',
    percent_done: total_bytes > 0 ? Math.min(1, bytes_done / total_bytes) : 0,
    ...(omitEmpty({
      ...counts,
      seconds_elapsed: Math.floor(counts.seconds_elapsed),
      seconds_remaining: Math.floor(counts.seconds_remaining),
      total_bytes,
      bytes_done,
      current_files: current_files.toSorted(),
    }) as Readonly<Record<string, JsonValue>>),
  }
}

function countsLine(title: string, counts: readonly [number, number, number]): string {
  const [added, changed, same] = counts.map((count) => String(count).padStart(5))
  return `${title.padEnd(12)} ${added} new, ${changed} changed, ${same} unmodified`
}

/** The block at the end, with the empty lines around its parts. */
export function backupSummaryLines(summary: BackupSummary, verbosity = 0): string[] {
  const { files_new, files_changed, files_unmodified } = summary
  const { dirs_new, dirs_changed, dirs_unmodified, dry_run, snapshot_id } = summary
  const blobs = (count: number) => `${String(count).padStart(5)} new`
  const verb = dry_run ? 'Would add' : 'Added'
  const raw = formatBytes(summary.data_added).padEnd(5)
  const stored = formatBytes(summary.data_added_packed).padEnd(5)
  const files = summary.total_files_processed
  const bytes = formatBytes(summary.total_bytes_processed)
  const lines = [
    '',
    countsLine('Files:', [files_new, files_changed, files_unmodified]),
    countsLine('Dirs:', [dirs_new, dirs_changed, dirs_unmodified]),
    ...(verbosity < 1
      ? []
      : [`Data Blobs:  ${blobs(summary.data_blobs)}`, `Tree Blobs:  ${blobs(summary.tree_blobs)}`]),
    `${verb} to the repository: ${raw} (${stored} stored)`,
    '',
    `processed ${files} files, ${bytes} in ${formatDuration(summary.total_duration)}`,
  ]
  if (dry_run) return lines
  if (snapshot_id === undefined) return [...lines, 'skipped creating snapshot']
  return [...lines, `snapshot ${shortId(snapshot_id)} saved`]
}

export function backupSummaryJson(summary: BackupSummary, offsetMinutes?: number): JsonValue {
  const { dry_run, snapshot_id, backup_start, backup_end, ...counts } = summary
  return {
    message_type: 'summary',
    ...counts,
    backup_start: formatRfc3339Ns(backup_start, offsetMinutes),
    backup_end: formatRfc3339Ns(backup_end, offsetMinutes),
    snapshot_id,
    dry_run: dry_run || undefined,
  }
}

/** A line for each entry, with -vv. */
export function backupItemLine(item: BackupItem): string {
  const path = printable(item.item)
  if (item.action === 'unchanged') return `unchanged ${path}`
  const metadata = item.isDirectory ? `, ${formatBytes(item.metadata_size_in_repo)} metadata` : ''
  const sizes = `${formatBytes(item.data_size)} added, ${formatBytes(item.data_size_in_repo)} stored`
  const seconds = item.duration.toFixed(3)
  return `${item.action.padEnd(9)} ${path}, saved in ${seconds}s (${sizes}${metadata})`
}

export function backupItemJson(item: BackupItem): JsonValue {
  const { action, item: path, duration } = item
  return {
    message_type: 'verbose_status',
    action,
    item: path,
    duration,
    data_size: item.data_size,
    data_size_in_repo: item.data_size_in_repo,
    metadata_size: item.metadata_size,
    metadata_size_in_repo: item.metadata_size_in_repo,
    total_files: 0,
  }
}
