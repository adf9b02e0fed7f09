/**
 * Numbers for packs within a run and its scan cache: known ones from the cache of the last run, new
 * ones as packs are begun, before they have a name.
 */

import { assert } from '../../base/errors.ts'
import type { FileName } from '../../base/ids.ts'

export class PackHandles {
  /** Shared with workers: [0] cancelled, [1] the last handle given out. */
  readonly control = new SharedArrayBuffer(8)
  readonly #counters = new Int32Array(this.control)
  readonly #names: (FileName | undefined)[]
  readonly #byName = new Map<FileName, number>()
  readonly #byIndexPack = new Map<number, number>()
  #nameOfIndexPack: ((packNumber: number) => FileName) | undefined
  /** Handles that the new tree rests on. */
  readonly used = new Set<number>()

  /** `known` is the table of the last run's cache, indexed by handle. */
  constructor(known: readonly FileName[]) {
    // Handle 0 means "none" in claim tables; the cache writes its table with that gap.
    this.#names = known.length === 0 ? [undefined] : [...known]
    for (const [handle, name] of known.entries()) if (handle > 0) this.#byName.set(name, handle)
    this.#counters[1] = this.#names.length - 1
  }

  /** Says what the index's pack numbers mean. */
  useIndex(nameOf: (packNumber: number) => FileName): void {
    this.#nameOfIndexPack = nameOf
  }

  next(): number {
    return Atomics.add(this.#counters, 1, 1) + 1
  }

  cancel(): void {
    Atomics.store(this.#counters, 0, 1)
  }

  /** The handle of what a result names: a pack of this run, or -1 - n for pack n of the index. */
  resolve(raw: number): number {
    if (raw > 0) return raw
    const packNumber = -1 - raw
    const known = this.#byIndexPack.get(packNumber)
    if (known !== undefined) return known
    const name = this.#nameOfIndexPack?.(packNumber)
    assert(name !== undefined, 'an index is in use')
    const handle = this.#byName.get(name) ?? this.next()
    this.#names[handle] = name
    this.#byIndexPack.set(packNumber, handle)
    return handle
  }

  /** Gives the packs of this run their names. */
  setName(handle: number, name: FileName): void {
    this.#names[handle] = name
  }

  nameOf(handle: number): FileName | undefined {
    return this.#names[handle]
  }

  /** Indexed by handle. */
  get names(): readonly (FileName | undefined)[] {
    return Array.from(this.#names)
  }
}
