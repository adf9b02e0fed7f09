/** `cache`: the caches of all repositories on this machine. */

import { CairnError } from '../base/errors.ts'
import { nodeClock, nodeProcess, nodeRandomness } from '../base/node-seams.ts'
import { wallMs } from '../base/seams.ts'
import { defaultCacheRoot } from '../storage/cache/cache-directory.ts'
import {
  cacheBytes,
  type CachedRepository,
  listCachedRepositories,
  removeCachedRepository,
} from '../storage/cache/cached-repositories.ts'

export const DAY_MS = 24 * 3600 * 1000

/** From which age on a cache is old, if nothing else is said. */
export const MAX_AGE_DAYS = 30

export interface CacheOverview {
  readonly root: string
  readonly caches: readonly (CachedRepository & {
    readonly ageMs: number
    readonly isOld: boolean
    readonly byteCount: number | undefined
  })[]
}

export interface CacheChoices {
  /** Where the caches are; undefined for the usual place. */
  readonly root: string | undefined
  /** From which age on a cache is old. */
  readonly maxAgeDays: number
  readonly withSizes: boolean
}

export function listCaches({ root, maxAgeDays, withSizes }: CacheChoices): CacheOverview {
  const nowMs = wallMs(nodeClock())
  const place = root ?? defaultCacheRoot()
  try {
    const caches = listCachedRepositories(place, nowMs, nodeProcess()).map((cache) => {
      const ageMs = Math.max(0, nowMs - cache.usedMs)
      return {
        ...cache,
        ageMs,
        isOld: ageMs >= maxAgeDays * DAY_MS,
        byteCount: withSizes ? cacheBytes(cache) : undefined,
      }
    })
    return { root: place, caches }
  } catch (cause) {
    throw new CairnError('CAIRN_FAILED', `cannot read the caches in '${place}'`, { cause })
  }
}

export interface CacheCleanup {
  readonly removed: readonly string[]
  /** Old, but a process works with them. */
  readonly kept: readonly string[]
  readonly failed: readonly { readonly repositoryId: string; readonly error: unknown }[]
}

/** Removes the caches that are old and that nobody uses. */
export function removeOldCaches(overview: CacheOverview): CacheCleanup {
  const removed: string[] = []
  const kept: string[] = []
  const failed: { repositoryId: string; error: unknown }[] = []
  for (const cache of overview.caches) {
    if (!cache.isOld) continue
    const { repositoryId } = cache
    if (cache.isInUse) kept.push(repositoryId)
    else {
      try {
        removeCachedRepository(overview.root, cache, nodeRandomness())
        removed.push(repositoryId)
      } catch (error) {
        failed.push({ repositoryId, error })
      }
    }
  }
  return { removed, kept, failed }
}
