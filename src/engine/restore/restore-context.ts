/** What the parts of a restore share. */

import type { ByteString } from '../../base/bytes.ts'
import type { Time, TreeEntry } from '../../format/tree.ts'
import { NO_OWNER } from '../../pipeline/restore-job.ts'
import { nanosecondsOf } from '../../repository/time.ts'
import type { MetadataFailure, Target, TargetMetadata } from '../../source/target-files.ts'
import type { Reporter } from './report.ts'
import type { Owner, RestoreOptions } from './restore-options.ts'

export interface RestoreContext {
  readonly options: RestoreOptions
  readonly reporter: Reporter
  /** Undefined in a dry run where there is no target yet. Written to only if it is no dry run. */
  readonly target: Target | undefined
}

/** An entry as it is to be: owners mapped. */
export function ownerOf(options: RestoreOptions, { uid, gid }: TreeEntry): Owner {
  return options.mapOwner?.({ uid, gid }) ?? { uid, gid }
}

export function targetMetadata(options: RestoreOptions, entry: TreeEntry): TargetMetadata {
  const { uid, gid } = ownerOf(options, entry)
  return {
    mode: entry.mode,
    ...(uid === NO_OWNER ? undefined : { uid }),
    ...(gid === NO_OWNER ? undefined : { gid }),
    mtimeNs: nanosecondsOf(entry.mtime),
    ...(entry.atime === undefined ? undefined : { atimeNs: nanosecondsOf(entry.atime) }),
  }
}

/** Reports metadata that could not be set, and such as there is no way to set yet. */
export function reportUnset(
  reporter: Reporter,
  path: ByteString,
  entry: TreeEntry,
  failures: readonly MetadataFailure[],
): void {
  for (const { what, error } of failures) {
    reporter.unset(what)
    reporter.explainUnset(path, what, error.message)
  }
  reportUnsupported(reporter, path, entry)
}

export function reportUnsupported(reporter: Reporter, path: ByteString, entry: TreeEntry): void {
  if (entry.xattrs !== undefined || entry.xattrsId !== undefined) {
    reporter.unset('xattrs')
    reporter.explainUnset(path, 'xattrs', 'this version of cairn does not restore them')
  }
  if (entry.flags !== undefined && entry.flags !== 0) {
    reporter.unset('flags')
    reporter.explainUnset(path, 'flags', 'this version of cairn does not restore them')
  }
}

export function isSameTime(time: Time, timeNs: bigint): boolean {
  return nanosecondsOf(time) === timeNs
}

export function join(directory: ByteString, name: ByteString): ByteString {
  return directory === '' ? name : `${directory}/${name}`
}
