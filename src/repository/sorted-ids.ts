/** A set of ids as one array of bytes, in order: it can be kept in a file, and is searched as it is. */

import { assert } from '../base/errors.ts'
import { ID_BYTES } from '../base/ids.ts'

/** A place in a list and the first four bytes of an id share the 53 bits of an exact number. */
const COUNT_MAX = 2 ** 21

function head(bytes: Uint8Array, at: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0
}

function compareAt(bytes: Uint8Array, at: number, id: Uint8Array): number {
  for (let i = 0; i < ID_BYTES; i++) {
    const difference = (bytes[at + i] ?? 0) - (id[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/** In order. By numbers first, of which a native sort takes a fifth of the time of comparing bytes. */
function ordered(ids: readonly Uint8Array[]): Uint8Array[] {
  assert(ids.length <= COUNT_MAX, 'an object holds fewer ids')
  const keys = Float64Array.from(ids, (id, at) => head(id, 0) * COUNT_MAX + at).sort()
  const inOrder = Array.from(keys, (key) => ids[key % COUNT_MAX] ?? new Uint8Array(ID_BYTES))
  const isOrdered = inOrder.every(
    (id, at) => at === 0 || compareAt(inOrder[at - 1] ?? id, 0, id) <= 0,
  )
  return isOrdered ? inOrder : inOrder.sort((a, b) => compareAt(a, 0, b))
}

export class SortedIds {
  /** Ids in order, one after the other. */
  readonly bytes: Uint8Array

  /** `bytes` as another one's are. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  static of(ids: readonly Uint8Array[]): SortedIds {
    const bytes = new Uint8Array(ids.length * ID_BYTES)
    for (const [at, id] of ordered(ids).entries()) bytes.set(id, at * ID_BYTES)
    return new SortedIds(bytes)
  }

  get size(): number {
    return this.bytes.length / ID_BYTES
  }

  has(id: Uint8Array): boolean {
    const { bytes } = this
    let [low, high] = [0, this.size]
    while (low < high) {
      const middle = (low + high) >>> 1
      const order = compareAt(bytes, middle * ID_BYTES, id)
      if (order === 0) return true
      if (order < 0) low = middle + 1
      else high = middle
    }
    return false
  }

  /** Views of the ids, in order. */
  *[Symbol.iterator](): Generator<Uint8Array> {
    for (let at = 0; at < this.bytes.length; at += ID_BYTES) {
      yield this.bytes.subarray(at, at + ID_BYTES)
    }
  }
}
