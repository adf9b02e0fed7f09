/**
 * Removes packs (FORMAT.md 17). What makes it safe beside backups that nobody stops is the order: the
 * intent is durable, then sessions, snapshots, index, marks and packs are looked at again, and a pack
 * goes only if every blob of it that anything needs is in a pack that nobody is about to remove.
 *
 * A pack that an intent names is never spared for good: while the intent is there somebody may be
 * about to remove the pack. So an intent goes only when none of its packs is there any more, and
 * whoever finds one empties its packs first. Only an intent that nothing was decided under may be
 * withdrawn, by who wrote it.
 */

import { CairnError, errorChain, isCairnError } from '../../base/errors.ts'
import { type FileName, shortId } from '../../base/ids.ts'
import { doomedBy, listMarks, saveMark, type StoredMark } from '../../repository/marks.ts'
import { listSessions, type SeenSession, settledBy } from '../../repository/sessions.ts'
import { nanosecondsOf } from '../../repository/time.ts'
import type { PruneContext } from './prune-options.ts'
import {
  loadNeeded,
  type NeededSnapshots,
  prunersMet,
  type PruneView,
  requireNoOtherPruner,
  unconfirmedOf,
} from './prune-view.ts'
import { replaceIndex } from './replace-index.ts'

const REMOVES_AT_ONCE = 8

export interface SweepInput {
  readonly view: PruneView
  readonly packs: readonly FileName[]
  /** Packs that have been marked for the grace period: only runs from before the mark stop it. */
  readonly isRipe: boolean
  /** Marks and intents that this run has written. */
  readonly own: Set<FileName>
}

export interface SweepResult {
  readonly removed: readonly FileName[]
  /** Needed again, and nowhere else: to be emptied first. */
  readonly spared: readonly FileName[]
  /** Why nothing was removed: a run has begun meanwhile. The packs stay marked. */
  readonly postponed: boolean
}

export async function sweep(context: PruneContext, input: SweepInput): Promise<SweepResult> {
  const { repository, operation } = context
  const { packs, isRipe, own } = input
  let mark: StoredMark | undefined
  if (!isRipe) {
    mark = await saveMark(repository, 'mark', packs, operation.signal)
    own.add(mark.name)
  }
  const intent = await saveMark(repository, 'sweep', packs, operation.signal)
  own.add(intent.name)
  const decision = await decide(context, input, intent)
  if (decision === 'postponed') {
    await removeMarks(context, [intent])
    return { removed: [], spared: [], postponed: true }
  }
  if (decision === 'conflict') {
    await removeMarks(context, mark === undefined ? [intent] : [intent, mark])
    throw prunersMet('its marks have appeared')
  }
  const spared = new Set(decision.spared)
  const doomed = packs.filter((name) => !spared.has(name))
  await removePacks(context, input.view, doomed, decision.listed)
  if (spared.size === 0) await removeMarks(context, mark === undefined ? [intent] : [intent, mark])
  const removed = doomed.filter((name) => decision.listed.has(name))
  return { removed, spared: [...spared], postponed: false }
}

interface Decision {
  readonly spared: readonly FileName[]
  readonly listed: ReadonlySet<FileName>
}

/** The second look. Nothing of it may be reordered: see FORMAT.md 17. */
async function decide(
  context: PruneContext,
  { view, packs, isRipe, own }: SweepInput,
  intent: StoredMark,
): Promise<Decision | 'postponed' | 'conflict'> {
  const { repository, operation } = context
  const { inventory, used } = view
  const sessions = await listSessions(repository, operation.signal)
  if (isPrunerThere(sessions)) return 'conflict'
  const oldest = isRipe ? oldestMark(view, packs) : undefined
  if (sessions.some((session) => blocks(session, oldest))) return 'postponed'
  const isSettled = settledBy(sessions, view.needed.files)
  const needed = await loadNeeded(context, isSettled)
  requireListed(view, needed)
  await inventory.loadIndex()
  const marks = await listMarks(repository, operation.signal)
  const known = new Set([...view.marks.map(({ name }) => name), ...own])
  if (marks.some(({ name }) => !known.has(name))) return 'conflict'
  // The intent counts although a listing that lags behind may not show it.
  await inventory.listPacks(doomedBy([...marks, ...view.marks, intent]))
  await used.walk(needed.snapshots, unconfirmedOf(needed, isSettled))
  const listed = new Set(packs.filter((name) => inventory.packs.has(name)))
  return { spared: [...listed].filter((name) => isNeeded(view, name)), listed }
}

