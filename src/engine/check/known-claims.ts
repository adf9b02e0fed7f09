/** What each pack is read against: the entries of index files, or, without any, its own footer. */

import { CairnError, errorChain } from '../../base/errors.ts'
import { shortId } from '../../base/ids.ts'
import type { IndexedPack } from '../../format/index-file.ts'
import type { PackClaim } from '../../pipeline/pack-body.ts'
import { readPackDirectory } from '../../pipeline/pack-directory-reader.ts'
import { type CheckContext, readTwice } from './check-context.ts'
import { decoded } from './check-objects.ts'
import type { PackClaims } from './pack-claims.ts'
import type { KnownClaims } from './pack-reading.ts'
import type { PackFileInfo } from './subset.ts'

export async function knownClaims(
  context: CheckContext,
  { claims }: PackClaims,
  pack: PackFileInfo,
): Promise<KnownClaims> {
  const indexed = claims.get(pack.name)
  if (indexed === undefined) return await orphanClaim(context, pack)
  const known: PackClaim[] = []
  let problem: string | undefined
  for (const entry of indexed) {
    // A claim of another length counts for nothing, and has been told (pack-claims.ts).
    if (entry.byteCount !== pack.byteCount) continue
    const claim = decoded(() => claimOf(context, entry))
    if (claim instanceof CairnError) problem = `by the index: ${errorChain(claim)}`
    else known.push(claim)
  }
  return { claims: known, ...(problem === undefined ? {} : { problem }) }
}

function claimOf({ repository }: CheckContext, entry: IndexedPack): PackClaim {
  const { ids } = repository.keyring
  return {
    key: repository.packKey(entry.preamble),
    idKeys: { data: ids.data, metadata: ids.metadata },
    // Copies: a view takes all of its buffer along to a thread, which here is the index file.
    preamble: Uint8Array.from(entry.preamble),
    directory: Uint8Array.from(entry.directory.bytes),
  }
}

async function orphanClaim(context: CheckContext, pack: PackFileInfo): Promise<KnownClaims> {
  const { repository, signal } = context
  const file = { kind: 'packs' as const, name: pack.name }
  const outline = await readTwice(context, () =>
    readPackDirectory({
      byteCount: pack.byteCount,
      keyOf: (preamble) => repository.packKey(preamble),
      load: async (range) => {
        const bytes = await repository.backend.load(file, range, { signal })
        if (bytes !== undefined) return bytes
        throw new CairnError('CAIRN_CORRUPT', `pack ${shortId(pack.name)} is gone`)
      },
    }),
  )
  if (outline instanceof CairnError) return { claims: [], problem: errorChain(outline) }
  const { ids } = repository.keyring
  const { key, preamble } = outline
  const idKeys = { data: ids.data, metadata: ids.metadata }
  return { claims: [{ key, idKeys, preamble, directory: undefined }] }
}
