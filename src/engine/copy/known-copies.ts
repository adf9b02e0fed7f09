/**
 * Which snapshots were copied before, and what their copies tell of ids: where a snapshot and its copy
 * hold the same file, its chunks have the same places in both. So a later copy reads only what is new,
 * although the two repositories name the same bytes differently.
 */

import { toHex } from '../../base/bytes.ts'
import { isCairnError, throwIfAborted } from '../../base/errors.ts'
import type { SnapshotId } from '../../base/ids.ts'
import { LIMIT } from '../../format/constants.ts'
import {
  ENTRY_TYPE,
  isHole,
  type NodeRoot,
  referenceCount,
  referenceId,
  referenceLength,
  type TreeEntry,
} from '../../format/tree.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import type { Repository } from '../../repository/repository.ts'
import type { Snapshot } from '../../repository/snapshots.ts'
import { readChunkList, readDirectory } from '../../repository/tree-reader.ts'
import { IdTable } from '../id-table.ts'
import { originalOf } from '../original.ts'
import type { BlobMap } from './blob-map.ts'

/** How a snapshot says that it is a copy of one of another cairn repository. */
export const IMPORT_TOOL = 'cairn'

/** A snapshot and its copy, by the id of the first. */
export type KnownCopies = ReadonlyMap<SnapshotId, Snapshot>

/**
 * Those of `snapshots` that the target has. A copy says what it was made from; where both repositories
 * give ids alike, a snapshot with the same tree and the same origin is one as well.
 */
export function knownCopies(
  source: Repository,
  snapshots: readonly Snapshot[],
  there: readonly Snapshot[],
  hasSameIds: boolean,
): KnownCopies {
  const byImport = new Map<string, Snapshot>()
  const byOrigin = new Map<string, Snapshot>()
  for (const snapshot of there) {
    const from = snapshot.content?.importedFrom
    if (from?.tool === IMPORT_TOOL && from.repository === source.id) byImport.set(from.id, snapshot)
    if (hasSameIds) byOrigin.set(originKey(snapshot), snapshot)
  }
  const copies = new Map<SnapshotId, Snapshot>()
  for (const snapshot of snapshots) {
    const copy = byImport.get(snapshot.id) ?? byOrigin.get(originKey(snapshot))
    if (copy !== undefined) copies.set(snapshot.id, copy)
  }
  return copies
}

/** Equal for a snapshot and a copy of it that nobody has changed. */
function originKey(snapshot: Snapshot): string {
  const { content, timeNs } = snapshot
  if (content === undefined) return snapshot.id
  const { root, hostname, username, paths, tags, excludes, uid, gid } = content
  const origin = toHex(originalOf(snapshot).id)
  const rest = [toHex(root.id), hostname, username, paths, tags, excludes, uid, gid]
  return JSON.stringify([origin, `${timeNs}`, ...rest])
}

/**
 * Of snapshots that were copied before, those most like each that is to be copied: of the same host
 * and paths if there are any, and the latest.
 */
export function likestCopied(wanted: readonly Snapshot[], copied: readonly Snapshot[]): Snapshot[] {
  const likest = new Set<Snapshot>()
  for (const snapshot of wanted) {
    const alike = copied.filter((one) => lineOf(one) === lineOf(snapshot))
    const candidates = alike.length > 0 ? alike : copied
    const latest = candidates.reduce<Snapshot | undefined>(
      (best, one) => (best === undefined || one.timeNs > best.timeNs ? one : best),
      undefined,
    )
    if (latest !== undefined) likest.add(latest)
  }
  return [...likest]
}

function lineOf({ content }: Snapshot): string {
  return JSON.stringify([content?.hostname, content?.paths.toSorted()])
}

export interface LearnParts {
  readonly source: BlobReader
  readonly target: BlobReader
  /** Takes the pairs. */
  readonly map: BlobMap
  readonly signal?: AbortSignal | undefined
}

