/** The chunks of a part of one large file, and the holes between them. */

import type { ResultBuilder } from './backup-result.ts'

/** Bounds a message where holes leave little to read. */
const CUTS_MAX = 16_384

export class CutPoints {
  readonly #lengths: number[] = []
  readonly #gaps: number[] = []
  #gap = 0
  #hasGaps = false
  /** Of data. */
  byteCount = 0
  atEnd = false

  get isFull(): boolean {
    return this.#lengths.length >= CUTS_MAX
  }

  addGap(byteCount: number): void {
    this.#gap += byteCount
    if (byteCount > 0) this.#hasGaps = true
  }

  add(length: number): void {
    this.#lengths.push(length)
    this.#gaps.push(this.#gap)
    this.#gap = 0
    this.byteCount += length
  }

  /** A hole with nothing behind it comes before a chunk of no bytes. */
  give(out: ResultBuilder): void {
    if (this.#gap > 0) this.add(0)
    out.lengths = Uint32Array.from(this.#lengths)
    if (this.#hasGaps) out.gaps = Float64Array.from(this.#gaps)
    out.atEnd = this.atEnd
  }
}
