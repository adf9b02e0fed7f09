/** Makes a directory and those above it. */

import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

type NativePath = string | Buffer

function parentOf(path: NativePath): NativePath {
  if (typeof path === 'string') return dirname(path)
  return Buffer.from(dirname(path.toString('latin1')), 'latin1')
}

function makeOne(path: NativePath, mode: number): boolean {
  try {
    mkdirSync(path, mode)
    return true
  } catch (error) {
    const isThere = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
    if (!isThere) throw error
    return false
  }
}

/**
 * Returns whether `path` was made; false if it was there, or a link to it. Node's own `recursive`
 * never comes back where the system says ENOENT although the parent is there: in /proc, and below
 * an automount that has nothing to mount.
 */
export function makeDirectories(path: NativePath, mode: number): boolean {
  try {
    return makeOne(path, mode)
  } catch (error) {
    const parent = parentOf(path)
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    if (!isMissing || parent.length >= path.length) throw error
    makeDirectories(parent, mode)
    return makeOne(path, mode)
  }
}
