/**
 * The directories that the kernel knows, by number. The number of a node says where it is: that of its
 * directory, and its position in it. So nothing is kept for a file, however many the kernel knows, and
 * of directories only those in which it knows something.
 */

import { textOf } from '../../base/bytes.ts'
import type { BrowseChild, BrowseDirectory } from '../../engine/browse/browse-node.ts'
import { FuseError } from '../../fuse/file-system.ts'
import { inodeOf } from '../browse/attributes.ts'

export const ROOT_NODE = 1
/** Positions in a directory; with 2^29 numbers of directories above them it stays within 2^53. */
const POSITIONS = 2 ** 24

export interface KnownDirectory {
  readonly number: number
  readonly node: number
  readonly inode: number
  readonly name: string
  /** Undefined for the root. */
  readonly parent: KnownDirectory | undefined
  readonly directory: BrowseDirectory
  /** Lookups of its entries that the kernel holds, and listings under way. */
  uses: number
  /** The kernel has dropped the node; it goes with its last use. */
  isForgotten: boolean
  /** The file in it that was read last, and the first that was not decoded ahead, by position. */
  readPosition: number
  aheadPosition: number
}

export class KnownDirectories {
  readonly #byNumber = new Map<number, KnownDirectory>()
  readonly #byNode = new Map<number, KnownDirectory>()
  #nextNumber = 1

  constructor(root: BrowseDirectory) {
    this.#add({ node: ROOT_NODE, inode: inodeOf(0, 'root'), parent: undefined }, '', root)
  }

  get count(): number {
    return this.#byNumber.size
  }

  #add(
    place: Pick<KnownDirectory, 'node' | 'inode' | 'parent'>,
    name: string,
    directory: BrowseDirectory,
  ): KnownDirectory {
    const number = this.#nextNumber++
    const known: KnownDirectory = {
      ...place,
      name,
      directory,
      number,
      uses: 0,
      isForgotten: false,
      readPosition: Number.NEGATIVE_INFINITY,
      aheadPosition: 0,
    }
    this.#byNumber.set(known.number, known)
    this.#byNode.set(known.node, known)
    return known
  }

  /** By its own node. */
  find(node: number): KnownDirectory | undefined {
    return this.#byNode.get(node)
  }

  /** By the number that an opened directory has as its handle. */
  byNumber(number: number): KnownDirectory | undefined {
    return this.#byNumber.get(number)
  }

  /** The child of a known directory, from now on known itself. Throws ENOTDIR for what is none. */
  enter(node: number, parent: KnownDirectory, child: BrowseChild): KnownDirectory {
    const known = this.#byNode.get(node)
    if (known !== undefined) return known
    if (child.open === undefined) throw new FuseError('ENOTDIR')
    const inode = inodeIn(parent.inode, child)
    return this.#add({ node, inode, parent }, child.name, child.open())
  }

  nodeOf(parent: KnownDirectory, { position }: BrowseChild): number {
    if (position >= POSITIONS) throw new FuseError('EOVERFLOW')
    return parent.number * POSITIONS + position
  }

  /** Where a node is. Throws ESTALE if its directory is not known any more. */
  place(node: number): { readonly parent: KnownDirectory; readonly position: number } {
    const parent = this.#byNumber.get(Math.floor(node / POSITIONS))
    if (parent === undefined) throw new FuseError('ESTALE')
    return { parent, position: positionOf(node) }
  }

  /** The kernel has dropped so many of its lookups of a node. */
  forget(node: number, count: number): void {
    if (node === ROOT_NODE) return
    const own = this.#byNode.get(node)
    if (own !== undefined) {
      own.isForgotten = true
      this.release(own, 0)
    }
    const parent = this.#byNumber.get(Math.floor(node / POSITIONS))
    if (parent !== undefined) this.release(parent, count)
  }

  release(known: KnownDirectory, count: number): void {
    known.uses -= count
    if (known.uses > 0 || !known.isForgotten) return
    this.#byNumber.delete(known.number)
    this.#byNode.delete(known.node)
  }

  /** For messages. */
  pathOf(directory: KnownDirectory, name?: string): string {
    const names = name === undefined ? [] : [name]
    for (let at: KnownDirectory | undefined = directory; at?.parent !== undefined; at = at.parent) {
      names.unshift(at.name)
    }
    return textOf(names.join('/'))
  }
}

/** Of a node in its directory. */
export function positionOf(node: number): number {
  return node % POSITIONS
}

/** The same for all names of a file in a snapshot, and at every mount. */
export function inodeIn(parentInode: number, { name, entry, origin }: BrowseChild): number {
  return entry.linkGroup === undefined
    ? inodeOf(parentInode, name)
    : inodeOf(0, `${origin} ${entry.linkGroup}`)
}
