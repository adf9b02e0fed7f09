/** Takes in what runs left that were killed between a pack and its index file. */

import { toHex } from '../base/bytes.ts'
import type { FileName } from '../base/ids.ts'
import { sha256 } from '../crypto/sha256.ts'
import type { OpenedIndex } from './open-index.ts'
import { forEachOrphan, readOrphan } from './orphan-packs.ts'
import { PackStore } from './pack-store.ts'
import type { Repository } from './repository.ts'

export interface AdoptOptions {
  readonly repository: Repository
  /** These are left alone. */
  readonly doomed: ReadonlySet<FileName>
}

/**
 * Complete packs that no index file names are what a run left that was killed: they are named now,
 * so that nothing is stored again. Each is read whole and saved again, which stores nothing but makes
 * its directory entry as durable as the index file will say it is.
 */
export async function adoptOrphans(
  opened: OpenedIndex,
  store: PackStore,
  { repository, doomed }: AdoptOptions,
): Promise<void> {
  if (repository.keyring.role === 'writer') return
  const orphans = opened.orphans.filter((name) => !doomed.has(name))
  await forEachOrphan(repository, orphans, async (name) => {
    const bytes = await repository.backend.load({ kind: 'packs', name })
    if (bytes === undefined || toHex(sha256(bytes)) !== name) return
    const pack = await readOrphan(repository, name, {
      byteCount: bytes.length,
      load: ({ offset, byteCount }) => Promise.resolve(bytes.subarray(offset, offset + byteCount)),
    })
    await repository.backend.save({ kind: 'packs', name }, bytes)
    await opened.add([pack])
    store.adopt(pack)
  })
}

/** The same for who has no store yet: an index file names them when this has returned. */
export async function indexOrphans(
  opened: OpenedIndex,
  options: AdoptOptions & { readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const store = new PackStore(options)
  await adoptOrphans(opened, store, options)
  await store.finish()
}
