/**
 * Forgetting snapshots (FORMAT.md 15): a tombstone is durable before what it names is removed, so
 * that a snapshot never just vanishes. Needs an admin key.
 */

import { fromHex, toHex } from '../base/bytes.ts'
import { type FileName, idBytes, type SnapshotId, snapshotIdOf } from '../base/ids.ts'
import { encodeTombstone, type Forgotten } from '../format/session.ts'
import { requireAdmin } from './keyring.ts'
import type {
  History,
  LoadedTombstone,
  LoadOptions,
  Repository,
  SeenTombstone,
} from './repository.ts'
import { replacedForGood } from './partial-snapshots.ts'
import { type IsSettled, listSettling } from './sessions.ts'
import type { Snapshot } from './snapshots.ts'
import { timeOf } from './time.ts'

/** One tombstone holds about this much, so that an object stays far below its limit. */
const TOMBSTONE_BYTES_MAX = 4 << 20
/** Larger ones are left as they are when others are merged. */
const MERGED_BYTES_MAX = 1 << 20
const MERGE_ABOVE_COUNT = 64

export interface ForgetItem {
  readonly snapshot: Snapshot
  /** What this run has written in its place. Must be durable. */
  readonly replacement?: SnapshotId
}

function forgottenOf({ snapshot, replacement }: ForgetItem): Forgotten {
  return {
    snapshot: idBytes(snapshot.id),
    replacement: replacement === undefined ? new Uint8Array() : idBytes(replacement),
    body: snapshot.body,
    author: fromHex(snapshot.author) ?? new Uint8Array(),
    aead: snapshot.aead,
  }
}

/**
 * The tombstones of a history with the bodies that they keep; those that are gone since were merged
 * into others, which are given as well.
 */
export async function wholeTombstones(
  repository: Repository,
  seen: readonly SeenTombstone[],
  options: LoadOptions = {},
): Promise<LoadedTombstone[]> {
  const loaded = await repository.openTombstones(seen, options)
  if (loaded.length === seen.length) return loaded
  return [...loaded, ...(await repository.tombstones({ ...options, onDamage: () => {} }))]
}

/**
 * What is forgotten: the union of all tombstones. One with a body goes before one without, then one
 * with a replacement.
 */
export function forgottenSnapshots(
  tombstones: readonly LoadedTombstone[],
): Map<SnapshotId, Forgotten> {
  const union = new Map<SnapshotId, Forgotten>()
  for (const { tombstone } of tombstones) {
    for (const one of tombstone.forgotten) {
      const id = snapshotIdOf(one.snapshot)
      const before = union.get(id)
      if (before === undefined || saysMore(one, before)) union.set(id, one)
    }
  }
  return union
}

function saysMore(one: Forgotten, before: Forgotten): boolean {
  const moreBytes = one.body.length - before.body.length
  return moreBytes === 0 ? one.replacement.length > before.replacement.length : moreBytes > 0
}

/** In parts of which each fits into one tombstone. */
function inParts(items: readonly Forgotten[]): Forgotten[][] {
  const parts: Forgotten[][] = []
  let byteCount = TOMBSTONE_BYTES_MAX
  for (const item of items) {
    const itemBytes = 128 + item.body.length
    if (byteCount + itemBytes > TOMBSTONE_BYTES_MAX) {
      parts.push([])
      byteCount = 0
    }
    parts.at(-1)?.push(item)
    byteCount += itemBytes
  }
  return parts
}

/** Saves tombstones and makes them durable. */
async function saveTombstones(
  repository: Repository,
  items: readonly Forgotten[],
  names: { readonly known: readonly Uint8Array[]; readonly merged: readonly Uint8Array[] },
  signal: AbortSignal | undefined,
): Promise<void> {
  const time = timeOf(repository.clock.wallNs())
  // What is named may be of a run that died before it had made it durable.
  await repository.backend.flush({ signal })
  for (const forgotten of inParts(items)) {
    const body = encodeTombstone({ forgotten, time, ...names })
    await repository.saveObject('retired', body, signal)
  }
  await repository.backend.flush({ signal })
}

/** Throws CAIRN_WRONG_SECRET or CAIRN_FORMAT_TOO_NEW if this key or program may not forget. */
export function requireForgetting(repository: Repository): void {
  requireAdmin(repository.keyring, 'forget snapshots')
  repository.requirePrunable()
}

