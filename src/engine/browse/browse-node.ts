/**
 * The tree that a mount or a server shows: directories of snapshots as they were backed up, and above
 * them directories made up from the list of snapshots. Both kinds have entries with positions that
 * stay, so that whoever shows the tree need not remember each entry.
 */

import type { ByteString } from '../../base/bytes.ts'
import { ENTRY_TYPE, type NodeRoot, type TreeEntry } from '../../format/tree.ts'
import { type Answer, thenAnswer } from '../../base/answer.ts'
import type { NodeCache } from './node-cache.ts'

export interface BrowseChild {
  readonly name: ByteString
  /** In its directory, from 0. */
  readonly position: number
  readonly entry: TreeEntry
  /** What tells its links, and it, from those of other snapshots. */
  readonly origin: string
  /** Undefined for what is no directory. */
  readonly open: (() => BrowseDirectory) | undefined
}

export interface BrowsePage {
  readonly children: readonly BrowseChild[]
  /** The position to go on from; undefined at the end. */
  readonly next: number | undefined
}

export interface BrowseDirectory {
  /** Neither its entries nor theirs ever change. */
  readonly isImmutable: boolean
  find(name: ByteString): Answer<BrowseChild | undefined>
  at(position: number): Answer<BrowseChild | undefined>
  /** Some entries from `position` on, in the order of positions. */
  page(position: number): Answer<BrowsePage>
}

/** A directory out of a snapshot. */
export class StoredDirectory implements BrowseDirectory {
  readonly isImmutable = true
  readonly #root: NodeRoot
  readonly #nodes: NodeCache
  readonly #origin: string

  constructor(root: NodeRoot, nodes: NodeCache, origin: string) {
    this.#root = root
    this.#nodes = nodes
    this.#origin = origin
  }

  #child(entry: TreeEntry, position: number): BrowseChild {
    return storedChild(entry, position, this.#nodes, this.#origin)
  }

  find(name: ByteString): Answer<BrowseChild | undefined> {
    return thenAnswer(this.#nodes.find(this.#root, name), (found) =>
      found === undefined ? undefined : this.#child(found.entry, found.position),
    )
  }

  at(position: number): Answer<BrowseChild | undefined> {
    return thenAnswer(this.#nodes.leafAt(this.#root, position), (leaf) => {
      const entry = leaf?.entries[position - leaf.first]
      return entry === undefined ? undefined : this.#child(entry, position)
    })
  }

  page(position: number): Answer<BrowsePage> {
    return thenAnswer(this.#nodes.leafAt(this.#root, position), (leaf) => {
      if (leaf === undefined) return { children: [], next: undefined }
      const skipped = position - leaf.first
      const children = leaf.entries
        .slice(skipped)
        .map((entry, i) => this.#child(entry, position + i))
      return { children, next: leaf.next }
    })
  }
}

/** An entry of a snapshot, wherever it is shown. */
function storedChild(
  entry: TreeEntry,
  position: number,
  nodes: NodeCache,
  origin: string,
): BrowseChild {
  const { subtree } = entry
  const isDirectory = entry.type === ENTRY_TYPE.directory && subtree !== undefined
  const open = isDirectory ? () => new StoredDirectory(subtree, nodes, origin) : undefined
  return { name: entry.name, position, entry, origin, open }
}

/** What a made-up directory holds under a name. */
export interface MadeEntry {
  readonly entry: TreeEntry
  readonly origin: string
  readonly open: (() => BrowseDirectory) | undefined
}

/** Children of a made-up directory that are handed out at once. */
const PAGE_CHILDREN = 4_096

/**
 * A directory that is made up: what it holds may change from one call to the next. A listing shows
 * what there was when it began, and takes memory for each entry.
 */
export class MadeDirectory implements BrowseDirectory {
  readonly isImmutable = false
  readonly #list: () => Answer<ReadonlyMap<ByteString, MadeEntry>>
  readonly #find: (name: ByteString) => Answer<MadeEntry | undefined>
  /** Positions are given once, to what was seen: to a name, and what it stood for. */
  readonly #positions = new Map<string, number>()
  readonly #seen: { readonly name: ByteString; readonly origin: string }[] = []
  /** By position, for listings that have begun. */
  #listing: readonly BrowseChild[] = []

  /** `find` where that is less work than a listing, or finds what is not listed. */
  constructor(
    list: () => Answer<ReadonlyMap<ByteString, MadeEntry>>,
    find?: (name: ByteString) => Answer<MadeEntry | undefined>,
  ) {
    this.#list = list
    this.#find = find ?? ((name) => thenAnswer(list(), (entries) => entries.get(name)))
  }

  #child(name: ByteString, made: MadeEntry): BrowseChild {
    const { origin } = made
    const key = `${name}/${origin}`
    let position = this.#positions.get(key)
    if (position === undefined) {
      position = this.#seen.push({ name, origin }) - 1
      this.#positions.set(key, position)
    }
    return { ...made, name, position }
  }

  find(name: ByteString): Answer<BrowseChild | undefined> {
    return thenAnswer(this.#find(name), (made) =>
      made === undefined ? undefined : this.#child(name, made),
    )
  }

  at(position: number): Answer<BrowseChild | undefined> {
    const seen = this.#seen[position]
    if (seen === undefined) return undefined
    // A name that stands for something else by now, as a time does, is not what was seen here.
    return thenAnswer(this.find(seen.name), (child) =>
      child?.origin === seen.origin ? child : undefined,
    )
  }

  page(position: number): Answer<BrowsePage> {
    if (position > 0 && this.#listing.length > 0) return this.#pageOf(this.#listing, position)
    return thenAnswer(this.#list(), (entries) => {
      this.#listing = [...entries]
        .map(([name, made]) => this.#child(name, made))
        .toSorted((a, b) => a.position - b.position)
      return this.#pageOf(this.#listing, position)
    })
  }

  #pageOf(listing: readonly BrowseChild[], position: number): BrowsePage {
    const first = firstAt(listing, position)
    const children = listing.slice(first, first + PAGE_CHILDREN)
    const next = listing[first + PAGE_CHILDREN]?.position
    // Whoever is still on its way makes another, in which everything has the same positions.
    if (children.length === 0) this.#listing = []
    return { children, next }
  }
}

/** The index of the first child at or behind a position. */
function firstAt(listing: readonly BrowseChild[], position: number): number {
  let [low, high] = [0, listing.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((listing[middle]?.position ?? 0) < position) low = middle + 1
    else high = middle
  }
  return low
}
