/**
 * Inode flags, as Linux numbers them (chattr). Two of them keep everybody, root too, from changing a
 * file: they are set last of all, and taken away from what is to be changed.
 */

import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import type { ByteString } from '../base/bytes.ts'
import { FLAGS_KEPT } from './extended-metadata.ts'
import { libcSet } from './libc-set.ts'
import { descriptorPath, type NativePath, O_PATH } from './native-path.ts'
import { errorCode, systemError } from './system-error.ts'

/** Immutable and append-only: such a file cannot be written, renamed, linked or removed. */
const BLOCKING_FLAGS = 0x10 | 0x20

export function isBlocking(flags: number): boolean {
  return (flags & BLOCKING_FLAGS) !== 0
}

/**
 * Sets flags of an open file, not of O_PATH, and leaves those that no backup has. If only the
 * blocking ones are refused, the others are set before the error is thrown.
 */
export function setFlags(descriptor: number, wanted: number, shown: ByteString): void {
  const c = libcSet()
  const found = c?.flags(descriptor, shown)
  if (c === undefined || found === undefined) {
    if ((wanted & FLAGS_KEPT) === 0) return
    throw systemError('ENOTSUP', 'ioctl', shown, 'inode flags are not supported here')
  }
  const flags = ((found & ~FLAGS_KEPT) | (wanted & FLAGS_KEPT)) >>> 0
  if (flags === found) return
  try {
    c.setFlags(descriptor, flags, shown)
  } catch (error) {
    const rest = ((flags & ~BLOCKING_FLAGS) | (found & BLOCKING_FLAGS)) >>> 0
    if (rest !== flags && rest !== found) c.setFlags(descriptor, rest, shown)
    throw error
  }
}

/** Takes the blocking flags away from an open file. Returns all that it had; 0 if it had no such. */
export function liftFlagsOf(descriptor: number, shown: ByteString): number {
  const c = libcSet()
  const found = c?.flags(descriptor, shown) ?? 0
  if (c === undefined || !isBlocking(found)) return 0
  c.setFlags(descriptor, found & ~BLOCKING_FLAGS, shown)
  return found
}

/**
 * The same for the file or directory at a path; a link there is not followed, and nothing else is
 * opened. 0 also if that is not allowed: what is to be done with it will say so.
 */
export function liftFlags(at: NativePath, shown: ByteString): number {
  let own: number | undefined
  try {
    own = openSync(at, O_PATH | constants.O_NOFOLLOW)
    const stats = fstatSync(own)
    if (!stats.isFile() && !stats.isDirectory()) return 0
    const descriptor = openSync(descriptorPath(own), constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      return liftFlagsOf(descriptor, shown)
    } finally {
      closeSync(descriptor)
    }
  } catch (error) {
    if (errorCode(error) === undefined) throw error
    return 0
  } finally {
    if (own !== undefined) closeSync(own)
  }
}