/** Learns new ids from snapshots and their copies. What cannot be read teaches nothing. */
export class IdLearner {
  readonly #parts: LearnParts
  readonly #operation: { readonly signal?: AbortSignal | undefined }
  /** By height. */
  readonly #visited: IdTable[] = []

  constructor(parts: LearnParts) {
    this.#parts = parts
    this.#operation = { signal: parts.signal }
  }

  async learn(root: NodeRoot, copyRoot: NodeRoot, depth = 0): Promise<void> {
    if (depth > LIMIT.depthMax || root.height > LIMIT.treeHeightMax) return
    const visited = (this.#visited[root.height] ??= new IdTable())
    if (visited.has(root.id)) return
    visited.add(root.id)
    try {
      await this.#directory(root, copyRoot, depth)
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
    }
  }

  /** Both are in order of names: one walks along the other. */
  async #directory(root: NodeRoot, copyRoot: NodeRoot, depth: number): Promise<void> {
    const copies = entriesOf(this.#parts.target, copyRoot, this.#operation)
    let copy = await copies.next()
    for await (const entry of entriesOf(this.#parts.source, root, this.#operation)) {
      throwIfAborted(this.#parts.signal)
      while (copy.done !== true && copy.value.name < entry.name) copy = await copies.next()
      if (copy.done === true) return
      if (copy.value.name !== entry.name || copy.value.type !== entry.type) continue
      await this.#entry(entry, copy.value, depth)
    }
  }

  async #entry(entry: TreeEntry, copy: TreeEntry, depth: number): Promise<void> {
    if (entry.subtree !== undefined && copy.subtree !== undefined) {
      await this.learn(entry.subtree, copy.subtree, depth + 1)
    }
    if (entry.type !== ENTRY_TYPE.file || !isSameFile(entry, copy)) return
    // First all of it is compared: a file that was changed on one side teaches nothing.
    if (!(await this.#pairs(entry, copy, () => {}))) return
    await this.#pairs(entry, copy, (from, to) => this.#parts.map.set(from, to))
  }

  /** Gives the ids of both, place by place. False if the two are not cut alike. */
  async #pairs(
    entry: TreeEntry,
    copy: TreeEntry,
    take: (from: Uint8Array, to: Uint8Array) => void,
  ): Promise<boolean> {
    const copies = references(this.#parts.target, copy, this.#operation)
    for await (const { id, length } of references(this.#parts.source, entry, this.#operation)) {
      const { done, value } = await copies.next()
      if (done === true || value.length !== length || isHole(id) !== isHole(value.id)) return false
      if (!isHole(id)) take(id, value.id)
    }
    return (await copies.next()).done === true
  }
}

function isSameFile(a: TreeEntry, b: TreeEntry): boolean {
  const { seconds, nanoseconds } = a.mtime
  return a.size === b.size && seconds === b.mtime.seconds && nanoseconds === b.mtime.nanoseconds
}

async function* entriesOf(
  blobs: BlobReader,
  root: NodeRoot,
  options: { readonly signal?: AbortSignal | undefined },
): AsyncGenerator<TreeEntry, void> {
  for await (const entries of readDirectory(blobs, root, options)) yield* entries
}

interface Reference {
  readonly id: Uint8Array
  readonly length: number
}

async function* references(
  blobs: BlobReader,
  { content, contentList }: TreeEntry,
  options: { readonly signal?: AbortSignal | undefined },
): AsyncGenerator<Reference, void> {
  if (content !== undefined) yield* referencesIn(content)
  if (contentList === undefined) return
  for await (const leaf of readChunkList(blobs, contentList, options)) yield* referencesIn(leaf)
}

function* referencesIn(bytes: Uint8Array): Generator<Reference> {
  for (let i = 0; i < referenceCount(bytes); i++) {
    yield { id: referenceId(bytes, i), length: referenceLength(bytes, i) }
  }
}
