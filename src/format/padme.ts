/** FORMAT.md 2: Padmé, which leaves O(log log L) bits of a length visible for at most 12 % more. */
export function padme(byteCount: number): number {
  if (byteCount < 2) return byteCount
  const exponent = Math.floor(Math.log2(byteCount))
  const keep = Math.floor(Math.log2(exponent)) + 1
  const step = 2 ** Math.max(0, exponent - keep)
  return Math.ceil(byteCount / step) * step
}
