/**
 * What runs left that were cut off while they wrote snapshots in the place of others (FORMAT.md 17).
 * A run that is taken for dead may go on, so that nobody else takes back what it wrote: it stays,
 * unconfirmed, until the same work is done again, and is then forgotten in favour of what that wrote.
 */

import { toHex } from '../base/bytes.ts'
import type { History, Repository } from '../repository/repository.ts'
import { hasLanded, type SeenSession } from '../repository/sessions.ts'
import type { Snapshot } from '../repository/snapshots.ts'
import {
  type ForgetItem,
  requireForgetting,
  tidyTombstones,
  wholeTombstones,
} from '../repository/tombstones.ts'
import { areAlike } from './original.ts'
import { lookAround, type WriterView } from './writer-run.ts'

interface InterruptedRun {
  readonly session: SeenSession
  /** What is listed of it and no tombstone names as replacement; nobody may have been told of it. */
  readonly snapshots: readonly Snapshot[]
  /** Whether nothing of it is left to be done, and nothing of it can come any more. */
  readonly isOver: boolean
}

export interface ReplacingView extends WriterView {
  /** Runs of this author that are taken for dead and wrote in the place of others. */
  readonly interrupted: readonly InterruptedRun[]
}

interface LookOptions {
  readonly signal?: AbortSignal | undefined
}

/** What is there, for whoever may only write. */
export async function lookForInterrupted(
  repository: Repository,
  options: LookOptions = {},
): Promise<ReplacingView> {
  const view = await lookAround(repository, options.signal)
  const { history, sessions } = view
  const self = toHex(repository.keyring.authorId)
  const dead = sessions.filter(({ isAlive, author }) => !isAlive && author === self)
  if (dead.length === 0) return { ...view, interrupted: [] }
  const whole = await wholeTombstones(repository, history.tombstones, options)
  const named = new Set(
    whole.flatMap(({ tombstone }) => tombstone.forgotten.map((one) => toHex(one.replacement))),
  )
  const interrupted = dead.flatMap((session): InterruptedRun[] => {
    const sessionId = toHex(session.beat.sessionId)
    const written = history.snapshots.filter((one) => toHex(one.envelope.sessionId) === sessionId)
    // What a backup has left is for the next backup, or a check, to look at.
    if (written.some(({ content }) => content?.original === undefined)) return []
    const snapshots = written.filter(({ id }) => !named.has(id))
    const isOver = snapshots.length === 0 && (written.length > 0 || hasLanded(session, repository))
    return [{ session, snapshots, isOver }]
  })
  return { ...view, interrupted }
}

/** The same for an admin, who also tidies: sessions end that left nothing, or what a tombstone names. */
export async function resolveInterrupted(
  repository: Repository,
  options: LookOptions = {},
): Promise<ReplacingView> {
  requireForgetting(repository)
  await tidyTombstones(repository, options)
  const view = await lookForInterrupted(repository, options)
  const over = view.interrupted.filter(({ isOver }) => isOver)
  for (const { session } of over) await removeSession(repository, session)
  // What they wrote is settled by that.
  return over.length === 0 ? view : await lookForInterrupted(repository, options)
}

async function removeSession(repository: Repository, { files }: SeenSession): Promise<void> {
  for (const name of files) await repository.backend.remove({ kind: 'sessions', name })
}

/** The history without what was interrupted: what a run may choose from, and take for done. */
export function finishedHistory({ history, interrupted }: ReplacingView): History {
  const left = new Set(interrupted.flatMap(({ snapshots }) => snapshots))
  if (left.size === 0) return history
  return { ...history, snapshots: history.snapshots.filter((one) => !left.has(one)) }
}

/** What was interrupted and is now done again, each with what takes its place. */
export function supersededItems(
  { interrupted }: ReplacingView,
  written: readonly Snapshot[],
): (ForgetItem & { readonly replacement: Snapshot['id'] })[] {
  return interrupted.flatMap(({ snapshots }) =>
    snapshots.flatMap((snapshot) => {
      const again = written.find((one) => areAlike(one, snapshot))
      return again === undefined ? [] : [{ snapshot, replacement: again.id }]
    }),
  )
}

/** Ends the sessions of which nothing is left but what has been forgotten just now. */
export async function endSuperseded(
  repository: Repository,
  { interrupted }: ReplacingView,
  forgotten: ReadonlySet<Snapshot['id']>,
): Promise<void> {
  for (const { session, snapshots } of interrupted) {
    const isOver = snapshots.length > 0 && snapshots.every(({ id }) => forgotten.has(id))
    if (isOver) await removeSession(repository, session)
  }
}
