/** What the snapshot of a run says about it. */

import type { ByteString } from '../../base/bytes.ts'
import { idBytes } from '../../base/ids.ts'
import type { SnapshotContent, SnapshotStatistics } from '../../format/snapshot.ts'
import type { Repository } from '../../repository/repository.ts'
import type { Snapshot } from '../../repository/snapshots.ts'
import { timeOf } from '../../repository/time.ts'
import type { BackupOptions } from './backup-options.ts'
import type { PassResult } from './backup-pass.ts'
import type { Totals } from './backup-totals.ts'

export interface RunFacts {
  readonly options: BackupOptions
  readonly paths: readonly ByteString[]
  readonly parent: Snapshot | undefined
  readonly startNs: bigint
  readonly endNs: bigint
}

function statisticsOf(totals: Totals): SnapshotStatistics {
  return {
    filesNew: totals.files.new,
    filesChanged: totals.files.modified,
    filesUnmodified: totals.files.unchanged,
    directoriesNew: totals.directories.new,
    directoriesChanged: totals.directories.modified,
    directoriesUnmodified: totals.directories.unchanged,
    dataBlobs: totals.dataBlobs,
    treeBlobs: totals.treeBlobs,
    bytesAdded: totals.bytesAdded,
    bytesAddedStored: totals.bytesAddedStored,
    filesProcessed: totals.filesProcessed,
    bytesProcessed: totals.bytesProcessed,
    errors: totals.errorCount,
  }
}

export function snapshotContentOf(
  repository: Repository,
  result: PassResult,
  facts: RunFacts,
): SnapshotContent {
  const { process } = repository
  const { options, parent } = facts
  return {
    root: result.root,
    paths: facts.paths,
    hostname: options.hostname,
    username: process.username,
    tags: options.tags,
    ...(parent === undefined ? {} : { parent: idBytes(parent.id) }),
    start: timeOf(facts.startNs),
    end: timeOf(facts.endNs),
    program: options.program,
    excludes: options.excludePatterns,
    statistics: statisticsOf(result.totals),
    userNames: result.userNames,
    groupNames: result.groupNames,
    uid: process.uid,
    gid: process.gid,
    system: [process.system, process.architecture],
  }
}
