/** The commands that clients run: the engine's own functions, with small packs and cheap keys. */

import type { ByteString } from '../../src/base/bytes.ts'
import type { SnapshotId } from '../../src/base/ids.ts'
import type { BackupReport } from '../../src/engine/backup/backup-options.ts'
import { checkRepository } from '../../src/engine/check/check.ts'
import type { Environment } from '../../src/engine/environment.ts'
import { executeForget, planPolicy } from '../../src/engine/forget/forget.ts'
import { prune } from '../../src/engine/prune/prune.ts'
import type { PruneReport } from '../../src/engine/prune/prune-options.ts'
import type { Replaced } from '../../src/engine/replace-snapshots.ts'
import { restoreSnapshot } from '../../src/engine/restore/restore.ts'
import { changeTags } from '../../src/engine/tag.ts'
import { undelete, type Undeleted } from '../../src/engine/undelete.ts'
import { BlobReader } from '../../src/repository/blob-reader.ts'
import { createRepository } from '../../src/repository/initialize.ts'
import { hasRepository } from '../../src/repository/stored-files.ts'
import { openIndex } from '../../src/repository/open-index.ts'
import { unlockRepository } from '../../src/repository/open-repository.ts'
import { Repository } from '../../src/repository/repository.ts'
import type { Snapshot } from '../../src/repository/snapshots.ts'
import { forgetSnapshots, tidyTombstones } from '../../src/repository/tombstones.ts'
import { listSettling } from '../../src/repository/sessions.ts'
import type { Secret } from '../../src/repository/slots.ts'
import { candidateOf } from '../../src/service/select-snapshots.ts'
import type { Backend } from '../../src/storage/backend.ts'
import { backUp } from '../support/backup-harness.ts'
import type { SeededRandom } from './seeded-random.ts'
import type { SimMachine } from './sim-machine.ts'
import { SOURCE } from './source-record.ts'

const SECRET: Secret = { kind: 'key', bytes: new Uint8Array(32).fill(7) }
/** A few files make many chunks, and a few chunks a pack. */
const CHUNKER = { algorithm: 1, minBytes: 256, averageBytes: 512, maxBytes: 2048 }
const PACK_BYTES = 4096

export interface Program {
  readonly backend: Backend
  readonly environment: Environment
  readonly machine: SimMachine
  readonly random: SeededRandom
}

/** What is there already is not created once more. */
export async function createSimRepository({ backend, environment }: Program): Promise<void> {
  if (await hasRepository(backend)) return
  await createRepository(
    { backend, clock: environment.clock, random: environment.random },
    { secret: SECRET, label: 'simulation', chunker: CHUNKER, dataPackBytes: PACK_BYTES },
  )
}

/** As any command opens it, but that packs of metadata are small, too. */
export async function openSimRepository(
  backend: Backend,
  { clock, random, process }: Environment,
): Promise<Repository> {
  const unlocked = await unlockRepository(backend, { secret: SECRET })
  const box = { ...unlocked.box, metadataPackBytes: PACK_BYTES }
  return new Repository({ backend, clock, random, process }, { ...unlocked, box })
}

export async function runBackup({ backend, environment, machine }: Program): Promise<BackupReport> {
  return await backUp(backend, SOURCE, {
    environment,
    opening: openSimRepository(backend, environment),
    scanCache: { files: machine.cache, name: 'scan' },
    hostname: machine.hostname,
    chooseParent: (snapshots) =>
      snapshots.filter(({ content }) => content?.hostname === machine.hostname).at(-1),
  })
}

export const STREAM = '/dump'

/** Backs up what comes once and cannot be read again. */
export async function runStream(
  { backend, environment, machine }: Program,
  bytes: Uint8Array,
): Promise<BackupReport> {
  async function* chunks() {
    for (let at = 0; at < bytes.length; at += 1000) {
      yield bytes.slice(at, at + 1000)
      await environment.yield()
    }
  }
  return await backUp(backend, SOURCE, {
    environment,
    opening: openSimRepository(backend, environment),
    hostname: machine.hostname,
    input: { kind: 'stream', name: STREAM, chunks: chunks() },
  })
}

/** Forgets what a policy says. `onChosen` as in `runForget`. */
export async function runKeep(
  { backend, environment, random }: Program,
  onChosen: (snapshots: readonly Snapshot[]) => void,
): Promise<void> {
  const repository = await openSimRepository(backend, environment)
  const nowNs = environment.clock.wallNs()
  const { isSettled } = await listSettling(repository)
  const candidates = (await repository.snapshots()).map(candidateOf)
  const last = random.between(1, 3)
  const daily = random.chance(0.3) ? { daily: random.between(1, 3) } : {}
  const plan = planPolicy(candidates, {
    policy: { last, counts: daily, withinCounts: {}, tags: [] },
    groupBy: { host: random.chance(0.7), paths: random.chance(0.7), tags: random.chance(0.2) },
    allowRemoveAll: false,
    isFiltered: false,
    isSettled,
    nowNs,
  })
  onChosen(plan.remove.map(({ snapshot }) => snapshot))
  await executeForget(repository, plan)
}

