/** What a job of a backup's worker found, and how it is collected. */

import { REFERENCE_BYTES } from '../format/constants.ts'
import { type ExtendedMetadata, NO_EXTENDED, type Xattr } from '../source/extended-metadata.ts'

const NO_LENGTHS = new Uint32Array(0)
const NO_GAPS = new Float64Array(0)
/** The longest hole that one reference stands for: FORMAT.md 12. */
const HOLE_BYTES_MAX = 0xffff_f000
const HOLE_ID = Buffer.alloc(32)

/** How reading a file went. */
export const READ_STATUS = {
  ok: 0,
  /** Stored, but it changed while it was read. */
  changed: 1,
  /** Something else is there now: look again. */
  replaced: 2,
  vanished: 3,
  /** Not read to its end; `errors` says why. */
  failed: 4,
} as const

/** Per file: status, bytes, references. Per reference: id and length, pack handle, claimed or not. */
export interface BackupResult {
  readonly statuses: Uint8Array
  readonly errors: readonly string[]
  readonly sizes: Float64Array
  readonly counts: Uint32Array
  readonly references: Uint8Array
  /** A pack of this run (positive), or -1 - n for pack n of the index. 0 of a hole. */
  readonly handles: Int32Array
  /** 1 where another worker's claim was relied on: to be resolved in full. */
  readonly claimed: Uint8Array
  /** Of the few files that have any. */
  readonly extended: readonly FileExtended[]
  /** Of chunks that were cut; 0 for the hole that ends a file. */
  readonly lengths: Uint32Array
  /** Bytes of the hole before each of them; empty if there is none. */
  readonly gaps: Float64Array
  readonly atEnd: boolean
  readonly newBlobs: number
  readonly newBytes: number
}

/** Extended metadata of file `index` of a job, and what of it could not be read. */
export interface FileExtended {
  readonly index: number
  readonly xattrs: readonly Xattr[]
  readonly flags: number
  readonly problems: readonly string[]
}

/** Collects what a job found, in arrays that can be moved to another thread. */
export class ResultBuilder {
  readonly #statuses: number[] = []
  readonly #errors: string[] = []
  readonly #sizes: number[] = []
  readonly #counts: number[] = []
  readonly #extended: FileExtended[] = []
  #references = Buffer.allocUnsafeSlow(64 * REFERENCE_BYTES)
  #handles = new Int32Array(64)
  #claimed = new Uint8Array(64)
  #total = 0
  #first = 0
  #size = 0
  lengths = NO_LENGTHS
  gaps = NO_GAPS
  atEnd = false
  newBlobs = 0
  newBytes = 0

  beginFile(): void {
    this.#first = this.#total
    this.#size = 0
  }

  endFile(status: number): void {
    this.#statuses.push(status)
    this.#sizes.push(this.#size)
    this.#counts.push(this.#total - this.#first)
  }

  /** A file that could not be read to its end leaves no references. What it stored stays stored. */
  failFile(message: string): void {
    this.#total = this.#first
    this.#size = 0
    this.#errors.push(message)
    this.endFile(READ_STATUS.failed)
  }

  /** Of the file that has begun. */
  addExtended(found: ExtendedMetadata): void {
    if (found === NO_EXTENDED) return
    const { xattrs, flags } = found
    const problems = found.problems.map(({ message }) => message)
    this.#extended.push({ index: this.#statuses.length, xattrs, flags, problems })
  }

  add(id: Buffer, length: number, handle: number, claimed: boolean): void {
    if (this.#total === this.#handles.length) this.#grow()
    const at = this.#total * REFERENCE_BYTES
    this.#references.set(id, at)
    this.#references.writeUInt32LE(length, at + 32)
    this.#handles[this.#total] = handle
    this.#claimed[this.#total] = claimed ? 1 : 0
    this.#total++
    this.#size += length
  }

  /** A hole of `byteCount` bytes, however many. */
  addHole(byteCount: number): void {
    for (let left = byteCount; left > 0; left -= HOLE_BYTES_MAX) {
      this.add(HOLE_ID, Math.min(left, HOLE_BYTES_MAX), 0, false)
    }
  }

  #grow(): void {
    const capacity = this.#handles.length * 2
    const references = Buffer.allocUnsafeSlow(capacity * REFERENCE_BYTES)
    this.#references.copy(references)
    const handles = new Int32Array(capacity)
    handles.set(this.#handles)
    const claimed = new Uint8Array(capacity)
    claimed.set(this.#claimed)
    this.#references = references
    this.#handles = handles
    this.#claimed = claimed
  }

  build(): BackupResult {
    return {
      statuses: Uint8Array.from(this.#statuses),
      errors: this.#errors,
      sizes: Float64Array.from(this.#sizes),
      counts: Uint32Array.from(this.#counts),
      references: this.#references.subarray(0, this.#total * REFERENCE_BYTES),
      handles: this.#handles.subarray(0, this.#total),
      claimed: this.#claimed.subarray(0, this.#total),
      extended: this.#extended,
      lengths: this.lengths,
      gaps: this.gaps,
      atEnd: this.atEnd,
      newBlobs: this.newBlobs,
      newBytes: this.newBytes,
    }
  }
}
