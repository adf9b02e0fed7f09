/** The bytes of a pack, wherever they are: in memory, or in a file that is read with one call. */

import type { ByteString } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import type { OpenSource, SourceFiles } from '../source/source-files.ts'

export interface PackContents {
  readonly byteCount: number
  /** Exactly this range, which must lie inside: a view, valid until the next call. */
  range(offset: number, byteCount: number): Uint8Array
}

export function contentsOfBytes(bytes: Uint8Array): PackContents {
  return {
    byteCount: bytes.length,
    range: (offset, byteCount) => bytes.subarray(offset, offset + byteCount),
  }
}

/** Files up to this size are read whole; of others only what is asked for is in memory. */
const WHOLE_BYTES_MAX = 80 << 20
/** Room beyond what is needed now: packs differ a little, and new memory costs more than reading. */
const HEADROOM_SHARE = 0.25

/** Reads one file after the other into a buffer of its own. */
export class PackFileReader {
  readonly #source: SourceFiles
  #buffer: Buffer = Buffer.alloc(0)

  constructor(source: SourceFiles) {
    this.#source = source
  }

  /**
   * Lets `use` look at a file, which is read whole, or piece by piece as it asks. Throws what the
   * file system throws.
   */
  with(path: ByteString, isWhole: boolean, use: (contents: PackContents) => void): void {
    const file = this.#source.open(path)
    try {
      const byteCount = file.stat.size
      if (!isWhole || byteCount > WHOLE_BYTES_MAX) {
        use({ byteCount, range: (offset, length) => this.#read(file, offset, length) })
      } else use(contentsOfBytes(this.#read(file, 0, byteCount)))
    } finally {
      file.close()
    }
  }

  #read(file: OpenSource, offset: number, byteCount: number): Uint8Array {
    if (this.#buffer.length < byteCount) {
      this.#buffer = Buffer.allocUnsafeSlow(Math.ceil(byteCount * (1 + HEADROOM_SHARE)))
    }
    let at = 0
    while (at < byteCount) {
      const count = file.read(this.#buffer, at, byteCount - at, offset + at)
      if (count === 0) throw new CairnError('CAIRN_CORRUPT', 'the file became shorter')
      at += count
    }
    return this.#buffer.subarray(0, byteCount)
  }
}
