/** `ls`: walks the tree of a snapshot and gives its entries one by one, in the order of the tree. */

import { byteString, type ByteString, byteStringOf, textOf } from '../base/bytes.ts'
import { CairnError, isCairnError, throwIfAborted } from '../base/errors.ts'
import { partsOf } from '../base/paths.ts'
import type { NodeType } from '../base/units.ts'
import { typeName } from '../engine/node-type.ts'
import type { SnapshotFilter } from '../engine/snapshot-filter.ts'
import type { AtMode } from '../engine/snapshot-reference.ts'
import { LIMIT } from '../format/constants.ts'
import { ENTRY_TYPE, type NodeRoot, type TreeEntry } from '../format/tree.ts'
import { BlobReader } from '../repository/blob-reader.ts'
import { type OpenedIndex, openIndex } from '../repository/open-index.ts'
import type { Repository } from '../repository/repository.ts'
import { nanosecondsOf } from '../repository/time.ts'
import { findEntry, readDirectory } from '../repository/tree-reader.ts'
import type { RepositoryAccess } from './access.ts'
import { type FoundSnapshot, findSnapshot } from './select-snapshots.ts'
import { type ShownSnapshot, shownSnapshot } from './snapshots.ts'

/** An entry as it is shown: restic's words, times in nanoseconds since 1970. */
export interface ShownEntry {
  readonly name: string
  readonly type: NodeType
  readonly path: string
  /** The path as it is kept: it may be no text. */
  readonly rawPath: ByteString
  readonly uid: number
  readonly gid: number
  /** Of files. */
  readonly size?: number
  /** The 12 POSIX permission bits; in JSON it becomes Go's os.FileMode. */
  readonly mode: number
  readonly mtime: bigint
  readonly atime?: bigint
  readonly linktarget?: string
}

export function shownEntry(entry: TreeEntry, rawPath: ByteString): ShownEntry {
  const { type, mode, uid, gid, size, mtime, atime, target } = entry
  return {
    name: textOf(entry.name),
    type: typeName(type) ?? 'file',
    path: textOf(rawPath),
    rawPath,
    uid,
    gid,
    ...(type === ENTRY_TYPE.file ? { size } : {}),
    mode,
    mtime: nanosecondsOf(mtime),
    ...(atime === undefined ? {} : { atime: nanosecondsOf(atime) }),
    ...(target === undefined ? {} : { linktarget: textOf(byteString(target)) }),
  }
}

export interface ListListener {
  /** Comes first. */
  onSnapshot(snapshot: ShownSnapshot, distance: string | undefined): void
  /** `isOnTheWay` for a directory that only leads to those that were named. */
  onEntry(entry: ShownEntry, isOnTheWay: boolean): void
  /** What is in the directory told last follows, until `onLeave`. */
  onEnter?(): void
  onLeave?(): void
  /** Something is missing from the listing. */
  onDamage(path: string, error: unknown): void
  /** Awaited now and then, so that what is shown does not pile up. */
  drain(): Promise<void>
}

export interface ListRequest {
  /** The snapshot and what may follow its colon; not looked at if there is `at`. */
  readonly reference: string
  readonly at: string | undefined
  readonly atMode: AtMode | undefined
  readonly filter: SnapshotFilter
  /** Absolute paths; everything is listed if there are none. */
  readonly directories: readonly string[]
  /** Whether what is below the directories is listed too, and not just what is in them. */
  readonly recursive: boolean
  readonly listener: ListListener
}

/** Looks up a directory by the path behind the colon. Shared with `cat tree`. */
export async function directoryAt(
  blobs: BlobReader,
  found: FoundSnapshot,
  signal: AbortSignal,
): Promise<NodeRoot> {
  const { root } = found.snapshot.content
  const components = partsOf(byteStringOf(found.subpath ?? ''))
  if (components.length === 0) return root
  const entry = await findEntry(blobs, root, components, signal)
  if (entry?.type === ENTRY_TYPE.directory && entry.subtree !== undefined) return entry.subtree
  throw new CairnError(
    'CAIRN_FAILED',
    `cannot list '${found.subpath}': ` +
      (entry === undefined ? 'the snapshot has no such path' : 'it is not a directory'),
  )
}

/**
 * Opens the index for reading trees and closes it behind `body`. `cacheBytesMax` is for who reads many
 * snapshots: what BlobReader has by itself is enough for one.
 */
export async function withBlobs<T>(
  access: RepositoryAccess,
  repository: Repository,
  body: (blobs: BlobReader, index: OpenedIndex['index']) => Promise<T>,
  cacheBytesMax?: number,
): Promise<T> {
  const cache = await access.cache()
  const opened = await openIndex(repository, {
    cacheDirectory: cache === undefined ? undefined : `${cache.path}/index`,
    prepared: cache === undefined ? undefined : await access.takeIndex(),
    bulk: false,
    readOrphans: true,
    signal: access.signal,
  })
  try {
    return await body(new BlobReader(repository, opened.index, cacheBytesMax), opened.index)
  } finally {
    await opened.close()
  }
}