/** Gives some snapshots another tag; returns what is in the place of which. `onChosen` as above. */
export async function runTag(
  { backend, environment, random }: Program,
  onChosen: (snapshots: readonly Snapshot[]) => void,
): Promise<readonly Replaced[]> {
  const repository = await openSimRepository(backend, environment)
  return await changeTags(repository, {
    choose: (snapshots) => {
      const isAll = random.chance(0.3)
      const chosen = snapshots.filter(() => isAll || random.chance(0.4))
      onChosen(chosen)
      return chosen
    },
    // Now and then it is what it was before.
    change: { set: [random.pick(['a', 'b', 'c', 'd'])], add: [], remove: [] },
  })
}

/** Brings some of what is forgotten back. `onChosen` as above. */
export async function runUndelete(
  { backend, environment, random }: Program,
  onChosen: (ids: readonly SnapshotId[]) => void,
): Promise<readonly Undeleted[]> {
  const repository = await openSimRepository(backend, environment)
  return await undelete(repository, {
    choose: (candidates) => {
      const isAll = random.chance(0.2)
      const chosen = candidates.filter(() => isAll || random.chance(0.3))
      const some = chosen.length > 0 ? chosen : candidates.slice(-1)
      const snapshots = some.map(({ snapshot }) => snapshot)
      onChosen(snapshots.map(({ id }) => id))
      return snapshots
    },
  })
}

/**
 * Forgets a few of the listed snapshots, the oldest more often. `onChosen` is told which before
 * anything is done about it.
 */
export async function runForget(
  { backend, environment, random }: Program,
  onChosen: (snapshots: readonly Snapshot[]) => void,
): Promise<void> {
  const repository = await openSimRepository(backend, environment)
  if (random.chance(0.3)) await tidyTombstones(repository)
  const snapshots = await repository.snapshots()
  const isAll = random.chance(0.25)
  const chosen = snapshots.filter(
    (_, at) => random.chance(at < snapshots.length / 2 ? 0.7 : 0.25) || isAll,
  )
  onChosen(chosen)
  await forgetSnapshots(
    repository,
    chosen.map((snapshot) => ({ snapshot })),
  )
}

/** Forgets what somebody has named who read what a check says of it. */
export async function runForgetNamed(
  { backend, environment }: Program,
  ids: ReadonlySet<SnapshotId>,
): Promise<void> {
  const repository = await openSimRepository(backend, environment)
  const named = (await repository.snapshots()).filter(({ id }) => ids.has(id))
  await forgetSnapshots(
    repository,
    named.map((snapshot) => ({ snapshot })),
  )
}

/** `isFinal`: leaves nothing that is not needed. */
export async function runPrune(
  { backend, environment, random }: Program,
  isFinal = false,
): Promise<PruneReport> {
  const repository = await openSimRepository(backend, environment)
  const isThorough = random.chance(0.5)
  const isDiskFull = random.chance(0.1)
  const isSmallJoined = random.chance(0.3)
  return await prune({
    environment,
    repository,
    settings: {
      maxUnused:
        isFinal || isThorough ? { kind: 'bytes', byteCount: 0 } : { kind: 'percent', percent: 5 },
      maxRepackBytes: undefined,
      smallPackBytes: !isFinal && isSmallJoined ? PACK_BYTES / 2 : 0,
      repackCacheableOnly: false,
      repackUncompressed: false,
      isDiskFull: !isFinal && isDiskFull,
      graceMs: repository.box.graceSeconds * 1000,
    },
    dryRun: false,
    level: 3,
    verify: true,
    packBytes: PACK_BYTES,
    listener: {},
  })
}

/** Returns how many errors it found. */
export async function runCheck({ backend, environment, random }: Program): Promise<number> {
  const report = await checkRepository({
    environment,
    backend,
    opening: openSimRepository(backend, environment),
    readData: random.chance(0.5) ? { kind: 'all' } : undefined,
  })
  return report.summary.num_errors
}

export interface RestoredFiles {
  readonly id: SnapshotId
  readonly target: ByteString
  readonly isComplete: boolean
}

/** Restores any snapshot; undefined if there is none. */
export async function runRestore(
  { backend, environment, random }: Program,
  target: ByteString,
): Promise<RestoredFiles | undefined> {
  const repository = await openSimRepository(backend, environment)
  const snapshots = await repository.snapshots()
  if (snapshots.length === 0) return undefined
  const { id, content } = random.pick<Snapshot>(snapshots)
  if (content === undefined) throw new Error('a snapshot cannot be opened')
  const options = { cacheDirectory: undefined, bulk: true, readOrphans: true }
  const { index, close } = await openIndex(repository, options)
  try {
    const report = await restoreSnapshot({
      environment,
      repository,
      index,
      blobs: new BlobReader(repository, index),
      root: content.root,
      rootPath: '/',
      sourcePaths: content.paths,
      target,
      overwrite: 'always',
      dryRun: false,
      verify: random.chance(0.5),
      sparse: false,
      delete: false,
      listener: {},
    })
    return { id, target, isComplete: report.isComplete }
  } finally {
    await close()
  }
}
