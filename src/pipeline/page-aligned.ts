/** Memory that a disk can take bytes from by itself, without a copy in between. */

import { PAGE_BYTES } from '../base/bytes.ts'
import { addressOf } from '../base/c-library.ts'

/**
 * At least `byteCount` bytes, from an address that is a multiple of a page on where addresses are known,
 * of a buffer that `allocate` gives.
 */
export function pageAligned(
  byteCount: number,
  allocate: (byteCount: number) => ArrayBuffer,
): Buffer<ArrayBuffer> {
  const buffer = allocate(byteCount + PAGE_BYTES)
  const address = process.platform === 'linux' ? addressOf(buffer) : undefined
  const beyond = Number((address ?? 0n) % BigInt(PAGE_BYTES))
  return Buffer.from(buffer, beyond === 0 ? 0 : PAGE_BYTES - beyond)
}
