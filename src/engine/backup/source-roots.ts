/**
 * From the paths that a user names to the tree that a snapshot has: `/usr/share` is the directory
 * `share` in the directory `usr` of the root. Directories on the way hold only what was asked for.
 */

import { type ByteString, byteStringOf } from '../../base/bytes.ts'
import { CairnError } from '../../base/errors.ts'

export interface SourceNode {
  /** Where this is in the file system: absolute. */
  readonly path: ByteString
  /** Names in this directory that lead to sources; undefined if all of it is asked for. */
  children: Map<ByteString, SourceNode> | undefined
}

/** Resolves `.`, `..` and doubled slashes without looking at the file system. */
export function absolutePath(path: ByteString, workingDirectory: ByteString): ByteString {
  const parts: ByteString[] = []
  const whole = path.startsWith('/') ? path : `${workingDirectory}/${path}`
  for (const part of whole.split('/')) {
    if (part === '' || part === '.') continue
    if (part === '..') parts.pop()
    else parts.push(part)
  }
  return `/${parts.join('/')}`
}

/**
 * Where a source is kept in the snapshot. An absolute path keeps all its components; a relative one
 * only those it was given with, as in restic; one that leads out of the working directory counts
 * as absolute.
 */
function componentsOf(path: ByteString, workingDirectory: ByteString): ByteString[] {
  const isRelative = !path.startsWith('/') && !path.split('/').includes('..')
  const absolute = absolutePath(path, workingDirectory)
  const base = isRelative ? absolutePath('.', workingDirectory) : '/'
  const inside = base === '/' ? absolute : absolute.slice(base.length)
  return inside.split('/').filter((part) => part !== '')
}

export interface SourceRoots {
  readonly root: SourceNode
  /** Absolute, sorted, without repeats: the snapshot's `paths`. */
  readonly paths: readonly ByteString[]
}

/** Throws CAIRN_USAGE for an empty path or one with a NUL. */
export function sourceRoots(paths: readonly ByteString[], workingDirectory: string): SourceRoots {
  const cwd = byteStringOf(workingDirectory)
  const root: SourceNode = { path: '/', children: new Map() }
  const absolute = new Set<ByteString>()
  for (const path of paths) {
    if (path === '' || path.includes('\0')) {
      throw new CairnError('CAIRN_USAGE', 'cannot back up an empty path or one with a NUL in it')
    }
    const whole = absolutePath(path, cwd)
    absolute.add(whole)
    const components = componentsOf(path, cwd)
    const prefix = whole.split('/').filter((part) => part !== '')
    const outside = prefix.slice(0, prefix.length - components.length)
    if (components.length === 0) {
      addContents(root, whole)
      continue
    }
    add(root, outside, components)
  }
  return { root, paths: [...absolute].sort() }
}

/** The source is the working directory or `/` itself: its contents are the root's. */
function addContents(root: SourceNode, path: ByteString): void {
  const whole = root as { path: ByteString }
  whole.path = path
  root.children = undefined
}

function add(
  root: SourceNode,
  outside: readonly ByteString[],
  components: readonly ByteString[],
): void {
  let node = root
  const path = [...outside]
  for (const name of components) {
    path.push(name)
    // Something above is asked for as a whole already.
    if (node.children === undefined) return
    let child = node.children.get(name)
    if (child === undefined) {
      child = { path: `/${path.join('/')}`, children: new Map() }
      node.children.set(name, child)
    }
    node = child
  }
  node.children = undefined
}
