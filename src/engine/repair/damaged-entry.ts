/** Entries in the place of what is lost: under a name that says so. */

import type { ByteString } from '../../base/bytes.ts'
import { BLOB_TYPE, LIMIT, REFERENCE_BYTES } from '../../format/constants.ts'
import { forEachBlob, type NodeRoot, referenceLength, type TreeEntry } from '../../format/tree.ts'
import type { BlobIndex } from '../../pipeline/index/blob-index.ts'

const DAMAGED_SUFFIX = '.cairn-damaged'
/** What file systems take. */
const NAME_BYTES_MAX = 255
const ID_BYTES = REFERENCE_BYTES - 4

/** A name for what is left of `name` that no entry in `taken` has. */
export function damagedName(name: ByteString, taken: ReadonlySet<ByteString>): ByteString {
  for (let number = 1; ; number++) {
    const suffix = number === 1 ? DAMAGED_SUFFIX : `${DAMAGED_SUFFIX}-${number}`
    let end = Math.min(name.length, NAME_BYTES_MAX - suffix.length)
    // Not in the middle of a character of UTF-8.
    while (end > 0 && end < name.length && (name.charCodeAt(end) & 0xc0) === 0x80) end--
    const candidate = name.slice(0, end) + suffix
    if (!taken.has(candidate)) return candidate
  }
}

/** Whether a blob of this kind and length is in a pack that is there. */
function hasChunk(index: BlobIndex, id: Uint8Array, length: number): boolean {
  return index.find(id).some((found) => found.type === BLOB_TYPE.data && found.length === length)
}

/**
 * The references with a hole for each chunk that is lost, so that all else stays where it was;
 * undefined if none is.
 */
export function withHoles(references: Uint8Array, index: BlobIndex): Uint8Array | undefined {
  let mended: Uint8Array | undefined
  forEachBlob(references, (id, i) => {
    if (hasChunk(index, id, referenceLength(references, i))) return
    mended ??= Uint8Array.from(references)
    mended.fill(0, i * REFERENCE_BYTES, i * REFERENCE_BYTES + ID_BYTES)
  })
  return mended
}

/** The entry itself, unless its extended attributes are in a blob that is lost. */
export function withoutLostXattrs(entry: TreeEntry, index: BlobIndex): TreeEntry {
  const { xattrsId, ...rest } = entry
  if (xattrsId === undefined) return entry
  return index.find(xattrsId).some(({ type }) => type === BLOB_TYPE.aux) ? entry : rest
}

/** A file of which these references, or this list of them, are left. */
export function mendedFile(
  entry: TreeEntry,
  content: Uint8Array | NodeRoot | undefined,
): TreeEntry {
  const { content: _old, contentList: _oldList, ...rest } = entry
  if (content === undefined) return { ...rest, size: 0 }
  return content instanceof Uint8Array ? { ...rest, content } : { ...rest, contentList: content }
}

export function fitsInline(references: Uint8Array): boolean {
  return references.length <= LIMIT.inlineReferencesMax * REFERENCE_BYTES
}
