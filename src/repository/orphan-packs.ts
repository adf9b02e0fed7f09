/** Packs that no index file names: what they say themselves of their blobs. */

import { errorChain, isCairnError } from '../base/errors.ts'
import { type FileName, shortId } from '../base/ids.ts'
import type { IndexedPack } from '../format/index-file.ts'
import { readPackDirectory } from '../pipeline/pack-directory-reader.ts'
import type { Repository } from './repository.ts'

/** Calls `take` for each, one after the other; one that is damaged is told and left out. */
export async function forEachOrphan(
  repository: Repository,
  orphans: readonly FileName[],
  take: (name: FileName) => Promise<void>,
): Promise<void> {
  for (const name of orphans) {
    try {
      await take(name)
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      repository.warn(
        `pack ${shortId(name)} is in no index and cannot be used: ${errorChain(error)}`,
      )
    }
  }
}

/** The pack as an index file would name it. Throws CAIRN_CORRUPT. */
export async function readOrphan(
  repository: Repository,
  name: FileName,
  { byteCount, load }: Pick<Parameters<typeof readPackDirectory>[0], 'byteCount' | 'load'>,
): Promise<IndexedPack> {
  const { preamble, directory } = await readPackDirectory({
    byteCount,
    load,
    keyOf: (head) => repository.packKey(head),
  })
  const author = repository.keyring.authorId
  return { name, byteCount, verified: false, author, preamble, directory }
}
