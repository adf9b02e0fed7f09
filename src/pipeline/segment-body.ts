/**
 * Opens single segments for readers that jump about: mounts and servers. The plaintext is left whole
 * in shared memory, since its other blobs are wanted next.
 */

import { equalBytes } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { ID_BYTES } from '../base/ids.ts'
import { loadZstd } from '../compression/zstd.ts'
import { loadBlake3, prepareBlake3 } from '../crypto/blake3.ts'
import type { BlobType } from '../format/constants.ts'
import type { BlobLocation } from './index/blob-index.ts'
import { type BlobIdKeys, BlobIdentifier } from './keys.ts'
import { AeadSet, type PackKey } from './pack-seal.ts'
import { PackRanges } from './restore-packs.ts'
import { SegmentReader } from './segment-reader.ts'
import type { BodyHost, WorkBody } from './work-pool.ts'

export interface SegmentInit {
  readonly idKeys: BlobIdKeys
}

/** A blob of the segment that is wanted, and what it has to be. */
export interface WantedBlob {
  readonly id: Uint8Array
  readonly location: Pick<BlobLocation, 'type' | 'offset' | 'length'>
}

/**
 * Such blobs as they travel: a view that is sent to a thread takes all of the memory with it that it
 * is a view of, and ids are views of long lists.
 */
export interface WantedBlobs {
  readonly ids: Uint8Array
  /** Type, offset and length of each. */
  readonly spans: Uint32Array
}

const SPAN_FIELDS = 3

export function packWanted(blobs: readonly WantedBlob[]): WantedBlobs {
  const ids = new Uint8Array(blobs.length * ID_BYTES)
  const spans = new Uint32Array(blobs.length * SPAN_FIELDS)
  for (const [i, { id, location }] of blobs.entries()) {
    const { type, offset, length } = location
    ids.set(id, i * ID_BYTES)
    spans.set([type, offset, length], i * SPAN_FIELDS)
  }
  return { ids, spans }
}

export interface SegmentJob {
  readonly key: PackKey
  /** Of the segment in its pack, and how long its body is as stored. */
  readonly offset: number
  readonly storedBytes: number
  readonly plainBytes: number
  /** Shared memory for the plaintext, of `segmentRoomBytes`: the job's until it is answered. */
  readonly into: Uint8Array
  readonly source: { readonly path: string } | { readonly bytes: Uint8Array }
  readonly wanted: WantedBlobs
}

export interface SegmentResult {
  /** Those wanted blobs that have their ids, by their place in `wanted`. */
  readonly good: readonly number[]
}

class SegmentBody implements WorkBody<SegmentJob, SegmentResult> {
  readonly #ranges: PackRanges
  readonly #segments = new SegmentReader(new AeadSet(), loadZstd())
  readonly #identifier: BlobIdentifier
  readonly #id = Buffer.alloc(32)
  readonly #post: BodyHost['post']

  constructor(init: SegmentInit, host: BodyHost) {
    this.#ranges = new PackRanges(host.environment.source)
    this.#post = host.post
    this.#identifier = new BlobIdentifier(init.idKeys, loadBlake3())
  }

  /** Throws CAIRN_CORRUPT for a segment that does not open, or is not as long as was said. */
  run({ key, offset, storedBytes, plainBytes, into, source, wanted }: SegmentJob): SegmentResult {
    const sealed =
      'path' in source ? this.#ranges.read(source.path, offset, storedBytes) : source.bytes
    const { plain } = this.#segments.open(key, offset, sealed, into)
    if (plain.length !== plainBytes) {
      throw new CairnError('CAIRN_CORRUPT', 'the index and the segment disagree')
    }
    return { good: this.#good(plain, wanted) }
  }

  #good(plain: Uint8Array, { ids, spans }: WantedBlobs): number[] {
    const good: number[] = []
    for (let i = 0; i * SPAN_FIELDS < spans.length; i++) {
      const [type, offset = 0, length = 0] = spans.subarray(i * SPAN_FIELDS)
      if (offset + length > plain.length) continue
      const blob = plain.subarray(offset, offset + length)
      this.#identifier.id(type as BlobType, blob, this.#id)
      if (equalBytes(this.#id, ids.subarray(i * ID_BYTES, (i + 1) * ID_BYTES))) good.push(i)
    }
    return good
  }

  /** Any note is answered by one: the thread is up. */
  receive(): void {
    this.#post('up')
  }

  async close(): Promise<void> {
    this.#ranges.close()
  }
}

export async function createSegmentBody(
  init: SegmentInit,
  host: BodyHost,
): Promise<WorkBody<SegmentJob, SegmentResult>> {
  await prepareBlake3()
  return new SegmentBody(init, host)
}
