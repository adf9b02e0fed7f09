/**
 * Files that differ in content: how many and how large, and the blobs that they consist of. As in
 * restic, whatever has no content counts as one more file, an empty one. Each distinct directory
 * is read once. 40 to 50 bytes of memory for each file of other content, path and blob of a path.
 */

import type { ByteString } from '../../base/bytes.ts'
import { concat } from '../../base/bytes.ts'
import { CairnError, throwIfAborted } from '../../base/errors.ts'
import { sha256 } from '../../crypto/sha256.ts'
import { LIMIT } from '../../format/constants.ts'
import { forEachBlob, type NodeRoot, referenceLength, type TreeEntry } from '../../format/tree.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import { readReferences } from '../../repository/file-reader.ts'
import { readDirectory } from '../../repository/tree-reader.ts'
import { IdTable } from '../id-table.ts'
import type { BlobTotals, FileTotals } from './totals.ts'

/** True if the id was not there. */
function addTo(table: IdTable, id: Uint8Array): boolean {
  const { size } = table
  table.add(id)
  return table.size > size
}

function contentId({ content, contentList }: TreeEntry): Uint8Array {
  return sha256(contentList?.id ?? content ?? new Uint8Array())
}

export class UniqueFiles {
  readonly #blobs: BlobReader
  readonly #signal: AbortSignal
  readonly #countsBlobs: boolean
  readonly #directories = new IdTable()
  readonly #contents = new IdTable()
  readonly #paths = new IdTable()
  readonly #blobsOfPaths = new IdTable()
  #fileBytes = 0
  #blobBytes = 0

  constructor(
    blobs: BlobReader,
    options: { readonly signal: AbortSignal; readonly countsBlobs: boolean },
  ) {
    this.#blobs = blobs
    this.#signal = options.signal
    this.#countsBlobs = options.countsBlobs
  }

  /** By contents. */
  get files(): FileTotals {
    return { fileCount: this.#contents.size, byteCount: this.#fileBytes }
  }

  /** Only with `countsBlobs`: the blobs of each path, each once, and the paths that have any. */
  get blobsPerFile(): BlobTotals & { readonly fileCount: number } {
    const { size } = this.#blobsOfPaths
    return { blobCount: size, byteCount: this.#blobBytes, fileCount: this.#paths.size }
  }

  async add(root: NodeRoot): Promise<void> {
    await this.#directory(root, '', 0)
  }

  async #directory(root: NodeRoot, path: ByteString, depth: number): Promise<void> {
    if (!addTo(this.#directories, root.id)) return
    throwIfAborted(this.#signal)
    if (depth > LIMIT.depthMax) {
      throw new CairnError('CAIRN_CORRUPT', `more than ${LIMIT.depthMax} directories deep`)
    }
    for await (const entries of readDirectory(this.#blobs, root, { signal: this.#signal })) {
      for (const entry of entries) {
        const child = `${path}/${entry.name}`
        if (addTo(this.#contents, contentId(entry))) {
          this.#fileBytes += entry.size
          if (this.#countsBlobs) await this.#countBlobs(entry, child)
        }
        if (entry.subtree !== undefined) await this.#directory(entry.subtree, child, depth + 1)
      }
    }
  }

  async #countBlobs(entry: TreeEntry, path: ByteString): Promise<void> {
    const place = sha256(Buffer.from(path, 'latin1'))
    for await (const references of readReferences(this.#blobs, entry, this.#signal)) {
      forEachBlob(references, (id, i) => {
        this.#paths.add(place)
        if (addTo(this.#blobsOfPaths, sha256(concat(place, id)))) {
          this.#blobBytes += referenceLength(references, i)
        }
      })
    }
  }
}
