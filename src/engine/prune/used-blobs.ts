/**
 * Which blobs snapshots need. Each tree node is read once, however many snapshots share it; nodes
 * are read several at a time, because a storage answers slowly. A node that cannot be read ends the
 * walk: what is below it is not known.
 */

import { CairnError, errorChain, isCairnError, throwIfAborted } from '../../base/errors.ts'
import { blobIdOf, shortId, type SnapshotId } from '../../base/ids.ts'
import { BLOB_TYPE, type BlobType, LIMIT } from '../../format/constants.ts'
import {
  decodeInner,
  decodeLeaf,
  decodeListLeaf,
  forEachBlob,
  type NodeRoot,
  type TreeEntry,
} from '../../format/tree.ts'
import type { BlobIndex } from '../../pipeline/index/blob-index.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import type { Snapshot } from '../../repository/snapshots.ts'
import { IdTable } from '../id-table.ts'

const READS_AT_ONCE = 8

type NodeKind = 'tree' | 'list'

interface Task {
  readonly root: NodeRoot
  readonly kind: NodeKind
}

export interface UsedWalkParts {
  readonly index: BlobIndex
  readonly blobs: BlobReader
  readonly yield: () => Promise<void>
  readonly signal?: AbortSignal | undefined
  /** What follows when it cannot be told what a snapshot needs. */
  readonly consequence: string
  /** Something missing that only an unconfirmed snapshot needs. */
  readonly onMissing: (snapshot: SnapshotId, message: string) => void
}

export class UsedBlobs {
  /** Every blob that a snapshot needs, numbered in the order of their coming. */
  readonly ids = new IdTable()
  /** The first so many are needed by snapshots that were confirmed: they have to be there. */
  requiredCount = 0
  readonly #walked = new Set<SnapshotId>()
  /** By kind and height: a node of one height means another thing at another. */
  readonly #visited = { tree: [] as IdTable[], list: [] as IdTable[] }
  readonly #parts: UsedWalkParts
  #tasks: Task[] = []
  #snapshot: Snapshot | undefined
  #isRequired = true

  constructor(parts: UsedWalkParts) {
    this.#parts = parts
  }

  get snapshotCount(): number {
    return this.#walked.size
  }

  hasWalked(id: SnapshotId): boolean {
    return this.#walked.has(id)
  }

  /**
   * Adds what these snapshots need. What an unconfirmed one lacks is told; what another lacks, or
   * cannot be read, rejects with CAIRN_CORRUPT.
   */
  async walk(snapshots: readonly Snapshot[], unconfirmed: ReadonlySet<SnapshotId>): Promise<void> {
    for (const isRequired of [true, false]) {
      this.#isRequired = isRequired
      for (const snapshot of snapshots) {
        if (unconfirmed.has(snapshot.id) === isRequired || this.#walked.has(snapshot.id)) continue
        this.#snapshot = snapshot
        await this.#walkOne(snapshot)
        this.#walked.add(snapshot.id)
      }
      if (isRequired) this.requiredCount = this.ids.size
    }
  }

  async #walkOne({ id, content }: Snapshot): Promise<void> {
    if (content === undefined) {
      throw new CairnError(
        'CAIRN_CORRUPT',
        `cannot read snapshot ${shortId(id)}, so ${this.#parts.consequence}`,
      )
    }
    this.#tasks = []
    this.#push(content.root, 'tree')
    while (this.#tasks.length > 0) {
      throwIfAborted(this.#parts.signal)
      const batch = this.#tasks.splice(-READS_AT_ONCE)
      const loaded = await Promise.all(batch.map((task) => this.#load(task)))
      for (const [i, task] of batch.entries()) {
        const bytes = loaded[i]
        if (bytes !== undefined) this.#decode(task, bytes)
      }
      await this.#parts.yield()
    }
  }

  #push(root: NodeRoot, kind: NodeKind): void {
    if (root.height > LIMIT.treeHeightMax) {
      throw new CairnError('CAIRN_CORRUPT', `a tree of height ${root.height} is refused`)
    }
    const tables = this.#visited[kind]
    const table = (tables[root.height] ??= new IdTable())
    const before = table.size
    if (table.add(root.id) < before) return
    this.ids.add(root.id)
    // Ids are views of what was read, which the reader may reuse.
    this.#tasks.push({ root: { id: Uint8Array.from(root.id), height: root.height }, kind })
  }

  async #load({ root, kind }: Task): Promise<Uint8Array | undefined> {
    try {
      return await this.#parts.blobs.load(root.id, nodeType(root, kind), this.#parts.signal)
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      const isMissing = this.#parts.index.find(root.id).length === 0
      if (this.#isRequired || !isMissing) throw this.#failure(error)
      this.#missing(root.id)
      return undefined
    }
  }

  #missing(id: Uint8Array): void {
    const snapshot = this.#snapshot
    if (snapshot === undefined) return
    this.#parts.onMissing(
      snapshot.id,
      `snapshot ${shortId(snapshot.id)} was never confirmed and lacks blob ${shortId(blobIdOf(id))}`,
    )
  }

  #failure(cause: unknown): CairnError {
    const snapshot = shortId(this.#snapshot?.id ?? '')
    return new CairnError(
      'CAIRN_CORRUPT',
      `cannot tell what snapshot ${snapshot} needs, so ${this.#parts.consequence}: ${errorChain(cause)}; ` +
        "run 'cairn check', then 'cairn repair index' or 'cairn repair snapshots'",
      { cause },
    )
  }

  #decode({ root, kind }: Task, bytes: Uint8Array): void {
    try {
      if (root.height > 0) {
        for (const { id } of decodeInner(bytes, root.height)) {
          this.#push({ id, height: root.height - 1 }, kind)
        }
      } else if (kind === 'list') this.#references(decodeListLeaf(bytes))
      else {
        decodeLeaf(
          bytes,
          (entry) => this.#entry(entry),
          (entry) => this.#entry(entry),
        )
      }
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT') || error.cause !== undefined) throw error
      throw this.#failure(error)
    }
  }

  #entry(entry: TreeEntry): void {
    if (entry.unknownCritical === true) {
      const id = shortId(this.#snapshot?.id ?? '')
      throw new CairnError(
        'CAIRN_FORMAT_TOO_NEW',
        `cannot tell what snapshot ${id} needs: it was made by a newer version; update cairn`,
      )
    }
    if (entry.xattrsId !== undefined) this.ids.add(entry.xattrsId)
    if (entry.content !== undefined) this.#references(entry.content)
    if (entry.contentList !== undefined) this.#push(entry.contentList, 'list')
    if (entry.subtree !== undefined) this.#push(entry.subtree, 'tree')
  }

  #references(references: Uint8Array): void {
    forEachBlob(references, (id) => this.ids.add(id))
  }
}

function nodeType({ height }: NodeRoot, kind: NodeKind): BlobType {
  if (height > 0) return BLOB_TYPE.inner
  return kind === 'tree' ? BLOB_TYPE.leaf : BLOB_TYPE.list
}
