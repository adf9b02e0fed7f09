/** What the parts of a restore share. */

import type { ByteString } from '../../base/bytes.ts'
import type { Time, TreeEntry } from '../../format/tree.ts'
import { NO_OWNER } from '../../pipeline/restore-job.ts'
import { nanosecondsOf } from '../../repository/time.ts'
import { isBlocking } from '../../source/inode-flags.ts'
import type { MetadataFailure, Target } from '../../source/target-files.ts'
import type { TargetMetadata, Xattr } from '../../source/target-files.ts'
import type { KeptPlaces } from './kept-places.ts'
import type { Reporter } from './report.ts'
import type { Owner, RestoreOptions } from './restore-options.ts'

export interface RestoreContext {
  readonly options: RestoreOptions
  readonly reporter: Reporter
  /** Undefined in a dry run where there is no target yet. Written to only if it is no dry run. */
  readonly target: Target | undefined
  readonly kept: KeptPlaces
  /** Whether extended attributes of this name are restored. */
  readonly selectsXattr: (name: ByteString) => boolean
  /**
   * Files whose flags are set when everything else is done. They have several names: one that is
   * immutable could get no more of them. They are few.
   */
  readonly flaggedLinks: { readonly path: ByteString; readonly entry: TreeEntry }[]
}

/** An entry as it is to be: owners mapped. */
export function ownerOf({ mapOwner }: RestoreOptions, entry: TreeEntry): Owner {
  return mapOwner === undefined ? entry : mapOwner({ uid: entry.uid, gid: entry.gid })
}

/** `xattrs` undefined leaves those that are there. */
export function targetMetadata(
  { options, selectsXattr }: RestoreContext,
  entry: TreeEntry,
  xattrs: readonly Xattr[] | undefined,
): TargetMetadata {
  const { uid, gid } = ownerOf(options, entry)
  return {
    mode: entry.mode,
    flags: setAfterLinks(entry) ? 0 : (entry.flags ?? 0),
    ...(xattrs === undefined ? undefined : { xattrs: { list: xattrs, selects: selectsXattr } }),
    ...(uid === NO_OWNER ? undefined : { uid }),
    ...(gid === NO_OWNER ? undefined : { gid }),
    mtimeNs: nanosecondsOf(entry.mtime),
    ...(entry.atime === undefined ? undefined : { atimeNs: nanosecondsOf(entry.atime) }),
  }
}

/** Whether the flags of a file wait until all of its names are there. */
export function setAfterLinks({ flags = 0, linkGroup }: TreeEntry): boolean {
  return linkGroup !== undefined && isBlocking(flags)
}

/** To be called for every regular file that is as it should be, but perhaps for its flags. */
export function noteFlags(
  { flaggedLinks }: RestoreContext,
  { path, entry }: { readonly path: ByteString; readonly entry: TreeEntry },
): void {
  if (setAfterLinks(entry)) flaggedLinks.push({ path, entry })
}

/** Sets the flags that `noteFlags` has collected. */
export function setFlagsOfLinks({ flaggedLinks, reporter, target }: RestoreContext): void {
  for (const { path, entry } of flaggedLinks) {
    const expected = { size: entry.size, mtimeNs: nanosecondsOf(entry.mtime) }
    try {
      reportUnset(reporter, path, target?.setFlags(path, expected, entry.flags ?? 0) ?? [])
    } catch (error) {
      reporter.failure(path, error)
    }
  }
}

export function reportUnset(
  reporter: Reporter,
  path: ByteString,
  failures: readonly MetadataFailure[],
): void {
  const told = new Set<MetadataFailure['what']>()
  for (const { what, error, isRefused = false } of failures) {
    if (!told.has(what)) reporter.unset(what, isRefused)
    told.add(what)
    reporter.explainUnset(path, { what, message: error.message, isRefused })
  }
}

export function isSameTime(time: Time, timeNs: bigint): boolean {
  return nanosecondsOf(time) === timeNs
}

export function join(directory: ByteString, name: ByteString): ByteString {
  return directory === '' ? name : `${directory}/${name}`
}
