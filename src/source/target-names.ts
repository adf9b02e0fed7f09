/** How a finished temporary entry of a target gets its final name, replacing something or nothing. */

import { linkSync, lstatSync, renameSync, unlinkSync } from 'node:fs'
import { type ByteString, textOf } from '../base/bytes.ts'
import type { Directory } from './directory-handles.ts'
import { liftFlags } from './inode-flags.ts'
import { libc } from './libc.ts'
import type { NativePath } from './native-path.ts'
import { sourceStat } from './source-stat.ts'
import type { EntryType } from './source-files.ts'
import { errorAbout, errorCode, systemError } from './system-error.ts'

export interface NameOptions {
  readonly directory: Directory
  readonly temporary: ByteString
  readonly name: ByteString
  readonly overwrite: boolean
  /** For errors. */
  readonly shown: ByteString
}

/**
 * Throws EEXIST (without `overwrite`) or EISDIR, and leaves both names as they were. What is replaced
 * may be immutable, which goes with it.
 */
export function giveName(options: NameOptions): void {
  try {
    rename(options)
  } catch (error) {
    const { directory, name, overwrite, shown } = options
    if (!overwrite || errorCode(error) !== 'EPERM') throw error
    if (liftFlags(directory.path(name), shown) === 0) throw error
    rename(options)
  }
}

function rename({ directory, temporary, name, overwrite, shown }: NameOptions): void {
  const { descriptor } = directory
  const renameat2 = descriptor < 0 ? undefined : libc()?.renameat2
  try {
    if (renameat2 !== undefined) {
      const [fromDirectory, toDirectory] = [descriptor, descriptor]
      try {
        renameat2({ fromDirectory, from: temporary, toDirectory, to: name, replace: overwrite })
        return
      } catch (error) {
        const code = errorCode(error)
        const isUnsupported = code === 'EINVAL' || code === 'ENOSYS' || code === 'EPERM'
        if (!isUnsupported) throw error
      }
    }
    const from = directory.path(temporary)
    const to = directory.path(name)
    if (overwrite) renameSync(from, to)
    else renameWithoutReplacing(from, to, shown)
  } catch (error) {
    throw errorAbout(shown, error)
  }
}

function renameWithoutReplacing(from: NativePath, to: NativePath, shown: ByteString): void {
  try {
    linkSync(from, to)
  } catch (error) {
    const code = errorCode(error)
    const hasNoLinks = code === 'EPERM' || code === 'ENOTSUP' || code === 'EOPNOTSUPP'
    if (!hasNoLinks && code !== 'ENOSYS' && code !== 'EMLINK') throw error
    // Neither call: a file made between these two is lost. FAT through an old C library, say.
    if (lstatSync(to, { throwIfNoEntry: false })) throw systemError('EEXIST', 'rename', shown)
    renameSync(from, to)
    return
  }
  unlinkSync(from)
}

/** A hard link, if it is to something of this type: else EINVAL, and none. Paths are for that error. */
export function linkOfType(
  from: NativePath,
  to: NativePath,
  wanted: { readonly type: EntryType; readonly existing: ByteString; readonly path: ByteString },
): void {
  const { type, existing, path } = wanted
  linkSync(from, to)
  // Looked at now, not before: the link is to what was there at that instant.
  const found = sourceStat(lstatSync(to, { bigint: true })).type
  if (found === type) return
  unlinkSync(to)
  throw systemError('EINVAL', 'link', path, `'${textOf(existing)}' is a ${found}, not a ${type}`)
}

/** Removes a temporary entry, if it is still there. */
export function removeTemporary(directory: Directory, temporary: ByteString): void {
  try {
    unlinkSync(directory.path(temporary))
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
  }
}
