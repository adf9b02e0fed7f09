/**
 * The body of an index file (FORMAT.md 10).
 *
 *   u8 1 | 3 zero | u32 superseded | u32 packs | superseded x name[32] | packs x
 *   { name[32] | u64 file bytes | u32 flags | author[8] | preamble[128] | u32 length | directory }
 */

import { concat } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { type FileName, fileNameOf, ID_BYTES, idBytes } from '../base/ids.ts'
import { LIMIT, PREAMBLE_BYTES } from './constants.ts'
import { PackDirectory } from './directory.ts'

const HEAD_BYTES = 12
const PACK_HEAD_BYTES = 32 + 8 + 4 + 8 + PREAMBLE_BYTES + 4
const FLAG_VERIFIED = 1

export interface IndexedPack {
  readonly name: FileName
  readonly byteCount: number
  readonly verified: boolean
  /** The author id (8 bytes) of who wrote the pack. */
  readonly author: Uint8Array
  readonly preamble: Uint8Array
  readonly directory: PackDirectory
}

export interface IndexFile {
  readonly superseded: readonly FileName[]
  readonly packs: readonly IndexedPack[]
}

/** Bytes that one pack adds to an index file. */
export function indexedPackBytes(pack: IndexedPack): number {
  return PACK_HEAD_BYTES + pack.directory.bytes.length
}

export function encodeIndexFile(file: IndexFile): Uint8Array {
  const head = Buffer.alloc(HEAD_BYTES)
  head[0] = 1
  head.writeUInt32LE(file.superseded.length, 4)
  head.writeUInt32LE(file.packs.length, 8)
  const parts: Uint8Array[] = [head, ...file.superseded.map((name) => idBytes(name))]
  for (const pack of file.packs) {
    const packHead = Buffer.alloc(PACK_HEAD_BYTES)
    packHead.set(idBytes(pack.name), 0)
    packHead.writeBigUInt64LE(BigInt(pack.byteCount), 32)
    packHead.writeUInt32LE(pack.verified ? FLAG_VERIFIED : 0, 40)
    packHead.set(pack.author, 44)
    packHead.set(pack.preamble, 52)
    packHead.writeUInt32LE(pack.directory.bytes.length, 52 + PREAMBLE_BYTES)
    parts.push(packHead, pack.directory.bytes)
  }
  return concat(...parts)
}

/**
 * Decodes an index file. A pack whose directory is damaged is left out and named by `onDamage`; the
 * others are good. Throws CAIRN_CORRUPT if the file as a whole cannot be followed.
 */
export function decodeIndexFile(
  body: Uint8Array,
  onDamage: (pack: FileName, error: unknown) => void,
): IndexFile {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const need = (at: number, byteCount: number): void => {
    if (byteCount > bytes.length - at) {
      throw new CairnError('CAIRN_CORRUPT', 'cannot decode index file: it ends too early')
    }
  }
  need(0, HEAD_BYTES)
  if (bytes.readUInt32LE(0) !== 1) {
    throw new CairnError('CAIRN_CORRUPT', 'cannot decode index file: unknown version')
  }
  const supersededCount = bytes.readUInt32LE(4)
  const packCount = bytes.readUInt32LE(8)
  need(HEAD_BYTES, supersededCount * ID_BYTES)
  const superseded: FileName[] = []
  let at = HEAD_BYTES
  for (let i = 0; i < supersededCount; i++, at += ID_BYTES) {
    superseded.push(fileNameOf(bytes.subarray(at, at + ID_BYTES)))
  }
  const packs: IndexedPack[] = []
  for (let i = 0; i < packCount; i++) {
    need(at, PACK_HEAD_BYTES)
    const name = fileNameOf(bytes.subarray(at, at + 32))
    const byteCount = Number(bytes.readBigUInt64LE(at + 32))
    const flags = bytes.readUInt32LE(at + 40)
    const author = bytes.subarray(at + 44, at + 52)
    const preamble = bytes.subarray(at + 52, at + 52 + PREAMBLE_BYTES)
    const directoryBytes = bytes.readUInt32LE(at + 52 + PREAMBLE_BYTES)
    at += PACK_HEAD_BYTES
    need(at, directoryBytes)
    try {
      const directory = new PackDirectory(bytes.subarray(at, at + directoryBytes))
      if (byteCount > LIMIT.packBytesMax || directory.segmentsEnd > byteCount) {
        throw new CairnError('CAIRN_CORRUPT', 'its segments lie outside the pack')
      }
      const verified = (flags & FLAG_VERIFIED) !== 0
      packs.push({ name, byteCount, verified, author, preamble, directory })
    } catch (error) {
      onDamage(name, error)
    }
    at += directoryBytes
  }
  if (at !== bytes.length) {
    throw new CairnError('CAIRN_CORRUPT', 'cannot decode index file: bytes are left over')
  }
  return { superseded, packs }
}
