/** What snapshots, tombstones and this client's memory name, and is not there. */

import { findLosses, type Loss, type Memory, type SeenHistory } from '../rollback.ts'
import type { CheckContext } from './check-context.ts'
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

export function checkHistory(
  { findings, repository }: CheckContext,
  history: SeenHistory,
  memory: Memory | undefined,
): void {
  for (const { kind, id, message } of findLosses(repository, history, memory)) {
    findings.error({ kind: FOLDER[kind], name: id }, message, NEXT_STEP[kind])
  }
}
