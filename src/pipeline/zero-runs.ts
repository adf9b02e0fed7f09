/** Finds runs of zeros that can be holes. */

/** File systems keep holes in blocks of this size, or of a multiple. */
const BLOCK_BYTES = 4096
const ZEROS = Buffer.alloc(BLOCK_BYTES)

/** `length` bytes of a buffer from `offset`, which belong at `position` of a file. */
export interface WrittenRange {
  readonly offset: number
  readonly length: number
  readonly position: number
}

function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  // Most blocks that are not zero show it at once.
  if (bytes[start] !== 0 || bytes[end - 1] !== 0) return false
  return ZEROS.compare(bytes, start, end, 0, end - start) === 0
}

/** Whether a file's content has a block of zeros. */
export function hasZeroRun(content: Uint8Array): boolean {
  for (let at = 0; at + BLOCK_BYTES <= content.length; at += BLOCK_BYTES) {
    if (isZero(content, at, at + BLOCK_BYTES)) return true
  }
  return false
}

/** Writes a range but for its blocks of zeros, into a file that reads as zeros there already. */
export function writeAroundZeros(
  file: { write(bytes: Uint8Array, offset: number, length: number, position: number): void },
  bytes: Uint8Array,
  { offset, length, position }: WrittenRange,
): void {
  const end = position + length
  let pending = position
  for (let at = position; at < end; ) {
    const blockEnd = Math.min(end, at - (at % BLOCK_BYTES) + BLOCK_BYTES)
    const start = offset + at - position
    if (isZero(bytes, start, start + blockEnd - at)) {
      if (at > pending) file.write(bytes, offset + pending - position, at - pending, pending)
      pending = blockEnd
    }
    at = blockEnd
  }
  if (end > pending) file.write(bytes, offset + pending - position, end - pending, pending)
}
