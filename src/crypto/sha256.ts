/** SHA-256, which names every stored file. From OpenSSL: 1.7 GB/s with the CPU's instructions. */

import { createHash, hash } from 'node:crypto'

export const SHA256_BYTES = 32

/** The SHA-256 of `bytes`, which may be a view on WebAssembly or shared memory. */
export function sha256(bytes: Uint8Array): Uint8Array {
  // The one-shot form is 1.5 times as fast as a Hash object at 4 KiB and never slower.
  return new Uint8Array(hash('sha256', bytes, 'buffer'))
}

export interface Sha256 {
  update(bytes: Uint8Array): void
  /** The hash of all that was given. To be called once; nothing may be given afterwards. */
  digest(): Uint8Array
}

export function createSha256(): Sha256 {
  const state = createHash('sha256')
  return {
    update: (bytes) => {
      state.update(bytes)
    },
    digest: () => new Uint8Array(state.digest()),
  }
}
