/** Ids as branded strings, so that a pack id cannot be passed where a blob id is meant. */

import { fromHex, toHex } from './bytes.ts'
import { CairnError } from './errors.ts'

declare const kind: unique symbol
type Id<Kind extends string> = string & { readonly [kind]: Kind }

/** 64 hex digits: the keyed BLAKE3 of a blob's plaintext. */
export type BlobId = Id<'blob'>
/** 64 hex digits: the SHA-256 of a stored file's bytes, which is its name. */
export type FileName = Id<'file'>
/** 64 hex digits: the logical id of a snapshot, stable when its file is sealed again. */
export type SnapshotId = Id<'snapshot'>

export const ID_BYTES = 32

export function blobIdOf(bytes: Uint8Array): BlobId {
  return toHex(bytes) as BlobId
}

export function fileNameOf(bytes: Uint8Array): FileName {
  return toHex(bytes) as FileName
}

export function snapshotIdOf(bytes: Uint8Array): SnapshotId {
  return toHex(bytes) as SnapshotId
}

/** True for the only spelling of a stored file's name: 64 lower-case hex digits. */
export function isFileName(text: string): text is FileName {
  return /^[0-9a-f]{64}$/.test(text)
}

/** The 32 bytes of an id. Throws CAIRN_CORRUPT for text that is not one. */
export function idBytes(id: BlobId | FileName | SnapshotId): Uint8Array {
  const bytes = fromHex(id)
  if (bytes?.byteLength !== ID_BYTES) {
    throw new CairnError('CAIRN_CORRUPT', `'${id}' is not an id of 64 hex digits`)
  }
  return bytes
}

/** How ids are shown to people. */
export function shortId(id: string): string {
  return id.slice(0, 8)
}
