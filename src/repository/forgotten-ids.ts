/**
 * The ids of all forgotten snapshots, which may be a hundred thousand: without a string for each, of
 * which opening a repository would make as many as there ever were snapshots in it.
 */

import { idBytes, type SnapshotId } from '../base/ids.ts'
import type { SortedIds } from './sorted-ids.ts'

export class ForgottenIds {
  readonly #parts: readonly SortedIds[]

  /** What each of the tombstones names. */
  constructor(parts: readonly SortedIds[]) {
    this.#parts = parts
  }

  has(id: SnapshotId): boolean {
    const bytes = idBytes(id)
    return this.#parts.some((part) => part.has(bytes))
  }
}
