/** `diff`: from the arguments to the engine. */

import { throwIfAborted } from '../base/errors.ts'
import type { SnapshotId } from '../base/ids.ts'
import { type DiffOptions, type DiffReport, diffTrees } from '../engine/diff/diff-trees.ts'
import type { SnapshotFilter } from '../engine/snapshot-filter.ts'
import type { RepositoryAccess } from './access.ts'
import { directoryAt, withBlobs } from './list-tree.ts'
import { findTwoSnapshots } from './select-snapshots.ts'

export type { DiffReport }

export interface DiffRequest
  extends Pick<DiffOptions, 'metadata' | 'onChange' | 'onDamage' | 'drain'> {
  /** Two snapshots, each with a directory behind a colon or not. */
  readonly references: readonly [before: string, after: string]
  readonly filter: SnapshotFilter
  /** Comes first. */
  onSnapshots(before: SnapshotId, after: SnapshotId): void
}

export async function runDiff(access: RepositoryAccess, request: DiffRequest): Promise<DiffReport> {
  const { filter, references, metadata } = request
  const { signal } = access
  access.prepareIndex()
  const repository = await access.open()
  const [first, second] = await findTwoSnapshots(repository, references, { filter, signal })
  return await withBlobs(access, repository, async (blobs) => {
    const before = await directoryAt(blobs, first, signal)
    const after = await directoryAt(blobs, second, signal)
    throwIfAborted(signal)
    request.onSnapshots(first.id, second.id)
    return await diffTrees({
      blobs,
      before,
      after,
      metadata,
      signal,
      onChange: request.onChange,
      onDamage: request.onDamage,
      drain: request.drain,
    })
  })
}
