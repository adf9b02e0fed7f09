/**
 * Index files without packs that are about to go: the new ones are durable before the old ones are
 * removed (FORMAT.md 10). Only what an index file repeats is dropped; every pack says it of itself.
 */

import type { FileName } from '../../base/ids.ts'
import { encodeIndexFile, type IndexedPack, indexedPackBytes } from '../../format/index-file.ts'
import type { Repository } from '../../repository/repository.ts'
import { type IndexFileContents, saysTheSame } from './pack-inventory.ts'

const INDEX_BYTES_MAX = 8 << 20

export interface ReplaceIndexInput {
  readonly repository: Repository
  readonly files: ReadonlyMap<FileName, IndexFileContents>
  /** Packs that no index file shall name any more. */
  readonly gone: ReadonlySet<FileName>
  /** Index files that are replaced whatever they name. */
  readonly discard?: ReadonlySet<FileName>
  /** Packs to be named beside those that remain. */
  readonly added?: readonly IndexedPack[]
  readonly operation: { readonly signal?: AbortSignal | undefined }
}

export interface ReplacedIndex {
  readonly removed: number
  readonly written: number
}

/** Returns once the old files are gone for good. A file that is damaged in part stays. */
export async function replaceIndex(input: ReplaceIndexInput): Promise<ReplacedIndex> {
  const { repository, files, gone, operation, discard = new Set(), added = [] } = input
  const { backend } = repository
  const replaced = [...files].filter(
    ([name, { packs, isWhole }]) =>
      discard.has(name) || (isWhole && packs.some((pack) => gone.has(pack.name))),
  )
  const names = replaced.map(([name]) => name)
  const kept = replaced.flatMap(([, { packs }]) => packs.filter((pack) => !gone.has(pack.name)))
  const remaining = distinct([...kept, ...added])
  const groups = grouped(remaining)
  if (groups.length === 0 && names.length === 0) return { removed: 0, written: 0 }
  for (const [i, packs] of groups.entries()) {
    // The last file names what all of them replace: whoever sees it can see the others.
    const superseded = i === groups.length - 1 ? names : []
    await repository.saveObject('index', encodeIndexFile({ superseded, packs }), operation.signal)
  }
  await backend.flush(operation)
  for (const name of names) await backend.remove({ kind: 'index', name }, operation)
  if (names.length > 0) await backend.flush(operation)
  return { removed: names.length, written: groups.length }
}

function distinct(packs: readonly IndexedPack[]): IndexedPack[] {
  const byName = new Map<FileName, IndexedPack[]>()
  for (const pack of packs) {
    const known = byName.get(pack.name)
    if (known === undefined) byName.set(pack.name, [pack])
    else {
      const at = known.findIndex((other) => saysTheSame(other, pack))
      if (at < 0) known.push(pack)
      else if (pack.verified) known[at] = pack
    }
  }
  return [...byName.values()].flat()
}

function grouped(packs: readonly IndexedPack[]): IndexedPack[][] {
  const groups: IndexedPack[][] = []
  let byteCount = Number.POSITIVE_INFINITY
  for (const pack of packs) {
    const added = indexedPackBytes(pack)
    if (byteCount + added > INDEX_BYTES_MAX) {
      groups.push([])
      byteCount = 0
    }
    groups.at(-1)?.push(pack)
    byteCount += added
  }
  return groups
}
