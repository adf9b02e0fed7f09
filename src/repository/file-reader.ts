/** Reads the content of a file from its chunks, in order and in bounded memory. */

import { CairnError, throwIfAborted } from '../base/errors.ts'
import { BLOB_TYPE } from '../format/constants.ts'
import {
  isHole,
  referenceCount,
  referenceId,
  referenceLength,
  type TreeEntry,
} from '../format/tree.ts'
import type { BlobReader } from './blob-reader.ts'
import { readChunkList } from './tree-reader.ts'

/** Chunks on their way while one is given out, so that a slow storage is not waited for each time. */
const READ_AHEAD = 4
const ZEROS = Buffer.alloc(1 << 20)

interface Piece {
  readonly length: number
  /** Undefined for a hole. */
  readonly bytes: Promise<Uint8Array> | undefined
}

/** All references of a file, 36 bytes each, in runs: inline or from its chunk list. */
export async function* readReferences(
  blobs: BlobReader,
  { content, contentList }: TreeEntry,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  if (content !== undefined) yield content
  if (contentList === undefined) return
  yield* readChunkList(blobs, contentList, { signal })
}

/**
 * The bytes of a file, each chunk checked against its id. Throws CAIRN_CORRUPT where a chunk is
 * damaged or missing, or if all of them together are not as long as the entry says: what was given
 * out before is right, and nothing else is.
 */
export async function* readFile(
  blobs: BlobReader,
  entry: TreeEntry,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { size } = entry
  let byteCount = 0
  const ahead: Piece[] = []
  for await (const references of readReferences(blobs, entry, signal)) {
    for (let at = 0; at < referenceCount(references); at++) {
      ahead.push(startPiece(blobs, references, at, signal))
      if (ahead.length <= READ_AHEAD) continue
      byteCount = requireWithin(size, byteCount + (ahead[0]?.length ?? 0))
      yield* piece(ahead.shift(), signal)
    }
  }
  while (ahead.length > 0) {
    byteCount = requireWithin(size, byteCount + (ahead[0]?.length ?? 0))
    yield* piece(ahead.shift(), signal)
  }
  if (byteCount < size) throw wrongSize(size)
}

function startPiece(
  blobs: BlobReader,
  references: Uint8Array,
  at: number,
  signal: AbortSignal | undefined,
): Piece {
  const id = referenceId(references, at)
  const length = referenceLength(references, at)
  if (isHole(id)) return { length, bytes: undefined }
  const bytes = blobs.load(id, BLOB_TYPE.data, signal)
  // It is thrown where its turn comes, or never if nobody takes the rest of the file.
  bytes.catch(() => {})
  return { length, bytes }
}

function requireWithin(size: number, byteCount: number): number {
  if (byteCount > size) throw wrongSize(size)
  return byteCount
}

async function* piece(
  next: Piece | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  throwIfAborted(signal)
  if (next?.bytes === undefined) {
    for (let left = next?.length ?? 0; left > 0; left -= ZEROS.length) {
      throwIfAborted(signal)
      yield left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS
    }
    return
  }
  const bytes = await next.bytes
  if (bytes.length !== next.length) {
    throw new CairnError(
      'CAIRN_CORRUPT',
      `a chunk has ${bytes.length} bytes where ${next.length} belong`,
    )
  }
  yield bytes
}

function wrongSize(byteCount: number): CairnError {
  return new CairnError(
    'CAIRN_CORRUPT',
    `its chunks do not add up to the ${byteCount} bytes that belong there`,
  )
}
