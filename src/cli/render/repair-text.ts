/** What the `repair` commands print. */

import type {
  RepairIndexReport,
  RepairPacksReport,
  RepairSnapshotsReport,
} from '../../service/repair.ts'
import type { JsonValue } from './json-lines.ts'

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}

export function repairIndexJson(report: RepairIndexReport, dryRun: boolean): JsonValue {
  return {
    message_type: 'summary',
    dry_run: dryRun,
    index_files_damaged: report.damagedFiles,
    packs_dropped: report.packsDropped,
    packs_added: report.packsAdded,
    packs_salvaged: report.packsSalvaged,
    index_files_removed: report.filesRemoved,
    index_files_written: report.filesWritten,
    unreadable_packs: report.unreadable.map(({ name }) => name),
  }
}

export function repairIndexLines(report: RepairIndexReport, dryRun: boolean): string[] {
  const { damagedFiles, packsDropped, packsAdded, packsSalvaged } = report
  if (damagedFiles + packsDropped + packsAdded === 0) return ['the index is right']
  const salvaged = packsSalvaged === 0 ? '' : ` (${packsSalvaged} without a footer)`
  const verb = dryRun ? 'would be ' : ''
  return [
    `${counted(damagedFiles, 'damaged index file')} ${verb}replaced`,
    `${counted(packsDropped, 'entry', 'entries')} of packs that are not there ${verb}dropped`,
    `${counted(packsAdded, 'pack')} ${verb}named anew${salvaged}`,
  ]
}

export function repairPacksJson(report: RepairPacksReport, dryRun: boolean): JsonValue {
  return {
    message_type: 'summary',
    dry_run: dryRun,
    packs_read: report.packsRead,
    damaged_packs: [...report.damaged],
    blobs_saved: report.blobsSaved,
    blobs_lost: report.blobsLost,
  }
}

export function repairPacksLines(report: RepairPacksReport, dryRun: boolean): string[] {
  const { packsRead, damaged, blobsSaved, blobsLost } = report
  if (damaged.length === 0) return [`${counted(packsRead, 'pack')} read, none is damaged`]
  const verb = dryRun ? 'would be ' : ''
  return [
    `${counted(damaged.length, 'pack')} of ${packsRead} ${verb}replaced`,
    `${counted(blobsSaved, 'blob')} ${verb}saved, ${blobsLost} cannot be read`,
  ]
}

export function repairSnapshotsJson(report: RepairSnapshotsReport, dryRun: boolean): JsonValue {
  return {
    message_type: 'summary',
    dry_run: dryRun,
    snapshots_checked: report.checked,
    changed_snapshots: report.repaired.map((one) => ({
      old_snapshot_id: one.old,
      ...(one.new === undefined ? {} : { new_snapshot_id: one.new }),
    })),
    lost_snapshots: [...report.lost],
  }
}

export function repairSnapshotsLines(report: RepairSnapshotsReport, dryRun: boolean): string[] {
  const { checked, repaired, lost } = report
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
