/**
 * `copy`: snapshots of one repository in another, whose keys differ. Blobs keep their cuts; where the
 * two repositories name blobs differently, trees are written again with the new ids.
 *
 * Memory: the source's index, and 112 bytes for each blob that the snapshots need.
 */

import { CairnError, isCairnError } from '../../base/errors.ts'
import type { FileName } from '../../base/ids.ts'
import { indexOrphans } from '../../repository/adopt-orphans.ts'
import { requireReader } from '../../repository/keyring.ts'
import { type OpenedIndex, openIndex } from '../../repository/open-index.ts'
import type { DamagedFile } from '../../repository/repository.ts'
import { saveSnapshots, type Snapshot } from '../../repository/snapshots.ts'
import { forgetSnapshots } from '../../repository/tombstones.ts'
import {
  finishedHistory,
  lookForInterrupted,
  type ReplacingView,
  resolveInterrupted,
} from '../interrupted-runs.ts'
import { putInPlace } from '../replace-snapshots.ts'
import { asWriter, doomedPacks, lostPacks, seenStateOf, type WriterState } from '../writer-run.ts'
import { haveSameIds } from './copy-blobs.ts'
import type { CopiedSnapshot, CopyOptions, CopyReport } from './copy-options.ts'
import { knownCopies } from './known-copies.ts'
import { type Planned, planCopies } from './plan-copies.ts'

/** How often it begins again after a prune took what it rests on, on either side. */
const PASSES_MAX = 4

/**
 * Throws CAIRN_USAGE if both are one repository, CAIRN_WRONG_SECRET if a key may not read,
 * CAIRN_CONFLICT beside prunes that do not end. What is damaged in the source is reported.
 */
export async function copySnapshots(options: CopyOptions): Promise<CopyReport> {
  const { source, target, signal } = options
  if (source.id === target.id) {
    throw new CairnError('CAIRN_USAGE', 'cannot copy: both are the same repository')
  }
  requireReader(source.keyring, 'copy from a repository')
  requireReader(target.keyring, 'see what was copied before')
  return await asWriter(target, signal, async (state) => {
    let told = options
    for (let passes = 1; passes <= PASSES_MAX; passes++) {
      const report = await pass(told, state)
      if (report !== undefined) return report
      // Everything has been said of the snapshots themselves.
      const { onProgress, onNotice } = options.listener
      told = {
        ...options,
        listener: {
          ...(onProgress === undefined ? {} : { onProgress }),
          ...(onNotice === undefined ? {} : { onNotice }),
        },
      }
    }
    throw new CairnError(
      'CAIRN_CONFLICT',
      'cannot copy: a prune keeps removing what is copied; run it again later',
    )
  })
}

/** Undefined if a prune of either repository came in between: then nobody is told of anything. */
async function pass(options: CopyOptions, state: WriterState): Promise<CopyReport | undefined> {
  const { source, target, signal, listener } = options
  const operation = { signal }
  let damagedCount = 0
  const onDamage = (file: DamagedFile) => {
    damagedCount++
    source.warnDamage(file)
  }
  const chosen = options.choose(await source.snapshots({ ...operation, onDamage }))
  const doomed = await doomedPacks(target, signal)
  // Only an admin may forget what a run that was cut off has left.
  const isAdmin = target.keyring.role === 'admin'
  const view = isAdmin
    ? await resolveInterrupted(target, operation)
    : await lookForInterrupted(target, operation)
  const there = finishedHistory(view).snapshots
  const known = knownCopies(source, chosen, there, haveSameIds(source, target))
  const wanted: Snapshot[] = []
  for (const snapshot of chosen) {
    const copy = known.get(snapshot.id)
    if (copy !== undefined) listener.onSkipped?.(snapshot, copy)
    else {
      wanted.push(snapshot)
      listener.onSnapshot?.(snapshot)
    }
  }
  const skippedCount = chosen.length - wanted.length
  if (wanted.length === 0) {
    return { copied: [], skippedCount, damagedCount, failed: [], refused: [], bytesWritten: 0 }
  }
  const opened = await openTarget(options, doomed)
  let planned: Planned
  try {
    planned = await planCopies(options, opened, {
      wanted,
      known: { chosen, copies: known },
      doomed,
    })
  } catch (error) {
    // A pack of the source that went meanwhile.
    if (isCairnError(error, 'CAIRN_CONFLICT')) return undefined
    throw error
  } finally {
    await opened.close()
  }
  const copied = await publish(options, view, planned, state)
  if (copied === undefined) return undefined
  const { failed, refused, bytesWritten } = planned
  return { copied, skippedCount, damagedCount, failed, refused, bytesWritten }
}

async function openTarget(
  { target, cacheDirectory, signal }: CopyOptions,
  doomed: ReadonlySet<FileName>,
): Promise<OpenedIndex> {
  const operation = { signal }
  const opened = await openIndex(target, {
    cacheDirectory,
    bulk: false,
    readOrphans: false,
    ...operation,
  })
  opened.index.setStates(opened.listed, doomed)
  await indexOrphans(opened, { repository: target, doomed, ...operation })
  return opened
}

/** Undefined if a prune of the target takes what the copies rest on: then there are none. */
async function publish(
  { target, signal }: CopyOptions,
  view: ReplacingView,
  { snapshots, relied }: Planned,
  state: WriterState,
): Promise<CopiedSnapshot[] | undefined> {
  const operation = { signal }
  if ((await lostPacks(target, relied, { signal })).length > 0) return undefined
  await state.renewSession()
  state.hasUnconfirmed = snapshots.length > 0
  const items = snapshots.map(({ source, content }) => {
    const { time, partial } = source.envelope
    return { source, time, partial, content }
  })
  const saved = await saveSnapshots(target, items, seenStateOf(view), operation)
  const copied = items.flatMap(({ source }, i): CopiedSnapshot[] => {
    const snapshot = saved[i]
    return snapshot === undefined ? [] : [{ source, snapshot }]
  })
  // A prune may have read the snapshots before these were there.
  if ((await lostPacks(target, relied, { signal })).length > 0) {
    if (target.keyring.role !== 'admin') {
      throw new CairnError(
        'CAIRN_CONFLICT',
        "a prune came in between: the copies stay unconfirmed; run 'cairn check' with an admin key, then this again",
      )
    }
    const withdrawn = copied.map(({ snapshot }) => ({ snapshot }))
    await forgetSnapshots(target, withdrawn, operation)
    state.hasUnconfirmed = false
    return undefined
  }
  const written = copied.map(({ snapshot }) => snapshot)
  const placing = { view, state, signal }
  const isAdmin = target.keyring.role === 'admin'
  const standing = isAdmin ? await putInPlace(target, placing, written, []) : written
  state.hasUnconfirmed = false
  return copied.map((one, i) => ({ ...one, snapshot: standing[i] ?? one.snapshot }))
}
