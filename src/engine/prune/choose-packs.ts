/** Which packs to remove, to repack and to keep: restic's rules, as arithmetic on figures alone. */

import type { PackUsage } from './pack-usage.ts'
import type { PruneSettings, UnusedLimit } from './prune-options.ts'

export interface Choice {
  readonly remove: readonly PackUsage[]
  readonly repack: readonly PackUsage[]
  readonly keep: readonly PackUsage[]
}

/** Fewer small packs than this are not worth joining. */
const SMALL_PACKS_MIN = 10

export interface ChooseInput {
  readonly packs: readonly PackUsage[]
  readonly settings: PruneSettings
  /** A pack that a run may be writing now, or that cannot be read: it stays as it is. */
  readonly isUntouchable: (usage: PackUsage) => boolean
}

/** Decides; touches nothing. */
export function choosePacks({ packs, settings, isUntouchable }: ChooseInput): Choice {
  const remove: PackUsage[] = []
  const repack: PackUsage[] = []
  const keep: PackUsage[] = []
  const candidates: PackUsage[] = []
  const small: PackUsage[] = []
  for (const usage of packs) {
    if (isUntouchable(usage)) keep.push(usage)
    else if (usage.keptBlobs === 0) remove.push(usage)
    else if (usage.claim === undefined) keep.push(usage)
    // Somebody may still be about to remove it: what is needed of it must be elsewhere first.
    else if (usage.isDoomed) repack.push(usage)
    else if (isCandidate(usage, settings)) candidates.push(usage)
    else if (isSmall(usage, settings)) small.push(usage)
    else keep.push(usage)
  }
  if (small.length >= SMALL_PACKS_MIN) candidates.push(...small)
  else keep.push(...small)
  const chosen = chooseRepacks(candidates, settings, usedBytes([...packs]))
  return {
    remove,
    repack: [...repack, ...chosen.repack],
    keep: [...keep, ...chosen.keep],
  }
}

function isCandidate(usage: PackUsage, settings: PruneSettings): boolean {
  if (settings.repackCacheableOnly && !usage.isMetadata) return false
  if (settings.repackUncompressed && usage.isUncompressed) return true
  return usage.keptBlobs < usage.blobCount
}

function isSmall(usage: PackUsage, settings: PruneSettings): boolean {
  if (settings.repackCacheableOnly && !usage.isMetadata) return false
  return usage.pack.byteCount < settings.smallPackBytes
}

function usedBytes(packs: readonly PackUsage[]): number {
  return packs.reduce((sum, { keptBytes }) => sum + keptBytes, 0)
}

/** Bytes that may stay unused beside `used` needed ones. */
function unusedBytesMax(limit: UnusedLimit, used: number): number {
  if (limit.kind === 'unlimited') return Number.POSITIVE_INFINITY
  if (limit.kind === 'bytes') return limit.byteCount
  // A share of what remains, not of what is needed.
  return limit.percent >= 100
    ? Number.POSITIVE_INFINITY
    : (limit.percent / (100 - limit.percent)) * used
}

function chooseRepacks(
  candidates: readonly PackUsage[],
  settings: PruneSettings,
  used: number,
): Pick<Choice, 'repack' | 'keep'> {
  const repack: PackUsage[] = []
  const keep: PackUsage[] = []
  const waste = (usage: PackUsage) => usage.unusedBytes + usage.duplicateBytes
  let unused = candidates.reduce((sum, usage) => sum + waste(usage), 0)
  let repacked = 0
  const limit = unusedBytesMax(settings.maxUnused, used)
  const repackMax = settings.maxRepackBytes ?? Number.POSITIVE_INFINITY
  const sorted = [...candidates].sort(
    (a, b) => worth(b) - worth(a) || (nameOf(a) < nameOf(b) ? -1 : 1),
  )
  for (const usage of sorted) {
    const isRequired =
      usage.isMetadata ||
      usage.duplicateBlobs > 0 ||
      isSmall(usage, settings) ||
      (settings.repackUncompressed && usage.isUncompressed)
    const isTooMuch = repacked + usage.pack.byteCount > repackMax
    if (settings.isDiskFull || isTooMuch || (!isRequired && unused <= limit)) keep.push(usage)
    else {
      repack.push(usage)
      repacked += usage.pack.byteCount
      unused -= waste(usage)
    }
  }
  return { repack, keep }
}

function nameOf({ pack }: PackUsage): string {
  return pack.name
}

/** Metadata first, which every command reads; then what frees most for each byte that is moved. */
function worth(usage: PackUsage): number {
  const wasted = (usage.unusedBytes + usage.duplicateBytes) / Math.max(1, usage.pack.byteCount)
  return (usage.isMetadata ? 2 : 0) + wasted
}
