/**
 * What workers need of the keys, as plain data that can be sent to a thread. Readers get one pack's
 * key with each job; only writers hold more, and nothing that opens a pack.
 */

import type { Aead } from '../crypto/aead.ts'
import type { Blake3, KeyedBlake3 } from '../crypto/blake3.ts'
import { BLOB_TYPE, type BlobType } from '../format/constants.ts'

export interface WriteKeys {
  readonly repositoryId: Uint8Array
  readonly epoch: number
  readonly aead: number
  readonly sealPublic: Uint8Array
  readonly packPsk: Uint8Array
  readonly hedge: Uint8Array
  readonly idKeys: BlobIdKeys
  readonly sessionId: Uint8Array
}

export interface BlobIdKeys {
  readonly data: Uint8Array
  readonly metadata: Uint8Array
}

/** Computes blob ids (FORMAT.md 4). One per thread: it keeps its hashers. */
export class BlobIdentifier {
  readonly #data: KeyedBlake3
  readonly #metadata: KeyedBlake3
  #scratch = Buffer.allocUnsafeSlow(4096)

  constructor(keys: BlobIdKeys, blake3: Blake3) {
    this.#data = blake3.keyed(keys.data)
    this.#metadata = blake3.keyed(keys.metadata)
  }

  /** The id of a blob; into the first 32 bytes of `out` if given. */
  id(type: BlobType, plain: Uint8Array, out?: Uint8Array): Uint8Array {
    if (type === BLOB_TYPE.data || type === BLOB_TYPE.aux) return this.#data(plain, out)
    if (this.#scratch.length < plain.length + 1) {
      this.#scratch = Buffer.allocUnsafeSlow(2 * (plain.length + 1))
    }
    this.#scratch[0] = type
    this.#scratch.set(plain, 1)
    return this.#metadata(this.#scratch.subarray(0, plain.length + 1), out)
  }
}

/** The primitives of one thread. */
export interface Primitives {
  readonly blake3: Blake3
  aead(id: number): Aead
}
