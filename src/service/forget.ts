/** `forget`: from the arguments to the engine. */

import {
  executeForget,
  type ForgetCandidate,
  type ForgetPlan,
  type GroupBy,
  planNamed,
  planPolicy,
} from '../engine/forget/forget.ts'
import { isEmptyPolicy, type KeepPolicy, policyText } from '../engine/forget/policy.ts'
import type { SnapshotFilter } from '../engine/snapshot-filter.ts'
import type { Repository } from '../repository/repository.ts'
import { listSettling } from '../repository/sessions.ts'
import { requireForgetting } from '../repository/tombstones.ts'
import { candidateOf, chooseSnapshots } from './select-snapshots.ts'
import { type ShownSnapshot, shownSnapshot, unconfirmedSessions } from './snapshots.ts'

export { isEmptyPolicy, policyText }
export type { KeepPolicy }

export interface ForgetRequest {
  /** Those that are named are forgotten; without any, the policy decides. */
  readonly references: readonly string[]
  readonly filter: SnapshotFilter
  readonly policy: KeepPolicy
  readonly groupBy: GroupBy
  readonly allowRemoveAll: boolean
  readonly dryRun: boolean
  readonly signal: AbortSignal
}

export interface ShownReason {
  readonly snapshot: ShownSnapshot
  readonly matches: readonly string[]
  readonly counters: Readonly<Record<string, number>>
}

export interface ShownForgetGroup {
  readonly author: string
  readonly hostname?: string
  readonly paths?: readonly string[]
  readonly tags?: readonly string[]
  readonly keep: readonly ShownSnapshot[]
  readonly remove: readonly ShownSnapshot[]
  readonly reasons: readonly ShownReason[]
}

export interface ForgetReport {
  readonly groups: readonly ShownForgetGroup[]
  readonly removed: readonly ShownSnapshot[]
}

async function planForget(repository: Repository, request: ForgetRequest): Promise<ForgetPlan> {
  const { references, filter, signal } = request
  const nowNs = repository.clock.wallNs()
  const isNamed = references.length > 0
  const settling = isNamed ? undefined : await listSettling(repository, signal)
  const snapshots = await repository.snapshots({ signal })
  const chosen = chooseSnapshots(snapshots, { references, filter }, nowNs).map(candidateOf)
  if (settling === undefined) return planNamed(chosen)
  const { isSettled } = settling
  const isFiltered = filter.hosts.length + filter.paths.length + filter.tags.length > 0
  return planPolicy(chosen, { ...request, isFiltered, isSettled, nowNs })
}

/** Plans, tells the plan to `onPlan`, and executes it unless it is a dry run. */
export async function runForget(
  repository: Repository,
  request: ForgetRequest,
  onPlan: (report: ForgetReport) => void,
): Promise<void> {
  requireForgetting(repository)
  const plan = await planForget(repository, request)
  const unconfirmed = await unconfirmedSessions(repository, request.signal)
  const shown = ({ snapshot }: ForgetCandidate) => shownSnapshot(snapshot, unconfirmed)
  onPlan({
    groups: plan.groups.map((group) => ({
      ...group,
      keep: group.keep.map(shown),
      remove: group.remove.map(shown),
      reasons: group.reasons.map((one) => ({ ...one, snapshot: shown(one.snapshot) })),
    })),
    removed: plan.remove.map(shown),
  })
  if (!request.dryRun) await executeForget(repository, plan, { signal: request.signal })
}
