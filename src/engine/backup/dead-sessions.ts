/** What runs of the same author left that were killed (FORMAT.md 18). */

import { equalBytes, toHex } from '../../base/bytes.ts'
import { replacedForGood } from '../../repository/partial-snapshots.ts'
import type { Repository } from '../../repository/repository.ts'
import {
  hasLanded,
  listSessions,
  listSettling,
  type SeenSession,
} from '../../repository/sessions.ts'
import type { Environment } from '../environment.ts'

/**
 * Removes sessions that left no snapshot, when nothing more can come of them. Where one left a
 * snapshot that it did not confirm, a check does, unless these keys only write.
 */
export async function resolveDeadSessions(
  repository: Repository,
  environment: Environment,
  signal: AbortSignal,
): Promise<void> {
  const self = toHex(repository.keyring.authorId)
  const isLeft = ({ author, isAlive }: SeenSession) => author === self && !isAlive
  if (!(await listSessions(repository, signal)).some(isLeft)) return
  // Sessions first: of one that is dead by then, and whose calls have landed, no snapshot can come.
  const { sessions, isSettled } = await listSettling(repository, signal)
  const history = await repository.history({ signal })
  const tombstones = (await repository.tombstones({ signal })).map(({ tombstone }) => tombstone)
  const replaced = new Set(replacedForGood(history, tombstones, isSettled))
  const kept = [...history.snapshots, ...history.replaced].filter((one) => !replaced.has(one))
  let isUnconfirmed = false
  for (const { beat, files } of sessions.filter(isLeft)) {
    const own = kept.filter(({ envelope }) => equalBytes(envelope.sessionId, beat.sessionId))
    // A partial snapshot is left as it is: the next complete one of its series replaces it.
    if (own.some(({ envelope }) => !envelope.partial)) isUnconfirmed = true
    if (own.length > 0 || !hasLanded({ beat }, repository)) continue
    for (const name of files) await repository.backend.remove({ kind: 'sessions', name })
  }
  if (!isUnconfirmed || repository.keyring.role === 'writer') return
  // Rare, after a crash: a check of the structure confirms what it finds sound.
  const { checkRepository } = await import('../check/check.ts')
  await checkRepository({
    environment,
    backend: repository.backend,
    opening: Promise.resolve(repository),
    readData: undefined,
    signal,
  })
}
