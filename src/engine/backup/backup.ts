/**
 * A backup, from sources to a snapshot that is safe to report (FORMAT.md 17). The scan runs while
 * the keys are still being derived; what has changed goes to workers; a snapshot is written only
 * when all it needs is durable and indexed, and reported only after a second look at what a prune
 * may have done meanwhile.
 */

import { byteStringOf, type ByteString, toHex } from '../../base/bytes.ts'
import { CairnError, throwIfAborted } from '../../base/errors.ts'
import type { FileName } from '../../base/ids.ts'
import type { NodeRoot } from '../../format/tree.ts'
import type { SnapshotContent, SnapshotStatistics } from '../../format/snapshot.ts'
import type { Repository } from '../../repository/repository.ts'
import { discardIndexMirror, isIndexDamage } from '../../repository/open-index.ts'
import { BEAT_PERIOD_MS, listSessions, Session } from '../../repository/sessions.ts'
import { saveSnapshot, type Snapshot } from '../../repository/snapshots.ts'
import { timeOf } from '../../repository/time.ts'
import { checkRepository } from '../check/check.ts'
import { doomedPacks, lostPacks } from '../writer-run.ts'
import type { BackupOptions, BackupReport } from './backup-options.ts'
import { BackupPass, type PassResult } from './backup-pass.ts'
import { absolutePath, sourceRoots } from './source-roots.ts'

/** How often a run stores again what a prune took from under it before it gives up. */
const PASSES_MAX = 4

/** What the run knew of the repository when it began. */
interface Seen {
  readonly snapshots: readonly Snapshot[]
  readonly tombstones: readonly Uint8Array[]
  readonly parent: Snapshot | undefined
}

export async function backup(options: BackupOptions): Promise<BackupReport> {
  const run = new BackupRun(options)
  return await run.run()
}

class BackupRun {
  #options: BackupOptions
  readonly #startNs: bigint
  readonly #paths: readonly ByteString[]
  #beatFailure: unknown

  constructor(options: BackupOptions) {
    this.#options = options
    this.#startNs = options.environment.clock.wallNs()
    const { input } = options
    this.#paths =
      input.kind === 'paths'
        ? sourceRoots(input.paths, input.workingDirectory).paths
        : [absolutePath(input.name, byteStringOf('/'))]
  }

  async run(): Promise<BackupReport> {
    const { signal, opening, dryRun, environment } = this.#options
    // A failure to open is thrown where the repository is first needed; the scan has begun by then.
    opening.catch(() => {})
    let pass = new BackupPass(this.#options, new Set(), this.#startNs)
    let repository: Repository
    try {
      repository = await pass.scanUntilOpen()
    } catch (error) {
      await pass.close()
      throw error
    }
    if (!dryRun) repository.requireWritable()
    this.#options.listener.onOpened?.(repository)
    const session = new Session(repository, 'writer')
    const stopBeats = environment.clock.every(BEAT_PERIOD_MS, () => this.#beat(session))
    try {
      if (!dryRun) await session.beat(signal)
      const seen = await this.#look(repository)
      let doomed = await this.#doomed(repository)
      const bad = await this.#bad(repository, doomed, pass.cachedPacks)
      if (!pass.avoid(bad)) pass = await this.#again(pass, bad)
      for (let passes = 1; ; passes++) {
        const result = await this.#complete(pass, repository, doomed, seen)
        if (result === undefined) {
          pass = await this.#again(pass, new Set())
          continue
        }
        const lost = dryRun ? undefined : await this.#lost(repository, result)
        if (lost === undefined) {
          const report = await this.#publish(repository, result, seen, pass)
          if (report !== undefined) return report
        }
        if (passes === PASSES_MAX) {
          throw new CairnError(
            'CAIRN_CONFLICT',
            'cannot finish the backup: a prune keeps removing what it rests on; run it again later',
          )
        }
        doomed = await this.#doomed(repository)
        pass = await this.#again(pass, await this.#bad(repository, doomed, pass.cachedPacks))
      }
    } finally {
      stopBeats()
      await pass.close()
      // Without its beats the session is dead; a failure to remove the last changes nothing.
      if (!dryRun) await session.end().catch(() => {})
    }
  }

  #beat(session: Session): void {
    session.beat(this.#options.signal).catch((error: unknown) => {
      this.#beatFailure = error
    })
  }

