/** Ed25519 (RFC 8032) from node:crypto. Signatures are deterministic: they need no randomness. */

import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'

const ED25519_SEED_BYTES = 32
const ED25519_PUBLIC_BYTES = 32
export const SIGNATURE_BYTES = 64

// node:crypto takes no raw keys. A seed goes in as PKCS #8, behind this header; public keys go in
// and out as JWK, which takes 4 us where SPKI takes 60.
const SEED_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

export interface Signer {
  readonly publicKey: Uint8Array
  /** 64 bytes. */
  sign(message: Uint8Array): Uint8Array
}

export interface Verifier {
  readonly publicKey: Uint8Array
  /** False for any signature that is not valid, also for one of another length. */
  verify(message: Uint8Array, signature: Uint8Array): boolean
}

/** Keep the result: it holds the parsed key. */
export function signer(seed: Uint8Array): Signer {
  if (seed.byteLength !== ED25519_SEED_BYTES) {
    throw new RangeError(`an Ed25519 seed has 32 bytes, not ${seed.byteLength}`)
  }
  const der = Buffer.concat([SEED_PREFIX, seed])
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  der.fill(0)
  return {
    publicKey: rawPublicKey(createPublicKey(key)),
    sign: (message) => new Uint8Array(sign(null, message, key)),
  }
}

/** Keep the result: it holds the parsed key. */
export function verifier(publicKey: Uint8Array): Verifier {
  if (publicKey.byteLength !== ED25519_PUBLIC_BYTES) {
    throw new RangeError(`an Ed25519 public key has 32 bytes, not ${publicKey.byteLength}`)
  }
  const own = Uint8Array.from(publicKey)
  const x = Buffer.from(own).toString('base64url')
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
  return {
    publicKey: own,
    verify: (message, signature) =>
      signature.byteLength === SIGNATURE_BYTES && verify(null, message, key, signature),
  }
}

function rawPublicKey(key: KeyObject): Uint8Array {
  return new Uint8Array(Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url'))
}
