/**
 * Where chunks end: FastCDC with a keyed 32-bit gear hash. FORMAT.md "Chunking".
 *
 * Given are bytes b[0], b[1], ... (a file's content from where the last chunk ended), a table T of
 * 256 numbers of 32 bits made from a key of the repository, and `min`, `average` = 2^k, `max`.
 *
 * 1. For a length L of at least 32, let
 *      h(L) = T[b[L-1]] + 2 T[b[L-2]] + 4 T[b[L-3]] + ... + 2^31 T[b[L-32]]   modulo 2^32,
 *    which depends on the last 32 bytes before the cut and on nothing else. It is computed as
 *    h = (h << 1) + T[b] for each byte, where what was shifted 32 times is gone: from h = 0 before
 *    b[min-32], after the 32 bytes b[min-32] .. b[min-1] it is h(min), the first one looked at.
 * 2. L is a cut if the top n(L) bits of h(L) are zero, which is h(L) < 2^(32-n(L)), where
 *      n(L) = k + 2  for min <= L < average   (cuts are rare: most chunks get this far),
 *      n(L) = k - 2  for average <= L < max   (cuts are frequent: few chunks go much further).
 * 3. The chunk is b[0] .. b[L-1] for the smallest L with min <= L < max that is a cut; without one
 *    its length is `max`; if the input ends before that, the rest is a chunk, of any length from 1.
 * 4. The next chunk starts over with b[0] being the byte after it; nothing is carried over.
 *
 * So the first byte whose arrival can end a chunk is b[min-1], and with min >= 256 the bytes
 * b[0] .. b[min-33] are never read. Bounds: 256 <= min < average < max <= 64 MiB.
 */

import type { Chunker, ChunkerParameters } from './chunker.ts'

/** As many bytes as a 32-bit gear hash remembers. */
const WINDOW_BYTES = 32

/** The masks of n(L) top bits: before the average length, and from it on. */
export function gearMasks(averageBytes: number): {
  readonly strict: number
  readonly loose: number
} {
  const k = Math.log2(averageBytes)
  return { strict: -(2 ** (30 - k)) | 0, loose: -(2 ** (34 - k)) | 0 }
}

/**
 * The first length in `from` .. `to` (both included) at which the hash has no bit of `mask`, or 0.
 * `start` is where the chunk starts in `bytes`. The hash is warmed up, so that loops over adjacent
 * ranges find what one loop over both would find.
 */
function firstCut(
  bytes: Uint8Array,
  table: Int32Array,
  mask: number,
  start: number,
  from: number,
  to: number,
): number {
  // The casts tell the compiler what the loop bounds guarantee: no index is out of range.
  let h = 0
  let at = start + from - WINDOW_BYTES
  for (const end = start + from - 1; at < end; at++) {
    h = ((h << 1) + (table[bytes[at] as number] as number)) | 0
  }
  const end = start + to
  for (const unrolledEnd = end - 3; at < unrolledEnd; at += 4) {
    h = ((h << 1) + (table[bytes[at] as number] as number)) | 0
    if ((h & mask) === 0) return at + 1 - start
    h = ((h << 1) + (table[bytes[at + 1] as number] as number)) | 0
    if ((h & mask) === 0) return at + 2 - start
    h = ((h << 1) + (table[bytes[at + 2] as number] as number)) | 0
    if ((h & mask) === 0) return at + 3 - start
    h = ((h << 1) + (table[bytes[at + 3] as number] as number)) | 0
    if ((h & mask) === 0) return at + 4 - start
  }
  for (; at < end; at++) {
    h = ((h << 1) + (table[bytes[at] as number] as number)) | 0
    if ((h & mask) === 0) return at + 1 - start
  }
  return 0
}

/** The rule in TypeScript: for where WebAssembly is missing, and as its equal in tests. */
export function typescriptChunker(
  parameters: ChunkerParameters,
  table: Uint32Array,
  arenaBytes: number,
): Chunker {
  const { minBytes, averageBytes, maxBytes } = parameters
  const masks = gearMasks(averageBytes)
  const gear = Int32Array.from(table)
  const arena = new Uint8Array(arenaBytes)
  return {
    implementation: 'typescript',
    arena,
    cut: (start, end, isLast) => {
      const given = end - start
      const testable = Math.min(given, maxBytes - 1)
      if (testable >= minBytes) {
        const strictEnd = Math.min(testable, averageBytes - 1)
        const early = firstCut(arena, gear, masks.strict, start, minBytes, strictEnd)
        if (early > 0) return start + early
      }
      if (testable >= averageBytes) {
        const late = firstCut(arena, gear, masks.loose, start, averageBytes, testable)
        if (late > 0) return start + late
      }
      if (given >= maxBytes) return start + maxBytes
      return isLast ? end : 0
    },
  }
}