  /** FORMAT.md 17: `retired`, then `snapshots`. */
  async #look(repository: Repository): Promise<Seen> {
    const signal = this.#options.signal === undefined ? {} : { signal: this.#options.signal }
    const history = await repository.history(signal)
    const { snapshots } = history
    const tombstones = history.tombstones.map(({ id }) => id)
    const parent = this.#options.force
      ? undefined
      : this.#options.chooseParent(snapshots, this.#paths)
    this.#options.listener.onParent?.(parent)
    return { snapshots, tombstones, parent }
  }

  async #doomed(repository: Repository): Promise<Set<FileName>> {
    return await doomedPacks(repository, this.#options.signal)
  }

  /** Undefined if the cached index turned out to be damaged: then the next pass does without it. */
  async #complete(
    pass: BackupPass,
    repository: Repository,
    doomed: ReadonlySet<FileName>,
    seen: Seen,
  ): Promise<PassResult | undefined> {
    try {
      return await pass.complete(repository, doomed, seen.parent)
    } catch (error) {
      const { cacheDirectory } = this.#options
      if (!isIndexDamage(error) || cacheDirectory === undefined) throw error
      await discardIndexMirror(cacheDirectory)
      this.#options = { ...this.#options, cacheDirectory: undefined }
      return undefined
    }
  }

  async #again(pass: BackupPass, bad: ReadonlySet<FileName>): Promise<BackupPass> {
    await pass.close()
    const next = new BackupPass(this.#options, bad, this.#startNs)
    await next.scanUntilOpen()
    return next
  }

  /** Every pack of the scan cache that it must not rest on any more. */
  async #bad(
    repository: Repository,
    doomed: ReadonlySet<FileName>,
    cached: readonly FileName[],
  ): Promise<Set<FileName>> {
    if (cached.length === 0) return new Set()
    const listed = await repository.listPacks(this.#options.signal)
    return new Set(cached.filter((name) => doomed.has(name) || !listed.has(name)))
  }

  /**
   * The refresh of FORMAT.md 17: marks, then packs. Returns the packs that the new tree rests on
   * and that are doomed or gone, or undefined if there are none.
   */
  async #lost(repository: Repository, result: PassResult): Promise<FileName[] | undefined> {
    const lost = await lostPacks(repository, result.relied, { signal: this.#options.signal })
    return lost.length === 0 ? undefined : lost
  }

  /** Writes the snapshot; undefined if what it rests on was taken away before it could be reported. */
  async #publish(
    repository: Repository,
    result: PassResult,
    seen: Seen,
    pass: BackupPass,
  ): Promise<BackupReport | undefined> {
    const { dryRun, skipIfUnchanged, signal, environment } = this.#options
    throwIfAborted(signal)
    const endNs = environment.clock.wallNs()
    const report = (snapshotId: BackupReport['snapshotId']): BackupReport => ({
      ...result.totals,
      snapshotId,
      parentId: seen.parent?.id,
      rootId: result.root.id,
      startNs: this.#startNs,
      endNs,
    })
    if (dryRun) return report(undefined)
    if (skipIfUnchanged && isSameRoot(result.root, seen.parent?.content?.root))
      return report(undefined)
    const content = this.#content(repository, result, seen, endNs)
    const time = timeOf(this.#options.timeNs ?? this.#startNs)
    const saved = await saveSnapshot(
      repository,
      time,
      content,
      seen,
      signal === undefined ? {} : { signal },
    )
    await repository.backend.flush()
    if ((await this.#lost(repository, result)) !== undefined) {
      // Nobody was told of it: a snapshot that may lack something is taken back.
      await repository.backend.remove({ kind: 'snapshots', name: saved.name })
      await repository.backend.flush()
      return undefined
    }
    pass.commitCache()
    await this.#resolveDeadSessions(repository, seen)
    if (this.#beatFailure !== undefined) {
      this.#options.listener.onNotice?.('the session could not be kept alive for a while')
    }
    return report(saved.id)
  }

  /**
   * What runs of this author left that were killed: sessions without a snapshot are removed, a
   * snapshot that was not confirmed is resolved (FORMAT.md 18).
   */
  async #resolveDeadSessions(repository: Repository, seen: Seen): Promise<void> {
    const self = toHex(repository.keyring.authorId)
    const withSnapshot = new Set(seen.snapshots.map(({ envelope }) => toHex(envelope.sessionId)))
    let isUnconfirmed = false
    for (const session of await listSessions(repository, this.#options.signal)) {
      if (session.author !== self || session.isAlive) continue
      if (withSnapshot.has(toHex(session.beat.sessionId))) isUnconfirmed = true
      else {
        for (const name of session.files)
          await repository.backend.remove({ kind: 'sessions', name })
      }
    }
    if (isUnconfirmed && repository.keyring.role !== 'writer') await this.#confirm(repository)
  }

  /** A check of the structure confirms what it finds sound (FORMAT.md 18). Rare: after a crash. */
  async #confirm(repository: Repository): Promise<void> {
    const { environment, signal } = this.#options
    await checkRepository({
      environment,
      backend: repository.backend,
      opening: Promise.resolve(repository),
      readData: undefined,
      ...(signal === undefined ? {} : { signal }),
    })
  }

  #content(repository: Repository, result: PassResult, seen: Seen, endNs: bigint): SnapshotContent {
    const { process } = repository
    const { totals } = result
    const statistics: SnapshotStatistics = {
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
    const parent = seen.parent
    return {
      root: result.root,
      paths: this.#paths,
      hostname: this.#options.hostname,
      username: process.username,
      tags: this.#options.tags,
      ...(parent === undefined ? {} : { parent: new Uint8Array(Buffer.from(parent.id, 'hex')) }),
      start: timeOf(this.#startNs),
      end: timeOf(endNs),
      program: this.#options.program,
      excludes: this.#options.excludePatterns,
      statistics,
      userNames: result.userNames,
      groupNames: result.groupNames,
      uid: process.uid,
      gid: process.gid,
      system: [process.system, process.architecture],
    }
  }
}

function isSameRoot(a: NodeRoot, b: NodeRoot | undefined): boolean {
  return b !== undefined && a.height === b.height && Buffer.compare(a.id, b.id) === 0
}
