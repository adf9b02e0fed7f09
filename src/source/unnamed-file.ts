/**
 * Writes a file that has no name until it is whole (Linux): a restore that is killed leaves nothing of
 * it behind, and the kernel has one name less to make and to remove.
 */

import { constants } from 'node:fs'
import type { ByteString } from '../base/bytes.ts'
import type { Directory } from './directory-handles.ts'
import { libc } from './libc.ts'
import { writeFully } from './new-file.ts'
import { errorAbout, errorCode } from './system-error.ts'
import type { MetadataFailure, TargetMetadata } from './target-files.ts'
import { setByDescriptor } from './target-metadata.ts'
import { hasOwner, newFileTraits } from './new-file-traits.ts'

/** Without O_DIRECTORY, which is not the same number everywhere. */
const O_TMPFILE_BIT = 0o20000000
const CREATE_FLAGS = constants.O_WRONLY | constants.O_DIRECTORY | O_TMPFILE_BIT

export interface UnnamedFileOptions {
  readonly directory: Directory
  readonly name: ByteString
  readonly bytes: Uint8Array
  readonly metadata: TargetMetadata
  /** For errors. */
  readonly shown: ByteString
}

/**
 * Writes a whole file and gives it its name. Throws EEXIST if that is taken, and what writing throws.
 * Undefined, with nothing left behind, if it cannot be done this way.
 */
export function writeUnnamedFile(
  options: UnnamedFileOptions,
): readonly MetadataFailure[] | undefined {
  const { directory, name, bytes, metadata, shown } = options
  const c = libc()
  if (c === undefined) return undefined
  const { origin, given } = newFileTraits(directory)
  const hasMode = given !== undefined && canBeMadeWith(metadata, given.umask)
  const mode = hasMode ? (metadata.mode ?? 0o600) : 0o600
  let descriptor: number
  try {
    descriptor = c.openat(directory.descriptor, '.', { flags: CREATE_FLAGS, mode, path: shown })
  } catch {
    return undefined // The way by a name says why, or works.
  }
  try {
    writeFully(descriptor, bytes, { offset: 0, length: bytes.byteLength, position: 0 })
    const failures = setByDescriptor(descriptor, metadata, {
      shown,
      origin,
      hasOwner: hasOwner(metadata, given),
      hasMode,
    })
    try {
      c.link(descriptor, directory.descriptor, name, shown)
    } catch (error) {
      if (errorCode(error) === 'EEXIST') throw error
      return undefined
    }
    return failures
  } catch (error) {
    throw errorAbout(shown, error)
  } finally {
    c.close(descriptor, shown)
  }
}

/** Nobody sees the file before it has its name, so it may have its mode from the start. */
function canBeMadeWith({ mode = 0o600, xattrs }: TargetMetadata, umask: number): boolean {
  // A later change of owner takes setuid away, and an ACL brings a mode of its own.
  return (mode & (0o7000 | umask)) === 0 && (xattrs === undefined || xattrs.list.length === 0)
}
