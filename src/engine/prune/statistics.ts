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

export function statisticsOf({ packs }: Usage, { remove, repack, keep }: Choice): PruneStatistics {
  const known = packs.filter(({ pack }) => pack.isIndexed)
  const unreferenced = packs.filter(({ pack }) => !pack.isIndexed)
  const referencedRemove = remove.filter(({ pack }) => pack.isIndexed)
  const blobs = {
    used: sum(packs, keptBlobsOf),
    duplicate: sum(packs, ({ duplicateBlobs }) => duplicateBlobs),
    total: sum(packs, blobsOf),
    repack: sum(repack, blobsOf),
    repack_remove: sum(repack, blobsOf) - sum(repack, keptBlobsOf),
    remove: sum(remove, blobsOf),
  }
  const bytes = {
    used: sum(packs, keptBytesOf),
    duplicate: sum(packs, ({ duplicateBytes }) => duplicateBytes),
    unused: sum(known, ({ unusedBytes }) => unusedBytes),
    unreferenced: sum(unreferenced, ({ unusedBytes }) => unusedBytes),
    total: sum(packs, bytesOf),
    uncompressed: sum(
      packs.filter(({ isUncompressed }) => isUncompressed),
      bytesOf,
    ),
    repack: sum(repack, bytesOf),
    repack_remove: sum(repack, bytesOf) - sum(repack, keptBytesOf),
    remove: sum(remove, bytesOf),
  }
  const removedBytes = bytes.repack_remove + bytes.remove
  const removedBlobs = blobs.repack_remove + blobs.remove
  return {
    blobs: {
      ...blobs,
      unused: blobs.total - blobs.used - blobs.duplicate,
      remove_total: removedBlobs,
      remaining: blobs.total - removedBlobs,
    },
    bytes: {
      ...bytes,
      remove_total: removedBytes,
      remaining: bytes.total - removedBytes,
      remaining_unused: sum(
        keep,
        ({ unusedBytes, duplicateBytes }) => unusedBytes + duplicateBytes,
      ),
    },
    packfiles: {
      used: known.filter(({ keptBlobs, blobCount }) => keptBlobs === blobCount && blobCount > 0)
        .length,
      partly_used: known.filter(
        ({ keptBlobs, blobCount }) => keptBlobs > 0 && keptBlobs < blobCount,
      ).length,
      unused: known.filter(({ keptBlobs }) => keptBlobs === 0).length,
      unreferenced: unreferenced.length,
      total: packs.length,
      keep: keep.length,
      repack: repack.length,
      remove: referencedRemove.length,
      remove_total: remove.length + repack.length,
    },
  }
}
