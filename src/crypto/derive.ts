/**
 * Derivation of keys. FORMAT.md "Key derivation". Inputs are small and this is never in a loop over
 * data, so it is the reference implementation in JavaScript everywhere.
 */

import { blake3 } from '@noble/hashes/blake3.js'
import { assert } from '../base/errors.ts'

/** FORMAT.md: stored keys depend on it; never changed within format 1. */
const CONTEXT_PREFIX = 'cairn 1 '

function ascii(text: string): Uint8Array {
  assert(/^[\x20-\x7e]+$/.test(text), 'a derivation label is printable ASCII')
  return Buffer.from(text, 'latin1')
}

type Hasher = ReturnType<typeof blake3.create>

/** By context, a hasher that has taken it in: half of the work of a derivation. They are a dozen. */
const begun = new Map<string, Hasher>()

function hasherOf(context: string): Hasher {
  let hasher = begun.get(context)
  if (hasher === undefined) {
    hasher = blake3.create({ context: ascii(CONTEXT_PREFIX + context) })
    begun.set(context, hasher)
  }
  return hasher.clone()
}

/** BLAKE3 derive_key of `keyMaterial` under the context `"cairn 1 " + context`: 32 bytes. */
export function derive(context: string, keyMaterial: Uint8Array): Uint8Array {
  return hasherOf(context).update(keyMaterial).digest()
}

/** The first `byteCount` bytes of the output of BLAKE3 keyed with `key` over the ASCII `label`. */
export function keyStream(key: Uint8Array, label: string, byteCount: number): Uint8Array {
  return blake3(ascii(label), { key, dkLen: byteCount })
}
