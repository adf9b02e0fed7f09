/** Encodes entries of the scan as trees have them. */

import { CborWriter } from '../../format/cbor.ts'
import { writeEntry } from '../../format/tree.ts'
import { isLinked } from './scan-cache.ts'
import type { Slot } from './scan-frame.ts'
import type { TreeServices } from './scan-options.ts'
import { type EntryExtras, type EntryOptions, entryOf } from './tree-entry.ts'

export class EntryEncoder {
  readonly #options: EntryOptions
  readonly #out = new CborWriter(1024)

  constructor(options: EntryOptions) {
    this.#options = options
  }

  /** The bytes are valid until the next call. */
  encode(slot: Slot, extras: Partial<EntryExtras>, services: TreeServices): Uint8Array {
    const { stat, name } = slot
    const link = isLinked(stat) ? { linkGroup: services.linkGroup(stat) } : {}
    const { xattrs, ...others } = extras
    const stored = xattrs === undefined ? {} : services.storeXattrs(xattrs)
    this.#out.reset()
    writeEntry(this.#out, entryOf(name, stat, { ...others, ...stored, ...link }, this.#options))
    return this.#out.view()
  }
}
