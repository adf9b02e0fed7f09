/** Making and opening key slots (FORMAT.md 5). */

import { concat } from '../base/bytes.ts'
import type { Clock, Randomness } from '../base/seams.ts'
import { AEAD, createAead, positionNonce } from '../crypto/aead.ts'
import { loadBlake3 } from '../crypto/blake3.ts'
import { derive } from '../crypto/derive.ts'
import { deriveSlotKeys, type KdfParameters } from '../crypto/kdf.ts'
import { equalSecret, wipe } from '../crypto/wipe.ts'
import {
  decodeSlotPayload,
  encodeSlot,
  encodeSlotHead,
  encodeSlotPayload,
  type Slot,
  type SlotKdf,
  type SlotPayload,
} from '../format/slot.ts'
import { rfc3339Seconds } from './time.ts'

/** What opens a slot: a passphrase (NFC, UTF-8), or the 32 bytes of a key file. */
export interface Secret {
  readonly kind: 'passphrase' | 'key'
  readonly bytes: Uint8Array
}

/** scrypt's cost. The default is FORMAT.md's; tests use less. */
export interface ScryptCost {
  readonly N: number
  readonly r: number
  readonly p: number
}

const SCRYPT_DEFAULT: ScryptCost = { N: 2 ** 17, r: 8, p: 1 }

const COMMIT_PREFIX = Buffer.from('cairn slot', 'latin1')
const ZERO_NONCE = positionNonce(0, 0)

export interface DeriveOptions {
  readonly signal?: AbortSignal | undefined
  /** Called once a derivation has begun: it takes long, and leaves this thread free. Must not throw. */
  readonly onDeriving?: (() => void) | undefined
}

function kdfParameters(kdf: SlotKdf, salt: Uint8Array): KdfParameters | undefined {
  if (kdf.n === 'scrypt') return { kind: 'scrypt', N: kdf.N, r: kdf.r, p: kdf.p, salt }
  if (kdf.n === 'argon2id') {
    return { kind: 'argon2id', memoryKiB: kdf.m, iterations: kdf.t, parallelism: kdf.p, salt }
  }
  return undefined
}

async function slotKeys(
  kdf: SlotKdf,
  salt: Uint8Array,
  secret: Secret,
  { signal, onDeriving }: DeriveOptions,
): Promise<Uint8Array> {
  const parameters = kdfParameters(kdf, salt)
  if (parameters !== undefined) {
    const deriving = deriveSlotKeys(parameters, secret.bytes, signal)
    onDeriving?.()
    return await deriving
  }
  const material = concat(secret.bytes, salt)
  return concat(derive('slot kek', material), derive('slot commit', material))
}

function commitOf(commitKey: Uint8Array, headHash: Uint8Array, box: Uint8Array): Uint8Array {
  const blake3 = loadBlake3()
  return blake3.keyed(commitKey)(concat(COMMIT_PREFIX, headHash, blake3.hash(box)))
}

/** The bytes of a new slot for `secret`. */
export async function makeSlot(
  payload: SlotPayload,
  repositoryId: Uint8Array,
  secret: Secret,
  parts: { readonly clock: Clock; readonly random: Randomness; readonly cost?: ScryptCost },
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const salt = parts.random.bytes(32)
  const salt64 = Buffer.from(salt).toString('base64')
  const { N, r, p } = parts.cost ?? SCRYPT_DEFAULT
  const kdf: SlotKdf =
    secret.kind === 'key' ? { n: 'raw', salt: salt64 } : { n: 'scrypt', N, r, p, salt: salt64 }
  const created = rfc3339Seconds(parts.clock.wallNs())
  const head = encodeSlotHead({ repositoryId, role: payload.role, kdf, created })
  const headHash = loadBlake3().hash(Buffer.from(head, 'utf8'))
  const keys = await slotKeys(kdf, salt, secret, { signal })
  const plain = encodeSlotPayload(payload)
  const aead = createAead(AEAD.chacha20Poly1305)
  const box = aead.seal(keys.subarray(0, 32), ZERO_NONCE, headHash, plain)
  const commit = commitOf(keys.subarray(32), headHash, box)
  wipe(plain)
  wipe(keys)
  return encodeSlot(head, box, commit)
}

/**
 * Opens a slot. Undefined if `secret` is not its secret, or if the slot is damaged: the two cannot
 * be told apart. Throws CAIRN_CORRUPT for derivation parameters out of bounds.
 */
export async function openSlot(
  slot: Slot,
  secret: Secret,
  options: DeriveOptions = {},
): Promise<SlotPayload | undefined> {
  // A passphrase never fits a raw slot and a key file never a derived one: nothing to derive.
  if ((slot.kdf.n === 'raw') !== (secret.kind === 'key')) return undefined
  const keys = await slotKeys(slot.kdf, slot.salt, secret, options)
  try {
    const headHash = loadBlake3().hash(slot.headBytes)
    if (!equalSecret(commitOf(keys.subarray(32), headHash, slot.box), slot.commit)) return undefined
    const aead = createAead(AEAD.chacha20Poly1305)
    const plain = aead.open(keys.subarray(0, 32), ZERO_NONCE, headHash, slot.box)
    if (plain === undefined) return undefined
    const payload = decodeSlotPayload(plain)
    wipe(plain)
    return payload
  } finally {
    wipe(keys)
  }
}
