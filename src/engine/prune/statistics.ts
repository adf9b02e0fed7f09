/** The figures of a plan, in restic's names. */

import type { Choice } from './choose-packs.ts'
import type { PackUsage, Usage } from './pack-usage.ts'
import type { PruneStatistics } from './prune-options.ts'

function sum(packs: readonly PackUsage[], figure: (usage: PackUsage) => number): number {
  return packs.reduce((total, usage) => total + figure(usage), 0)
}

const blobsOf = ({ blobCount }: PackUsage) => blobCount
const keptBlobsOf = ({ keptBlobs }: PackUsage) => keptBlobs
const bytesOf = ({ pack }: PackUsage) => pack.byteCount
const keptBytesOf = ({ keptBytes }: PackUsage) => keptBytes
const duplicateBytesOf = ({ duplicateBytes }: PackUsage) => duplicateBytes
const unusedBytesOf = ({ unusedBytes }: PackUsage) => unusedBytes
/** An index file has it. */
const isKnown = ({ pack }: PackUsage) => pack.isIndexed
const isUnreferenced = ({ pack }: PackUsage) => !pack.isIndexed
const isUncompressed = (usage: PackUsage) => usage.isUncompressed

export function statisticsOf({ packs }: Usage, choice: Choice): PruneStatistics {
  return {
    blobs: blobFigures(packs, choice),
    bytes: byteFigures(packs, choice),
    packfiles: packFigures(packs, choice),
  }
}

function blobFigures(
  packs: readonly PackUsage[],
  { remove, repack }: Choice,
): PruneStatistics['blobs'] {
  const used = sum(packs, keptBlobsOf)
  const duplicate = sum(packs, ({ duplicateBlobs }) => duplicateBlobs)
  const total = sum(packs, blobsOf)
  const repacked = sum(repack, blobsOf)
  const repackRemove = repacked - sum(repack, keptBlobsOf)
  const removed = sum(remove, blobsOf)
  return {
    used,
    duplicate,
    unused: total - used - duplicate,
    total,
    repack: repacked,
    repack_remove: repackRemove,
    remove: removed,
    remove_total: repackRemove + removed,
    remaining: total - repackRemove - removed,
  }
}

function byteFigures(
  packs: readonly PackUsage[],
  { remove, repack, keep }: Choice,
): PruneStatistics['bytes'] {
  const total = sum(packs, bytesOf)
  const repacked = sum(repack, bytesOf)
  const repackRemove = repacked - sum(repack, keptBytesOf)
  const removed = sum(remove, bytesOf)
  return {
    used: sum(packs, keptBytesOf),
    duplicate: sum(packs, duplicateBytesOf),
    unused: sum(packs.filter(isKnown), unusedBytesOf),
    unreferenced: sum(packs.filter(isUnreferenced), unusedBytesOf),
    total,
    uncompressed: sum(packs.filter(isUncompressed), bytesOf),
    repack: repacked,
    repack_remove: repackRemove,
    remove: removed,
    remove_total: repackRemove + removed,
    remaining: total - repackRemove - removed,
    remaining_unused: sum(keep, unusedBytesOf) + sum(keep, duplicateBytesOf),
  }
}

function packFigures(
  packs: readonly PackUsage[],
  { remove, repack, keep }: Choice,
): PruneStatistics['packfiles'] {
  const known = packs.filter(isKnown)
  return {
    used: known.filter(({ keptBlobs, blobCount }) => keptBlobs === blobCount && blobCount > 0)
      .length,
    partly_used: known.filter(({ keptBlobs, blobCount }) => keptBlobs > 0 && keptBlobs < blobCount)
      .length,
    unused: known.filter(({ keptBlobs }) => keptBlobs === 0).length,
    unreferenced: packs.length - known.length,
    total: packs.length,
    keep: keep.length,
    repack: repack.length,
    remove: remove.filter(isKnown).length,
    remove_total: remove.length + repack.length,
  }
}
