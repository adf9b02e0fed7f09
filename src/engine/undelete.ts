/**
 * `undelete`: writes a forgotten snapshot again, as a new one, from the body that its tombstone
 * keeps. Nothing protected its data meanwhile: all of it is looked up before it is written, and
 * what prunes are about to remove is looked at afterwards.
 */

import { toHex } from '../base/bytes.ts'
import { CairnError, errorChain, isCairnError } from '../base/errors.ts'
import { type FileName, shortId, snapshotIdOf } from '../base/ids.ts'
import { BlobReader } from '../repository/blob-reader.ts'
import type { History, LoadedTombstone, Repository } from '../repository/repository.ts'
import {
  decodeForgotten,
  type FilelessSnapshot,
  saveSnapshots,
  type Snapshot,
} from '../repository/snapshots.ts'
import { forgetSnapshots, forgottenSnapshots, wholeTombstones } from '../repository/tombstones.ts'
import type { CheckContext } from './check/check-context.ts'
import { FindingList, findingText } from './check/finding.ts'
import { loadClaims, type PackClaims } from './check/pack-claims.ts'
import { TreeWalk } from './check/tree-walk.ts'
import { originalOf, resolveInterrupted } from './replace-snapshots.ts'
import {
  asWriter,
  lostPacks,
  seenStateOf,
  type WriterState,
  type WriterView,
} from './writer-run.ts'

const SEGMENT_CACHE_BYTES = 64 << 20

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
  options: { readonly signal?: AbortSignal } = {},
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
  readonly signal?: AbortSignal
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
  const operation = signal === undefined ? {} : { signal }
  return await asWriter(repository, signal, async (state) => {
    const view = await resolveInterrupted(repository, operation)
    const chosen = choose(await undeletable(repository, view.history, operation))
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
): Promise<Set<FileName>> {
  const findings = new FindingList(undefined)
  const context: CheckContext = { repository, findings, transient: { count: 0 }, signal }
  const claims: PackClaims = await loadClaims({ ...context, findings: new FindingList(undefined) })
  const blobs = new BlobReader(repository, claims.index, SEGMENT_CACHE_BYTES)
  const walk = new TreeWalk(context, claims.index, blobs)
  for (const snapshot of chosen) {
    await walk.walk(snapshot)
    if (walk.lost.size === 0 && walk.problemCount === 0) continue
    const [finding] = findings.all
    const what =
      walk.lost.size > 0 ? `${walk.lost.size} blobs are gone` : finding && findingText(finding)
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot bring back snapshot ${shortId(snapshot.id)}: ${what}; nothing is changed`,
    )
  }
  return walk.usedPacks
}

async function writeAgain(
  repository: Repository,
  view: WriterView,
  chosen: readonly FilelessSnapshot[],
  relied: ReadonlySet<FileName>,
  state: WriterState,
  signal: AbortSignal | undefined,
): Promise<Undeleted[]> {
  const operation = signal === undefined ? {} : { signal }
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
  const lost = await lostPacks(repository, relied, { signal, phase: 'sweep' })
  if (lost.length > 0) {
    await forgetSnapshots(repository, written, operation)
    state.hasUnconfirmed = false
    throw new CairnError(
      'CAIRN_CONFLICT',
      'cannot bring back snapshots: a prune is removing their data; run it again when it is done',
    )
  }
  state.hasUnconfirmed = false
  return written
}
