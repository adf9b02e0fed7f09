/**
 * What a run may put another snapshot in the place of: only what is settled (FORMAT.md 14 and 17).
 * Of any other its run may find that a prune has taken data, and take it back: a copy would stay, and
 * somebody be told that it is safe.
 */

import { CairnError } from '../base/errors.ts'
import { shortId } from '../base/ids.ts'
import type { Repository } from '../repository/repository.ts'
import type { Snapshot } from '../repository/snapshots.ts'
import { finishedHistory, type ReplacingView } from './interrupted-runs.ts'

export interface SnapshotChoosing {
  readonly choose: (snapshots: readonly Snapshot[]) => readonly Snapshot[]
  /** Whether what is chosen was named one by one, and not let through by a filter. */
  readonly isNamed?: boolean
}

/**
 * What is chosen, without what its run has not confirmed, of which a notice tells. Throws
 * CAIRN_CONFLICT if such a one was named.
 */
export function chooseSettled(
  repository: Repository,
  view: ReplacingView,
  { choose, isNamed = false }: SnapshotChoosing,
): Snapshot[] {
  return choose(finishedHistory(view).snapshots).filter((one) => {
    if (view.isSettled(one)) return true
    const problem = `snapshot ${shortId(one.id)} is not confirmed by the run that wrote it`
    const nextStep = "wait until that run ends, or run 'cairn check' if it was killed"
    if (isNamed) throw new CairnError('CAIRN_CONFLICT', `${problem}: ${nextStep}`)
    repository.warn(`${problem} and is left out: ${nextStep}`)
    return false
  })
}
