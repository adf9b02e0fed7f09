/** Derivation of keys. FORMAT.md "Key derivation". */

import { assert } from '../base/errors.ts'
import { loadBlake3, nobleBlake3 } from './blake3.ts'

/** FORMAT.md: stored keys depend on it; never changed within format 1. */
const CONTEXT_PREFIX = 'cairn 1 '

function checkLabel(text: string): void {
  assert(/^[\x20-\x7e]+$/.test(text), 'a derivation label is printable ASCII')
}

/** BLAKE3 derive_key of `keyMaterial` under the context `"cairn 1 " + context`: 32 bytes. */
export function derive(context: string, keyMaterial: Uint8Array): Uint8Array {
  checkLabel(context)
  return loadBlake3().derive(CONTEXT_PREFIX + context, keyMaterial)
}

/** The first `byteCount` bytes of the output of BLAKE3 keyed with `key` over the ASCII `label`. */
export function keyStream(key: Uint8Array, label: string, byteCount: number): Uint8Array {
  checkLabel(label)
  // The native binding gives 32 bytes and no more.
  return nobleBlake3(Buffer.from(label, 'latin1'), { key, dkLen: byteCount })
}

/** Loads what `keyStream` needs, 10 ms of code, where there is time for it. */
export function prepareKeyStream(): void {
  nobleBlake3(new Uint8Array(0))
}
