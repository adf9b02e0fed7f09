/**
 * Sets of ids as typed arrays: 32 bytes an id and 8 for its slot, where a Map of strings takes four
 * times that. Each id gets a number, in the order of their coming.
 */

import { ID_BYTES } from '../base/ids.ts'

const CAPACITY_MIN = 64
const ID_WORDS = ID_BYTES / 4

export class IdTable {
  #ids = Buffer.allocUnsafeSlow(CAPACITY_MIN * ID_BYTES)
  /** Number + 1, or 0. Twice as many as there is room for ids. */
  #slots = new Uint32Array(CAPACITY_MIN * 2)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** The number of an id, which is added unless it is there. */
  add(id: Uint8Array): number {
    if (this.#size * ID_BYTES === this.#ids.length) this.#grow()
    const slot = this.#slotOf(id)
    const there = this.#slots[slot] ?? 0
    if (there > 0) return there - 1
    this.#ids.set(id, this.#size * ID_BYTES)
    this.#slots[slot] = ++this.#size
    return this.#size - 1
  }

  /** The number of the id that begins at `ids[from]`, or -1. */
  find(ids: Uint8Array, from = 0): number {
    return this.#size === 0 ? -1 : (this.#slots[this.#slotOf(ids, from)] ?? 0) - 1
  }

  has(id: Uint8Array): boolean {
    return this.find(id) >= 0
  }

  /** A view of the id with this number. */
  at(number: number): Uint8Array {
    return this.#ids.subarray(number * ID_BYTES, (number + 1) * ID_BYTES)
  }

  /** The slot that has the id, or the empty one where it belongs. */
  #slotOf(ids: Uint8Array, from = 0): number {
    const mask = this.#slots.length - 1
    let slot = hash(ids, from) & mask
    for (;;) {
      const there = this.#slots[slot] ?? 0
      if (there === 0 || this.#isAt(there - 1, ids, from)) return slot
      slot = (slot + 1) & mask
    }
  }

  #isAt(number: number, ids: Uint8Array, from: number): boolean {
    const at = number * ID_BYTES
    for (let i = 0; i < ID_BYTES; i++) if (this.#ids[at + i] !== ids[from + i]) return false
    return true
  }

  #grow(): void {
    const ids = Buffer.allocUnsafeSlow(this.#ids.length * 2)
    ids.set(this.#ids)
    this.#ids = ids
    this.#slots = new Uint32Array(this.#slots.length * 2)
    for (let number = 0; number < this.#size; number++) {
      this.#slots[this.#slotOf(this.at(number))] = number + 1
    }
  }
}

/** Ids are keyed hashes, but they come from whoever wrote the trees: all bytes count. */
function hash(ids: Uint8Array, from: number): number {
  let value = 0
  for (let word = 0; word < ID_WORDS; word++) {
    const at = from + word * 4
    const bits =
      (ids[at] ?? 0) |
      ((ids[at + 1] ?? 0) << 8) |
      ((ids[at + 2] ?? 0) << 16) |
      ((ids[at + 3] ?? 0) << 24)
    value = Math.imul(value ^ bits, 0x9e3779b1)
    value ^= value >>> 15
  }
  return value >>> 0
}

/** A number for each node that was visited: nodes of one height in one table. */
export class NodeMemo {
  readonly #heights: { readonly ids: IdTable; readonly values: number[] }[] = []

  /** The value of a node, or undefined if it was never set. */
  get(height: number, id: Uint8Array): number | undefined {
    const table = this.#heights[height]
    const number = table?.ids.find(id) ?? -1
    return number < 0 ? undefined : table?.values[number]
  }

  set(height: number, id: Uint8Array, value: number): void {
    let table = this.#heights[height]
    if (table === undefined) {
      table = { ids: new IdTable(), values: [] }
      this.#heights[height] = table
    }
    table.values[table.ids.add(id)] = value
  }
}
