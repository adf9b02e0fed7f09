/** The root of what is shown: snapshots by templates, `at/<time>/` and `versions/<path>/`. */

import { type Answer, thenAnswer } from '../../base/answer.ts'
import { type ByteString, textOf } from '../../base/bytes.ts'
import {
  type BrowseDirectory,
  MadeDirectory,
  type MadeEntry,
  StoredDirectory,
} from '../../engine/browse/browse-node.ts'
import type { NodeCache } from '../../engine/browse/node-cache.ts'
import { resolveSnapshotReference } from '../../engine/snapshot-reference.ts'
import { tryParseTimeReference } from '../../engine/time-reference.ts'
import { ENTRY_TYPE, type Time, type TreeEntry } from '../../format/tree.ts'
import { timeOf } from '../../repository/time.ts'
import type { Candidate } from '../select-snapshots.ts'
import { type LayoutDirectory, type LayoutNode, layOut } from './snapshot-layout.ts'
import { versionsDirectory } from './versions.ts'

export interface BrowseRootOptions extends Made {
  readonly nodes: NodeCache
  /** Oldest first; the same array while nothing has changed. */
  readonly snapshots: () => Answer<readonly Candidate[]>
  readonly nowNs: () => bigint
  readonly templates: readonly string[]
  readonly timeTemplate: string
}

/** What made-up entries have instead of what a backup has seen. */
export interface Made {
  readonly owner: Owner
  readonly madeAt: Time
}

export interface Owner {
  readonly uid: number
  readonly gid: number
}

export function madeDirectoryEntry({ owner, madeAt: mtime }: Made): TreeEntry {
  return { name: '', type: ENTRY_TYPE.directory, mode: 0o555, mtime, size: 0, ...owner }
}

export function browseRoot(options: BrowseRootOptions): BrowseDirectory {
  return new BrowseRoot(options).directory()
}

class BrowseRoot {
  readonly #options: BrowseRootOptions
  #laidOutFor: readonly Candidate[] | undefined
  #layout: LayoutDirectory = { kind: 'directory', children: new Map() }
  /** What the templates put into each directory, while the layout stays. */
  readonly #listed = new Map<string, ReadonlyMap<ByteString, MadeEntry>>()
  readonly #made = new Map<string, BrowseDirectory>()

  constructor(options: BrowseRootOptions) {
    this.#options = options
  }

  directory(): BrowseDirectory {
    const fixed: readonly (readonly [ByteString, () => BrowseDirectory])[] = [
      ['at', () => this.#once('at', () => this.#at())],
      ['versions', () => this.#once('versions', () => versionsDirectory(this.#options))],
    ]
    return new MadeDirectory(() =>
      thenAnswer(this.#children([]), (children) => {
        const all = new Map(children)
        for (const [name, open] of fixed) all.set(name, this.#madeDirectory(open))
        return all
      }),
    )
  }

  #once(key: string, make: () => BrowseDirectory): BrowseDirectory {
    const known = this.#made.get(key) ?? make()
    this.#made.set(key, known)
    return known
  }

  #madeDirectory(open: () => BrowseDirectory): MadeEntry {
    return { entry: madeDirectoryEntry(this.#options), origin: '', open }
  }

  /** What the templates put into a directory. */
  #children(path: readonly ByteString[]): Answer<ReadonlyMap<ByteString, MadeEntry>> {
    return thenAnswer(this.#options.snapshots(), (candidates) => {
      if (candidates !== this.#laidOutFor) {
        const { templates, timeTemplate } = this.#options
        this.#layout = layOut(candidates, templates, timeTemplate)
        this.#laidOutFor = candidates
        this.#listed.clear()
      }
      const key = path.join('/')
      const known = this.#listed.get(key)
      if (known !== undefined) return known
      let at: LayoutNode | undefined = this.#layout
      for (const name of path) at = at?.kind === 'directory' ? at.children.get(name) : undefined
      const made = new Map<ByteString, MadeEntry>()
      this.#listed.set(key, made)
      if (at?.kind !== 'directory') return made
      for (const [name, node] of at.children) made.set(name, this.#entryOf(node, [...path, name]))
      return made
    })
  }

  #entryOf(node: LayoutNode, path: readonly ByteString[]): MadeEntry {
    if (node.kind === 'snapshot') return snapshotEntry(node.candidate, this.#options)
    if (node.kind === 'directory') {
      return this.#madeDirectory(() =>
        this.#once(path.join('/'), () => new MadeDirectory(() => this.#children(path))),
      )
    }
    const entry: TreeEntry = {
      ...madeDirectoryEntry(this.#options),
      type: ENTRY_TYPE.symlink,
      mode: 0o777,
      target: Buffer.from(node.target, 'latin1'),
    }
    // As another link once it leads elsewhere: the kernel keeps where links lead.
    return { entry, origin: node.target, open: undefined }
  }

  /** Any time that a reference may name is a directory here, listed or not. */
  #at(): BrowseDirectory {
    return new MadeDirectory(
      () => new Map(),
      (name) =>
        thenAnswer(this.#options.snapshots(), (candidates) => {
          const chosen = snapshotAt(textOf(name), candidates, this.#options.nowNs())
          return chosen === undefined ? undefined : snapshotEntry(chosen, this.#options)
        }),
    )
  }
}

/** The newest snapshot that had ended by a time, as `@time` has it; undefined if there is none. */
function snapshotAt(
  text: string,
  candidates: readonly Candidate[],
  nowNs: bigint,
): Candidate | undefined {
  const time = tryParseTimeReference(text, nowNs)
  if (time === undefined) return undefined
  try {
    return resolveSnapshotReference({ kind: 'time', text, time }, candidates).snapshot
  } catch {
    return undefined // None is that old.
  }
}

/** The directory of a snapshot. */
function snapshotEntry(candidate: Candidate, { nodes, owner }: BrowseRootOptions): MadeEntry {
  const { content } = candidate.snapshot
  const entry = madeDirectoryEntry({ owner, madeAt: timeOf(candidate.timeNs) })
  if (content === undefined) return { entry, origin: candidate.id, open: undefined }
  const open = () => new StoredDirectory(content.root, nodes, candidate.id)
  return { entry, origin: candidate.id, open }
}
