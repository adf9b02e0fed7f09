/** Extended attributes of an entry, wherever they are kept (FORMAT.md 12, keys 17 and 18). */

import { byteString } from '../../base/bytes.ts'
import { type Answer, thenAnswer } from '../../base/answer.ts'
import type { BlobCache } from '../../engine/browse/blob-cache.ts'
import { BLOB_TYPE } from '../../format/constants.ts'
import type { TreeEntry } from '../../format/tree.ts'
import { decodeXattrs, type Xattrs } from '../../format/xattrs.ts'

const NONE: ReadonlyMap<string, Uint8Array> = new Map()

export function readXattrsOf(
  { xattrs, xattrsId }: TreeEntry,
  blobs: BlobCache,
): Answer<ReadonlyMap<string, Uint8Array>> {
  if (xattrs !== undefined) return mapOf(xattrs)
  if (xattrsId === undefined) return NONE
  return thenAnswer(blobs.load(xattrsId, BLOB_TYPE.aux), (bytes) => mapOf(decodeXattrs(bytes)))
}

function mapOf(xattrs: Xattrs): ReadonlyMap<string, Uint8Array> {
  return new Map(xattrs.map(([name, value]) => [byteString(name), value]))
}
