/**
 * `undelete`: writes a forgotten snapshot again, as a new one, from the body that its tombstone
 * keeps. Nothing protected its data meanwhile: all of it is looked up before it is written, and
 * what prunes are about to remove is looked at afterwards.
 */

import { toHex } from '../base/bytes.ts'
import { CairnError, errorChain, isCairnError } from '../base/errors.ts'
import { type FileName, shortId, snapshotIdOf } from '../base/ids.ts'
import type { History, LoadedTombstone, Repository } from '../repository/repository.ts'
import {
  decodeForgotten,
  type FilelessSnapshot,
  saveSnapshots,
  type Snapshot,
} from '../repository/snapshots.ts'
import { forgetSnapshots, forgottenSnapshots, wholeTombstones } from '../repository/tombstones.ts'
import { finishedHistory, type ReplacingView, resolveInterrupted } from './interrupted-runs.ts'
import { originalOf } from './original.ts'
import { putInPlace } from './replace-snapshots.ts'
import { requiredPacks } from './required-packs.ts'
import { asWriter, lostUnprotected, seenStateOf, type WriterState } from './writer-run.ts'

/** A forgotten snapshot that could be written again. */
export interface Undeletable {
  readonly snapshot: FilelessSnapshot
  readonly forgottenNs: bigint
}

/**
 * What was forgotten and not replaced, oldest first; without what has been brought back. Whether its
 * data is still there is not looked at.
 */
export async function undeletable(
  repository: Repository,
  history: History,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Undeletable[]> {
  const found: Undeletable[] = []
  const tombstones = await wholeTombstones(repository, history.tombstones, options)
  const times = forgottenTimes(tombstones)
  const present = new Set(
    history.snapshots.flatMap((one) => (one.content === undefined ? [] : [lineAndRoot(one)])),
  )
  for (const [id, forgotten] of forgottenSnapshots(tombstones)) {
    if (forgotten.replacement.length > 0) continue
    try {
      const snapshot = decodeForgotten(repository, forgotten)
      if (snapshot === undefined || present.has(lineAndRoot(snapshot))) continue
      present.add(lineAndRoot(snapshot))
      found.push({ snapshot, forgottenNs: times.get(id) ?? 0n })
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      repository.warn(`forgotten snapshot ${shortId(id)} cannot be read: ${errorChain(error)}`)
    }
  }
  return found.sort((a, b) => (a.snapshot.timeNs < b.snapshot.timeNs ? -1 : 1))
}

function lineAndRoot(snapshot: FilelessSnapshot): string {
  const root = snapshot.content?.root.id ?? new Uint8Array()
  return `${toHex(originalOf(snapshot).id)} ${toHex(root)}`
}

function forgottenTimes(tombstones: readonly LoadedTombstone[]): Map<string, bigint> {
  const times = new Map<string, bigint>()
  for (const { tombstone } of tombstones) {
    const { seconds, nanoseconds } = tombstone.time
    const timeNs = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds)
    for (const { snapshot } of tombstone.forgotten) {
      const id = snapshotIdOf(snapshot)
      const before = times.get(id)
      // Merged tombstones are younger than what they were made of.
      if (before === undefined || timeNs < before) times.set(id, timeNs)
    }
  }
  return times
}

export interface UndeleteOptions {
  readonly choose: (candidates: readonly Undeletable[]) => readonly FilelessSnapshot[]
  readonly signal?: AbortSignal | undefined
}

export interface Undeleted {
  readonly forgotten: FilelessSnapshot
  readonly snapshot: Snapshot
}

/**
 * Brings back what `choose` chooses, all of it or nothing. Throws CAIRN_FAILED if part of the data is
 * gone, naming it, and CAIRN_CONFLICT if a prune is removing it.
 */
export async function undelete(
  repository: Repository,
  { choose, signal }: UndeleteOptions,
): Promise<readonly Undeleted[]> {
  const operation = { signal }
  return await asWriter(repository, signal, async (state) => {
    const view = await resolveInterrupted(repository, operation)
    const chosen = choose(await undeletable(repository, finishedHistory(view), operation))
    if (chosen.length === 0) return []
    const relied = await requireData(repository, chosen, signal)
    return await writeAgain(repository, view, chosen, relied, state, signal)
  })
}

/** The packs that hold all that the snapshots need. Throws CAIRN_FAILED if anything is missing. */
async function requireData(
  repository: Repository,
  chosen: readonly FilelessSnapshot[],
  signal: AbortSignal | undefined,
): Promise<ReadonlySet<FileName>> {
  const { packs, lacking } = await requiredPacks(repository, chosen, signal)
  if (lacking === undefined) return packs
  throw new CairnError(
    'CAIRN_FAILED',
    `cannot bring back snapshot ${shortId(lacking.snapshot.id)}: ${lacking.what}; nothing is changed`,
  )
}

async function writeAgain(
  repository: Repository,
  view: ReplacingView,
  chosen: readonly FilelessSnapshot[],
  relied: ReadonlySet<FileName>,
  state: WriterState,
  signal: AbortSignal | undefined,
): Promise<Undeleted[]> {
  const operation = { signal }
  const items = chosen.flatMap((forgotten) => {
    const { content, envelope } = forgotten
    if (content === undefined) return []
    const { time, partial } = envelope
    const original = originalOf(forgotten)
    return [{ forgotten, time, partial, content: { ...content, original } }]
  })
  await state.renewSession()
  state.hasUnconfirmed = true
  const saved = await saveSnapshots(repository, items, seenStateOf(view), operation)
  const written: Undeleted[] = items.flatMap(({ forgotten }, i) => {
    const snapshot = saved[i]
    return snapshot === undefined ? [] : [{ forgotten, snapshot }]
  })
  const lost = await lostUnprotected(repository, relied, signal)
  if (lost.length > 0) {
    await forgetSnapshots(repository, written, operation)
    state.hasUnconfirmed = false
    throw new CairnError(
      'CAIRN_CONFLICT',
      'cannot bring back snapshots: a prune is removing their data; run it again when it is done',
    )
  }
  const snapshots = written.map(({ snapshot }) => snapshot)
  const standing = await putInPlace(repository, { view, state, signal }, snapshots, [])
  state.hasUnconfirmed = false
  return written.map((one, i) => ({ ...one, snapshot: standing[i] ?? one.snapshot }))
}
