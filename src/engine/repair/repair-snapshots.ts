/**
 * Puts restorable snapshots in the place of damaged ones. The new ones say so: they are tagged, what
 * has lost something has another name, and lost parts of files are holes.
 */

import { byteStringOf } from '../../base/bytes.ts'
import { CairnError } from '../../base/errors.ts'
import { type FileName, shortId, type SnapshotId } from '../../base/ids.ts'
import { loadBlake3 } from '../../crypto/blake3.ts'
import { Claims } from '../../pipeline/claim-table.ts'
import { PackStates } from '../../pipeline/index/blob-index.ts'
import { indexOrphans } from '../../repository/adopt-orphans.ts'
import { BlobReader } from '../../repository/blob-reader.ts'
import { MetadataWriter } from '../../repository/metadata-writer.ts'
import { openIndex, type OpenedIndex } from '../../repository/open-index.ts'
import { PackStore } from '../../repository/pack-store.ts'
import type { Snapshot } from '../../repository/snapshots.ts'
import { ChunkListWriter, TreeWriter } from '../../repository/tree-writer.ts'
import { lookForInterrupted, type ReplacingView, resolveInterrupted } from '../interrupted-runs.ts'
import { originalOf } from '../original.ts'
import { type Replacement, replaceSnapshots } from '../replace-snapshots.ts'
import { asWriter, doomedPacks, type WriterState } from '../writer-run.ts'
import { type RepairContext, requireRepairable } from './repair-options.ts'
import { TreeRepair } from './tree-repair.ts'

const REPAIRED_TAG = 'repaired'

export interface RepairSnapshotsOptions extends RepairContext {
  readonly choose: (snapshots: readonly Snapshot[]) => readonly Snapshot[]
  /** Forgets the damaged ones. */
  readonly forget: boolean
  readonly level: number | undefined
  readonly onLost: (snapshot: SnapshotId, path: string) => void
}

export interface RepairSnapshotsReport {
  readonly checked: number
  readonly repaired: readonly { readonly old: SnapshotId; readonly new: SnapshotId | undefined }[]
  /** Snapshots whose root is lost: there is nothing to put in their place. */
  readonly lost: readonly SnapshotId[]
}

export async function repairSnapshots(
  options: RepairSnapshotsOptions,
): Promise<RepairSnapshotsReport> {
  const { repository, operation, dryRun, signal } = options
  await requireRepairable(options)
  if (dryRun)
    return await repairAll(options, await lookForInterrupted(repository, operation), undefined)
  return await asWriter(repository, signal, async (state) => {
    await requireRepairable(options)
    return await repairAll(options, await resolveInterrupted(repository, operation), state)
  })
}

async function repairAll(
  options: RepairSnapshotsOptions,
  view: ReplacingView,
  state: WriterState | undefined,
): Promise<RepairSnapshotsReport> {
  const chosen = options.choose(view.history.snapshots)
  const writing = await TreeWriting.open(options)
  try {
    const { replacements, lost } = await writing.repair(chosen)
    const old = replacements.map((one) => one.old.id)
    if (state === undefined || replacements.length === 0) {
      const repaired = old.map((id) => ({ old: id, new: undefined }))
      return { checked: chosen.length, repaired, lost }
    }
    const replaced = await replaceSnapshots(options.repository, view, replacements, state, {
      keepOld: !options.forget,
      relied: await writing.finish(),
      ...options.operation,
    })
    if (replaced === undefined) {
      throw new CairnError('CAIRN_CONFLICT', 'a prune took what was written; run this again')
    }
    const repaired = replaced.map((one) => ({ old: one.old.id, new: one.snapshot.id }))
    return { checked: chosen.length, repaired, lost }
  } finally {
    await writing.close()
  }
}

/** The index that is read, and where new nodes go. */
class TreeWriting {
  readonly #options: RepairSnapshotsOptions
  readonly #opened: OpenedIndex
  readonly #store: PackStore
  readonly #metadata: MetadataWriter
  readonly #relied = new Set<FileName>()

  private constructor(options: RepairSnapshotsOptions, opened: OpenedIndex) {
    const { repository, dryRun, operation, level } = options
    this.#options = options
    this.#opened = opened
    this.#store = new PackStore({
      repository,
      dryRun,
      ...operation,
      onSaved: ({ name }) => this.#relied.add(name),
    })
    const claims = new Claims([])
    claims.grow()
    const share = opened.index.share()
    let lastHandle = 0
    this.#metadata = new MetadataWriter({
      repository,
      store: this.#store,
      claims,
      index: opened.index,
      states: share.kind === 'empty' ? undefined : new PackStates(share.states),
      level,
      nextHandle: () => ++lastHandle,
      onRelied: (handle) => {
        if (handle < 0) this.#relied.add(opened.index.pack(-1 - handle).name)
      },
    })
  }

  static async open(options: RepairSnapshotsOptions): Promise<TreeWriting> {
    const { repository, operation, dryRun } = options
    const doomed = await doomedPacks(repository, operation.signal)
    const opened = await openIndex(repository, {
      cacheDirectory: undefined,
      bulk: true,
      readOrphans: dryRun,
      ...operation,
    })
    opened.index.setStates(opened.listed, doomed)
    if (!dryRun) await indexOrphans(opened, { repository, doomed, ...operation })
    return new TreeWriting(options, opened)
  }

  async repair(
    snapshots: readonly Snapshot[],
  ): Promise<{ readonly replacements: Replacement[]; readonly lost: SnapshotId[] }> {
    const { onNotice, environment } = this.#options
    const replacements: Replacement[] = []
    const lost: SnapshotId[] = []
    for (const old of snapshots) {
      const result = await this.#repairOne(old)
      if (result === 'lost') {
        lost.push(old.id)
        onNotice(`snapshot ${shortId(old.id)} cannot be repaired: its root is lost`)
      } else if (result !== 'sound') replacements.push(result)
      await environment.yield()
    }
    return { replacements, lost }
  }

  async #repairOne(old: Snapshot): Promise<Replacement | 'sound' | 'lost'> {
    const { repository, operation, onLost } = this.#options
    const { content } = old
    if (content === undefined) return 'lost'
    const splitHash = loadBlake3().keyed(repository.keyring.ids.split)
    const save = this.#metadata.save.bind(this.#metadata)
    const { index } = this.#opened
    // One for each snapshot, so that each path is told for each: what is the same is stored once.
    const trees = new TreeRepair({
      index,
      blobs: new BlobReader(repository, index),
      newTree: () => new TreeWriter(save, splitHash),
      newList: () => new ChunkListWriter(save),
      onLost: (path) => onLost(old.id, path),
      ...operation,
    })
    const { root, isChanged } = await trees.directory(content.root, byteStringOf(''))
    if (!isChanged) return 'sound'
    if (index.find(content.root.id).length === 0) return 'lost'
    const tags = [...new Set([...content.tags, REPAIRED_TAG])]
    const mended = { ...content, root, tags, original: originalOf(old) }
    return { old, content: mended, time: old.envelope.time }
  }

  /** Returns the packs that new nodes are in, durable and indexed. */
  async finish(): Promise<ReadonlySet<FileName>> {
    this.#metadata.finish()
    await this.#store.finish()
    return this.#relied
  }

  async close(): Promise<void> {
    await this.#opened.close()
  }
}
