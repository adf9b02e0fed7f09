/** The chunking rule in the plainest words: every length is looked at afresh. For tests only. */

import type { ChunkerParameters } from '../../src/chunker/chunker.ts'

/** The lengths of all chunks of `input`. */
export function slowChunks(
  input: Uint8Array,
  parameters: ChunkerParameters,
  table: Uint32Array,
): number[] {
  const lengths: number[] = []
  for (let start = 0; start < input.length; ) {
    const length = slowChunkLength(input.subarray(start), parameters, table)
    lengths.push(length)
    start += length
  }
  return lengths
}

function slowChunkLength(
  b: Uint8Array,
  { minBytes, averageBytes, maxBytes }: ChunkerParameters,
  table: Uint32Array,
): number {
  const k = Math.log2(averageBytes)
  for (let length = minBytes; length <= b.length && length < maxBytes; length++) {
    let h = 0n
    for (let i = 0; i < 32; i++) h += BigInt(table[b[length - 1 - i] ?? 0] ?? 0) << BigInt(i)
    const topBits = length < averageBytes ? k + 2 : k - 2
    if ((h & 0xffff_ffffn) >> BigInt(32 - topBits) === 0n) return length
  }
  return Math.min(b.length, maxBytes)
}
