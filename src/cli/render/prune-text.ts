/** What `prune` prints, in restic's words. */

import { formatBytes, formatPercent } from '../../base/units.ts'
import type { PruneReport, PruneStatistics } from '../../service/prune.ts'
import type { JsonValue } from './json-lines.ts'

/** What became of it: all 0 after a dry run. */
type PruneOutcome = Omit<PruneReport, 'statistics' | 'damaged'>

export function pruneSummaryJson(
  { blobs, bytes, packfiles }: PruneStatistics,
  outcome: PruneOutcome,
  dryRun: boolean,
): JsonValue {
  return {
    message_type: 'summary',
    dry_run: dryRun,
    blobs: { ...blobs },
    bytes: { ...bytes },
    packfiles: { ...packfiles },
    packs_removed: outcome.packsRemoved,
    bytes_removed: outcome.bytesRemoved,
    packs_marked: outcome.packsMarked,
    bytes_marked: outcome.bytesMarked,
    bytes_written: outcome.bytesWritten,
  }
}

function line(label: string, blobs: number, bytes: number): string {
  return `${`${label}:`.padEnd(15)}${String(blobs).padStart(10)} blobs / ${formatBytes(bytes)}`
}

/** The plan, before it is carried out. */
export function prunePlanLines(
  { blobs, bytes, packfiles }: PruneStatistics,
  verbosity = 0,
): string[] {
  const lines: string[] = []
  if (verbosity > 0) {
    lines.push(
      line('used', blobs.used, bytes.used),
      line('duplicates', blobs.duplicate, bytes.duplicate),
      line('unused', blobs.unused, bytes.unused + bytes.unreferenced),
      line('total', blobs.total, bytes.total),
      '',
    )
  }
  lines.push(
    line('to repack', blobs.repack, bytes.repack),
    line('this removes', blobs.repack_remove, bytes.repack_remove),
    line('to delete', blobs.remove, bytes.remove),
    line('total prune', blobs.remove_total, bytes.remove_total),
    line('remaining', blobs.remaining, bytes.remaining),
    `unused size after prune: ${formatBytes(bytes.remaining_unused)} ` +
      // Of nothing, nothing is unused.
      `(${formatPercent(bytes.remaining_unused, bytes.remaining) || '0.00%'} of remaining size)`,
  )
  if (verbosity > 0) {
    lines.push(
      '',
      `totally used packs: ${packfiles.used}`,
      `partly used packs:  ${packfiles.partly_used}`,
      `unused packs:       ${packfiles.unused}`,
      `packs in no index:  ${packfiles.unreferenced}`,
      '',
      `to keep:   ${packfiles.keep} packs`,
      `to repack: ${packfiles.repack} packs`,
      `to delete: ${packfiles.remove_total - packfiles.repack} packs`,
    )
  }
  return lines
}

function packs(count: number): string {
  return `${count} ${count === 1 ? 'pack' : 'packs'}`
}

/** What was done. */
export function pruneOutcomeLines(outcome: PruneOutcome): string[] {
  const { packsRemoved, bytesRemoved, packsMarked, bytesMarked, bytesWritten } = outcome
  if (packsRemoved + packsMarked === 0) return ['nothing to remove']
  const written = bytesWritten === 0 ? '' : `, ${formatBytes(bytesWritten)} written anew`
  const lines = [`removed ${packs(packsRemoved)} of ${formatBytes(bytesRemoved)}${written}`]
  if (packsMarked > 0) {
    lines.push(
      `marked ${packs(packsMarked)} of ${formatBytes(bytesMarked)}: a backup is running, or this ` +
        'storage may show others an old listing; a later prune removes them',
    )
  }
  return lines
}
