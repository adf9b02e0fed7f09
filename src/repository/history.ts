/** What became of all the snapshots of a repository: which are there, forgotten, replaced. */

import { type FileName, type SnapshotId, snapshotIdOf } from '../base/ids.ts'
import { ForgottenIds } from './forgotten-ids.ts'
import { decodedOr, type History, type LoadOptions, type SeenTombstone } from './loaded-objects.ts'
import { replacedSnapshots } from './partial-snapshots.ts'
import type { Repository } from './repository.ts'
import { decodeSnapshot, type Snapshot } from './snapshots.ts'

/**
 * Tombstones and snapshots. Tombstones are listed before snapshots (FORMAT.md 17), so that a
 * snapshot re-tagged meanwhile shows at least once. Tombstones that came between the two are given
 * as well: what they name is not lost.
 */
export async function loadHistory(repository: Repository, options: LoadOptions): Promise<History> {
  const tombstones = await repository.seenTombstones(options)
  const forgotten = new ForgottenIds(tombstones.map((one) => one.forgotten))
  const onDamage = repository.damageListener(options)
  const listed: Snapshot[] = []
  const leftovers: FileName[] = []
  const files = new Set<FileName>()
  const seen = new Set<string>()
  for (const object of await repository.loadObjects('snapshots', options)) {
    const id = snapshotIdOf(object.logicalId)
    files.add(object.name)
    repository.seenSnapshots.set(object.name, { id, partial: undefined })
    if (forgotten.has(id)) leftovers.push(object.name)
    if (forgotten.has(id) || seen.has(id)) continue
    seen.add(id)
    const decode = () => decodeSnapshot(object, repository.keyring)
    const snapshot = decodedOr(onDamage, 'snapshots', object.name, decode)
    if (snapshot === undefined) continue
    listed.push(snapshot)
    if (snapshot.envelope.partial) {
      repository.seenSnapshots.set(object.name, { id, partial: snapshot })
    }
  }
  listed.sort((a, b) => (a.timeNs < b.timeNs ? -1 : a.timeNs > b.timeNs ? 1 : 0))
  const isReplaced = await replacedIds(repository, listed, options)
  const later = await tombstonesSince(repository, tombstones, options)
  const all = [...tombstones, ...later]
  return {
    tombstones: all,
    forgotten: later.length === 0 ? forgotten : new ForgottenIds(all.map((one) => one.forgotten)),
    snapshots: listed.filter(({ id }) => !isReplaced.has(id)),
    replaced: listed.filter(({ id }) => isReplaced.has(id)),
    files,
    leftovers,
  }
}

/** Which partial ones are replaced. Only for that, bodies are looked at of what is forgotten. */
async function replacedIds(
  repository: Repository,
  snapshots: readonly Snapshot[],
  { signal }: LoadOptions,
): Promise<ReadonlySet<SnapshotId>> {
  if (!snapshots.some(({ envelope }) => envelope.partial)) return new Set()
  const operation = { signal }
  // What is damaged has been told.
  const tombstones = await repository.tombstones({ ...operation, onDamage: () => {} })
  return replacedSnapshots(
    snapshots,
    tombstones.map(({ tombstone }) => tombstone),
  )
}

async function tombstonesSince(
  repository: Repository,
  tombstones: readonly SeenTombstone[],
  { signal }: LoadOptions,
): Promise<SeenTombstone[]> {
  const known = new Set(tombstones.map(({ name }) => name))
  const operation = { signal }
  const listed = await repository.backend.list('retired', operation)
  if (listed.every(({ name }) => known.has(name))) return []
  const now = await repository.seenTombstones({ ...operation, onDamage: () => {} })
  return now.filter(({ name }) => !known.has(name))
}
