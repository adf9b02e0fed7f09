/**
 * Byte-string paths as Node's calls take them, also those that are longer than the kernel allows.
 *
 * Node has no `openat`. On Linux a path through `/proc/self/fd/<descriptor>/` does the same, and the
 * descriptor may be one that another thread of the process opened.
 */

import { closeSync, constants, existsSync, openSync } from 'node:fs'
import type { ByteString } from '../base/bytes.ts'
import { systemError } from './system-error.ts'

/** Not in Node's constants. The same number on every architecture of Linux that Node runs on. */
export const O_PATH = 0o10000000

export type NativePath = string | Buffer

/** The kernel's 4,096 with its NUL, less the room for a descriptor's prefix. */
export const PATH_BYTES_MAX = 4_000

/** A path for Node: text where that is lossless (it is faster), bytes where it is not. */
export function nativePath(path: ByteString): NativePath {
  return Buffer.byteLength(path) === path.length ? path : Buffer.from(path, 'latin1')
}

export function descriptorPath(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`
}

let descriptorPathsWork: boolean | undefined

/** Whether `descriptorPath` works here: on Linux, unless /proc is not mounted. */
export function hasDescriptorPaths(): boolean {
  descriptorPathsWork ??= process.platform === 'linux' && existsSync('/proc/self/fd')
  return descriptorPathsWork
}

/**
 * Calls `action` with a path that reaches `path`, of whatever length: a long one is opened directory
 * by directory, each hop as far as one call can go. Links on the way are followed as the kernel does.
 */
export function withNativePath<T>(path: ByteString, action: (native: NativePath) => T): T {
  if (path.length <= PATH_BYTES_MAX || !hasDescriptorPaths()) return action(nativePath(path))
  let descriptor: number | undefined
  let prefix = ''
  let rest = path
  try {
    while (prefix.length + rest.length > PATH_BYTES_MAX) {
      const cut = rest.lastIndexOf('/', PATH_BYTES_MAX - prefix.length)
      if (cut <= 0) throw systemError('ENAMETOOLONG', 'open', path)
      const hop = nativePath(prefix + rest.slice(0, cut))
      const next = openSync(hop, O_PATH | constants.O_DIRECTORY)
      if (descriptor !== undefined) closeSync(descriptor)
      descriptor = next
      prefix = `${descriptorPath(next)}/`
      rest = rest.slice(cut + 1)
    }
    return action(nativePath(prefix + rest))
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}
