/** What snapshots, tombstones and this client's memory name, and is not there. */

import { ForgottenIds } from '../../repository/forgotten-ids.ts'
import { SortedIds } from '../../repository/sorted-ids.ts'
import {
  findLosses,
  type Loss,
  type Memory,
  type SeenHistory,
  tombstonesById,
} from '../rollback.ts'
import { type CheckContext } from './check-context.ts'
import type { CheckedObjects } from './check-objects.ts'
import type { FileKind } from './check-options.ts'

const FOLDER = {
  snapshot: 'snapshots',
  tombstone: 'retired',
  config: 'config',
  repository: 'config',
} as const satisfies Record<Loss['kind'], FileKind>

const NEXT_STEP: Record<Loss['kind'], string> = {
  snapshot: "restore it from a copy of the repository, or accept the loss with 'cairn accept'",
  tombstone: "restore it from a copy of the repository, or accept the loss with 'cairn accept'",
  config: "restore it from a copy of the repository, or accept it with 'cairn accept'",
  repository: "if that is as it should be, accept it with 'cairn accept'",
}

export async function checkHistory(
  context: CheckContext,
  objects: CheckedObjects,
  memory: Memory | undefined,
): Promise<void> {
  const { findings, repository } = context
  const history = seenHistoryOf(objects)
  let losses = findLosses(repository, history, memory)
  if (losses.length > 0) {
    losses = findLosses(repository, await withLaterTombstones(context, history), memory)
  }
  for (const { kind, id, message } of losses) {
    findings.error({ kind: FOLDER[kind], name: id }, message, NEXT_STEP[kind])
  }
}

function seenHistoryOf({ snapshots, forgotten, tombstones }: CheckedObjects): SeenHistory {
  const links = [...tombstones].map(([id, { known, merged }]) => {
    return [id, { known, merged: SortedIds.of(merged) }] as const
  })
  return { snapshots, forgotten, tombstones: new Map(links) }
}

/** What was forgotten after tombstones were listed and before snapshots were is not lost. */
async function withLaterTombstones(
  { repository, signal }: CheckContext,
  history: SeenHistory,
): Promise<SeenHistory> {
  const found = await repository.seenTombstones({ signal, onDamage: () => {} })
  const later = tombstonesById(found)
  const forgotten = new ForgottenIds(found.map((one) => one.forgotten))
  return {
    snapshots: history.snapshots,
    tombstones: new Map([...history.tombstones, ...later]),
    forgotten: { has: (id) => history.forgotten.has(id) || forgotten.has(id) },
  }
}
