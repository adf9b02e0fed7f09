/** Keys and preambles of packs (FORMAT.md 7), for writing and for reading. */

import { equalBytes } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import type { Clock, Randomness } from '../base/seams.ts'
import { type Aead, AEAD, createAead } from '../crypto/aead.ts'
import type { Blake3 } from '../crypto/blake3.ts'
import { ephemeral, sharedSecret } from '../crypto/exchange.ts'
import {
  type EpochKeys,
  hedgedSalt,
  keyCommit,
  packKey,
  packKeyFor,
} from '../crypto/key-hierarchy.ts'
import { OBJECT_KIND } from '../format/constants.ts'
import { decodePreamble, encodePreamble, PREAMBLE_BOUND_BYTES } from '../format/preamble.ts'
import type { WriteKeys } from './keys.ts'

export interface Entropy {
  readonly clock: Clock
  readonly random: Randomness
  readonly pid: number
}

export interface PackSeal {
  readonly preamble: Uint8Array
  readonly key: Uint8Array
}

/**
 * A fresh key and preamble for the pack that `content` tells from every other: should random numbers
 * and clock repeat, in a clone of a running machine, packs that differ still get keys of their own.
 */
export function newPackSeal(
  keys: WriteKeys,
  entropy: Entropy,
  blake3: Blake3,
  content: Uint8Array,
): PackSeal {
  const pair = ephemeral(entropy.random.bytes(32))
  const salt = hedgedSalt(
    {
      random: entropy.random.bytes(32),
      hedge: keys.hedge,
      wallNs: entropy.clock.wallNs(),
      monotonicNs: BigInt(Math.round(entropy.clock.monotonicMs() * 1e6)),
      pid: entropy.pid,
      sessionId: keys.sessionId,
      content,
    },
    blake3,
  )
  const preamble = encodePreamble({
    kind: OBJECT_KIND.pack,
    aead: keys.aead,
    epoch: keys.epoch,
    repositoryId: keys.repositoryId,
    salt,
    ephemeralPublicKey: pair.publicKey,
  })
  const shared = sharedSecret(pair.secretKey, keys.sealPublic)
  if (shared === undefined) {
    throw new CairnError(
      'CAIRN_CORRUPT',
      'cannot seal pack: the public key in the config is unusable',
    )
  }
  const bound = preamble.subarray(0, PREAMBLE_BOUND_BYTES)
  const key = packKey(keys.packPsk, shared, keys.sealPublic, bound)
  preamble.set(keyCommit(key, bound, blake3), PREAMBLE_BOUND_BYTES)
  return { preamble, key }
}

/** Knows the AEADs of FORMAT.md 2; throws CAIRN_CORRUPT for an id that it does not know. */
export class AeadSet {
  readonly #made = new Map<number, Aead>()

  get(id: number): Aead {
    const known = this.#made.get(id)
    if (known !== undefined) return known
    if (id !== AEAD.chacha20Poly1305 && id !== AEAD.aes256Gcm) {
      throw new CairnError('CAIRN_CORRUPT', `unknown cipher ${id}`)
    }
    const made = createAead(id)
    this.#made.set(id, made)
    return made
  }
}

/** The key of a pack and its cipher, from its preamble. Plain data. */
export interface PackKey {
  readonly key: Uint8Array
  readonly aead: number
}

/**
 * Opens a pack's preamble. Throws CAIRN_CORRUPT if it is damaged, of another repository, or if the
 * role has no key for it.
 */
export function openPackPreamble(
  preamble: Uint8Array,
  repositoryId: Uint8Array,
  epochs: ReadonlyMap<number, EpochKeys>,
  blake3: Blake3,
): PackKey {
  const decoded = decodePreamble(preamble, OBJECT_KIND.pack)
  if (!equalBytes(decoded.repositoryId, repositoryId)) {
    throw new CairnError('CAIRN_CORRUPT', 'the pack belongs to another repository')
  }
  const keys = epochs.get(decoded.epoch)
  if (keys === undefined) {
    throw new CairnError('CAIRN_CORRUPT', `no key for epoch ${decoded.epoch}`)
  }
  if (keys.sealSecret === undefined) {
    throw new CairnError('CAIRN_WRONG_SECRET', 'this key slot may write backups but not read them')
  }
  const bound = preamble.subarray(0, PREAMBLE_BOUND_BYTES)
  const key = packKeyFor(keys, decoded.ephemeralPublicKey, bound)
  const commit = preamble.subarray(PREAMBLE_BOUND_BYTES, PREAMBLE_BOUND_BYTES + 32)
  if (key === undefined || !equalBytes(keyCommit(key, bound, blake3), commit)) {
    throw new CairnError('CAIRN_CORRUPT', 'the preamble of the pack is damaged')
  }
  return { key, aead: decoded.aead }
}
