/** X25519 (RFC 7748) from node:crypto: how a pack is sealed to a key that its writer cannot use. */

import { createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto'

const X25519_BYTES = 32

// node:crypto takes no raw keys. A secret key goes in as PKCS #8, behind this header, which takes
// 280 us; public keys go in and out as JWK, which takes 4 us where SPKI takes 60.
const SECRET_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex')

export interface KeyPair {
  readonly secretKey: Uint8Array
  readonly publicKey: Uint8Array
}

/** One secret key, parsed. Worth keeping where it meets many public keys: 30 us each. */
export interface Exchanger {
  readonly publicKey: Uint8Array
  /**
   * The secret shared by the owners of two keys: 32 bytes, to be fed to a derivation. Undefined for
   * a public key that would force the result to zero, whoever the other side is.
   */
  sharedSecret(publicKey: Uint8Array): Uint8Array | undefined
}

/** Any 32 bytes are a secret key. */
export function exchanger(secretKey: Uint8Array): Exchanger {
  checkSize(secretKey)
  const der = Buffer.concat([SECRET_PREFIX, secretKey])
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  der.fill(0)
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' })
  return {
    publicKey: new Uint8Array(Buffer.from(x ?? '', 'base64url')),
    sharedSecret: (publicKey) => {
      checkSize(publicKey)
      const otherX = Buffer.from(publicKey).toString('base64url')
      const jwk = { kty: 'OKP', crv: 'X25519', x: otherX }
      const other = createPublicKey({ key: jwk, format: 'jwk' })
      let shared: Buffer
      try {
        shared = diffieHellman({ privateKey, publicKey: other })
      } catch {
        return undefined // OpenSSL refuses an all-zero result.
      }
      let bits = 0
      for (const byte of shared) bits |= byte
      return bits === 0 ? undefined : new Uint8Array(shared)
    },
  }
}

/** The public half of a secret key. */
export function publicKeyOf(secretKey: Uint8Array): Uint8Array {
  return exchanger(secretKey).publicKey
}

/** `exchanger(secretKey).sharedSecret(publicKey)`, for a secret key that is used once. */
export function sharedSecret(secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined {
  return exchanger(secretKey).sharedSecret(publicKey)
}

/** A key pair from 32 random bytes, for one pack. */
export function ephemeral(random: Uint8Array): KeyPair {
  return { secretKey: Uint8Array.from(random), publicKey: publicKeyOf(random) }
}

function checkSize(key: Uint8Array): void {
  if (key.byteLength !== X25519_BYTES) {
    throw new RangeError(`an X25519 key has 32 bytes, not ${key.byteLength}`)
  }
}
