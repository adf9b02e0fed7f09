/**
 * The head of a repository (FORMAT.md 14): a digest to keep elsewhere, and whether a repository
 * goes on from the state that one stands for.
 */

import { concat, toHex } from '../base/bytes.ts'
import { CairnError, errorChain } from '../base/errors.ts'
import { shortId } from '../base/ids.ts'
import { sha256 } from '../crypto/sha256.ts'
import { decodeEnvelope, type SnapshotEnvelope } from '../format/snapshot.ts'
import type { Repository } from '../repository/repository.ts'
import { listSettling } from '../repository/sessions.ts'
import { headsOf, type Snapshot } from '../repository/snapshots.ts'
import { forgottenSnapshots, wholeTombstones } from '../repository/tombstones.ts'
import { findLosses, isKnownTombstone, seenHistory } from './rollback.ts'

const DIGEST_BYTES = 16
const PREFIX = Buffer.from('cairn head', 'latin1')

/** Ids in hex throughout. */
interface State {
  readonly heads: ReadonlyMap<string, readonly string[]>
  readonly tombstones: readonly string[]
}

function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** In order, after their number. */
function idList(ids: readonly string[]): Uint8Array {
  return concat(u32(ids.length), Buffer.from(ids.toSorted().join(''), 'hex'))
}

function digestOf({ heads, tombstones }: State, repositoryId: Uint8Array): string {
  const authors = [...heads]
    .filter(([, ids]) => ids.length > 0)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
  const parts = authors.flatMap(([author, ids]) => [Buffer.from(author, 'hex'), idList(ids)])
  const text = concat(PREFIX, repositoryId, u32(authors.length), ...parts, idList(tombstones))
  return toHex(sha256(text).subarray(0, DIGEST_BYTES))
}

function stateNow(snapshots: readonly Snapshot[], tombstones: readonly string[]): State {
  const authors = [...new Set(snapshots.map(({ author }) => author))]
  const heads = authors.map((author) => {
    return [author, headsOf(snapshots, author).map(({ id }) => toHex(id))] as const
  })
  return { heads: new Map(heads), tombstones }
}

/** What the author of a snapshot saw, and that with the snapshot on top. */
function statesAround(id: string, author: string, envelope: SnapshotEnvelope): State[] {
  const others = envelope.heads.map(([other, heads]) => {
    return [toHex(other), heads.map((head) => toHex(head.id))] as const
  })
  const tombstones = envelope.tombstones.map(toHex)
  return [envelope.previous.map(toHex), [id]].map((own) => ({
    heads: new Map([...others, [author, own]]),
    tombstones,
  }))
}

export interface Head {
  /** 32 hex digits. */
  readonly digest: string
  readonly snapshotCount: number
  /** What snapshots name and what is not there, for people. */
  readonly missing: readonly string[]
  /** Whether this is the state of `digest`, or one that goes on from it. */
  goesOnFrom(digest: string): boolean
}

export async function readHead(repository: Repository, signal?: AbortSignal): Promise<Head> {
  const missing: string[] = []
  const options = {
    signal,
    onDamage: ({ kind, name, error }: { kind: string; name: string; error: unknown }) => {
      missing.push(`${kind}/${shortId(name)} is damaged: ${errorChain(error)}`)
    },
  }
  // First: what may still be taken back is no part of the history yet (FORMAT.md 14).
  const { isSettled } = await listSettling(repository, signal)
  const history = await repository.history(options)
  const { snapshots } = history
  const settled = snapshots.filter(isSettled)
  const { tombstones, forgotten } = seenHistory(history)
  const bodies = forgottenSnapshots(await wholeTombstones(repository, history.tombstones, options))
  for (const loss of findLosses(repository, { snapshots, tombstones, forgotten }, undefined)) {
    missing.push(loss.message)
  }
  const { repositoryId } = repository.keyring
  const now = digestOf(stateNow(settled, [...tombstones.keys()]), repositoryId)
  const earlier = function* (): Generator<State> {
    for (const { id, author, envelope } of snapshots) yield* statesAround(id, author, envelope)
    for (const { snapshot, body, author } of bodies.values()) {
      if (body.length === 0) continue
      yield* statesAround(toHex(snapshot), toHex(author), decodeEnvelope(body))
    }
  }
  const present = new Set<string>([...snapshots.map(({ id }) => id), ...bodies.keys()])
  // What only a forgotten snapshot names has not been looked for above.
  const isWhole = (state: State) =>
    [...state.heads.values()].every((ids) => ids.every((id) => present.has(id))) &&
    state.tombstones.every((id) => isKnownTombstone({ tombstones }, id))
  return {
    digest: now,
    snapshotCount: snapshots.filter(({ envelope }) => !envelope.partial).length,
    missing,
    goesOnFrom: (digest) => {
      if (digest === now) return true
      for (const state of earlier()) {
        if (digestOf(state, repositoryId) === digest) return isWhole(state)
      }
      return false
    },
  }
}

/** Throws CAIRN_CORRUPT if anything that snapshots name is not there. */
export function requireNothingMissing({ missing }: Head): void {
  const [first] = missing
  if (first === undefined) return
  const more = missing.length > 1 ? ` (and ${missing.length - 1} more)` : ''
  throw new CairnError(
    'CAIRN_CORRUPT',
    `the history is not whole: ${first}${more}; 'cairn check' says more`,
  )
}

/** Throws CAIRN_CORRUPT unless the repository is whole and goes on from `expected`. */
export async function requireHead(
  repository: Repository,
  expected: string,
  signal?: AbortSignal,
): Promise<void> {
  const head = await readHead(repository, signal)
  requireNothingMissing(head)
  if (head.goesOnFrom(expected)) return
  throw new CairnError(
    'CAIRN_CORRUPT',
    `the repository does not go on from the head ${expected}: its head is ${head.digest}; it has gone back to an older state, or something was taken out of it`,
  )
}
