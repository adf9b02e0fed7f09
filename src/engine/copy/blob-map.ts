/** From the ids of one repository to those of another, as typed arrays: 72 bytes a blob. */

import { ID_BYTES } from '../../base/ids.ts'
import { IdTable } from '../id-table.ts'

const CAPACITY_MIN = 64

export class BlobMap {
  readonly #from = new IdTable()
  #to = Buffer.allocUnsafeSlow(CAPACITY_MIN * ID_BYTES)

  get size(): number {
    return this.#from.size
  }

  /** Returns the number of `from`, in the order of their coming. */
  set(from: Uint8Array, to: Uint8Array): number {
    const number = this.#from.add(from)
    if ((number + 1) * ID_BYTES > this.#to.length) {
      const grown = Buffer.allocUnsafeSlow(this.#to.length * 2)
      grown.set(this.#to)
      this.#to = grown
    }
    this.#to.set(to, number * ID_BYTES)
    return number
  }

  /** A view, valid until the next `set`. */
  get(from: Uint8Array): Uint8Array | undefined {
    const number = this.#from.find(from)
    return number < 0 ? undefined : this.#to.subarray(number * ID_BYTES, (number + 1) * ID_BYTES)
  }

  /** The number of `from`, or -1. */
  find(from: Uint8Array): number {
    return this.#from.find(from)
  }
}
