/**
 * Sessions that ended without saying so (FORMAT.md 16), and the snapshots that they left
 * unconfirmed: one that lacks nothing is confirmed by removing its session's files.
 */

import { toHex } from '../../base/bytes.ts'
import { shortId } from '../../base/ids.ts'
import type { Mark } from '../../format/session.ts'
import type { SeenSession } from '../../repository/sessions.ts'
import type { Snapshot } from '../../repository/snapshots.ts'
import { isCairnError } from '../../base/errors.ts'
import { type CheckContext } from './check-context.ts'

export interface UnconfirmedInput {
  readonly sessions: readonly SeenSession[]
  /** Those that are not forgotten. */
  readonly snapshots: readonly Snapshot[]
  /** Ids of those that were walked and lack nothing. */
  readonly sound: ReadonlySet<string>
  readonly marks: readonly Mark[]
}

export async function resolveUnconfirmed(
  context: CheckContext,
  input: UnconfirmedInput,
): Promise<void> {
  for (const session of input.sessions) {
    if (!session.isAlive) await resolveSession(context, session, input)
  }
}

async function resolveSession(
  context: CheckContext,
  session: SeenSession,
  { snapshots, sound, marks }: UnconfirmedInput,
): Promise<void> {
  const { findings } = context
  const sessionId = toHex(session.beat.sessionId)
  const own = snapshots.filter(({ envelope }) => toHex(envelope.sessionId) === sessionId)
  const { hostname, pid } = session.beat
  const name = session.files[0] ?? sessionId
  const object = { kind: 'sessions' as const, name }
  const who = `process ${pid} on '${hostname}'`
  if (own.length === 0) {
    findings.note(
      object,
      `a run of ${who} ended before it was done`,
      'a backup of its author removes it: after an hour on that machine, after a week elsewhere',
    )
    return
  }
  const ids = own.map(({ id }) => shortId(id)).join(', ')
  const unconfirmed = `snapshot ${ids} of ${who} was not confirmed`
  if (!own.every(({ id }) => sound.has(id))) {
    findings.note(object, `${unconfirmed}, and not all of it was found sound`, BACKUP_STEP)
  } else if (marks.length > 0) {
    findings.note(object, `${unconfirmed}, and a prune is not finished`, 'check again when it is')
  } else if (await confirm(context, session)) {
    findings.note(object, `${unconfirmed}; all it needs is there, so now it is`, 'nothing to do')
  } else {
    findings.note(object, `${unconfirmed}; all it needs is there`, REFUSED_STEP)
  }
}

const BACKUP_STEP = 'the next backup from there decides'
const REFUSED_STEP = 'its session files can be removed by whoever may write here'

/** False if the storage does not let anything be removed. */
async function confirm(
  { repository, signal }: CheckContext,
  session: SeenSession,
): Promise<boolean> {
  try {
    for (const name of session.files) {
      await repository.backend.remove({ kind: 'sessions', name }, { signal })
    }
    return true
  } catch (error) {
    if (isCairnError(error, 'CAIRN_STORAGE_REFUSED')) return false
    throw error
  }
}
