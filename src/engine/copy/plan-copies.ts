/** The first half of a copy: blobs and trees are in the target, and what its snapshots will say is known. */

import { toHex } from '../../base/bytes.ts'
import { isDamage } from '../../base/errors.ts'
import type { FileName } from '../../base/ids.ts'
import type { SnapshotContent } from '../../format/snapshot.ts'
import { BlobReader } from '../../repository/blob-reader.ts'
import type { OpenedIndex } from '../../repository/open-index.ts'
import type { Repository } from '../../repository/repository.ts'
import type { ReadableSnapshot, Snapshot } from '../../repository/snapshots.ts'
import type { RefusedEntry } from '../../repository/tree-reader.ts'
import { PackInventory } from '../prune/pack-inventory.ts'
import { UsedBlobs } from '../prune/used-blobs.ts'
import { originalOf } from '../original.ts'
import { TreeStore } from '../tree-store.ts'
import { BlobCopier, haveSameIds } from './copy-blobs.ts'
import type { CopyOptions, FailedSnapshot } from './copy-options.ts'
import { TreeCopier } from './copy-trees.ts'
import { IdLearner, IMPORT_TOOL, type KnownCopies, likestCopied } from './known-copies.ts'

const TREE_CACHE_BYTES = 32 << 20

export interface PlannedSnapshot {
  readonly source: Snapshot
  readonly content: SnapshotContent
}

export interface Planned {
  readonly snapshots: readonly PlannedSnapshot[]
  readonly relied: ReadonlySet<FileName>
  readonly failed: readonly FailedSnapshot[]
  readonly refused: readonly RefusedEntry[]
  readonly bytesWritten: number
}

export interface PassInput {
  readonly wanted: readonly Snapshot[]
  /** What was chosen, and the copies that there are of it. */
  readonly known: { readonly chosen: readonly Snapshot[]; readonly copies: KnownCopies }
  readonly doomed: ReadonlySet<FileName>
}

/** Copies blobs and trees, durably, and says what the snapshots will be. */
export async function planCopies(
  options: CopyOptions,
  opened: OpenedIndex,
  { wanted, known, doomed }: PassInput,
): Promise<Planned> {
  const { source, target, signal } = options
  const operation = { signal }
  const inventory = new PackInventory(source, operation)
  await inventory.loadIndex()
  await inventory.listPacks(new Set())
  const blobs = new BlobReader(source, inventory.index, TREE_CACHE_BYTES)
  const { used, readable, failed } = await walk(options, { inventory, blobs }, wanted)
  const copier = await BlobCopier.open(options, opened)
  const hasSameIds = haveSameIds(source, target)
  try {
    if (!hasSameIds) {
      const learner = new IdLearner({
        source: blobs,
        target: new BlobReader(target, opened.index),
        map: copier.map,
        ...operation,
      })
      const copied = known.chosen.filter(({ id }) => known.copies.has(id))
      for (const like of likestCopied(readable, copied)) {
        const copy = known.copies.get(like.id)
        // Only what this key has signed: its copies were made by this program.
        if (copy?.author !== toHex(target.keyring.authorId)) continue
        if (like.content === undefined || copy.content === undefined) continue
        await learner.learn(like.content.root, copy.content.root)
      }
    }
    await copier.copy(inventory, used.ids)
    const isWhole = hasSameIds && copier.lostCount === 0
    if (isWhole) {
      const snapshots = readable.map((snapshot) => ({
        source: snapshot,
        content: contentOf(source, snapshot, snapshot.content.root),
      }))
      const { relied, bytesWritten } = copier
      return { snapshots, relied, failed, refused: [], bytesWritten }
    }
    return await withTrees(options, { blobs, copier, readable, failed, doomed })
  } finally {
    await copier.close()
  }
}

/** What the snapshots need, without those of which that cannot be told. */
async function walk(
  { environment, signal, listener }: CopyOptions,
  { inventory, blobs }: { readonly inventory: PackInventory; readonly blobs: BlobReader },
  wanted: readonly Snapshot[],
) {
  const failed: FailedSnapshot[] = []
  let readable = wanted.filter((one): one is ReadableSnapshot => one.content !== undefined)
  for (;;) {
    const used = new UsedBlobs({
      index: inventory.index,
      blobs,
      yield: () => environment.yield(),
      consequence: 'it was not copied',
      onMissing: (_snapshot, message) => listener.onNotice?.(message),
      signal,
    })
    const bad = await firstBad(used, readable)
    if (bad === undefined) return { used, readable, failed }
    failed.push(bad)
    // What had been seen of it was not followed to its end: the others are walked anew.
    readable = readable.filter((one) => one !== bad.source)
  }
}

async function firstBad(
  used: UsedBlobs,
  snapshots: readonly Snapshot[],
): Promise<FailedSnapshot | undefined> {
  for (const snapshot of snapshots) {
    try {
      await used.walk([snapshot], new Set())
    } catch (error) {
      if (!isDamage(error)) throw error
      return { source: snapshot, error }
    }
  }
  return undefined
}

interface TreeInput {
  readonly blobs: BlobReader
  readonly copier: BlobCopier
  readonly readable: readonly ReadableSnapshot[]
  readonly failed: readonly FailedSnapshot[]
  readonly doomed: ReadonlySet<FileName>
}

/** Where ids differ, or something was lost: then this tells which snapshots lack it. */
async function withTrees(
  { source, target, cacheDirectory, signal }: CopyOptions,
  { blobs, copier, readable, failed, doomed }: TreeInput,
): Promise<Planned> {
  const refused: RefusedEntry[] = []
  const store = await TreeStore.open({
    repository: target,
    doomed,
    cacheDirectory,
    dryRun: false,
    signal,
  })
  try {
    const trees = new TreeCopier({
      blobs,
      store,
      newId: (id) => copier.newId(id),
      onRefused: (entry) => refused.push(entry),
      signal,
    })
    const snapshots: PlannedSnapshot[] = []
    const allFailed = [...failed]
    for (const snapshot of readable) {
      try {
        const root = await trees.directory(snapshot.content.root)
        snapshots.push({ source: snapshot, content: contentOf(source, snapshot, root) })
      } catch (error) {
        if (!isDamage(error)) throw error
        allFailed.push({ source: snapshot, error })
      }
    }
    await store.finish()
    const relied = new Set([...copier.relied, ...store.relied])
    const bytesWritten = copier.bytesWritten + store.bytesWritten
    return { snapshots, relied, failed: allFailed, refused, bytesWritten }
  } finally {
    await store.close()
  }
}

/** A parent of the source means nothing in the target. */
function contentOf(
  source: Repository,
  snapshot: ReadableSnapshot,
  root: SnapshotContent['root'],
): SnapshotContent {
  const { parent: _parent, ...content } = snapshot.content
  const importedFrom = { tool: IMPORT_TOOL, repository: source.id, id: snapshot.id }
  return { ...content, root, original: originalOf(snapshot), importedFrom }
}
