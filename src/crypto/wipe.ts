/** Care for secrets in memory. */

import { timingSafeEqual } from 'node:crypto'

/** Overwrites a secret. Copies that the runtime made are out of reach; this lowers the odds. */
export function wipe(bytes: Uint8Array): void {
  bytes.fill(0)
}

/** Equality whose duration tells nothing about where two secrets differ. Lengths are not secret. */
export function equalSecret(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && timingSafeEqual(a, b)
}
