/**
 * FORMAT.md 4: from the 32 random bytes of an epoch, or from what a lesser role holds of it, to
 * every key. Nothing here is stored; slots store only what `EpochSecrets` begins from.
 */

import { concat } from '../base/bytes.ts'
import { type Blake3, loadBlake3 } from './blake3.ts'
import { derive } from './derive.ts'
import { type Exchanger, exchanger } from './exchange.ts'

const CHECK_TEXT = Buffer.from('cairn', 'latin1')

/** The keys of one epoch that a role has; what it must not have is undefined. */
export interface EpochKeys {
  readonly epoch: number
  readonly writerSecret: Uint8Array
  readonly packPsk: Uint8Array
  readonly sharedObjects: Uint8Array
  readonly hedge: Uint8Array
  readonly check: Uint8Array
  readonly sealPublic: Uint8Array
  /** Opens what is sealed to `sealPublic`. Parsed once: that costs more than its use. */
  readonly sealSecret?: Exchanger
  readonly adminSeed?: Uint8Array
}

/** The keys that ids, cut points and tree leaves depend on: those of the config's id epoch. */
export interface IdKeys {
  readonly data: Uint8Array
  readonly metadata: Uint8Array
  readonly chunker: Uint8Array
  readonly split: Uint8Array
}

export function sealSecretOf(root: Uint8Array): Uint8Array {
  return derive('seal secret key', root)
}

export function adminSeedOf(root: Uint8Array): Uint8Array {
  return derive('admin signing key', root)
}

export function writerSecretOf(root: Uint8Array): Uint8Array {
  return derive('writer secret', root)
}

export interface EpochSecrets {
  readonly epoch: number
  readonly repositoryId: Uint8Array
  readonly writerSecret: Uint8Array
  /** Undefined for a writer, who then needs `sealPublic`. */
  readonly sealSecret?: Uint8Array
  readonly sealPublic?: Uint8Array
  readonly adminSeed?: Uint8Array
}

export function epochKeys(secrets: EpochSecrets, blake3: Blake3 = loadBlake3()): EpochKeys {
  const { epoch, repositoryId, writerSecret, adminSeed } = secrets
  const sealSecret = secrets.sealSecret === undefined ? undefined : exchanger(secrets.sealSecret)
  const sealPublic = sealSecret?.publicKey ?? secrets.sealPublic ?? new Uint8Array(32)
  const checkKey = derive('check', writerSecret)
  return {
    epoch,
    writerSecret,
    packPsk: derive('pack psk', writerSecret),
    sharedObjects: derive('shared objects', writerSecret),
    hedge: derive('hedge', writerSecret),
    check: blake3.keyed(checkKey)(concat(CHECK_TEXT, repositoryId)),
    sealPublic,
    ...(sealSecret === undefined ? {} : { sealSecret }),
    ...(adminSeed === undefined ? {} : { adminSeed }),
  }
}

export function idKeys(writerSecret: Uint8Array): IdKeys {
  return {
    data: derive('id data', writerSecret),
    metadata: derive('id meta', writerSecret),
    chunker: derive('chunker', writerSecret),
    split: derive('tree split', writerSecret),
  }
}

/** FORMAT.md 7. `bound` is the first 96 bytes of the preamble. */
export function objectKey(sharedObjects: Uint8Array, bound: Uint8Array): Uint8Array {
  return derive('object', concat(sharedObjects, bound))
}

export function packKey(
  psk: Uint8Array,
  shared: Uint8Array,
  sealPublic: Uint8Array,
  bound: Uint8Array,
): Uint8Array {
  return derive('pack', concat(psk, shared, sealPublic, bound))
}

/** As `packKey` for somebody who can open packs; undefined for a public key that is a trap. */
export function packKeyFor(
  keys: EpochKeys,
  ephemeralPublic: Uint8Array,
  bound: Uint8Array,
): Uint8Array | undefined {
  if (keys.sealSecret === undefined) return undefined
  const shared = keys.sealSecret.sharedSecret(ephemeralPublic)
  if (shared === undefined) return undefined
  return packKey(keys.packPsk, shared, keys.sealPublic, bound)
}

/** The commit in a preamble: tells a wrong key from damaged contents before anything is opened. */
export function keyCommit(key: Uint8Array, bound: Uint8Array, blake3: Blake3): Uint8Array {
  return blake3.keyed(derive('commit', key))(bound)
}

export interface SaltEntropy {
  readonly random: Uint8Array
  readonly hedge: Uint8Array
  readonly wallNs: bigint
  readonly monotonicNs: bigint
  readonly pid: number
  readonly sessionId: Uint8Array
  /** A hash of the contents: of a pack's directory, of an object's body. */
  readonly content: Uint8Array
}

/** FORMAT.md 7: a salt that does not repeat even where random numbers do. */
export function hedgedSalt(entropy: SaltEntropy, blake3: Blake3): Uint8Array {
  const numbers = Buffer.alloc(20)
  numbers.writeBigUInt64LE(BigInt.asUintN(64, entropy.wallNs), 0)
  numbers.writeBigUInt64LE(BigInt.asUintN(64, entropy.monotonicNs), 8)
  numbers.writeUInt32LE(entropy.pid >>> 0, 16)
  return blake3.keyed(entropy.random)(
    concat(entropy.hedge, numbers, entropy.sessionId, entropy.content),
  )
}
