/**
 * Archives that other programs unpack: entries in, bytes out, in one pass and in bounded memory.
 * This folder knows nothing of repositories.
 */

import type { ByteString } from '../base/bytes.ts'
import type { NodeType } from '../base/units.ts'

export interface ArchiveTime {
  /** Since 1970-01-01T00:00:00Z; negative before. */
  readonly seconds: number
  readonly nanoseconds: number
}

export interface ArchiveEntry {
  /** Without a slash at either end. */
  readonly path: ByteString
  readonly type: NodeType
  /** The 12 permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly userName?: string
  readonly groupName?: string
  readonly mtime: ArchiveTime
  readonly atime?: ArchiveTime
  /** Of a file: as many bytes as its content has. */
  readonly size: number
  /** Of a symlink. */
  readonly target?: Uint8Array
  readonly device?: { readonly major: number; readonly minor: number }
  readonly xattrs?: readonly (readonly [name: Uint8Array, value: Uint8Array])[]
  /** The path of an entry that came before: this is another name of the same file. */
  readonly hardLinkTo?: ByteString
}

/** Takes bytes, which nobody changes afterwards. Resolves when more may come. */
export type ByteSink = (bytes: Uint8Array) => Promise<void>

export interface ArchiveWriter {
  /** Whether the format has such entries. Others must not be added. */
  holds(type: NodeType): boolean
  /** Whether the format can say that an entry is another name of a file. */
  readonly holdsHardLinks: boolean
  /**
   * Appends an entry. `content` of a file must give exactly `size` bytes; if it gives others, or
   * throws, the archive is cut off in the middle of it, and this throws.
   */
  add(entry: ArchiveEntry, content?: AsyncIterable<Uint8Array>): Promise<void>
  /** Ends the archive as whole. */
  finish(): Promise<void>
  /** Ends the archive so that who unpacks it is told that it is not whole. */
  abandon(): Promise<void>
}

const GATHERED_BYTES = 65_536

/** Gathers headers and small contents, so that not every one of them is a call. */
export class GatheringSink {
  readonly #sink: ByteSink
  #held = Buffer.allocUnsafe(GATHERED_BYTES)
  #heldBytes = 0
  /** Of all that was written. */
  byteCount = 0

  constructor(sink: ByteSink) {
    this.#sink = sink
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.byteCount += bytes.length
    if (this.#heldBytes + bytes.length > GATHERED_BYTES) await this.flush()
    if (bytes.length >= GATHERED_BYTES / 2) {
      await this.flush()
      await this.#sink(bytes)
      return
    }
    this.#held.set(bytes, this.#heldBytes)
    this.#heldBytes += bytes.length
  }

  async flush(): Promise<void> {
    if (this.#heldBytes === 0) return
    const bytes = this.#held.subarray(0, this.#heldBytes)
    // Who took it may still hold on to it.
    this.#held = Buffer.allocUnsafe(GATHERED_BYTES)
    this.#heldBytes = 0
    await this.#sink(bytes)
  }
}
