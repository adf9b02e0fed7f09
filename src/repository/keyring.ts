/** The keys that one opened slot gives, and who signs. Nothing of it leaves the process. */

import { equalBytes } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { type Blake3, loadBlake3 } from '../crypto/blake3.ts'
import {
  adminSeedOf,
  type EpochKeys,
  epochKeys,
  type IdKeys,
  idKeys,
  sealSecretOf,
  writerSecretOf,
} from '../crypto/key-hierarchy.ts'
import { type Signer, signer, verifier } from '../crypto/sign.ts'
import type { DecodedConfig, SignedLine } from '../format/config.ts'
import type { Role } from '../format/constants.ts'
import type { SlotPayload } from '../format/slot.ts'

export const AUTHOR_ID_BYTES = 8

export interface Keyring {
  readonly role: Role
  readonly repositoryId: Uint8Array
  readonly epochs: ReadonlyMap<number, EpochKeys>
  /** The newest epoch: what is written is written under it. */
  readonly current: EpochKeys
  readonly ids: IdKeys
  readonly author: Signer
  readonly authorId: Uint8Array
  /** Public admin keys that this slot vouches for. */
  readonly adminPublics: ReadonlyMap<number, Uint8Array>
}

export function authorIdOf(publicKey: Uint8Array, blake3: Blake3 = loadBlake3()): Uint8Array {
  return blake3.hash(publicKey).slice(0, AUTHOR_ID_BYTES)
}

function keysOfEpoch(
  payload: SlotPayload,
  epoch: number,
  repositoryId: Uint8Array,
): EpochKeys | undefined {
  const root = payload.roots.get(epoch)
  if (root !== undefined) {
    return epochKeys({
      epoch,
      repositoryId,
      writerSecret: writerSecretOf(root),
      sealSecret: sealSecretOf(root),
      adminSeed: adminSeedOf(root),
    })
  }
  const writerSecret = payload.writerSecrets.get(epoch)
  if (writerSecret === undefined) return undefined
  const sealSecret = payload.sealSecrets.get(epoch)
  const sealPublic = payload.sealPublics.get(epoch)
  return epochKeys({
    epoch,
    repositoryId,
    writerSecret,
    ...(sealSecret === undefined ? {} : { sealSecret }),
    ...(sealPublic === undefined ? {} : { sealPublic }),
  })
}

/** The epochs that a slot knows, whatever its role. */
function slotEpochs(payload: SlotPayload): number[] {
  return [...new Set([...payload.roots.keys(), ...payload.writerSecrets.keys()])].sort(
    (a, b) => a - b,
  )
}

/** Builds the keyring of a slot, or says why it cannot serve these epochs. */
export function keyringFrom(
  payload: SlotPayload,
  repositoryId: Uint8Array,
  choice: { readonly newestEpoch: number; readonly idEpoch: number },
): Keyring | string {
  const epochs = new Map<number, EpochKeys>()
  const adminPublics = new Map(payload.adminPublics)
  for (const epoch of slotEpochs(payload)) {
    const keys = keysOfEpoch(payload, epoch, repositoryId)
    if (keys === undefined) return `the slot lacks keys of epoch ${epoch}`
    epochs.set(epoch, keys)
    if (keys.adminSeed !== undefined) adminPublics.set(epoch, signer(keys.adminSeed).publicKey)
  }
  const current = epochs.get(choice.newestEpoch)
  const idWriter = epochs.get(choice.idEpoch)?.writerSecret
  if (current === undefined || idWriter === undefined) {
    return `the slot lacks keys of epoch ${choice.newestEpoch}`
  }
  const author = signer(payload.authorSeed)
  return {
    role: payload.role,
    repositoryId,
    epochs,
    current,
    ids: idKeys(idWriter),
    author,
    authorId: authorIdOf(author.publicKey),
    adminPublics,
  }
}

/**
 * Builds the keyring of a slot for a config, or says why they do not belong together (FORMAT.md 5:
 * a slot cannot lead to another repository).
 */
export function keyringOf(payload: SlotPayload, config: DecodedConfig): Keyring | string {
  const newestEpoch = Math.max(...config.epochs.map(({ epoch }) => epoch))
  const choice = { newestEpoch, idEpoch: config.idEpoch }
  const keyring = keyringFrom(payload, config.repositoryId, choice)
  if (typeof keyring === 'string') return keyring
  for (const listed of config.epochs) {
    const keys = keyring.epochs.get(listed.epoch)
    if (keys === undefined) continue
    if (!equalBytes(keys.check, listed.check) || !equalBytes(keys.sealPublic, listed.sealPublic)) {
      return `the keys of epoch ${listed.epoch} are not this slot's`
    }
  }
  return keyring
}

const CONFIG_PREFIX = Buffer.from('cairn config', 'latin1')

export function configMessage(line: Uint8Array): Uint8Array {
  return Buffer.concat([CONFIG_PREFIX, line])
}

/** Whether an admin key that the slot vouches for has signed the config. */
export function isConfigSigned(config: SignedLine, keyring: Keyring): boolean {
  const message = configMessage(config.line)
  return config.signatures.some(({ epoch, signature }) => {
    const publicKey = keyring.adminPublics.get(epoch)
    return publicKey !== undefined && verifier(publicKey).verify(message, signature)
  })
}

/** Throws CAIRN_WRONG_SECRET unless the slot may read what is stored. */
export function requireReader(keyring: Keyring, what: string): void {
  if (keyring.role === 'writer') {
    throw new CairnError(
      'CAIRN_WRONG_SECRET',
      `cannot ${what}: this key slot may write backups but not read them; use a reader or admin key`,
    )
  }
}

/** Throws CAIRN_WRONG_SECRET unless the slot may sign tombstones, marks and configs. */
export function requireAdmin(keyring: Keyring, what: string): void {
  if (keyring.role !== 'admin') {
    throw new CairnError(
      'CAIRN_WRONG_SECRET',
      `cannot ${what}: this key slot is a ${keyring.role}'s; use an admin key`,
    )
  }
}
