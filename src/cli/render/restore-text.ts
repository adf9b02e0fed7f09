/** What `restore` prints. */

import { formatBytes, formatDuration, formatPercent } from '../../base/units.ts'
import type { RestoreReport } from '../../service/restore.ts'
import { type JsonValue, omitEmpty } from './json-lines.ts'
import { printable } from './printable.ts'

type RestoreCounts = RestoreReport['counts']

export interface RestoreItem {
  readonly action: 'restored' | 'updated' | 'unchanged' | 'deleted'
  readonly item: string
  /** Of files; absent for everything else. */
  readonly size?: number
}

function skippedAndDeleted({ files_skipped, bytes_skipped, files_deleted }: RestoreCounts): string {
  let text = ''
  if (files_skipped > 0)
    text += `, skipped ${files_skipped} files/dirs ${formatBytes(bytes_skipped)}`
  if (files_deleted > 0) text += `, deleted ${files_deleted} files/dirs`
  return text
}

export function restoreStatusLines(status: RestoreCounts, bytesPerSecond?: number): string[] {
  const { total_files, files_restored, total_bytes, bytes_restored } = status
  const rate = bytesPerSecond === undefined ? '' : `, ${formatBytes(Math.round(bytesPerSecond))}/s`
  return [
    `[${formatDuration(status.seconds_elapsed)}] ${formatPercent(bytes_restored, total_bytes)}  ` +
      `${files_restored} files/dirs ${formatBytes(bytes_restored)}, total ` +
      `${total_files} files/dirs ${formatBytes(total_bytes)}${skippedAndDeleted(status)}${rate}`,
  ]
}

function counts(state: RestoreCounts): Readonly<Record<string, JsonValue>> {
  const fields = { ...state, seconds_elapsed: Math.floor(state.seconds_elapsed) }
  return omitEmpty(fields) as Readonly<Record<string, JsonValue>>
}

export function restoreStatusJson(status: RestoreCounts): JsonValue {
  const { total_bytes, bytes_restored } = status
  return {
    message_type: 'status',
    percent_done: total_bytes > 0 ? bytes_restored / total_bytes : 0,
    ...counts(status),
  }
}

export function restoreSummaryLine(summary: RestoreCounts): string {
  const { total_files, files_restored, total_bytes, bytes_restored } = summary
  const isWhole = files_restored === total_files && bytes_restored === total_bytes
  const what = isWhole
    ? `${total_files} files/dirs (${formatBytes(total_bytes)})`
    : `${files_restored} / ${total_files} files/dirs ` +
      `(${formatBytes(bytes_restored)} / ${formatBytes(total_bytes)})`
  const duration = formatDuration(summary.seconds_elapsed)
  return `Summary: Restored ${what} in ${duration}${skippedAndDeleted(summary)}`
}

export function restoreSummaryJson(summary: RestoreCounts): JsonValue {
  return { message_type: 'summary', ...counts(summary) }
}

/** A line for each entry, with -vv. */
export function restoreItemLine({ action, item, size }: RestoreItem): string {
  const line = `${action.padEnd(9)} ${printable(item)}`
  return size === undefined ? line : `${line} with size ${formatBytes(size)}`
}

export function restoreItemJson({ action, item, size = 0 }: RestoreItem): JsonValue {
  return { message_type: 'verbose_status', action, item, size }
}
