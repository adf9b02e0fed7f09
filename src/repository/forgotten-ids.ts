/**
 * The ids of all forgotten snapshots, which may be a hundred thousand: without a string for each, of
 * which opening a repository would make as many as there ever were snapshots in it.
 */

import { equalBytes } from '../base/bytes.ts'
import { idBytes, type SnapshotId } from '../base/ids.ts'
import type { Tombstone } from '../format/session.ts'

export class ForgottenIds {
  readonly #ids: Uint8Array[] = []
  /** Numbers of ids, from 1 on, at the place that the id's first bytes say or behind it. 0 is free. */
  readonly #slots: Uint32Array

  constructor(tombstones: readonly Tombstone[]) {
    const count = tombstones.reduce((sum, { forgotten }) => sum + forgotten.length, 0)
    this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(2 * count + 2)))
    for (const { forgotten } of tombstones) {
      for (const { snapshot } of forgotten) {
        const slot = this.#slotOf(snapshot)
        if (this.#slots[slot] === 0) this.#slots[slot] = this.#ids.push(snapshot)
      }
    }
  }

  /** The id's slot, or the free one where it belongs. */
  #slotOf(id: Uint8Array): number {
    const mask = this.#slots.length - 1
    const [a = 0, b = 0, c = 0, d = 0] = [id[0], id[1], id[2], id[3]]
    for (let slot = ((a << 24) | (b << 16) | (c << 8) | d) & mask; ; slot = (slot + 1) & mask) {
      const known = this.#ids[(this.#slots[slot] ?? 0) - 1]
      if (known === undefined || equalBytes(known, id)) return slot
    }
  }

  has(id: SnapshotId): boolean {
    return this.#slots[this.#slotOf(idBytes(id))] !== 0
  }
}
