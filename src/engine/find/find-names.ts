/** What `find` looks for by name. */

import type { ByteString } from '../../base/bytes.ts'
import type { TreeEntry } from '../../format/tree.ts'
import { nanosecondsOf } from '../../repository/time.ts'
import { compilePatterns } from '../../source/patterns.ts'
import type { SearchGoal } from './tree-search.ts'

export interface NameQuery {
  /** An entry is found if any of them covers its path. */
  readonly patterns: readonly ByteString[]
  readonly ignoreCase: boolean
  /** Nanoseconds since 1970, both included. */
  readonly oldestNs: bigint | undefined
  readonly newestNs: bigint | undefined
}

/** Without what would keep a whole node in memory. */
export type FoundEntry = Omit<TreeEntry, 'content' | 'contentList' | 'subtree' | 'xattrs'>

function foundEntry(entry: TreeEntry): FoundEntry {
  const { name, type, mode, uid, gid, size, mtime, atime, target } = entry
  return {
    name,
    type,
    mode,
    uid,
    gid,
    size,
    mtime,
    ...(atime === undefined ? {} : { atime }),
    ...(target === undefined ? {} : { target: Uint8Array.from(target) }),
  }
}

/** Throws CAIRN_USAGE for a malformed pattern. */
export function nameGoal(query: NameQuery): SearchGoal<FoundEntry> {
  const { patterns, ignoreCase, oldestNs, newestNs } = query
  const matcher = compilePatterns(patterns, { caseInsensitive: ignoreCase })
  const dependsOnPath = patterns.some((pattern) => /[/!]|\*\*/.test(pattern))
  const isInTime = (entry: TreeEntry) => {
    if (oldestNs === undefined && newestNs === undefined) return true
    const time = nanosecondsOf(entry.mtime)
    return (
      (oldestNs === undefined || time >= oldestNs) && (newestNs === undefined || time <= newestNs)
    )
  }
  return {
    dependsOnPath,
    looksAtAll: false,
    covers: (name, directory) => matcher.matchesIn(dependsOnPath ? directory : '', name),
    mayFindBelow: (path) => !dependsOnPath || matcher.mayMatchBelow(path),
    entryHits: (entry, _parent, isCovered) =>
      isCovered && isInTime(entry) ? [foundEntry(entry)] : [],
    nodeHits: () => [],
  }
}
