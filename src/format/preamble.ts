/**
 * The first 128 bytes of every pack and object (FORMAT.md 7).
 *
 *   0 magic[8]  8 kind  9 aead  10 flags u16  12 epoch u32  16 repo id[16]
 *   32 salt[32]  64 ephemeral public key[32]  96 commit[32]
 */

import { CairnError } from '../base/errors.ts'
import { OBJECT_KIND, type ObjectKind, PREAMBLE_BYTES } from './constants.ts'

const MAGIC_PACK = Buffer.from('CAIRNPK1', 'latin1')
const MAGIC_OBJECT = Buffer.from('CAIRNOB1', 'latin1')
const FLAG_SEALED = 1
/** What the key and the commit cover. */
export const PREAMBLE_BOUND_BYTES = 96

export interface Preamble {
  readonly kind: ObjectKind
  readonly aead: number
  readonly epoch: number
  readonly repositoryId: Uint8Array
  readonly salt: Uint8Array
  /** Zero bytes for objects. */
  readonly ephemeralPublicKey: Uint8Array
}

/** Encodes all but the commit, which is zero until the key is known. */
export function encodePreamble(preamble: Preamble): Uint8Array {
  const bytes = Buffer.alloc(PREAMBLE_BYTES)
  const isPack = preamble.kind === OBJECT_KIND.pack
  bytes.set(isPack ? MAGIC_PACK : MAGIC_OBJECT, 0)
  bytes[8] = preamble.kind
  bytes[9] = preamble.aead
  bytes.writeUInt16LE(isPack ? FLAG_SEALED : 0, 10)
  bytes.writeUInt32LE(preamble.epoch, 12)
  bytes.set(preamble.repositoryId, 16)
  bytes.set(preamble.salt, 32)
  bytes.set(preamble.ephemeralPublicKey, 64)
  return bytes
}

/** Decodes 128 bytes that should be the preamble of a file of `kind`. Says nothing of its commit. */
export function decodePreamble(bytes: Uint8Array, kind: ObjectKind): Preamble {
  const fail = (problem: string): never => {
    throw new CairnError('CAIRN_CORRUPT', `cannot decode preamble: ${problem}`)
  }
  if (bytes.length < PREAMBLE_BYTES) fail(`${bytes.length} bytes where 128 belong`)
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, PREAMBLE_BYTES)
  const isPack = kind === OBJECT_KIND.pack
  if (!buffer.subarray(0, 8).equals(isPack ? MAGIC_PACK : MAGIC_OBJECT)) fail('wrong magic')
  if (buffer[8] !== kind) fail(`kind ${buffer[8]} where ${kind} belongs`)
  if (buffer.readUInt16LE(10) !== (isPack ? FLAG_SEALED : 0)) fail('unknown flags')
  return {
    kind,
    aead: buffer[9] ?? 0,
    epoch: buffer.readUInt32LE(12),
    repositoryId: buffer.subarray(16, 32),
    salt: buffer.subarray(32, 64),
    ephemeralPublicKey: buffer.subarray(64, 96),
  }
}
