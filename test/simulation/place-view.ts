/** A storage place as it is: no delays, no faults, nothing hidden. For whoever judges it. */

import type { Backend, ByteRange, FileInfo, FileKind, FileRef } from '../../src/storage/backend.ts'
import { checkedRange } from '../../src/storage/file-errors.ts'
import type { SimPlace } from './sim-place.ts'

export class PlaceView implements Backend {
  readonly location = 'sim'
  readonly listsConsistently = true
  readonly #place: SimPlace

  constructor(place: SimPlace) {
    this.#place = place
  }

  async create(): Promise<void> {
    // It is there.
  }

  async save(file: FileRef, bytes: Uint8Array): Promise<void> {
    this.#place.save(file, Uint8Array.from(bytes), 'judge')
  }

  async flush(): Promise<void> {
    this.#place.flush('judge')
  }

  async load(file: FileRef, range?: ByteRange): Promise<Uint8Array | undefined> {
    const bytes = this.#place.bytesOf(file)
    if (bytes === undefined) return undefined
    const fileByteCount = bytes.length
    const { offset, byteCount } = checkedRange(file, 'sim', { range, fileByteCount })
    return bytes.slice(offset, offset + byteCount)
  }

  async list(kind: FileKind): Promise<FileInfo[]> {
    return this.#place.truth(kind)
  }

  async remove(file: FileRef): Promise<void> {
    this.#place.remove(file, 'judge')
  }

  async sweepTemporary(): Promise<number> {
    return 0
  }

  async close(): Promise<void> {
    // Nothing to release.
  }
}
