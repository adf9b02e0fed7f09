/** Extended attributes (FORMAT.md 12, key 17): a CBOR map of byte strings. */

import { CborReader, CborWriter } from './cbor.ts'

/** Bytes that need not be text. */
export type Xattrs = readonly (readonly [name: Uint8Array, value: Uint8Array])[]

export function writeXattrs(out: CborWriter, xattrs: Xattrs): void {
  // Deterministic order: shorter encodings first, then by byte, which is how CBOR keys sort here.
  const sorted = [...xattrs].sort(([a], [b]) => a.length - b.length || Buffer.compare(a, b))
  out.map(sorted.length)
  for (const [name, value] of sorted) {
    out.bytes(name)
    out.bytes(value)
  }
}

export function readXattrs(reader: CborReader): Xattrs {
  const xattrs: (readonly [Uint8Array, Uint8Array])[] = []
  reader.bytesMap((name) => xattrs.push([name, reader.bytes()]))
  return xattrs
}

/** The plaintext of an aux blob, for those that are too large for a tree (FORMAT.md 12, key 18). */
export function encodeXattrs(xattrs: Xattrs): Uint8Array {
  const out = new CborWriter()
  writeXattrs(out, xattrs)
  return out.finish()
}

/** Throws CAIRN_CORRUPT. */
export function decodeXattrs(bytes: Uint8Array): Xattrs {
  return readXattrs(new CborReader(bytes, 'extended attributes'))
}
