/**
 * How commands name a snapshot: an id prefix, `latest`, `latest~2`, `@2026-11-20T14:00`, each with
 * `:subpath` behind it or not.
 */

import { CairnError } from '../base/errors.ts'
import { shortId } from '../base/ids.ts'
import { formatDuration, formatTime } from '../base/units.ts'
import {
  describeFilter,
  type FilterableSnapshot,
  matchesFilter,
  type SnapshotFilter,
} from './snapshot-filter.ts'
import { type TimeReference, tryParseTimeReference } from './time-reference.ts'

interface ReferenceBase {
  /** What was written, for messages. */
  readonly text: string
  /** Below which directory; absent if the whole snapshot is meant. */
  readonly subpath?: string
}

export type SnapshotReference =
  | (ReferenceBase & { readonly kind: 'id'; readonly prefix: string })
  /** `back` is 0 for the newest, 1 for the one before it. */
  | (ReferenceBase & { readonly kind: 'latest'; readonly back: number })
  | (ReferenceBase & { readonly kind: 'time'; readonly time: TimeReference })

const ID_PREFIX_MIN = 4
const CANDIDATES_SHOWN_MAX = 8

function notAReference(text: string): CairnError {
  return new CairnError(
    'CAIRN_USAGE',
    `'${text}' does not name a snapshot: write an id of at least ${ID_PREFIX_MIN} hex digits, ` +
      `'latest', 'latest~1' or a time such as '@2026-11-20T14:00'`,
  )
}

/** The longest beginning of `text` that is a time takes all, so that `@…T14:00:05` has seconds. */
function parseTimeAndSubpath(text: string, nowNs: bigint): SnapshotReference {
  for (let end = text.length; end > 0; end = text.lastIndexOf(':', end - 1)) {
    const time = tryParseTimeReference(text.slice(1, end), nowNs)
    if (time === undefined) continue
    return { kind: 'time', text, time, ...subpathOf(text.slice(end + 1)) }
  }
  throw notAReference(text)
}

function subpathOf(subpath: string | undefined): { readonly subpath?: string } {
  return subpath === undefined || subpath === '' ? {} : { subpath }
}

/** Throws CAIRN_USAGE for what cannot name a snapshot. */
export function parseSnapshotReference(text: string, nowNs: bigint): SnapshotReference {
  if (text.startsWith('@')) return parseTimeAndSubpath(text, nowNs)
  const colon = text.indexOf(':')
  const name = colon < 0 ? text : text.slice(0, colon)
  const rest = subpathOf(colon < 0 ? undefined : text.slice(colon + 1))
  const latest = /^latest(?:~(\d{1,6}))?$/.exec(name)
  if (latest !== null) return { kind: 'latest', text, back: Number(latest[1] ?? 0), ...rest }
  const prefix = name.toLowerCase()
  if (prefix.length < ID_PREFIX_MIN || !/^[0-9a-f]{1,64}$/.test(prefix)) throw notAReference(text)
  return { kind: 'id', text, prefix, ...rest }
}

/** What picking a snapshot needs to know of it. */
export interface SnapshotCandidate extends FilterableSnapshot {
  readonly id: string
  /** The time a listing shows: when the backup began, or what `--time` said. */
  readonly timeNs: bigint
  /** When it ended, on the same scale as `timeNs`. */
  readonly endNs: bigint
  /** A checkpoint of a run that was not done: only its id names it. */
  readonly isPartial?: boolean
}

const AT_MODES = ['before', 'nearest', 'after'] as const
export type AtMode = (typeof AT_MODES)[number]

export interface ChosenSnapshot<S extends SnapshotCandidate> {
  readonly snapshot: S
  readonly subpath?: string
  /**
   * For a reference to a time: how long after it the snapshot ended. Negative if it ended before,
   * 0 if within the stretch of time that was written.
   */
  readonly distanceNs?: bigint
}

function bigCompare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Oldest first. The id settles ties, so that every run makes the same choice. */
function sortedBy<S extends SnapshotCandidate>(
  snapshots: readonly S[],
  timeOf: (snapshot: S) => bigint,
): S[] {
  return snapshots.toSorted((a, b) => bigCompare(timeOf(a), timeOf(b)) || (a.id < b.id ? -1 : 1))
}

function noMatch(text: string, filter: SnapshotFilter | undefined, because: string): CairnError {
  const narrowed = filter === undefined ? '' : describeFilter(filter)
  return new CairnError(
    'CAIRN_FAILED',
    `no snapshot matches '${text}'${narrowed === '' ? '' : ` with ${narrowed}`}${because}`,
  )
}