/** Forgets snapshots. When it has returned that is durable; their files may be listed a while. */
export async function forgetSnapshots(
  repository: Repository,
  items: readonly ForgetItem[],
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  requireForgetting(repository)
  if (items.length === 0) return
  const { signal } = options
  const known = (await repository.seenTombstones(options)).map(({ id }) => id)
  await saveTombstones(repository, items.map(forgottenOf), { known, merged: [] }, signal)
  await removeSnapshotFiles(
    repository,
    items.map(({ snapshot }) => snapshot.name),
    options,
  )
}

/**
 * Says of snapshots and tombstones that are missing that this is known: they count as forgotten, and
 * as merged. Durable when it has returned.
 */
export async function saveAcceptance(
  repository: Repository,
  lost: { readonly snapshots: readonly Uint8Array[]; readonly tombstones: readonly Uint8Array[] },
  signal?: AbortSignal,
): Promise<void> {
  requireForgetting(repository)
  const none = new Uint8Array()
  const forgotten = lost.snapshots.map((snapshot): Forgotten => {
    return { snapshot, replacement: none, body: none, author: none, aead: 0 }
  })
  const known = (await repository.seenTombstones({ signal })).map(({ id }) => id)
  await repository.backend.flush({ signal })
  const time = timeOf(repository.clock.wallNs())
  const body = encodeTombstone({ forgotten, time, known, merged: lost.tombstones })
  await repository.saveObject('retired', body, signal)
  await repository.backend.flush({ signal })
}

/**
 * Removes files of snapshots that are forgotten: nobody may need a tombstone for them any more. What
 * says that they are may be of a run that died before it had made that durable.
 */
async function removeSnapshotFiles(
  repository: Repository,
  names: readonly FileName[],
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  if (names.length === 0) return
  await repository.backend.flush({ signal })
  for (const name of names) {
    await repository.backend.remove({ kind: 'snapshots', name }, { signal })
  }
  await repository.backend.flush({ signal })
}

/**
 * Finishes what interrupted runs left, and makes one tombstone of many: files of forgotten and of
 * replaced snapshots are removed, small tombstones beyond a number merged. Harmless at any time, beside any other run.
 */
export async function tidyTombstones(
  repository: Repository,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  requireForgetting(repository)
  const { isSettled } = await listSettling(repository, options.signal)
  const history = await repository.history(options)
  // Before what replaces them, which may be among the leftovers.
  const replaced = await replacedFiles(repository, history, isSettled, options)
  await removeSnapshotFiles(repository, replaced, options)
  await removeSnapshotFiles(repository, history.leftovers, options)
  await mergeTombstones(repository, history.tombstones, options)
}

async function replacedFiles(
  repository: Repository,
  history: History,
  isSettled: IsSettled,
  options: { readonly signal?: AbortSignal | undefined },
): Promise<FileName[]> {
  if (history.replaced.length === 0) return []
  const tombstones = (await repository.tombstones(options)).map(({ tombstone }) => tombstone)
  return replacedForGood(history, tombstones, isSettled).map(({ name }) => name)
}

async function mergeTombstones(
  repository: Repository,
  tombstones: readonly SeenTombstone[],
  options: { readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const { signal } = options
  const isSmall = ({ byteCount }: SeenTombstone) => byteCount < MERGED_BYTES_MAX
  if (tombstones.filter(isSmall).length <= MERGE_ABOVE_COUNT) return
  // Only those that can be read whole: what is lost of the others would be lost for good.
  const small = await repository.openTombstones(tombstones.filter(isSmall), options)
  const merged = new Map<string, Uint8Array>()
  for (const { id, tombstone } of small) {
    for (const one of [id, ...tombstone.merged]) merged.set(toHex(one), one)
  }
  // What they knew stays named, so that one which was taken away before is still missed.
  const known = new Map<string, Uint8Array>()
  for (const one of tombstones) {
    for (const id of [one.id, ...one.known]) {
      if (!merged.has(toHex(id))) known.set(toHex(id), id)
    }
  }
  const items = [...forgottenSnapshots(small).values()]
  const names = { known: [...known.values()], merged: [...merged.values()] }
  await saveTombstones(repository, items, names, signal)
  for (const { name } of small) {
    await repository.backend.remove({ kind: 'retired', name }, { signal })
  }
  await repository.backend.flush({ signal })
}
