/** Partial snapshots: what a run keeps of itself while it is not done, and when that is over (FORMAT.md 14). */

import { type ByteString, concat, toHex } from '../base/bytes.ts'
import { isCairnError } from '../base/errors.ts'
import type { SnapshotId } from '../base/ids.ts'
import { loadBlake3 } from '../crypto/blake3.ts'
import { decodeEnvelope, SERIES_BYTES } from '../format/snapshot.ts'
import type { Tombstone } from '../format/session.ts'
import type { Keyring } from './keyring.ts'
import type { History } from './repository.ts'
import type { IsSettled } from './sessions.ts'
import type { Snapshot } from './snapshots.ts'
import { nanosecondsOf } from './time.ts'

/** Tells this use of the id key from those for blobs and objects. */
const SERIES_DOMAIN = 48

/** The series of a host and paths: which runs go on where another stopped, without naming either. */
export function seriesOf(
  keyring: Keyring,
  hostname: string,
  paths: readonly ByteString[],
): Uint8Array {
  const host = Buffer.from(hostname, 'utf8')
  const parts = [host, ...paths.map((path) => Buffer.from(path, 'latin1'))]
  const joined = parts.flatMap((part) => [part, Uint8Array.of(0)])
  const hash = loadBlake3().keyed(keyring.ids.metadata)
  return hash(concat(Uint8Array.of(SERIES_DOMAIN), ...joined)).slice(0, SERIES_BYTES)
}

/** What can replace a partial snapshot: one that is there, or one that was forgotten. */
type Successor = Pick<Snapshot, 'envelope' | 'author'>

/**
 * The partial snapshots whose place another has taken. One that is forgotten goes on replacing what
 * it replaced, by what its tombstone keeps of it.
 */
export function replacedSnapshots(
  all: readonly Snapshot[],
  tombstones: readonly Tombstone[],
): Set<SnapshotId> {
  const partial = all.filter(({ envelope }) => envelope.partial)
  if (partial.length === 0) return new Set()
  const successors: Successor[] = [...all, ...forgottenEnvelopes(tombstones)]
  const replaced = partial.filter((one) => successors.some((other) => isReplacedBy(one, other)))
  return new Set(replaced.map(({ id }) => id))
}

/** Those whose data nobody needs any more: as `replacedSnapshots`, by what no run can take back. */
export function replacedForGood(
  { snapshots, replaced }: Pick<History, 'snapshots' | 'replaced'>,
  tombstones: readonly Tombstone[],
  isSettled: IsSettled,
): Snapshot[] {
  const settled = [...snapshots, ...replaced].filter(isSettled)
  const ids = replacedSnapshots(settled, tombstones)
  return replaced.filter(({ id }) => ids.has(id))
}

function isReplacedBy(partial: Snapshot, other: Successor): boolean {
  const { envelope, author } = partial
  const { envelope: newer } = other
  if (other.author !== author) return false
  const isSameRun = toHex(newer.sessionId) === toHex(envelope.sessionId)
  return (
    newer.sequence > envelope.sequence &&
    toHex(newer.series) === toHex(envelope.series) &&
    (!newer.partial || isSameRun) &&
    // A rewritten snapshot keeps its old time: it takes nobody's place.
    nanosecondsOf(newer.time) >= nanosecondsOf(envelope.time)
  )
}

function forgottenEnvelopes(tombstones: readonly Tombstone[]): Successor[] {
  return tombstones.flatMap(({ forgotten }) =>
    forgotten.flatMap(({ body, author }) => {
      if (body.length === 0) return []
      try {
        return [{ envelope: decodeEnvelope(body), author: toHex(author) }]
      } catch (error) {
        if (isCairnError(error, 'CAIRN_CORRUPT')) return []
        throw error
      }
    }),
  )
}
