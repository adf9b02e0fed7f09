/** `tag` and `undelete`: from the arguments to the engine. */

import type { Replaced } from '../engine/replace-snapshots.ts'
import type { SnapshotFilter } from '../engine/snapshot-filter.ts'
import { changeTags, type TagChange } from '../engine/tag.ts'
import { undelete, undeletable } from '../engine/undelete.ts'
import type { Repository } from '../repository/repository.ts'
import type { FilelessSnapshot } from '../repository/snapshots.ts'
import { chooseCandidates, type ShownSnapshot, shownSnapshot } from './snapshots.ts'

export interface ChangedSnapshot {
  readonly oldId: string
  readonly newId: string
}

export function changedIds({ old, snapshot }: Replaced): ChangedSnapshot {
  return { oldId: old.id, newId: snapshot.id }
}

export async function runTag(
  repository: Repository,
  request: {
    readonly references: readonly string[]
    readonly filter: SnapshotFilter
    readonly change: TagChange
    readonly signal: AbortSignal
  },
): Promise<ChangedSnapshot[]> {
  const nowNs = repository.clock.wallNs()
  const changed = await changeTags(repository, {
    choose: (snapshots) =>
      chooseCandidates(snapshots, request, nowNs).map(({ snapshot }) => snapshot),
    change: request.change,
    signal: request.signal,
  })
  return changed.map(changedIds)
}

export interface ForgottenSnapshot {
  readonly snapshot: ShownSnapshot
  readonly forgottenNs: bigint
}

/** What could be brought back, oldest first. */
export async function listForgotten(
  repository: Repository,
  signal: AbortSignal,
): Promise<ForgottenSnapshot[]> {
  const found = undeletable(repository, await repository.history({ signal }))
  return found.map(({ snapshot, forgottenNs }) => ({
    snapshot: shownSnapshot(snapshot, new Set()),
    forgottenNs,
  }))
}

export async function runUndelete(
  repository: Repository,
  references: readonly string[],
  signal: AbortSignal,
): Promise<ChangedSnapshot[]> {
  const nowNs = repository.clock.wallNs()
  const filter = { hosts: [], paths: [], tags: [] }
  const choose = (candidates: readonly { readonly snapshot: FilelessSnapshot }[]) => {
    const snapshots = candidates.map(({ snapshot }) => snapshot)
    return chooseCandidates(snapshots, { references, filter }, nowNs).map((one) => one.snapshot)
  }
  const restored = await undelete(repository, { choose, signal })
  return restored.map(({ forgotten, snapshot }) => ({ oldId: forgotten.id, newId: snapshot.id }))
}
