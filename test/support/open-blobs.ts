/** A reader of blobs over a repository that a test built. */

import { BlobReader } from '../../src/repository/blob-reader.ts'
import { openIndex } from '../../src/repository/open-index.ts'
import type { Repository } from '../../src/repository/repository.ts'

export async function openBlobs(repository: Repository) {
  const opened = await openIndex(repository, { cacheDirectory: undefined, bulk: true })
  return { blobs: new BlobReader(repository, opened.index), index: opened.index }
}
