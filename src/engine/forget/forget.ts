/**
 * `forget`: first a plan, which can be shown, then its execution, which decides nothing. Only an
 * admin may; the data stays until a prune.
 */

import { CairnError } from '../../base/errors.ts'
import { toHex } from '../../base/bytes.ts'
import type { Repository } from '../../repository/repository.ts'
import type { IsSettled } from '../../repository/sessions.ts'
import type { Snapshot } from '../../repository/snapshots.ts'
import { forgetSnapshots, requireForgetting, tidyTombstones } from '../../repository/tombstones.ts'
import type { SnapshotCandidate } from '../snapshot-reference.ts'
import {
  applyPolicy,
  isEmptyPolicy,
  type KeepPolicy,
  type KeepReason,
  type PolicySnapshot,
} from './policy.ts'

/** What planning looks at. */
export interface ForgetCandidate extends SnapshotCandidate {
  readonly snapshot: Snapshot
}

export interface GroupBy {
  readonly host: boolean
  readonly paths: boolean
  readonly tags: boolean
}

export interface ForgetGroup {
  /** 16 hex digits. Groups never mix authors: no key can push out what another has made. */
  readonly author: string
  readonly hostname?: string
  readonly paths?: readonly string[]
  readonly tags?: readonly string[]
  /** Newest first. */
  readonly keep: readonly ForgetCandidate[]
  readonly remove: readonly ForgetCandidate[]
  readonly reasons: readonly KeepReason<ForgetCandidate>[]
}

export interface ForgetPlan {
  /** Empty if snapshots were named. */
  readonly groups: readonly ForgetGroup[]
  readonly remove: readonly ForgetCandidate[]
}

/** The author whose history the snapshot belongs to: of a re-tagged one, that of the original. */
function historyAuthor({ content, author }: Snapshot): string {
  return content?.original === undefined ? author : toHex(content.original.author)
}

/** What the policy sees of a snapshot. */
function policyViewOf(
  candidate: ForgetCandidate,
  isSettled: IsSettled,
): PolicySnapshot & { readonly of: ForgetCandidate } {
  const { id, timeNs, tags, snapshot } = candidate
  const { partial } = snapshot.envelope
  const isConfirmed = isSettled(snapshot)
  return { id, timeNs, tags, isPartial: partial, isConfirmed, of: candidate }
}

/** Those that were named, and no others. */
export function planNamed(named: readonly ForgetCandidate[]): ForgetPlan {
  return { groups: [], remove: [...new Set(named)] }
}

export interface PolicyRequest {
  readonly policy: KeepPolicy
  readonly groupBy: GroupBy
  /** Whether a group may lose all its snapshots. */
  readonly allowRemoveAll: boolean
  /** Whether `candidates` are only some of the repository's: what `allowRemoveAll` needs without rules. */
  readonly isFiltered: boolean
  /**
   * By sessions that were listed before the candidates: else one that its run has just taken back would
   * count, and others go on its account.
   */
  readonly isSettled: IsSettled
  readonly nowNs: bigint
}

/** Throws CAIRN_USAGE for a policy without rules, CAIRN_FAILED if a group would lose everything. */
export function planPolicy(
  candidates: readonly ForgetCandidate[],
  request: PolicyRequest,
): ForgetPlan {
  requirePolicy(request)
  const groups = grouped(candidates, request.groupBy).map(({ key, members }): ForgetGroup => {
    const { keep, remove, reasons } = applyPolicy(
      members.map((one) => policyViewOf(one, request.isSettled)),
      request.policy,
      request.nowNs,
    )
    if (keep.length === 0 && !request.allowRemoveAll) throw emptiesGroup(key)
    return {
      ...key,
      keep: keep.map(({ of }) => of),
      remove: remove.map(({ of }) => of),
      reasons: reasons.map((reason) => ({ ...reason, snapshot: reason.snapshot.of })),
    }
  })
  return { groups, remove: groups.flatMap(({ remove }) => remove) }
}

function requirePolicy({ policy, allowRemoveAll, isFiltered }: PolicyRequest): void {
  if (!isEmptyPolicy(policy)) return
  if (!allowRemoveAll) {
    throw new CairnError(
      'CAIRN_USAGE',
      'no policy was given, so nothing is forgotten: write what to keep, or name the snapshots to forget',
    )
  }
  if (!isFiltered) {
    throw new CairnError(
      'CAIRN_USAGE',
      '--unsafe-allow-remove-all without a policy needs --host, --path or --tag',
    )
  }
}

function emptiesGroup({ hostname, paths }: GroupKey): CairnError {
  const what = [
    ...(hostname === undefined ? [] : [`host '${hostname}'`]),
    ...(paths === undefined ? [] : [`paths '${paths.join("', '")}'`]),
  ].join(', ')
  return new CairnError(
    'CAIRN_FAILED',
    `refusing to forget the last snapshot${what === '' ? '' : ` of ${what}`}; --unsafe-allow-remove-all allows it`,
  )
}

type GroupKey = Pick<ForgetGroup, 'author' | 'hostname' | 'paths' | 'tags'>

function grouped(candidates: readonly ForgetCandidate[], by: GroupBy) {
  const groups = new Map<string, { key: GroupKey; members: ForgetCandidate[] }>()
  for (const candidate of candidates) {
    const key: GroupKey = {
      author: historyAuthor(candidate.snapshot),
      ...(by.host ? { hostname: candidate.hostname } : {}),
      ...(by.paths ? { paths: candidate.paths.toSorted() } : {}),
      ...(by.tags ? { tags: candidate.tags.toSorted() } : {}),
    }
    const text = JSON.stringify([key.hostname, key.paths, key.tags, key.author])
    const group = groups.get(text)
    if (group === undefined) groups.set(text, { key, members: [candidate] })
    else group.members.push(candidate)
  }
  return [...groups].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group)
}

/**
 * Forgets what the plan says, and finishes what interrupted runs left. What is forgotten stays
 * forgotten when this has returned; the rest of the repository is as it was.
 */
export async function executeForget(
  repository: Repository,
  plan: ForgetPlan,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  requireForgetting(repository)
  await forgetSnapshots(repository, plan.remove, options)
  await tidyTombstones(repository, options)
}
