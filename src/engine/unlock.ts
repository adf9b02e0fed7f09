/**
 * Removes what sessions have left that ended without saying so (FORMAT.md 16). A session that made a
 * snapshot nobody has confirmed keeps its files: they are how that snapshot is known, and only the
 * next backup of its author or a check may resolve it.
 */

import { toHex } from '../base/bytes.ts'
import type { Repository } from '../repository/repository.ts'
import { listSessions, type SeenSession } from '../repository/sessions.ts'

export interface UnlockOptions {
  /** Also sessions that may still be running. */
  readonly removeAll: boolean
  readonly signal?: AbortSignal | undefined
}

export interface UnlockReport {
  readonly removed: readonly SeenSession[]
  /** Still alive, as far as can be told. */
  readonly running: readonly SeenSession[]
  /** Dead, with a snapshot that is not confirmed. */
  readonly unconfirmed: readonly SeenSession[]
}

export async function unlockSessions(
  repository: Repository,
  { removeAll, signal }: UnlockOptions,
): Promise<UnlockReport> {
  const operation = { signal }
  // Sessions first: of one that is dead by then, no snapshot can come later.
  const sessions = await listSessions(repository, signal)
  const snapshots = sessions.length === 0 ? [] : await repository.snapshots(operation)
  const withSnapshot = new Set(snapshots.map(({ envelope }) => toHex(envelope.sessionId)))
  const removed: SeenSession[] = []
  const running: SeenSession[] = []
  const unconfirmed: SeenSession[] = []
  for (const session of sessions) {
    if (withSnapshot.has(toHex(session.beat.sessionId))) {
      ;(session.isAlive ? running : unconfirmed).push(session)
    } else if (session.isAlive && !removeAll) running.push(session)
    else {
      for (const name of session.files) {
        await repository.backend.remove({ kind: 'sessions', name }, operation)
      }
      removed.push(session)
    }
  }
  if (removed.length > 0) await repository.backend.flush(operation)
  return { removed, running, unconfirmed }
}
