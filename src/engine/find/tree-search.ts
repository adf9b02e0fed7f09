/**
 * Searches the trees of many snapshots, each distinct directory once: what was found in it is kept
 * and told again wherever it turns up. Memory: 40 to 50 bytes for each distinct directory, and up to
 * `KEPT_HITS_MAX` findings; directories with more than that are read again.
 */

import { type ByteString, concat, textOf } from '../../base/bytes.ts'
import { CairnError, isCairnError, throwIfAborted } from '../../base/errors.ts'
import { sha256 } from '../../crypto/sha256.ts'
import { LIMIT } from '../../format/constants.ts'
import { ENTRY_TYPE, type NodeRoot, type TreeEntry } from '../../format/tree.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import { DirectoryCursor } from '../../repository/directory-cursor.ts'
import { IdTable } from '../id-table.ts'

const KEPT_HITS_MAX = 200_000

/** What is searched for. */
export interface SearchGoal<Hit> {
  /**
   * Whether what is found in a directory depends on where it is; otherwise on its content, and on
   * whether it is covered, alone.
   */
  readonly dependsOnPath: boolean
  /** Whether there may be something to find in any entry, or else only in those that are covered. */
  readonly looksAtAll: boolean
  /** Whether an entry is covered, and with it all that is below: its directory is not. */
  covers(name: ByteString, directory: ByteString): boolean
  /** Whether there is anything to find below a directory that is not covered. */
  mayFindBelow(path: ByteString): boolean
  /** What is found in an entry, but not below it. Must not hold on to the entry. */
  entryHits(
    entry: TreeEntry,
    parent: NodeRoot,
    isCovered: boolean,
  ): readonly Hit[] | Promise<readonly Hit[]>
  /** What is found in a node of a directory itself. */
  nodeHits(id: Uint8Array): readonly Hit[]
}

export interface SearchOptions<Hit> {
  readonly blobs: BlobReader
  readonly goal: SearchGoal<Hit>
  readonly signal: AbortSignal
  onHit(hit: Hit, path: ByteString): void
  onDamage(path: string, error: unknown): void
  /** Awaited now and then, so that what is told does not pile up. */
  drain(): Promise<void>
}

interface Found<Hit> {
  readonly name: ByteString
  readonly hits: readonly Hit[]
  /** Where there is more below. */
  readonly below: NodeRoot | undefined
  readonly isCovered: boolean
}

interface Record<Hit> {
  readonly own: readonly Hit[]
  readonly found: readonly Found<Hit>[]
}

interface Place {
  readonly path: ByteString
  readonly isCovered: boolean
  readonly depth: number
}

export class TreeSearch<Hit> {
  readonly #options: SearchOptions<Hit>
  readonly #known = new IdTable()
  /** By number: undefined if nothing was found. */
  readonly #records: (Record<Hit> | undefined)[] = []
  #keptHits = 0
  damageCount = 0

  constructor(options: SearchOptions<Hit>) {
    this.#options = options
  }

  async run(root: NodeRoot): Promise<void> {
    await this.#search(root, { path: '', isCovered: false, depth: 0 })
  }

  #key({ id, height }: NodeRoot, { path, isCovered }: Place): Uint8Array {
    const { dependsOnPath } = this.#options.goal
    if (!dependsOnPath && !isCovered && height === 0) return id
    const where = dependsOnPath ? path : ''
    const text = `${isCovered ? 'all' : 'some'} ${height} ${where}\0`
    return sha256(concat(Buffer.from(text, 'latin1'), id))
  }

  #damage(path: ByteString, error: unknown): void {
    this.damageCount++
    this.#options.onDamage(path === '' ? '/' : textOf(path), error)
  }

  /** Whether anything was found. */
  async #search(root: NodeRoot, place: Place): Promise<boolean> {
    const { signal, drain } = this.#options
    const key = this.#key(root, place)
    const number = this.#known.find(key)
    if (number >= 0) {
      const record = this.#records[number]
      if (record !== undefined) await this.#replay(record, place)
      return record !== undefined
    }
    throwIfAborted(signal)
    await drain()
    const damageCount = this.damageCount
    const record = await this.#read(root, place)
    const hasFound = record.own.length + record.found.length > 0
    // What is damaged is told of again in the next snapshot that has it.
    if (this.damageCount > damageCount) return hasFound
    const hitCount = record.found.reduce((sum, one) => sum + one.hits.length + 1, record.own.length)
    if (this.#keptHits + hitCount > KEPT_HITS_MAX) return hasFound
    this.#keptHits += hitCount
    this.#records[this.#known.add(key)] = hasFound ? record : undefined
    return hasFound
  }

  async #replay({ own, found }: Record<Hit>, { path, depth }: Place): Promise<void> {
    const { onHit, drain } = this.#options
    // Before what is below, for the sake of the stack: what is known may be read nowhere on the way.
    await drain()
    for (const hit of own) onHit(hit, path)
    for (const { name, hits, below, isCovered } of found) {
      const child = `${path}/${name}`
      for (const hit of hits) onHit(hit, child)
      if (below !== undefined)
        await this.#search(below, { path: child, isCovered, depth: depth + 1 })
    }
  }

  async #read(root: NodeRoot, place: Place): Promise<Record<Hit>> {
    const { blobs, goal, signal, onHit } = this.#options
    const own: Hit[] = []
    const found: Found<Hit>[] = []
    try {
      const cursor = new DirectoryCursor(blobs, root, {
        signal,
        onNode: (id) => {
          for (const hit of goal.nodeHits(id)) {
            own.push(hit)
            onHit(hit, place.path)
          }
        },
        wants: (row) =>
          goal.looksAtAll ||
          place.isCovered ||
          row.type === ENTRY_TYPE.directory ||
          goal.covers(row.name, place.path),
      })
      for (;;) {
        const entry = cursor.entry ?? (await cursor.peek())
        if (entry === undefined) break
        cursor.advance()
        const one = await this.#visit(entry, root, place)
        if (one !== undefined) found.push(one)
      }
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      this.#damage(place.path, error)
    }
    return { own, found }
  }

  async #visit(entry: TreeEntry, parent: NodeRoot, place: Place): Promise<Found<Hit> | undefined> {
    const { goal, onHit } = this.#options
    const path = `${place.path}/${entry.name}`
    const isCovered = place.isCovered || goal.covers(entry.name, place.path)
    let hits: readonly Hit[] = []
    try {
      const pending = goal.entryHits(entry, parent, isCovered)
      hits = pending instanceof Promise ? await pending : pending
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      this.#damage(path, error)
    }
    for (const hit of hits) onHit(hit, path)
    const below = await this.#below(entry, { path, isCovered, depth: place.depth + 1 })
    if (hits.length === 0 && below === undefined) return undefined
    return { name: entry.name, hits, below, isCovered }
  }

  /** The directory below, if there is something to find in it. */
  async #below({ type, subtree }: TreeEntry, place: Place): Promise<NodeRoot | undefined> {
    if (type !== ENTRY_TYPE.directory || subtree === undefined) return undefined
    if (!place.isCovered && !this.#options.goal.mayFindBelow(place.path)) return undefined
    if (place.depth > LIMIT.depthMax) {
      const problem = `it is more than ${LIMIT.depthMax} directories deep`
      this.#damage(place.path, new CairnError('CAIRN_CORRUPT', problem))
      return undefined
    }
    const hasFound = await this.#search(subtree, place)
    // A copy: what was read goes, the record stays.
    return hasFound ? { id: Uint8Array.from(subtree.id), height: subtree.height } : undefined
  }
}