function resolveId<S extends SnapshotCandidate>(
  reference: { readonly text: string; readonly prefix: string },
  snapshots: readonly S[],
): S {
  const found = snapshots.filter((snapshot) => snapshot.id.startsWith(reference.prefix))
  const [first, second] = found
  if (first === undefined) throw noMatch(reference.text, undefined, '')
  if (second === undefined) return first
  const shown = sortedBy(found, (snapshot) => snapshot.timeNs)
    .slice(-CANDIDATES_SHOWN_MAX)
    .map(
      (snapshot) =>
        `${idForChoice(snapshot.id, reference.prefix)} (${formatTime(snapshot.timeNs)})`,
    )
  const more = found.length > shown.length ? ` and ${found.length - shown.length} more` : ''
  throw new CairnError(
    'CAIRN_FAILED',
    `'${reference.prefix}' is the beginning of ${found.length} snapshot ids: ${shown.join(', ')}${more}`,
  )
}

/** Long enough that what was typed and what would tell them apart is both seen. */
function idForChoice(id: string, prefix: string): string {
  return prefix.length < 8 ? shortId(id) : id.slice(0, prefix.length + 8)
}

function distanceNs(endNs: bigint, time: TimeReference): bigint {
  if (endNs < time.startNs) return endNs - time.startNs
  return endNs > time.endNs ? endNs - time.endNs : 0n
}

function nearestTo<S extends SnapshotCandidate>(sorted: readonly S[], time: TimeReference) {
  const size = (snapshot: S) => {
    const distance = distanceNs(snapshot.endNs, time)
    return distance < 0n ? -distance : distance
  }
  // Of two as near, the later one: what was there at the time is more likely in it.
  return sorted.reduce<S | undefined>(
    (best, next) => (best !== undefined && size(best) < size(next) ? best : next),
    undefined,
  )
}

function resolveTime<S extends SnapshotCandidate>(
  time: TimeReference,
  snapshots: readonly S[],
  atMode: AtMode,
): S | undefined {
  const sorted = sortedBy(snapshots, (snapshot) => snapshot.endNs)
  if (atMode === 'before') return sorted.findLast((snapshot) => snapshot.endNs <= time.endNs)
  if (atMode === 'after') return sorted.find((snapshot) => snapshot.endNs >= time.startNs)
  return nearestTo(sorted, time)
}

export interface ResolveOptions {
  /** Narrows `latest` and times. An id names one snapshot, whatever the filter says. */
  readonly filter?: SnapshotFilter
  /** For references to a time; `before` by default: the newest that ended at or before it. */
  readonly atMode?: AtMode
}

/** Throws CAIRN_FAILED if none matches, or more than one by the same prefix. */
export function resolveSnapshotReference<S extends SnapshotCandidate>(
  reference: SnapshotReference,
  snapshots: readonly S[],
  { filter, atMode = 'before' }: ResolveOptions = {},
): ChosenSnapshot<S> {
  const rest = subpathOf(reference.subpath)
  if (reference.kind === 'id') return { snapshot: resolveId(reference, snapshots), ...rest }
  const matching =
    filter === undefined ? snapshots : snapshots.filter((one) => matchesFilter(one, filter))
  const allowed = matching.filter(({ isPartial }) => isPartial !== true)
  const partial = matching.find(({ isPartial }) => isPartial === true)
  if (allowed.length === 0 && partial !== undefined) {
    const because = `: there is only what an interrupted backup left; name it by its id, ${shortId(partial.id)}`
    throw noMatch(reference.text, filter, because)
  }
  if (reference.kind === 'latest') {
    const snapshot = sortedBy(allowed, (one) => one.timeNs).at(-1 - reference.back)
    if (snapshot !== undefined) return { snapshot, ...rest }
    const there = allowed.length === 0 ? '' : `: there are only ${allowed.length}`
    throw noMatch(reference.text, filter, there)
  }
  const snapshot = resolveTime(reference.time, allowed, atMode)
  if (snapshot === undefined) throw noMatch(reference.text, filter, whyNoneAt(allowed, atMode))
  return { snapshot, ...rest, distanceNs: distanceNs(snapshot.endNs, reference.time) }
}

function whyNoneAt(allowed: readonly SnapshotCandidate[], atMode: AtMode): string {
  const sorted = sortedBy(allowed, (one) => one.endNs)
  const end = atMode === 'after' ? sorted.at(-1) : sorted[0]
  if (end === undefined) return ''
  return `: the ${atMode === 'after' ? 'newest' : 'oldest'} ended at ${formatTime(end.endNs)}`
}

/** `ended 2 days 3:05:00 before the time asked for`; undefined unless a time was asked for. */
export function describeDistance(chosen: ChosenSnapshot<SnapshotCandidate>): string | undefined {
  const distance = chosen.distanceNs
  if (distance === undefined) return undefined
  if (distance === 0n) return 'ended at the time asked for'
  const seconds = Number((distance < 0n ? -distance : distance) / 1_000_000_000n)
  const days = Math.floor(seconds / 86_400)
  const clock = formatDuration(seconds % 86_400)
  const span = days === 0 ? clock : `${days} ${days === 1 ? 'day' : 'days'} ${clock}`
  return `ended ${span} ${distance < 0n ? 'before' : 'after'} the time asked for`
}
