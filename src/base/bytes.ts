/** Small operations on byte arrays that Node lacks or spells less clearly. */

/**
 * A multiple of what any disk asks for of a write past the page cache: of the address in memory, of
 * the place in the file and of the length.
 */
export const PAGE_BYTES = 4096

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/** Decodes lower-case hex. Returns undefined for anything else, instead of a shortened result. */
export function fromHex(hex: string): Uint8Array | undefined {
  if (hex.length % 2 !== 0 || !/^[0-9a-f]*$/.test(hex)) return undefined
  return new Uint8Array(Buffer.from(hex, 'hex'))
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let byteCount = 0
  for (const part of parts) byteCount += part.byteLength
  const joined = new Uint8Array(byteCount)
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.byteLength
  }
  return joined
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/** Rounds up to a multiple of `step`, which is a power of two below 2^31. */
export function roundUp(value: number, step: number): number {
  const rest = value % step
  return rest === 0 ? value : value + step - rest
}

/**
 * A string whose characters are the bytes of a name, one each (latin1): how cairn keeps file names
 * and paths in memory, because names are bytes and a decoded name may not be one. Sorting such
 * strings sorts by byte.
 */
export type ByteString = string

export function byteString(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

export function byteStringOf(text: string): ByteString {
  return Buffer.from(text, 'utf8').toString('latin1')
}

export function bytesOf(name: ByteString): Uint8Array {
  return Buffer.from(name, 'latin1')
}

/** The name as text for a person: UTF-8 where it is, U+FFFD where it is not. */
export function textOf(name: ByteString): string {
  return Buffer.from(name, 'latin1').toString('utf8')
}
