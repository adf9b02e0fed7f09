/** What the `repair` commands print. */

import type { JsonValue } from './json-lines.ts'

export interface RepairIndexSummary {
  readonly damagedFiles: number
  readonly packsDropped: number
  readonly packsAdded: number
  readonly packsSalvaged: number
  readonly filesRemoved: number
  readonly filesWritten: number
  readonly unreadable: readonly { readonly name: string }[]
}

export interface RepairPacksSummary {
  readonly packsRead: number
  readonly damaged: readonly string[]
  readonly blobsSaved: number
  readonly blobsLost: number
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}

export function repairIndexJson(summary: RepairIndexSummary, dryRun: boolean): JsonValue {
  return {
    message_type: 'summary',
    dry_run: dryRun,
    index_files_damaged: summary.damagedFiles,
    packs_dropped: summary.packsDropped,
    packs_added: summary.packsAdded,
    packs_salvaged: summary.packsSalvaged,
    index_files_removed: summary.filesRemoved,
    index_files_written: summary.filesWritten,
    unreadable_packs: summary.unreadable.map(({ name }) => name),
  }
}

export function repairIndexLines(summary: RepairIndexSummary, dryRun: boolean): string[] {
  const { damagedFiles, packsDropped, packsAdded, packsSalvaged } = summary
  if (damagedFiles + packsDropped + packsAdded === 0) return ['the index is right']
  const salvaged = packsSalvaged === 0 ? '' : ` (${packsSalvaged} without a footer)`
  const verb = dryRun ? 'would be ' : ''
  return [
    `${counted(damagedFiles, 'damaged index file')} ${verb}replaced`,
    `${counted(packsDropped, 'entry', 'entries')} of packs that are not there ${verb}dropped`,
    `${counted(packsAdded, 'pack')} ${verb}named anew${salvaged}`,
  ]
}

export function repairPacksJson(summary: RepairPacksSummary, dryRun: boolean): JsonValue {
  return {
    message_type: 'summary',
    dry_run: dryRun,
    packs_read: summary.packsRead,
    damaged_packs: [...summary.damaged],
    blobs_saved: summary.blobsSaved,
    blobs_lost: summary.blobsLost,
  }
}

export function repairPacksLines(summary: RepairPacksSummary, dryRun: boolean): string[] {
  const { packsRead, damaged, blobsSaved, blobsLost } = summary
  if (damaged.length === 0) return [`${counted(packsRead, 'pack')} read, none is damaged`]
  const verb = dryRun ? 'would be ' : ''
  return [
    `${counted(damaged.length, 'pack')} of ${packsRead} ${verb}replaced`,
    `${counted(blobsSaved, 'blob')} ${verb}saved, ${blobsLost} cannot be read`,
  ]
}

export interface RepairSnapshotsSummary {
  readonly checked: number
  readonly repaired: readonly { readonly old: string; readonly new: string | undefined }[]
  readonly lost: readonly string[]
}

export function repairSnapshotsJson(summary: RepairSnapshotsSummary, dryRun: boolean): JsonValue {
  return {
    message_type: 'summary',
    dry_run: dryRun,
    snapshots_checked: summary.checked,
    changed_snapshots: summary.repaired.map((one) => ({
      old_snapshot_id: one.old,
      ...(one.new === undefined ? {} : { new_snapshot_id: one.new }),
    })),
    lost_snapshots: [...summary.lost],
  }
}

export function repairSnapshotsLines(summary: RepairSnapshotsSummary, dryRun: boolean): string[] {
  const { checked, repaired, lost } = summary
  if (repaired.length + lost.length === 0) {
    return [`${counted(checked, 'snapshot')} checked, nothing is lost`]
  }
  const lines = repaired.map((one) => {
    const old = one.old.slice(0, 8)
    if (one.new === undefined) return `snapshot ${old} would be repaired`
    return `snapshot ${old} is repaired as ${one.new.slice(0, 8)}`
  })
  const verb = dryRun ? ' would be' : ''
  lines.push(`${repaired.length} of ${counted(checked, 'snapshot')}${verb} repaired`)
  return lines
}
