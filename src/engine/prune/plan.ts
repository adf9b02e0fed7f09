/** What a prune is going to do: decided here and printed, if asked; `execute.ts` decides nothing. */

import { CairnError } from '../../base/errors.ts'
import { blobIdOf, type FileName, shortId } from '../../base/ids.ts'
import type { IndexedPack } from '../../format/index-file.ts'
import { doomedBy, markAgeNs, type StoredMark } from '../../repository/marks.ts'
import { nanosecondsOf } from '../../repository/time.ts'
import { choosePacks, type Choice } from './choose-packs.ts'
import { type PackUsage, type Usage, usageOf } from './pack-usage.ts'
import type { DamagedPack, PruneContext, PruneStatistics } from './prune-options.ts'
import { loadView, type PruneView } from './prune-view.ts'
import { statisticsOf } from './statistics.ts'
import { verifyKeptCopies } from './verify-copies.ts'

const NS_PER_MS = 1_000_000n
/** How much the clock of whoever writes a pack may differ from the storage's. */
const CLOCK_MARGIN_MS = 3_600_000

export interface PrunePlan {
  /**
   * `now`: nobody else is at work and listings can be relied on, so that what is marked is removed
   * in the same run. `later`: it is marked, and removed once it has been for the grace period.
   */
  readonly mode: 'now' | 'later'
  /** Packs that hold nothing that is needed. */
  readonly remove: readonly FileName[]
  /** Packs whose needed blobs are copied to new ones first. */
  readonly repack: readonly PackUsage[]
  /** Packs that an earlier run has marked, long enough ago. */
  readonly ripe: ReadonlySet<FileName>
  /** Packs that are needed and that no index file names. */
  readonly adopt: readonly IndexedPack[]
  /** Packs that index files name and that are not there. */
  readonly absent: ReadonlySet<FileName>
  /** Packs that are kept because they cannot be read. */
  readonly damaged: readonly DamagedPack[]
  readonly statistics: PruneStatistics
  readonly view: PruneView
}

/** Looks at the whole repository and decides. Writes nothing. */
export async function planPrune(context: PruneContext): Promise<PrunePlan> {
  const view = await loadView(context)
  context.listener.onPhase?.('plan')
  const mode = modeOf(context, view)
  const { usage, choice } = await choose(context, view)
  requireComplete(view, usage)
  const statistics = statisticsOf(usage, choice)
  return {
    mode,
    remove: choice.remove.map(({ pack }) => pack.name),
    repack: choice.repack,
    ripe: ripePacks(context, view),
    adopt: adoptable(choice, view),
    absent: mode === 'now' ? absentPacks(view) : new Set(),
    damaged: damagedPacks(view),
    statistics,
    view,
  }
}

function modeOf({ repository }: PruneContext, { sessions }: PruneView): PrunePlan['mode'] {
  const isAlone = !sessions.some(({ isAlive }) => isAlive)
  return isAlone && repository.backend.listsConsistently ? 'now' : 'later'
}

/** Chooses again as long as a copy that was to be kept turns out to be damaged. */
async function choose(
  context: PruneContext,
  view: PruneView,
): Promise<{ readonly usage: Usage; readonly choice: Choice }> {
  const { inventory, used, marks } = view
  const bad = new Map<FileName, Set<number>>()
  for (;;) {
    const usage = usageOf({
      packs: inventory.packs.values(),
      used: used.ids,
      doomed: doomedBy(marks),
      bad,
    })
    const choice = choosePacks({
      packs: usage.packs,
      settings: context.settings,
      isUntouchable: untouchable(view),
    })
    const isSound = await verifyKeptCopies(context, { usage, choice, used: used.ids, bad })
    if (isSound) return { usage, choice }
  }
}

/** What a run that is alive may be writing, and what nothing is known of, stays as it is. */
function untouchable({ sessions }: PruneView): (usage: PackUsage) => boolean {
  const starts = sessions
    .filter(({ isAlive }) => isAlive)
    .map(({ beat }) => Number(nanosecondsOf(beat.start) / NS_PER_MS))
  const oldest = Math.min(Number.POSITIVE_INFINITY, ...starts)
  return ({ pack, isDoomed }) => {
    if (pack.claims.length === 0) return true
    if (isDoomed || starts.length === 0) return false
    return pack.mtimeMs === undefined || pack.mtimeMs >= oldest - CLOCK_MARGIN_MS
  }
}

/** Marks that are older than the grace period and than every run that is at work. */
function ripePacks({ repository, settings }: PruneContext, view: PruneView): Set<FileName> {
  const alive = view.sessions.filter(({ isAlive }) => isAlive)
  const isRipe = (stored: StoredMark) =>
    markAgeNs(repository, stored) >= BigInt(settings.graceMs) * NS_PER_MS &&
    alive.every(({ beat }) => nanosecondsOf(beat.start) > nanosecondsOf(stored.mark.time))
  return doomedBy(view.marks.filter(isRipe))
}

function adoptable({ keep }: Choice, { sessions }: PruneView): IndexedPack[] {
  if (sessions.some(({ isAlive }) => isAlive)) return []
  return keep.flatMap(({ pack, claim, keptBlobs }) =>
    !pack.isIndexed && keptBlobs > 0 && claim !== undefined ? [claim] : [],
  )
}

/**
 * A run that took in a pack while it was being removed has named it for good. Called only where
 * listings can be relied on: elsewhere a pack may just not be listed yet.
 */
function absentPacks({ inventory }: PruneView): Set<FileName> {
  const named = [...inventory.files.values()].flatMap(({ packs }) => packs)
  return new Set(named.map(({ name }) => name).filter((name) => !inventory.packs.has(name)))
}

function damagedPacks({ inventory, sessions }: PruneView): DamagedPack[] {
  // While somebody is at work, a pack may be on its way.
  if (sessions.some(({ isAlive }) => isAlive)) return []
  return [...inventory.packs.values()].flatMap(({ name, problem }) =>
    problem === undefined ? [] : [{ name, problem }],
  )
}

/** Throws CAIRN_CORRUPT if a blob is missing that a confirmed snapshot needs. */
function requireComplete({ used }: PruneView, { missing }: Usage): void {
  const required = missing.filter((number) => number < used.requiredCount)
  const [first] = required
  if (first === undefined) return
  const blob = shortId(blobIdOf(used.ids.at(first)))
  throw new CairnError(
    'CAIRN_CORRUPT',
    `${required.length} blobs that snapshots need are missing (${blob} is one), so nothing was ` +
      "removed; run 'cairn repair index' and 'cairn check', which says what is affected",
  )
}
