/** Look-ups by other threads in a LevelDB index that the main thread has opened. */

import { type BlobLookup, type IndexShare, PackStates } from './blob-index.ts'
import { BloomFilter } from './bloom-filter.ts'
import { getOrThrow, openLevel } from './level-database.ts'
import { readMeta } from './level-meta.ts'
import { RowCodec } from './level-rows.ts'

/** Opens the index that another thread of this process has shared. */
export async function levelLookup(
  share: IndexShare & { readonly kind: 'level' },
): Promise<BlobLookup> {
  const filter = new BloomFilter(share.filter)
  const states = new PackStates(share.states)
  const tags = new Uint32Array(share.tags)
  const options = { createIfMissing: false, multithreading: true }
  const database = await openLevel(share.directory, options)
  const meta = await readMeta(database, share.repositoryId).catch(async (error: unknown) => {
    await database.close()
    throw error
  })
  const codec = new RowCodec(meta.databaseId)
  return {
    findPack: (id) => {
      if (!filter.has(id)) return -1
      const value = getOrThrow(database, codec.blobKey(id))
      return value === undefined ? -1 : codec.livePack(value, tags, states)
    },
    close: () => database.close(),
  }
}
