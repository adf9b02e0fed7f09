/**
 * Which snapshots of one group a policy keeps, and why. Pure: the same snapshots, policy, time and
 * time zone give the same answer. The rules and their words are restic's.
 */

import type { CalendarDuration } from '../../base/units.ts'
import { before, BUCKETS } from './calendar.ts'

export const PERIODS = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const
export type Period = (typeof PERIODS)[number]

/** -1 keeps all. */
export type KeepCount = number

export interface KeepPolicy {
  readonly last?: KeepCount
  readonly counts: Readonly<Partial<Record<Period, KeepCount>>>
  /** All that are younger than this, seen from the newest. */
  readonly within?: CalendarDuration
  /** One a period, of those that are younger than this. */
  readonly withinCounts: Readonly<Partial<Record<Period, CalendarDuration>>>
  /** Snapshots that have all tags of one of these lists. */
  readonly tags: readonly (readonly string[])[]
}

export interface PolicySnapshot {
  readonly id: string
  readonly timeNs: bigint
  readonly tags: readonly string[]
  /** A checkpoint of a run that did not finish. */
  readonly isPartial: boolean
  /** Whether its run ended as it should: one that did not may lack something. */
  readonly isConfirmed: boolean
}

export interface KeepReason<S> {
  readonly snapshot: S
  readonly matches: readonly string[]
  /** What is left of each count after this snapshot; -1 for no limit. */
  readonly counters: Readonly<Partial<Record<'last' | Period, number>>>
}

export interface Kept<S> {
  /** Newest first. */
  readonly keep: readonly S[]
  readonly remove: readonly S[]
  readonly reasons: readonly KeepReason<S>[]
}

/** A snapshot that claims to be from further ahead than this counts for nothing: a clock was wrong. */
const AHEAD_NS = 3_600_000_000_000n

export function isEmptyPolicy(policy: KeepPolicy): boolean {
  const counts = [policy.last, ...PERIODS.map((period) => policy.counts[period])]
  const spans = [policy.within, ...PERIODS.map((period) => policy.withinCounts[period])]
  return (
    counts.every((count) => (count ?? 0) === 0) &&
    spans.every((span) => span === undefined || isZero(span)) &&
    policy.tags.length === 0
  )
}

function isZero({ years, months, days, hours }: CalendarDuration): boolean {
  return years + months + days + hours === 0
}

/** `1y5m7d2h`, as it is written in options. */
function spanText({ years, months, days, hours }: CalendarDuration): string {
  const parts = [`${years}y`, `${months}m`, `${days}d`, `${hours}h`]
  return parts.filter((part) => !/^0\D/.test(part)).join('')
}

/** One rule that keeps the newest of each bucket, while it has counts left or time to go. */
interface Bucket {
  readonly counter: 'last' | Period | undefined
  readonly reason: string
  left: number
  readonly after: bigint | undefined
  readonly valueOf: (timeNs: bigint, at: number) => string
  value: string | undefined
}

function bucketsOf(policy: KeepPolicy, newestNs: bigint): Bucket[] {
  const buckets: Bucket[] = []
  const add = (counter: 'last' | Period, count: KeepCount, valueOf: Bucket['valueOf']) => {
    if (count === 0) return
    const reason = `${counter} snapshot`
    buckets.push({ counter, reason, left: count, after: undefined, valueOf, value: undefined })
  }
  add('last', policy.last ?? 0, (_timeNs, at) => String(at))
  for (const period of PERIODS) add(period, policy.counts[period] ?? 0, BUCKETS[period])
  for (const period of PERIODS) {
    const span = policy.withinCounts[period]
    if (span === undefined || isZero(span)) continue
    buckets.push({
      counter: undefined,
      reason: `${period} within ${spanText(span)}`,
      left: -1,
      after: before(newestNs, span),
      valueOf: BUCKETS[period],
      value: undefined,
    })
  }
  return buckets
}

/** The reason of a bucket for keeping this snapshot, if it has one; takes one from its count. */
function take(
  bucket: Bucket,
  { timeNs }: PolicySnapshot,
  at: number,
  isOldest: boolean,
): string | undefined {
  if (bucket.left === 0) return undefined
  if (bucket.after !== undefined && timeNs <= bucket.after) return undefined
  const value = bucket.valueOf(timeNs, at)
  const isNew = value !== bucket.value
  // While there are counts left the oldest is kept too, so that the history reaches back as far as it can.
  if (!isNew && !isOldest) return undefined
  bucket.value = value
  if (bucket.left > 0) bucket.left--
  return isNew ? bucket.reason : `oldest ${bucket.reason}`
}

