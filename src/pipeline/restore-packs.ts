/** Reads segments straight from pack files, for storage that is a local folder. */

import { byteStringOf } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { SEGMENT_HEADER_BYTES } from '../format/constants.ts'
import { segmentBodyBytes } from '../format/segment.ts'
import type { OpenSource, SourceFiles } from '../source/source-files.ts'

/** Packs kept open. Jobs come in order of packs. */
const OPEN_MAX = 8

export class PackRanges {
  readonly #source: SourceFiles
  /** By path; the least recently used first. */
  readonly #open = new Map<string, OpenSource>()
  #buffer: Buffer = Buffer.allocUnsafeSlow(2 << 20)

  constructor(source: SourceFiles) {
    this.#source = source
  }

  /** The sealed segment at `offset`; valid until the next call. Throws CAIRN_CORRUPT if cut off. */
  read(path: string, offset: number, storedBytes: number): Uint8Array {
    const byteCount = SEGMENT_HEADER_BYTES + segmentBodyBytes(storedBytes)
    if (this.#buffer.length < byteCount) this.#buffer = Buffer.allocUnsafeSlow(byteCount)
    const file = this.#file(path)
    for (let done = 0; done < byteCount; ) {
      const count = file.read(this.#buffer, done, byteCount - done, offset + done)
      if (count === 0) throw new CairnError('CAIRN_CORRUPT', 'the pack is cut off')
      done += count
    }
    return this.#buffer.subarray(0, byteCount)
  }

  #file(path: string): OpenSource {
    const known = this.#open.get(path)
    if (known !== undefined) {
      this.#open.delete(path)
      this.#open.set(path, known)
      return known
    }
    const [oldest] = this.#open
    if (oldest !== undefined && this.#open.size >= OPEN_MAX) {
      this.#open.delete(oldest[0])
      oldest[1].close()
    }
    const file = this.#source.open(byteStringOf(path))
    this.#open.set(path, file)
    return file
  }

  close(): void {
    for (const file of this.#open.values()) file.close()
    this.#open.clear()
  }
}
