/** What a restore leaves alone in its target, and where it may delete. */

import { realpathSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { byteStringOf, type ByteString } from '../base/bytes.ts'
import { CairnError, isCairnError } from '../base/errors.ts'
import { isWithin } from '../base/paths.ts'
import { sourcePlaces } from '../engine/restore/source-places.ts'
import type { BlobReader } from '../repository/blob-reader.ts'
import { findEntry, readDirectory } from '../repository/tree-reader.ts'
import type { Access } from './access.ts'
import type { FoundSnapshot } from './select-snapshots.ts'

/** Throws CAIRN_USAGE for a target in the repository. */
export function keptPlacesIn(target: string, access: Access): ByteString[] {
  const root = realPathOf(target)
  const repository = realPathOf(access.path)
  if (isWithin(root, repository)) {
    throw new CairnError(
      'CAIRN_USAGE',
      `cannot restore to '${target}': it is in the repository '${repository}'; choose another directory`,
    )
  }
  if (!isWithin(repository, root)) return []
  return [byteStringOf(relative(root, repository))]
}

/** Without symbolic links, as far as it is there. */
function realPathOf(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const above = dirname(path)
    return above === path ? path : join(realPathOf(above), basename(path))
  }
}

/** Nothing is deleted where that is not known for sure. */
export async function placesOf(
  access: Access,
  blobs: BlobReader,
  { snapshot }: FoundSnapshot,
): Promise<ByteString[]> {
  const { root, paths } = snapshot.content
  const names = async () => {
    const found: ByteString[] = []
    for await (const entries of readDirectory(blobs, root, { signal: access.signal })) {
      found.push(...entries.map(({ name }) => name))
    }
    return found
  }
  const hasEntry = async (path: readonly ByteString[]) =>
    (await findEntry(blobs, root, path, access.signal)) !== undefined
  let places: ByteString[] = []
  try {
    places = await sourcePlaces(paths, names, hasEntry)
  } catch (error) {
    // Whoever restores the directory tells of the damage.
    if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
  }
  if (places.length === 0) {
    access.warn('nothing is deleted: the snapshot does not show where its sources are in it')
  }
  return places
}
