/** Memory from which a disk can take bytes by itself. */

import { expect, test } from 'vitest'
import { addressOf } from '../../src/base/c-library.ts'
import { pageAligned } from '../../src/pipeline/page-aligned.ts'

test.runIf(process.platform === 'linux')('begins at a page, with all the room asked for', () => {
  for (const wanted of [1, 4096, 100_000, 14 << 20]) {
    const aligned = pageAligned(wanted, (byteCount) => new ArrayBuffer(byteCount))
    const address = addressOf(aligned.buffer)
    expect(address).toBeDefined()
    expect(((address ?? 0n) + BigInt(aligned.byteOffset)) % 4096n).toBe(0n)
    expect(aligned.byteLength).toBeGreaterThanOrEqual(wanted)
  }
})
