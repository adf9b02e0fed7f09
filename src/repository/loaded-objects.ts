/** Small files of a repository as they come out of it, and what is said of those that do not. */

import { isCairnError } from '../base/errors.ts'
import type { FileName, SnapshotId } from '../base/ids.ts'
import type { Tombstone } from '../format/session.ts'
import type { FileKind } from '../storage/backend.ts'
import type { ForgottenIds } from './forgotten-ids.ts'
import type { OpenedObject } from './objects.ts'
import type { Snapshot } from './snapshots.ts'
import type { SortedIds } from './sorted-ids.ts'

export interface DamagedFile {
  readonly kind: FileKind
  readonly name: FileName
  readonly error: unknown
}

export interface LoadOptions {
  readonly signal?: AbortSignal | undefined
  readonly onDamage?: (file: DamagedFile) => void
  /** Told what is listed, also a second time, and yet not given: it has not been removed. */
  readonly onWithheld?: (file: Pick<DamagedFile, 'kind' | 'name'>) => void
}

/** A file of a kind that opened. */
export interface LoadedObject extends OpenedObject {
  readonly name: FileName
  readonly byteCount: number
}

export interface LoadedTombstone {
  /** Its logical id. */
  readonly id: Uint8Array
  readonly name: FileName
  readonly byteCount: number
  readonly tombstone: Tombstone
}

/** What a tombstone says, without the bodies that it keeps. */
export interface SeenTombstone {
  /** Its logical id. */
  readonly id: Uint8Array
  readonly name: FileName
  readonly byteCount: number
  /** The snapshots that it names. */
  readonly forgotten: SortedIds
  /** Logical ids of the tombstones that it takes the place of. */
  readonly merged: SortedIds
  /** Logical ids of the tombstones that were there when it was written. */
  readonly known: readonly Uint8Array[]
}

export interface SeenSnapshot {
  readonly id: SnapshotId
  /** The whole of it if it is a partial one: those may go without being forgotten. */
  readonly partial: Snapshot | undefined
}

export interface History {
  readonly tombstones: readonly SeenTombstone[]
  /** What they say is forgotten. */
  readonly forgotten: ForgottenIds
  /** Those that are neither forgotten nor replaced, each once, oldest first. */
  readonly snapshots: Snapshot[]
  /** Partial ones whose place another has taken (FORMAT.md 14); forgotten ones are not among them. */
  readonly replaced: readonly Snapshot[]
  /** Files of all snapshots that opened, whatever became of them. */
  readonly files: ReadonlySet<FileName>
  /** Files of snapshots that are forgotten: ignored, and removed by the next `forget`. */
  readonly leftovers: readonly FileName[]
}

/** What `decode` makes of a file, or undefined for one that is damaged, which is told. */
export function decodedOr<T>(
  onDamage: (file: DamagedFile) => void,
  kind: FileKind,
  name: FileName,
  decode: () => T,
): T | undefined {
  try {
    return decode()
  } catch (error) {
    if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
    onDamage({ kind, name, error })
    return undefined
  }
}
