/**
 * `versions/<path>/`: every distinct version of what was ever at a path, named by the time of the
 * first snapshot that has it. A directory shows what was ever in it.
 */

import { type ByteString, byteStringOf, toHex } from '../../base/bytes.ts'
import type { NodeCache } from '../../engine/browse/node-cache.ts'
import {
  type BrowseDirectory,
  MadeDirectory,
  type MadeEntry,
} from '../../engine/browse/browse-node.ts'
import type { NodeRoot, TreeEntry } from '../../format/tree.ts'
import type { Candidate } from '../select-snapshots.ts'
import { type BrowseRootOptions, madeDirectoryEntry } from './browse-root.ts'
import { formatGoTime } from './go-time.ts'

/** A directory as some snapshots have it, and the oldest of them. */
interface Past {
  readonly root: NodeRoot
  readonly candidate: Candidate
}

/** An entry as a snapshot has it. */
interface Version {
  readonly entry: TreeEntry
  readonly candidate: Candidate
}

export function versionsDirectory(options: BrowseRootOptions): BrowseDirectory {
  return new VersionsDirectory(options, async () => {
    const candidates = await options.snapshots()
    return distinct(
      candidates.flatMap((candidate) => {
        const root = candidate.snapshot.content?.root
        return root === undefined ? [] : [{ root, candidate }]
      }),
    )
  }).directory
}

class VersionsDirectory {
  readonly #options: BrowseRootOptions
  readonly #nodes: NodeCache
  readonly #pasts: () => Promise<readonly Past[]>
  readonly directory: BrowseDirectory

  constructor(options: BrowseRootOptions, pasts: () => Promise<readonly Past[]>) {
    this.#options = options
    this.#nodes = options.nodes
    this.#pasts = pasts
    this.directory = new MadeDirectory(
      () => this.#list(),
      async (name) => await this.#child(name),
    )
  }

  /** What was ever in here, each name once. */
  async #list(): Promise<ReadonlyMap<ByteString, MadeEntry>> {
    const made = new Map<ByteString, MadeEntry>()
    for (const { root } of await this.#pasts()) {
      for (let position: number | undefined = 0; position !== undefined; ) {
        const leaf = await this.#nodes.leafAt(root, position)
        for (const { name } of leaf?.entries ?? []) {
          if (!made.has(name)) made.set(name, this.#below(name))
        }
        position = leaf?.next
      }
    }
    return made
  }

  async #child(name: ByteString): Promise<MadeEntry | undefined> {
    return (await this.#versionsOf(name)).length === 0 ? undefined : this.#below(name)
  }

  async #versionsOf(name: ByteString): Promise<Version[]> {
    const versions: Version[] = []
    for (const { root, candidate } of await this.#pasts()) {
      const found = await this.#nodes.find(root, name)
      if (found !== undefined) versions.push({ entry: found.entry, candidate })
    }
    return versions
  }

  #below(name: ByteString): MadeEntry {
    const open = () => this.#open(name)
    return { entry: madeDirectoryEntry(this.#options), origin: '', open }
  }

  /** The versions of what is no directory, and what was in it while it was one. */
  #open(name: ByteString): BrowseDirectory {
    const below = new VersionsDirectory(this.#options, async () =>
      distinct(
        (await this.#versionsOf(name)).flatMap(({ entry, candidate }) =>
          entry.subtree === undefined ? [] : [{ root: entry.subtree, candidate }],
        ),
      ),
    )
    return new MadeDirectory(
      async () => new Map([...(await below.#list()), ...(await this.#files(name))]),
      async (child) => (await this.#files(name)).get(child) ?? (await below.#child(child)),
    )
  }

  async #files(name: ByteString): Promise<Map<ByteString, MadeEntry>> {
    const seen = new Set<string>()
    const made = new Map<ByteString, MadeEntry>()
    for (const { entry, candidate } of await this.#versionsOf(name)) {
      if (entry.subtree !== undefined) continue
      const key = versionKey(entry)
      if (seen.has(key)) continue
      seen.add(key)
      const shown = formatGoTime(candidate.timeNs, this.#options.timeTemplate)
      const time = byteStringOf(shown.replaceAll('/', '_'))
      let free = time
      for (let i = 1; made.has(free); i++) free = `${time}-${i}`
      made.set(free, { entry, origin: candidate.id, open: undefined })
    }
    return made
  }
}

/** The same for entries that hold the same: what is in them, and when it was changed. */
function versionKey({ type, size, mtime, content, contentList, target }: TreeEntry): string {
  const root = contentList === undefined ? '' : `${contentList.height}${toHex(contentList.id)}`
  return [
    type,
    size,
    mtime.seconds,
    mtime.nanoseconds,
    content === undefined ? '' : toHex(content),
    root,
    target === undefined ? '' : toHex(target),
  ].join(' ')
}

/** Each root once, from the oldest snapshot that has it. */
function distinct(pasts: readonly Past[]): Past[] {
  const byRoot = new Map<string, Past>()
  for (const past of pasts) {
    const key = `${past.root.height}${toHex(past.root.id)}`
    if (!byRoot.has(key)) byRoot.set(key, past)
  }
  return [...byRoot.values()]
}
