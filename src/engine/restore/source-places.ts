/**
 * Where in a snapshot's tree its sources are. An absolute source is at its own path, a relative one at
 * the end of it that was written: `projects` of `/home/ann` at `/projects`. The snapshot tells only the
 * absolute paths, so that it is looked up.
 */

import type { ByteString } from '../../base/bytes.ts'
import { partsOf } from '../../base/paths.ts'

/** Whether the tree has an entry there. */
export type HasEntry = (components: readonly ByteString[]) => Promise<boolean>

/**
 * Only places that are surely a source, or in one: what else lies beside them belongs to others. `names`
 * gives those at the root of the tree.
 */
export async function sourcePlaces(
  paths: readonly ByteString[],
  names: () => Promise<readonly ByteString[]>,
  hasEntry: HasEntry,
): Promise<ByteString[]> {
  const [only] = paths
  if (only !== undefined && paths.length === 1) return await longestEnd(partsOf(only), hasEntry)
  const places: ByteString[] = []
  for (const path of paths) if (await hasEntry(partsOf(path))) places.push(path)
  if (places.length > 0) return places
  const atRoot = await names()
  return areSiblings(paths, atRoot) ? atRoot.map((name) => `/${name}`) : []
}

/**
 * If a shorter end is there too, it lies above this one, whichever of them is the source. None at all is
 * no sign of `.`: a snapshot that was put together from what was found has no source in it either.
 */
async function longestEnd(parts: readonly ByteString[], hasEntry: HasEntry): Promise<ByteString[]> {
  for (let from = 0; from < parts.length; from++) {
    const end = parts.slice(from)
    if (await hasEntry(end)) return [`/${end.join('/')}`]
  }
  return []
}

/** Named in one directory, by a name each, and nothing else was. */
function areSiblings(paths: readonly ByteString[], names: readonly ByteString[]): boolean {
  const above = new Set(paths.map((path) => path.slice(0, path.lastIndexOf('/'))))
  const last = new Set(paths.map((path) => path.slice(path.lastIndexOf('/') + 1)))
  return above.size === 1 && last.size === names.length && names.every((name) => last.has(name))
}
