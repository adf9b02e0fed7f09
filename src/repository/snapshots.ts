/** Snapshots as the rest of cairn sees them (FORMAT.md 14). */

import { concat, equalBytes, toHex } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { type FileName, shortId, type SnapshotId, snapshotIdOf } from '../base/ids.ts'
import { positionNonce } from '../crypto/aead.ts'
import { derive } from '../crypto/derive.ts'
import { ephemeral, sharedSecret } from '../crypto/exchange.ts'
import type { EpochKeys } from '../crypto/key-hierarchy.ts'
import { OBJECT_KIND } from '../format/constants.ts'
import type { Forgotten } from '../format/session.ts'
import {
  decodeEnvelope,
  decodeSnapshotContent,
  encodeEnvelope,
  encodeSnapshotContent,
  type SnapshotContent,
  type SnapshotEnvelope,
  type SnapshotHead,
} from '../format/snapshot.ts'
import type { Time } from '../format/tree.ts'
import { AeadSet } from '../pipeline/pack-seal.ts'
import type { Keyring } from './keyring.ts'
import type { LoadedObject, Repository } from './repository.ts'
import { type IsSettled, settledForGood } from './sessions.ts'
import { seriesOf } from './partial-snapshots.ts'
import { nanosecondsOf } from './time.ts'

export interface Snapshot {
  readonly id: SnapshotId
  readonly name: FileName
  readonly timeNs: bigint
  /** 16 hex digits. */
  readonly author: string
  readonly envelope: SnapshotEnvelope
  /** What was signed: the envelope as it is stored. */
  readonly body: Uint8Array
  /** The AEAD of the sealed part. */
  readonly aead: number
  /** Undefined for a key slot that may not read. */
  readonly content: SnapshotContent | undefined
}

export type ReadableSnapshot = Snapshot & { readonly content: SnapshotContent }

const SEALED_HEAD_BYTES = 64
const NONCE = positionNonce(0, 0)

function bodyKey(keys: EpochKeys, shared: Uint8Array, head: Uint8Array, repositoryId: Uint8Array) {
  return derive('snapshot body', concat(keys.packPsk, shared, keys.sealPublic, head, repositoryId))
}

const aeads = new AeadSet()

/** Seals the content of a snapshot to the repository's public key. */
function sealContent(repository: Repository, content: SnapshotContent): Uint8Array {
  const { current, repositoryId } = repository.keyring
  const pair = ephemeral(repository.random.bytes(32))
  const shared = sharedSecret(pair.secretKey, current.sealPublic)
  if (shared === undefined) {
    throw new CairnError('CAIRN_CORRUPT', 'cannot seal snapshot: the public key is unusable')
  }
  const head = concat(pair.publicKey, repository.random.bytes(32))
  const key = bodyKey(current, shared, head, repositoryId)
  const plain = encodeSnapshotContent(content)
  return concat(head, aeads.get(repository.box.aead).seal(key, NONCE, undefined, plain))
}

function openContent(
  envelope: SnapshotEnvelope,
  keyring: Keyring,
  aeadId: number,
): SnapshotContent | undefined {
  const keys = keyring.epochs.get(envelope.epoch)
  if (keys === undefined) {
    throw new CairnError('CAIRN_CORRUPT', `there is no key for epoch ${envelope.epoch}`)
  }
  if (keys.sealSecret === undefined) return undefined
  const head = envelope.sealed.subarray(0, SEALED_HEAD_BYTES)
  const shared = keys.sealSecret.sharedSecret(head.subarray(0, 32))
  if (shared === undefined) throw new CairnError('CAIRN_CORRUPT', 'its public key is a trap')
  const key = bodyKey(keys, shared, head, keyring.repositoryId)
  const sealed = envelope.sealed.subarray(SEALED_HEAD_BYTES)
  const plain = aeads.get(aeadId).open(key, NONCE, undefined, sealed)
  if (plain === undefined) throw new CairnError('CAIRN_CORRUPT', 'its sealed part is damaged')
  return decodeSnapshotContent(plain)
}

export function decodeSnapshot(object: LoadedObject, keyring: Keyring): Snapshot {
  return { ...decodeSigned({ ...object, author: object.author.id }, keyring), name: object.name }
}

/** A snapshot without a file of its own. */
export type FilelessSnapshot = Omit<Snapshot, 'name'>

function decodeSigned(
  signed: Pick<LoadedObject, 'body' | 'aead' | 'logicalId'> & { readonly author: Uint8Array },
  keyring: Keyring,
): FilelessSnapshot {
  const { body, aead } = signed
  const envelope = decodeEnvelope(body)
  return {
    id: snapshotIdOf(signed.logicalId),
    timeNs: nanosecondsOf(envelope.time),
    author: toHex(signed.author),
    envelope,
    body,
    aead,
    content: openContent(envelope, keyring, aead),
  }
}

/**
 * A forgotten snapshot, from what its tombstone keeps of it; undefined if that is nothing. Throws
 * CAIRN_CORRUPT if it is not what the tombstone says.
 */