export interface ListReport {
  /** Directories that were named and are not there. */
  readonly missing: readonly string[]
  /** How much could not be listed; `onDamage` was told of each. */
  readonly damageCount: number
}

export async function listTree(
  access: RepositoryAccess,
  request: ListRequest,
): Promise<ListReport> {
  const { filter, at, atMode, listener } = request
  const { signal } = access
  access.prepareIndex()
  const repository = await access.open()
  const found = await findSnapshot(repository, request.reference, { filter, at, atMode, signal })
  return await withBlobs(access, repository, async (blobs) => {
    const root = await directoryAt(blobs, found, signal)
    listener.onSnapshot(shownSnapshot(found.snapshot, new Set()), found.distance)
    const walk = new ListWalk(blobs, request, signal)
    await walk.run(root)
    return walk.report()
  })
}

interface Frame {
  /** Without a slash at its end, so that the root's is empty. */
  readonly path: ByteString
  readonly leaves: AsyncGenerator<TreeEntry[]>
}

/** Memory is one leaf for each level of directories. */
class ListWalk {
  readonly #blobs: BlobReader
  readonly #request: ListRequest
  readonly #signal: AbortSignal
  readonly #directories: readonly ByteString[]
  readonly #missing: Set<ByteString>
  #damageCount = 0

  constructor(blobs: BlobReader, request: ListRequest, signal: AbortSignal) {
    this.#blobs = blobs
    this.#request = request
    this.#signal = signal
    this.#directories = request.directories.map((path) => {
      const components = byteStringOf(path).split('/')
      return components
        .filter((part) => part !== '' && part !== '.')
        .map((part) => `/${part}`)
        .join('')
    })
    this.#missing = new Set(this.#directories.filter((path) => path !== ''))
  }

  async run(root: NodeRoot): Promise<void> {
    await this.#list(this.#enter('', root), 0)
  }

  report(): ListReport {
    return { missing: [...this.#missing].map(textOf), damageCount: this.#damageCount }
  }

  #damage(path: ByteString, error: unknown): void {
    this.#damageCount++
    this.#request.listener.onDamage(path === '' ? '/' : textOf(path), error)
  }

  #enter(path: ByteString, root: NodeRoot): Frame {
    const leaves = readDirectory(this.#blobs, root, {
      signal: this.#signal,
      onRefused: ({ name, problem }) =>
        this.#damage(
          `${path}/${name}`,
          new CairnError('CAIRN_CORRUPT', `its name is refused: ${problem}`),
        ),
      onDamage: (cause) => {
        if (!isCairnError(cause, 'CAIRN_CORRUPT')) throw cause
        this.#damage(path, new CairnError('CAIRN_CORRUPT', 'cannot read directory', { cause }))
      },
    })
    return { path, leaves }
  }

  async #list(frame: Frame, depth: number): Promise<void> {
    try {
      for await (const entries of frame.leaves) {
        throwIfAborted(this.#signal)
        await this.#request.listener.drain()
        for (const entry of entries) {
          const below = this.#visit(frame, entry, depth)
          if (below === undefined) continue
          this.#request.listener.onEnter?.()
          await this.#list(below, depth + 1)
          this.#request.listener.onLeave?.()
        }
      }
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      this.#damage(frame.path, error)
    }
  }

  /** Tells of an entry; returns what to go into next. */
  #visit(frame: Frame, entry: TreeEntry, depth: number): Frame | undefined {
    const path = `${frame.path}/${entry.name}`
    const isWanted = this.#isWithin(path)
    const leadsOn = this.#directories.some((one) => one === path || one.startsWith(`${path}/`))
    if (!isWanted && !leadsOn) return undefined
    this.#missing.delete(path)
    if (entry.type !== ENTRY_TYPE.directory && !isWanted) return undefined
    this.#request.listener.onEntry(shownEntry(entry, path), !isWanted)
    if (entry.type !== ENTRY_TYPE.directory) return undefined
    if (!leadsOn && !this.#isListedWhole(isWanted)) return undefined
    const { subtree } = entry
    const problem =
      subtree === undefined
        ? 'it is a directory without contents'
        : depth >= LIMIT.depthMax
          ? `it is more than ${LIMIT.depthMax} directories deep`
          : undefined
    if (subtree !== undefined && problem === undefined) return this.#enter(path, subtree)
    this.#damage(path, new CairnError('CAIRN_CORRUPT', problem ?? ''))
    return undefined
  }

  #isListedWhole(isWanted: boolean): boolean {
    return isWanted && (this.#request.recursive || this.#directories.length === 0)
  }

  #isWithin(path: ByteString): boolean {
    if (this.#directories.length === 0) return true
    return this.#directories.some((one) => one === path || path.startsWith(`${one}/`))
  }
}
