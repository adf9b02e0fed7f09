/**
 * Reads single blobs by id: tree nodes, chunk lists, now and then a chunk. Every blob is checked
 * against its id; a copy that is damaged is passed over for another, if there is one. Decoded
 * segments are kept, because neighbours in a segment are wanted next.
 *
 * Whole files are restored by workers instead (pipeline/restore-body.ts).
 */

import { equalBytes } from '../base/bytes.ts'
import { CairnError, isCairnError, isUnreadable } from '../base/errors.ts'
import { blobIdOf, shortId } from '../base/ids.ts'
import { loadZstd } from '../compression/zstd.ts'
import { loadBlake3 } from '../crypto/blake3.ts'
import { type BlobType, PREAMBLE_BYTES, SEGMENT_HEADER_BYTES } from '../format/constants.ts'
import { segmentBodyBytes } from '../format/segment.ts'
import type { BlobIndex, BlobLocation } from '../pipeline/index/blob-index.ts'
import { BlobIdentifier } from '../pipeline/keys.ts'
import { AeadSet, type PackKey } from '../pipeline/pack-seal.ts'
import { SegmentReader } from '../pipeline/segment-reader.ts'
import type { Repository } from './repository.ts'

const CACHE_BYTES_DEFAULT = 16 << 20

export class BlobReader {
  readonly #repository: Repository
  readonly #index: BlobIndex
  readonly #identifier: BlobIdentifier
  readonly #segments = new SegmentReader(new AeadSet(), loadZstd())
  readonly #keys = new Map<number, PackKey>()
  /** Plaintexts of segments, least recently used first. */
  readonly #cache = new Map<string, Uint8Array>()
  /** Segments on their way, so that who reads ahead in one does not load it many times. */
  readonly #loading = new Map<string, Promise<Uint8Array>>()
  readonly #cacheBytesMax: number
  #cacheBytes = 0

  constructor(repository: Repository, index: BlobIndex, cacheBytesMax = CACHE_BYTES_DEFAULT) {
    this.#repository = repository
    this.#index = index
    this.#cacheBytesMax = cacheBytesMax
    const { data, metadata } = repository.keyring.ids
    this.#identifier = new BlobIdentifier({ data, metadata }, loadBlake3())
  }

  /**
   * The bytes of a blob: a view, valid as long as it is held. Throws CAIRN_CORRUPT if no good copy
   * is left, naming the blob and what was wrong with each; but what the disk could not read may be
   * read by another try, and is thrown as it is.
   */
  async load(id: Uint8Array, type: BlobType, signal?: AbortSignal): Promise<Uint8Array> {
    const problems: unknown[] = []
    let unreadable: unknown
    for (const location of this.#index.find(id)) {
      if (location.type !== type) continue
      try {
        return await this.#loadAt(location, id, signal)
      } catch (error) {
        if (isUnreadable(error)) {
          unreadable = error
          continue
        }
        if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
        const { name } = this.#index.pack(location.packNumber)
        problems.push(new Error(`pack ${shortId(name)}`, { cause: error }))
      }
    }
    if (unreadable !== undefined) throw unreadable
    const blob = shortId(blobIdOf(id))
    if (problems.length === 0) {
      throw new CairnError(
        'CAIRN_CORRUPT',
        `blob ${blob} is missing: no index file and pack has it`,
      )
    }
    throw new CairnError('CAIRN_CORRUPT', `blob ${blob} is damaged`, { cause: problems[0] })
  }

  /** Begins to read what will be asked for soon. If that fails, it fails again when it is asked for. */
  readAhead(id: Uint8Array, type: BlobType, signal?: AbortSignal): void {
    const location = this.#index.find(id).find((one) => one.type === type)
    if (location !== undefined) this.#segment(location, signal).catch(() => {})
  }

  async #loadAt(location: BlobLocation, id: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    const plain = await this.#segment(location, signal)
    const { offset, length, type } = location
    if (offset + length > plain.length) {
      throw new CairnError('CAIRN_CORRUPT', 'the index and the segment disagree')
    }
    const blob = plain.subarray(offset, offset + length)
    if (!equalBytes(this.#identifier.id(type, blob), id)) {
      throw new CairnError('CAIRN_CORRUPT', 'its bytes do not have its id')
    }
    return blob
  }

  async #segment(location: BlobLocation, signal?: AbortSignal): Promise<Uint8Array> {
    const { packNumber, segment } = location
    const cacheKey = `${packNumber}:${segment.offset}`
    const cached = this.#cache.get(cacheKey)
    if (cached !== undefined) {
      this.#cache.delete(cacheKey)
      this.#cache.set(cacheKey, cached)
      return cached
    }
    let loading = this.#loading.get(cacheKey)
    if (loading === undefined) {
      loading = this.#loadSegment(location, cacheKey, signal).finally(() =>
        this.#loading.delete(cacheKey),
      )
      this.#loading.set(cacheKey, loading)
    }
    return await loading
  }

  async #loadSegment(
    { packNumber, segment }: BlobLocation,
    cacheKey: string,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const pack = this.#index.pack(packNumber)
    const byteCount = SEGMENT_HEADER_BYTES + segmentBodyBytes(segment.storedBytes)
    const sealed = await this.#repository.backend.load(
      { kind: 'packs', name: pack.name },
      { offset: segment.offset, byteCount },
      { signal },
    )
    if (sealed === undefined) throw new CairnError('CAIRN_CORRUPT', 'the pack is missing')
    const key = this.#packKey(packNumber, pack.preamble)
    const opened = this.#segments.open(key, segment.offset, sealed)
    const plain = new Uint8Array(opened.plain)
    this.#remember(cacheKey, plain)
    return plain
  }

  #packKey(packNumber: number, preamble: Uint8Array): PackKey {
    const known = this.#keys.get(packNumber)
    if (known !== undefined) return known
    const key = this.#repository.packKey(preamble.subarray(0, PREAMBLE_BYTES))
    if (this.#keys.size > 4096) this.#keys.clear()
    this.#keys.set(packNumber, key)
    return key
  }

  #remember(cacheKey: string, plain: Uint8Array): void {
    this.#cache.set(cacheKey, plain)
    this.#cacheBytes += plain.length
    for (const [oldKey, old] of this.#cache) {
      if (this.#cacheBytes <= this.#cacheBytesMax || oldKey === cacheKey) break
      this.#cache.delete(oldKey)
      this.#cacheBytes -= old.length
    }
  }
}
