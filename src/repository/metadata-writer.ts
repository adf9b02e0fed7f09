/**
 * Stores metadata blobs (tree nodes, chunk lists): inline, in the thread that owns the trees, since
 * they are a hundredth of the data.
 */

import { assert } from '../base/errors.ts'
import { loadZstd } from '../compression/zstd.ts'
import { loadBlake3 } from '../crypto/blake3.ts'
import { BLOB_TYPE, type BlobType, LIMIT, SEGMENT_KIND } from '../format/constants.ts'
import type { Claims } from '../pipeline/claim-table.ts'
import type { BlobIndex } from '../pipeline/index/blob-index.ts'
import { PACK_STATE, type PackStates } from '../pipeline/index/blob-index.ts'
import { BlobIdentifier } from '../pipeline/keys.ts'
import { PackWriter } from '../pipeline/pack-writer.ts'
import type { PackStore } from './pack-store.ts'
import type { Repository } from './repository.ts'

export interface MetadataWriterOptions {
  readonly repository: Repository
  readonly store: PackStore
  readonly claims: Claims
  /** What the repository had; undefined if it was empty. */
  readonly index: BlobIndex | undefined
  readonly states: PackStates | undefined
  readonly level: number | undefined
  readonly nextHandle: () => number
  /** Called with the pack that each saved blob rests on: a handle of this run, or an index pack. */
  readonly onRelied: (handle: number, claimedId: Uint8Array | undefined) => void
}

/** As results of workers have it: -1 - n for pack n of the index. */
function indexPackHandle(packNumber: number): number {
  return -1 - packNumber
}

export class MetadataWriter {
  readonly #options: MetadataWriterOptions
  readonly #identifier: BlobIdentifier
  readonly #writer: PackWriter
  newBlobs = 0
  newBytes = 0

  constructor(options: MetadataWriterOptions) {
    this.#options = options
    const { repository, store, level, nextHandle } = options
    const blake3 = loadBlake3()
    this.#identifier = new BlobIdentifier(repository.writeKeys.idKeys, blake3)
    this.#writer = new PackWriter(
      {
        kind: SEGMENT_KIND.metadata,
        keys: repository.writeKeys,
        packBytesTarget: repository.box.metadataPackBytes,
        blobBytesMax: LIMIT.leafBytesMax,
        padding: repository.box.padding,
        level,
        verify: true,
      },
      {
        blake3,
        zstd: loadZstd(),
        entropy: repository.entropy,
        allocate: (byteCount) => new ArrayBuffer(byteCount),
        emit: (pack) => store.take(pack),
        nextHandle,
      },
    )
  }

  /** Returns the id of the blob, which is stored now unless it was there. */
  save(type: BlobType, bytes: Uint8Array): Uint8Array {
    const { claims, onRelied } = this.#options
    const byteCountMax = type === BLOB_TYPE.aux ? LIMIT.blobBytesMax : LIMIT.leafBytesMax
    assert(bytes.length <= byteCountMax, 'a metadata blob is within the limit')
    const id = Buffer.from(this.#identifier.id(type, bytes))
    const known = this.#knownPack(id)
    if (known !== undefined) {
      onRelied(indexPackHandle(known), undefined)
      return id
    }
    const handle = this.#writer.reserve(bytes.length)
    const owner = claims.claim(id, handle)
    if (owner !== 0) {
      onRelied(owner, id)
      return id
    }
    this.#writer.add(type, id, bytes)
    onRelied(handle, undefined)
    this.newBlobs++
    this.newBytes += bytes.length
    return id
  }

  #knownPack(id: Uint8Array): number | undefined {
    const { index, states } = this.#options
    if (index === undefined || states === undefined) return undefined
    return index.find(id).find(({ packNumber }) => states.get(packNumber) === PACK_STATE.live)
      ?.packNumber
  }

  finish(): void {
    this.#writer.finish()
  }
}
