/** `stats`: from the arguments to the engine. */

import { CairnError } from '../base/errors.ts'
import type { SnapshotFilter } from '../engine/snapshot-filter.ts'
import { RawData } from '../engine/stats/raw-data.ts'
import { RestoreSize } from '../engine/stats/restore-size.ts'
import { UniqueFiles } from '../engine/stats/unique-files.ts'
import type { NodeRoot } from '../format/tree.ts'
import type { BlobReader } from '../repository/blob-reader.ts'
import type { OpenedIndex } from '../repository/open-index.ts'
import type { RepositoryAccess } from './access.ts'
import { withBlobs } from './list-tree.ts'
import { selectSnapshots } from './select-snapshots.ts'

export type StatsMode = 'restore-size' | 'files-by-contents' | 'blobs-per-file' | 'raw-data'

/** The names are restic's; what a mode does not count is absent. */
export interface StatsReport {
  readonly total_size: number
  readonly total_uncompressed_size?: number
  readonly compression_ratio?: number
  /** In percent, as is the space saving. */
  readonly compression_progress?: number
  readonly compression_space_saving?: number
  readonly total_file_count?: number
  readonly total_blob_count?: number
  readonly snapshots_count: number
}

export interface StatsRequest {
  readonly mode: StatsMode
  readonly references: readonly string[]
  readonly filter: SnapshotFilter
  onProgress(snapshotsDone: number, snapshotsTotal: number): void
}

interface Counter {
  add(root: NodeRoot): Promise<void>
  report(): Omit<StatsReport, 'snapshots_count'>
}

function rawReport(raw: RawData): Omit<StatsReport, 'snapshots_count'> {
  const { blobCount, plainBytes, storedBytes, compressed, missingCount } = raw.totals
  if (missingCount > 0) {
    throw new CairnError(
      'CAIRN_CORRUPT',
      `${missingCount} blobs that snapshots need are missing; run 'cairn check'`,
    )
  }
  const figures = {
    total_size: storedBytes,
    total_uncompressed_size: plainBytes,
    total_blob_count: blobCount,
  }
  if (plainBytes === 0) return figures
  return {
    ...figures,
    ...(compressed.storedBytes === 0
      ? {}
      : { compression_ratio: compressed.plainBytes / compressed.storedBytes }),
    compression_progress: (compressed.plainBytes / plainBytes) * 100,
    compression_space_saving: (1 - storedBytes / plainBytes) * 100,
  }
}

function counterOf(
  mode: StatsMode,
  blobs: BlobReader,
  index: OpenedIndex['index'],
  signal: AbortSignal,
): Counter {
  if (mode === 'raw-data') {
    const raw = new RawData(blobs, index, signal)
    return { add: (root) => raw.add(root), report: () => rawReport(raw) }
  }
  if (mode === 'restore-size') {
    const size = new RestoreSize(blobs, signal)
    return {
      add: (root) => size.add(root),
      report: () => ({
        total_size: size.totals.byteCount,
        total_file_count: size.totals.fileCount,
      }),
    }
  }
  const countsBlobs = mode === 'blobs-per-file'
  const unique = new UniqueFiles(blobs, { signal, countsBlobs })
  return {
    add: (root) => unique.add(root),
    report: () => {
      const { fileCount, byteCount } = countsBlobs ? unique.blobsPerFile : unique.files
      const figures = { total_size: byteCount, total_file_count: fileCount }
      return countsBlobs ? { ...figures, total_blob_count: unique.blobsPerFile.blobCount } : figures
    },
  }
}

/** Throws CAIRN_CORRUPT if anything that counts cannot be read: a figure without it would be wrong. */
export async function runStats(
  access: RepositoryAccess,
  { mode, references, filter, onProgress }: StatsRequest,
): Promise<StatsReport> {
  const { signal } = access
  const repository = await access.open()
  const selected = await selectSnapshots(repository, { references, filter, signal })
  const { snapshots, damageCount } = selected
  if (damageCount > 0 && references.length === 0) {
    throw new CairnError(
      'CAIRN_CORRUPT',
      `cannot count: ${damageCount} snapshots are damaged; name those to count by their ids`,
    )
  }
  return await withBlobs(access, repository, async (blobs, index) => {
    const counter = counterOf(mode, blobs, index, signal)
    for (const [done, snapshot] of snapshots.entries()) {
      onProgress(done, snapshots.length)
      await counter.add(snapshot.content.root)
    }
    return { ...counter.report(), snapshots_count: snapshots.length }
  })
}
