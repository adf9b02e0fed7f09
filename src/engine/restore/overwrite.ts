/** Decides what becomes of something that is there already. Touches nothing. */

import { ENTRY_TYPE, type TreeEntry } from '../../format/tree.ts'
import { nanosecondsOf } from '../../repository/time.ts'
import type { SourceStat } from '../../source/source-files.ts'
import { isSameTime } from './restore-context.ts'
import type { OverwritePolicy } from './restore-options.ts'

export type Decision =
  /** Nothing is there. */
  | 'create'
  | 'replace'
  /** Keep it if its content is the same; else `replace`, or `beside` to keep both. */
  | 'compare'
  /** Trust size and mtime; set the other metadata. */
  | 'adopt'
  | 'beside'
  /** Leave it as it is. */
  | 'skip'
  /** A directory is there where none belongs. */
  | 'blocked'

/** For anything but directories. */
export function decideOverwrite(
  entry: TreeEntry,
  existing: SourceStat | undefined,
  policy: OverwritePolicy,
): Decision {
  if (existing === undefined) return 'create'
  if (policy === 'never') return 'skip'
  if (policy === 'if-newer' && nanosecondsOf(entry.mtime) <= existing.mtimeNs) return 'skip'
  if (existing.type === 'directory') return policy === 'keep-both' ? 'beside' : 'blocked'
  const looksSame =
    entry.type === ENTRY_TYPE.file &&
    existing.type === 'file' &&
    existing.size === entry.size &&
    isSameTime(entry.mtime, existing.mtimeNs)
  if (looksSame) return policy === 'if-changed' ? 'adopt' : 'compare'
  return policy === 'keep-both' ? 'beside' : 'replace'
}

/** Whether a directory may take the place of something else. */
export function mayReplaceByDirectory(
  entry: TreeEntry,
  existing: SourceStat,
  policy: OverwritePolicy,
): boolean {
  if (policy === 'if-newer') return nanosecondsOf(entry.mtime) > existing.mtimeNs
  return policy === 'always' || policy === 'if-changed'
}

/** Whether the metadata of a directory that is there is changed. */
export function mayChangeDirectory(
  entry: TreeEntry,
  existing: SourceStat,
  policy: OverwritePolicy,
): boolean {
  if (policy === 'if-newer') return nanosecondsOf(entry.mtime) > existing.mtimeNs
  return policy !== 'never' && policy !== 'keep-both'
}
