/** Which implementation of each costly part this machine has, and which are only fallbacks. */

import { createChunker, GEAR_TABLE_BYTES, gearTableFrom } from '../chunker/create-chunker.ts'
import { loadZstd } from '../compression/zstd.ts'
import { AEAD, createAead } from '../crypto/aead.ts'
import { loadBlake3, prepareBlake3 } from '../crypto/blake3.ts'

export interface NativePart {
  readonly name: string
  /** Undefined if there is none. */
  readonly implementation: string | undefined
  /** Right, and much slower. */
  readonly isFallback: boolean
}

function newProbe() {
  const parameters = { minBytes: 65_536, averageBytes: 131_072, maxBytes: 524_288 }
  const table = gearTableFrom(new Uint8Array(GEAR_TABLE_BYTES))
  return { parameters, table, arenaBytes: parameters.maxBytes }
}

function zstdImplementation(): string | undefined {
  try {
    return loadZstd().implementation
  } catch {
    return undefined
  }
}

export async function nativeParts(): Promise<NativePart[]> {
  await prepareBlake3()
  const zstd = zstdImplementation()
  const blake3 = loadBlake3().implementation
  const chunker = createChunker(newProbe()).implementation
  const chacha = createAead(AEAD.chacha20Poly1305).implementation
  const aes = createAead(AEAD.aes256Gcm).implementation
  return [
    { name: 'zstd', implementation: zstd, isFallback: false },
    { name: 'blake3', implementation: blake3, isFallback: blake3 !== 'native' },
    { name: 'chunker', implementation: chunker, isFallback: chunker !== 'wasm' },
    { name: 'chacha20-poly1305', implementation: chacha, isFallback: chacha !== 'node' },
    { name: 'aes-256-gcm', implementation: aes, isFallback: aes !== 'node' },
  ]
}
