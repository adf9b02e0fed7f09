/** `unlock`: sessions as the command line shows them. */

import { toHex } from '../base/bytes.ts'
import { type UnlockReport, unlockSessions } from '../engine/unlock.ts'
import type { SeenSession } from '../repository/sessions.ts'
import { nanosecondsOf } from '../repository/time.ts'
import type { RepositoryAccess } from './access.ts'

export interface ShownSession {
  readonly id: string
  readonly hostname: string
  readonly pid: number
  /** Of its last sign of life. */
  readonly timeNs: bigint
}

export type UnlockSummary = Readonly<Record<keyof UnlockReport, readonly ShownSession[]>>

function shown({ beat }: SeenSession): ShownSession {
  const { sessionId, hostname, pid, time } = beat
  return { id: toHex(sessionId), hostname, pid, timeNs: nanosecondsOf(time) }
}

export async function unlock(access: RepositoryAccess, removeAll: boolean): Promise<UnlockSummary> {
  const repository = await access.open()
  const report = await unlockSessions(repository, { removeAll, signal: access.signal })
  return {
    removed: report.removed.map(shown),
    running: report.running.map(shown),
    unconfirmed: report.unconfirmed.map(shown),
  }
}