export function decodeForgotten(
  repository: Repository,
  { snapshot, body, author, aead }: Forgotten,
): FilelessSnapshot | undefined {
  if (body.length === 0) return undefined
  const logicalId = repository.objectLogicalId(OBJECT_KIND.snapshot, body)
  if (!equalBytes(logicalId, snapshot)) {
    throw new CairnError('CAIRN_CORRUPT', 'its body does not have its id')
  }
  return decodeSigned({ body, author, aead, logicalId }, repository.keyring)
}

/** The snapshots that whoever wrote this one had seen (FORMAT.md 14): each is there, or forgotten. */
export function snapshotsNamedBy({ previous, heads }: SnapshotEnvelope): SnapshotId[] {
  const ofOthers = heads.flatMap(([, list]) => list.map(({ id }) => id))
  return [...previous, ...ofOthers].map(snapshotIdOf)
}

/**
 * The heads of an author: snapshots that no other of the author's names as previous. Partial ones
 * come and go, and are left out of the history.
 */
export function headsOf(snapshots: readonly Snapshot[], author: string): SnapshotHead[] {
  const own = snapshots.filter((one) => one.author === author && !one.envelope.partial)
  const named = new Set(own.flatMap(({ envelope }) => envelope.previous.map((id) => toHex(id))))
  return own
    .filter(({ id }) => !named.has(id))
    .map(({ id, envelope }) => ({
      sequence: envelope.sequence,
      id: new Uint8Array(Buffer.from(id, 'hex')),
    }))
}

/** What a run has seen before it writes a snapshot. */
export interface SeenState {
  readonly snapshots: readonly Snapshot[]
  readonly tombstones: readonly Uint8Array[]
  readonly isSettled: IsSettled
  /** How many numbers in the author's sequence snapshots may have that this run has not seen. */
  readonly skipped?: number
}

export interface NewSnapshot {
  readonly time: Time
  readonly content: SnapshotContent
  readonly partial: boolean
}

/**
 * Names what its author had seen and what is there to stay: no snapshot whose run may still take it
 * back.
 */
function envelopeOf(
  repository: Repository,
  { time, content, partial }: NewSnapshot,
  seen: SeenState,
): SnapshotEnvelope {
  const { keyring, sessionId } = repository
  const self = toHex(keyring.authorId)
  const settled = seen.snapshots.filter(settledForGood(repository, seen.isSettled))
  const others = [...new Set(settled.map(({ author }) => author))].filter((a) => a !== self)
  const sequences = seen.snapshots
    .filter(({ author }) => author === self)
    .map(({ envelope }) => envelope.sequence)
  return {
    sequence:
      1 + (seen.skipped ?? 0) + sequences.reduce((highest, each) => Math.max(highest, each), 0),
    previous: headsOf(settled, self).map(({ id }) => id),
    time,
    heads: others.map((author) => [
      new Uint8Array(Buffer.from(author, 'hex')),
      headsOf(settled, author),
    ]),
    tombstones: seen.tombstones,
    partial,
    sealed: sealContent(repository, content),
    sessionId,
    epoch: keyring.current.epoch,
    series: seriesOf(keyring, content.hostname, content.paths),
  }
}

/**
 * Saves a snapshot; durable after the backend's `flush`. It is read back: whoever is told of it, or
 * removes another because of it, relies on its being there.
 */
export async function saveSnapshot(
  repository: Repository,
  time: Time,
  content: SnapshotContent,
  seen: SeenState,
  options: { readonly partial?: boolean; readonly signal?: AbortSignal | undefined } = {},
): Promise<Snapshot & { readonly byteCount: number }> {
  const partial = options.partial ?? false
  const envelope = envelopeOf(repository, { time, content, partial }, seen)
  const body = encodeEnvelope(envelope)
  // What is named may be of a run that died before it had made it durable.
  await repository.backend.flush({ signal: options.signal })
  const saved = await repository.saveObject('snapshots', body, options.signal)
  if ((await repository.loadObject('snapshots', saved.name, options.signal)) === undefined) {
    throw new CairnError(
      'CAIRN_STORAGE_DOWN',
      `the storage has not kept snapshot file ${shortId(saved.name)}, which it said it had saved; run it again`,
    )
  }
  return {
    id: snapshotIdOf(saved.logicalId),
    name: saved.name,
    byteCount: saved.byteCount,
    timeNs: nanosecondsOf(time),
    author: toHex(repository.keyring.authorId),
    envelope,
    body,
    aead: repository.box.aead,
    content,
  }
}

/**
 * Saves several, durably. Each names the one before it, which is durable by then: a power cut must not
 * leave one that names another that is gone, for that is how a loss shows.
 */
export async function saveSnapshots(
  repository: Repository,
  items: readonly NewSnapshot[],
  seen: SeenState,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Snapshot[]> {
  const saved: Snapshot[] = []
  for (const { time, content, partial } of items) {
    const state = { ...seen, snapshots: [...seen.snapshots, ...saved] }
    saved.push(await saveSnapshot(repository, time, content, state, { partial, ...options }))
    await repository.backend.flush(options)
  }
  return saved
}
