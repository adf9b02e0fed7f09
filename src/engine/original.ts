/** Which snapshots say the same of the same files: lines of what was re-tagged, rewritten or copied. */

import { equalBytes, fromHex } from '../base/bytes.ts'
import { idBytes } from '../base/ids.ts'
import type { SnapshotContent } from '../format/snapshot.ts'
import type { FilelessSnapshot } from '../repository/snapshots.ts'

/** The first of a line of re-tagged or rewritten snapshots. */
export function originalOf(snapshot: FilelessSnapshot): NonNullable<SnapshotContent['original']> {
  const author = fromHex(snapshot.author) ?? new Uint8Array()
  return snapshot.content?.original ?? { id: idBytes(snapshot.id), author }
}

/**
 * Whether one can stand for the other: of one line, with the same files, time and host. Tags and
 * statistics may differ.
 */
export function areAlike(one: FilelessSnapshot, other: FilelessSnapshot): boolean {
  const a = one.content
  const b = other.content
  if (a === undefined || b === undefined) return false
  return (
    equalBytes(originalOf(one).id, originalOf(other).id) &&
    equalBytes(a.root.id, b.root.id) &&
    a.root.height === b.root.height &&
    one.timeNs === other.timeNs &&
    one.envelope.partial === other.envelope.partial &&
    a.hostname === b.hostname
  )
}
