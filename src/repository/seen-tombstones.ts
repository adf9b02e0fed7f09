/** What the tombstones of a repository say: each is read once for an opening, or was for an earlier one. */

import type { FileName } from '../base/ids.ts'
import type { FileInfo } from '../storage/backend.ts'
import type { LoadedTombstone, LoadOptions, SeenTombstone } from './loaded-objects.ts'
import { SortedIds } from './sorted-ids.ts'
import type { TombstoneCache } from './tombstone-cache.ts'

/** Fewer or smaller ones are read as fast as a cache of them is opened. */
const CACHED_ABOVE_COUNT = 16
const CACHED_ABOVE_BYTES = 64 << 10
/** How many are in memory with the bodies that they keep, which may be 4 MiB each. */
const LOADS_AT_ONCE = 4

export interface TombstoneSource {
  /** In order of names. */
  list(options: LoadOptions): Promise<FileInfo[]>
  /** Opens those of `files` that are valid. */
  load(files: readonly FileInfo[], options: LoadOptions): Promise<LoadedTombstone[]>
  cache(): Promise<TombstoneCache | undefined>
}

export class SeenTombstones {
  readonly #source: TombstoneSource
  /** A name stands for the bytes: what a file said once it says for ever. */
  readonly #seen = new Map<FileName, SeenTombstone>()
  #cache: TombstoneCache | undefined
  #isCacheRead = false

  constructor(source: TombstoneSource) {
    this.#source = source
  }

  /** The valid ones of those that are listed now, in order of names. */
  async load(options: LoadOptions): Promise<SeenTombstone[]> {
    const files = await this.#source.list(options)
    if (!this.#isCacheRead && isWorthCaching(files)) await this.#readCache()
    const isUnseen = ({ name, byteCount }: FileInfo) =>
      this.#seen.get(name)?.byteCount !== byteCount
    const unseen = files.filter(isUnseen)
    for (let at = 0; at < unseen.length; at += LOADS_AT_ONCE) {
      const loaded = await this.#source.load(unseen.slice(at, at + LOADS_AT_ONCE), options)
      for (const one of loaded) this.#seen.set(one.name, seenTombstone(one))
    }
    const listed = files.flatMap((file) =>
      isUnseen(file) ? [] : (this.#seen.get(file.name) ?? []),
    )
    if (unseen.some((file) => !isUnseen(file))) this.#cache?.write(listed)
    return listed
  }

  async #readCache(): Promise<void> {
    this.#isCacheRead = true
    this.#cache = await this.#source.cache()
    for (const one of this.#cache?.read() ?? []) {
      if (!this.#seen.has(one.name)) this.#seen.set(one.name, one)
    }
  }
}

function isWorthCaching(files: readonly FileInfo[]): boolean {
  const byteCount = files.reduce((sum, file) => sum + file.byteCount, 0)
  return files.length > CACHED_ABOVE_COUNT || byteCount > CACHED_ABOVE_BYTES
}

function seenTombstone({ id, name, byteCount, tombstone }: LoadedTombstone): SeenTombstone {
  const forgotten = SortedIds.of(tombstone.forgotten.map(({ snapshot }) => snapshot))
  // Copies: views would hold on to the bodies.
  const known = [...SortedIds.of(tombstone.known)]
  return { id, name, byteCount, forgotten, merged: SortedIds.of(tombstone.merged), known }
}
