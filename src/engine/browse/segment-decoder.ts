/** Decodes single segments, wherever their packs are, by the workers of a pool. */

import { isCairnError, CairnError } from '../../base/errors.ts'
import { type ByteString, byteString } from '../../base/bytes.ts'
import { shortId } from '../../base/ids.ts'
import { BLOB_TYPE, PREAMBLE_BYTES, SEGMENT_HEADER_BYTES } from '../../format/constants.ts'
import { segmentBodyBytes } from '../../format/segment.ts'
import type { BlobLocation, KnownPack } from '../../pipeline/index/blob-index.ts'
import type { PackKey } from '../../pipeline/pack-seal.ts'
import { packWanted, type SegmentResult } from '../../pipeline/segment-body.ts'
import type { WorkPool } from '../../pipeline/work-pool.ts'
import type { Repository } from '../../repository/repository.ts'

const PACK_KEYS_MAX = 4_096

/** Where the index said that a blob is: its pack by name, since numbers are one index's own. */
export interface Place {
  readonly pack: KnownPack
  readonly location: BlobLocation
}

export interface Sought extends Place {
  readonly id: Uint8Array
}

export interface SegmentDecoderOptions {
  readonly repository: Repository
  /** Opens segments of data. */
  readonly pool: WorkPool<'segment'>
  /** Opens those of trees in this thread: they are small, and somebody waits for each. */
  readonly inlinePool: WorkPool<'segment'>
  readonly signal?: AbortSignal | undefined
}

export class SegmentDecoder {
  readonly #options: SegmentDecoderOptions
  /** By preamble: two index files may say that one pack has different ones. */
  readonly #keys = new Map<ByteString, PackKey>()

  constructor(options: SegmentDecoderOptions) {
    this.#options = options
  }

  /** A thread is lost: it may write to memory that it was given even after its job has failed. */
  get isBroken(): boolean {
    return this.#options.pool.isBroken
  }

  /**
   * Decodes the segment at a place into shared memory of `segmentRoomBytes`, and says which of the
   * wanted blobs in it have their ids. Throws CAIRN_CORRUPT if it is damaged or missing.
   */
  async decode(place: Place, into: Uint8Array, wanted: readonly Sought[]): Promise<SegmentResult> {
    const { repository, inlinePool } = this.#options
    const { pack, location } = place
    const isData = location.type === BLOB_TYPE.data
    const pool = isData ? this.#options.pool : inlinePool
    const job = {
      key: this.#packKey(pack),
      offset: location.segment.offset,
      storedBytes: location.segment.storedBytes,
      plainBytes: location.segment.plainBytes,
      into,
      wanted: packWanted(wanted),
    }
    // A disk that hangs must not hang this thread, which has to say so: it never reads by itself.
    const path = isData
      ? repository.backend.localPath?.({ kind: 'packs', name: pack.name })
      : undefined
    if (path !== undefined) {
      try {
        return await pool.run({ ...job, source: { path } })
      } catch (error) {
        // The backend knows what a failure to open or to read means, and whether it is worth a try.
        if (isCairnError(error)) throw error
      }
    }
    const bytes = await this.#sealed(place)
    const transfer = [bytes.buffer as ArrayBuffer]
    return await pool.run({ ...job, source: { bytes } }, { transfer })
  }

  /** The stored bytes of a segment, in a buffer of their own. */
  async #sealed({ pack, location: { segment } }: Place): Promise<Uint8Array> {
    const { repository, signal } = this.#options
    const name = { kind: 'packs', name: pack.name } as const
    const range = {
      offset: segment.offset,
      byteCount: SEGMENT_HEADER_BYTES + segmentBodyBytes(segment.storedBytes),
    }
    const bytes = await repository.backend.load(name, range, { signal })
    if (bytes !== undefined) return Uint8Array.from(bytes)
    throw new CairnError('CAIRN_CORRUPT', `pack ${shortId(pack.name)} is missing`)
  }

  #packKey({ preamble }: KnownPack): PackKey {
    const text = byteString(preamble)
    const known = this.#keys.get(text)
    if (known !== undefined) return known
    const key = this.#options.repository.packKey(preamble.subarray(0, PREAMBLE_BYTES))
    if (this.#keys.size >= PACK_KEYS_MAX) this.#keys.clear()
    this.#keys.set(text, key)
    return key
  }
}
