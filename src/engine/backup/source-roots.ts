/**
 * From the paths that a user names to the tree that a snapshot has: `/usr/share` is the directory
 * `share` in the directory `usr` of the root. Directories on the way hold only what was asked for.
 */

import { type ByteString, byteStringOf } from '../../base/bytes.ts'
import { CairnError } from '../../base/errors.ts'
import { partsOf } from '../../base/paths.ts'

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
  return partsOf(inside)
}

export interface SourceRoots {
  readonly root: SourceNode
  /** Absolute, sorted, without repeats: the snapshot's `paths`. */
  readonly paths: readonly ByteString[]
}

interface Source {
  /** Where it is in the file system: absolute. */
  readonly path: ByteString
  /** Where it is in the snapshot. */
  readonly components: readonly ByteString[]
}

/**
 * Where two sources would be in one place of the snapshot, as `etc` and `/etc` or `.` and `/srv`, all are
 * kept as absolute ones: then none takes the place of another. Throws CAIRN_USAGE for an empty path or
 * one with a NUL.
 */
export function sourceRoots(paths: readonly ByteString[], workingDirectory: string): SourceRoots {
  const cwd = byteStringOf(workingDirectory)
  const sources = paths.map((path): Source => {
    if (path === '' || path.includes('\0')) {
      throw new CairnError('CAIRN_USAGE', 'cannot back up an empty path or one with a NUL in it')
    }
    return { path: absolutePath(path, cwd), components: componentsOf(path, cwd) }
  })
  const asGiven = treeOf(sources)
  const isWhole = sources.every((source) => leadsTo(asGiven, source))
  const root = isWhole ? asGiven : treeOf(sources.map(asAbsolute))
  return { root, paths: [...new Set(sources.map(({ path }) => path))].sort() }
}

function asAbsolute({ path }: Source): Source {
  return { path, components: partsOf(path) }
}

function treeOf(sources: readonly Source[]): SourceNode {
  const root: SourceNode = { path: '/', children: new Map() }
  for (const { path, components } of sources) {
    if (components.length === 0) addContents(root, path)
    else {
      const whole = partsOf(path)
      add(root, whole.slice(0, whole.length - components.length), components)
    }
  }
  return root
}

/** Whether the place of a source in the tree is filled from where the source is. */
function leadsTo(root: SourceNode, { path, components }: Source): boolean {
  let node = root
  let depth = 0
  for (; node.children !== undefined; depth++) {
    const child = node.children.get(components[depth] ?? '')
    if (child === undefined) return false
    node = child
  }
  return [...partsOf(node.path), ...components.slice(depth)].join('/') === path.slice(1)
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