function tagReasons({ tags }: PolicySnapshot, lists: KeepPolicy['tags']): string[] {
  const hasAll = (list: readonly string[]) =>
    list.every((tag) => (tag === '' ? tags.length === 0 : tags.includes(tag)))
  return lists.filter(hasAll).map((list) => `has tags [${list.join(', ')}]`)
}

/** Newest first; of equal times the order of ids decides, so that every run decides alike. */
function newestFirst<S extends PolicySnapshot>(snapshots: readonly S[]): S[] {
  return snapshots.toSorted((a, b) =>
    a.timeNs === b.timeNs ? (a.id < b.id ? -1 : 1) : a.timeNs > b.timeNs ? -1 : 1,
  )
}

/** Applies a policy to the snapshots of one group. A policy without rules keeps nothing. */
export function applyPolicy<S extends PolicySnapshot>(
  snapshots: readonly S[],
  policy: KeepPolicy,
  nowNs: bigint,
): Kept<S> {
  const sorted = newestFirst(snapshots)
  const counted = sorted.filter(
    (one) => !one.isPartial && one.isConfirmed && one.timeNs <= nowNs + AHEAD_NS,
  )
  const newestNs = counted[0]?.timeNs ?? nowNs
  const buckets = bucketsOf(policy, newestNs)
  const { within } = policy
  const afterNs = within === undefined || isZero(within) ? undefined : before(newestNs, within)
  const places = new Map(counted.map((snapshot, at) => [snapshot, at]))
  const result = { keep: [] as S[], remove: [] as S[], reasons: [] as KeepReason<S>[] }
  for (const snapshot of sorted) {
    const at = places.get(snapshot)
    const matches = tagReasons(snapshot, policy.tags)
    if (at === undefined) matches.push(...uncountedReasons(snapshot, counted[0]))
    else {
      const isWithin = afterNs !== undefined && snapshot.timeNs > afterNs
      if (isWithin && within !== undefined) matches.push(`within ${spanText(within)}`)
      for (const bucket of buckets) {
        const reason = take(bucket, snapshot, at, at === counted.length - 1)
        if (reason !== undefined) matches.push(reason)
      }
    }
    if (matches.length === 0) result.remove.push(snapshot)
    else {
      result.keep.push(snapshot)
      result.reasons.push({ snapshot, matches, counters: countersOf(buckets) })
    }
  }
  return result
}

/** Why a snapshot that no rule counts is kept: not before something whole has taken its place. */
function uncountedReasons(
  snapshot: PolicySnapshot,
  newestCounted: PolicySnapshot | undefined,
): string[] {
  if (!snapshot.isConfirmed) return ['unconfirmed snapshot']
  if (!snapshot.isPartial) return ['time in the future']
  const isReplaced = newestCounted !== undefined && newestCounted.timeNs >= snapshot.timeNs
  return isReplaced ? [] : ['partial snapshot']
}

function countersOf(buckets: readonly Bucket[]): KeepReason<unknown>['counters'] {
  return Object.fromEntries(
    buckets.flatMap(({ counter, left }) => (counter === undefined ? [] : [[counter, left]])),
  )
}

/** `keep 5 daily, 2 weekly snapshots, and all within 7d`, for people. */
export function policyText(policy: KeepPolicy): string {
  const count = (value: KeepCount, what: string) => `${value < 0 ? 'all' : value} ${what}`
  const counts = [
    ...((policy.last ?? 0) === 0 ? [] : [count(policy.last ?? 0, 'latest')]),
    ...PERIODS.flatMap((period) => {
      const value = policy.counts[period] ?? 0
      return value === 0 ? [] : [count(value, period)]
    }),
  ]
  const parts = counts.length === 0 ? [] : [`${counts.join(', ')} snapshots`]
  if (policy.tags.length > 0) {
    const lists = policy.tags.map((list) => `[${list.join(', ')}]`)
    parts.push(`all snapshots with tags ${lists.join(' or ')}`)
  }
  const { within } = policy
  if (within !== undefined && !isZero(within)) {
    parts.push(`all snapshots within ${spanText(within)} of the newest`)
  }
  for (const period of PERIODS) {
    const span = policy.withinCounts[period]
    if (span === undefined || isZero(span)) continue
    parts.push(`${period} snapshots within ${spanText(span)} of the newest`)
  }
  return `keep ${parts.join(' and ')}`
}
