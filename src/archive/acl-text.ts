/**
 * POSIX access control lists: from the bytes that Linux keeps in an extended attribute to the text
 * that tar has them in (`user::rwx,user:1000:r--,…`).
 *
 *   u32 version 2, then entries { u16 tag | u16 permissions | u32 id }, little-endian
 */

const VERSION = 2
const HEAD_BYTES = 4
const ENTRY_BYTES = 8

/** By tag: what the entry is called, and whether it has an id. */
const TAGS: Readonly<Record<number, readonly [name: string, hasId: boolean]>> = {
  0x01: ['user', false],
  0x02: ['user', true],
  0x04: ['group', false],
  0x08: ['group', true],
  0x10: ['mask', false],
  0x20: ['other', false],
}

/** Undefined for bytes that are no list. */
export function aclText(value: Uint8Array): string | undefined {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  const isWhole = bytes.length >= HEAD_BYTES && (bytes.length - HEAD_BYTES) % ENTRY_BYTES === 0
  if (!isWhole || bytes.readUInt32LE(0) !== VERSION) return undefined
  const entries: string[] = []
  for (let at = HEAD_BYTES; at < bytes.length; at += ENTRY_BYTES) {
    const tag = TAGS[bytes.readUInt16LE(at)]
    if (tag === undefined) return undefined
    const permissions = bytes.readUInt16LE(at + 2)
    const letters = ['r', 'w', 'x'].map((letter, bit) => (permissions & (4 >> bit) ? letter : '-'))
    const [name, hasId] = tag
    entries.push(`${name}:${hasId ? bytes.readUInt32LE(at + 4) : ''}:${letters.join('')}`)
  }
  return entries.join(',')
}