/** Throws CAIRN_CORRUPT if a snapshot has vanished: then the listing is not to be trusted. */
function requireListed(view: PruneView, { snapshots, forgotten, replaces }: NeededSnapshots): void {
  const listed = new Set(snapshots.map(({ id }) => id))
  for (const snapshot of view.needed.snapshots) {
    const { id } = snapshot
    if (listed.has(id) || forgotten.has(id) || view.unconfirmed.has(id)) continue
    if (replaces(snapshot)) continue
    throw new CairnError(
      'CAIRN_CORRUPT',
      `snapshot ${shortId(id)} is not listed any more and was not forgotten, so nothing more was ` +
        "removed; run 'cairn check'",
    )
  }
}

function isPrunerThere(sessions: readonly SeenSession[]): boolean {
  try {
    requireNoOtherPruner(sessions)
    return false
  } catch (error) {
    if (isCairnError(error, 'CAIRN_CONFLICT')) return true
    throw error
  }
}

/** A run that began after the packs were marked knows of it. */
function blocks({ isAlive, beat }: SeenSession, oldestMarkNs: bigint | undefined): boolean {
  if (!isAlive) return false
  return oldestMarkNs === undefined || nanosecondsOf(beat.start) <= oldestMarkNs
}

/** When the last of these packs was marked for the first time. */
function oldestMark({ marks }: PruneView, packs: readonly FileName[]): bigint {
  const first = new Map<FileName, bigint>()
  for (const { mark } of marks) {
    const at = nanosecondsOf(mark.time)
    for (const name of mark.packs) {
      const before = first.get(name)
      if (before === undefined || at < before) first.set(name, at)
    }
  }
  return packs.reduce((latest, name) => {
    const at = first.get(name) ?? 0n
    return at > latest ? at : latest
  }, 0n)
}

/** Whether the pack holds a needed blob that no pack has which is there and not doomed. */
function isNeeded({ inventory, used }: PruneView, name: FileName): boolean {
  for (const { directory } of inventory.packs.get(name)?.claims ?? []) {
    for (let blob = 0; blob < directory.blobCount; blob++) {
      const id = directory.id(blob)
      if (used.ids.has(id) && !inventory.hasLive(id)) return true
    }
  }
  return false
}

/** New index files, old index files, packs. On a full disk the packs go first. */
async function removePacks(
  context: PruneContext,
  { inventory }: PruneView,
  packs: readonly FileName[],
  listed: ReadonlySet<FileName>,
): Promise<void> {
  const { repository, operation, settings } = context
  const gone = new Set(packs)
  const index = () => replaceIndex({ repository, files: inventory.files, gone, operation })
  let isIndexed = false
  if (!settings.isDiskFull) {
    try {
      await index()
      isIndexed = true
    } catch (error) {
      // No space for an index file: an entry without its pack counts for nothing, so it may wait.
      if (!isCairnError(error, 'CAIRN_STORAGE_REFUSED')) throw error
    }
  }
  await removeFiles(
    context,
    packs.filter((name) => listed.has(name)),
  )
  if (!isIndexed) await index()
}

async function removeFiles(context: PruneContext, packs: readonly FileName[]): Promise<void> {
  const { repository, operation, listener } = context
  listener.onPhase?.('remove')
  let refused: unknown
  let refusedCount = 0
  for (let at = 0; at < packs.length; at += REMOVES_AT_ONCE) {
    const batch = packs.slice(at, at + REMOVES_AT_ONCE)
    await Promise.all(
      batch.map(async (name) => {
        try {
          await repository.backend.remove({ kind: 'packs', name }, operation)
        } catch (error) {
          if (!isCairnError(error, 'CAIRN_STORAGE_REFUSED')) throw error
          refused = error
          refusedCount++
        }
      }),
    )
    listener.onProgress?.(Math.min(packs.length, at + REMOVES_AT_ONCE), packs.length)
  }
  await repository.backend.flush(operation)
  if (refusedCount === 0) return
  throw new CairnError(
    'CAIRN_STORAGE_REFUSED',
    `${refusedCount} packs could not be removed and stay marked; a later prune tries again: ${errorChain(refused)}`,
    { cause: refused },
  )
}

/** In this order, each for good before the next. */
export async function removeMarks(
  { repository, operation }: PruneContext,
  marks: readonly StoredMark[],
): Promise<void> {
  for (const { name } of marks) {
    await repository.backend.remove({ kind: 'marks', name }, operation)
    await repository.backend.flush(operation)
  }
}
