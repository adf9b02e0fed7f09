/**
 * Snapshots name those before them, and the tombstones seen (FORMAT.md 14): what is named and not
 * there has been lost, or was taken away.
 */

import { toHex } from '../../base/bytes.ts'
import { shortId, type SnapshotId, snapshotIdOf } from '../../base/ids.ts'
import type { CheckContext } from './check-context.ts'
import type { CheckedObjects } from './check-objects.ts'

export function checkHistory({ findings }: CheckContext, objects: CheckedObjects): void {
  for (const [id, namedBy] of missingSnapshots(objects)) {
    findings.error(
      { kind: 'snapshots', name: id },
      `snapshot ${shortId(id)} is missing (named by ${shortId(namedBy)})`,
      'restore it from a copy of the repository',
    )
  }
  for (const [id, namedBy] of missingTombstones(objects)) {
    findings.error(
      { kind: 'retired', name: id },
      `tombstone ${shortId(id)} is missing (named by ${shortId(namedBy)})`,
      'restore it from a copy of the repository, or forget its snapshots again',
    )
  }
}

/** Snapshots that others name and that are neither there nor forgotten, each with one that names it. */
export function missingSnapshots({
  snapshots,
  forgotten,
}: Pick<CheckedObjects, 'snapshots' | 'forgotten'>): Map<SnapshotId, string> {
  const present = new Set(snapshots.map(({ id }) => id))
  const missing = new Map<SnapshotId, string>()
  for (const { id, envelope } of snapshots) {
    const heads = envelope.heads.flatMap(([, list]) => list.map((head) => head.id))
    for (const bytes of [...envelope.previous, ...heads]) {
      const named = snapshotIdOf(bytes)
      if (!present.has(named) && !forgotten.has(named)) missing.set(named, id)
    }
  }
  return missing
}

/** One that was merged into another is not missing. */
export function missingTombstones({
  snapshots,
  tombstones,
}: Pick<CheckedObjects, 'snapshots' | 'tombstones'>): Map<string, string> {
  const known = new Set(tombstones.keys())
  for (const { merged } of tombstones.values()) for (const id of merged) known.add(toHex(id))
  const missing = new Map<string, string>()
  const claims = [
    ...[...tombstones].map(([by, tombstone]) => ({ by, names: tombstone.known })),
    ...snapshots.map(({ id, envelope }) => ({ by: id, names: envelope.tombstones })),
  ]
  for (const { by, names } of claims) {
    for (const named of names.map(toHex)) if (!known.has(named)) missing.set(named, by)
  }
  return missing
}
