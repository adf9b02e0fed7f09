/**
 * A backup, from sources to a snapshot that is safe to report (FORMAT.md 17). The scan runs while
 * the keys are still being derived; what has changed goes to workers; a snapshot is written only
 * when all it needs is durable and indexed, and reported only after a second look at what a prune
 * may have done meanwhile.
 */

import type { ByteString } from '../../base/bytes.ts'
import { CairnError, throwIfAborted } from '../../base/errors.ts'
import type { FileName } from '../../base/ids.ts'
import type { NodeRoot } from '../../format/tree.ts'
import type { Repository } from '../../repository/repository.ts'
import { discardIndexMirror, isIndexDamage } from '../../repository/open-index.ts'
import { BEAT_PERIOD_MS, Session } from '../../repository/sessions.ts'
import { saveSnapshot, type SeenState, type Snapshot } from '../../repository/snapshots.ts'
import { timeOf } from '../../repository/time.ts'
import { doomedPacks, lookAround, lostPacks, seenStateOf, takeBack } from '../writer-run.ts'
import type { BackupOptions, BackupReport } from './backup-options.ts'
import { BackupPass, type PassResult } from './backup-pass.ts'
import { CHECKPOINT_PERIOD_MS, Checkpoints } from './checkpoints.ts'
import { resolveDeadSessions } from './dead-sessions.ts'
import { snapshotContentOf } from './snapshot-content.ts'
import { sourceRoots } from './source-roots.ts'
import { readableOnce, streamPath } from './stream-source.ts'

/** How often a run stores again what a prune took from under it before it gives up. */
const PASSES_MAX = 4

/** What the run knew of the repository when it began. */
interface Seen extends SeenState {
  readonly parent: Snapshot | undefined
}

export async function backup(options: BackupOptions): Promise<BackupReport> {
  const run = new BackupRun(options)
  let interruption: Promise<void> | undefined
  const interrupt = () => {
    interruption = run.interrupt()
  }
  options.signal?.addEventListener('abort', interrupt, { once: true })
  try {
    if (options.signal?.aborted) interrupt()
    return await run.run()
  } finally {
    options.signal?.removeEventListener('abort', interrupt)
    await interruption
  }
}

class BackupRun {
  #options: BackupOptions & { readonly signal: AbortSignal }
  /** The present one. */
  #pass: BackupPass
  /** Aborts a little after the caller's signal: between them is the last checkpoint. */
  readonly #end = new AbortController()
  /** Rejects as soon as the run has to end, whatever workers are at. */
  readonly #ended: Promise<never>
  #checkpoints: Checkpoints | undefined
  readonly #startNs: bigint
  readonly #paths: readonly ByteString[]
  readonly #interruption: AbortSignal | undefined
  #beatFailure: unknown
  /** Whether a snapshot was written and not looked at again. */
  #isUnconfirmed = false
  /** Whether the complete snapshot is safe to report. */
  #isConfirmed = false

  constructor(options: BackupOptions) {
    // A failure to open is thrown where the repository is first needed; the scan has begun by then.
    options.opening.catch(() => {})
    this.#interruption = options.signal
    const input = readableOnce(options.input)
    this.#options = { ...options, input, signal: this.#end.signal }
    this.#ended = new Promise((_, reject) => {
      const interrupted = () => reject(new CairnError('CAIRN_ABORTED', 'interrupted'))
      this.#end.signal.addEventListener('abort', interrupted, { once: true })
    })
    this.#ended.catch(() => {})
    this.#startNs = options.environment.clock.wallNs()
    this.#paths =
      input.kind === 'paths'
        ? sourceRoots(input.paths, input.workingDirectory).paths
        : [streamPath(input.name)]
    this.#pass = new BackupPass(this.#options, new Set(), this.#startNs)
  }

  async run(): Promise<BackupReport> {
    const { dryRun } = this.#options
    let repository: Repository
    try {
      repository = await this.#pass.scanUntilOpen()
      if (!dryRun) repository.requireWritable()
      this.#options.listener.onOpened?.(repository)
    } catch (error) {
      await this.#pass.close()
      throw error
    }
    return await this.#inSession(repository)
  }

  /** Lets others know of the run for as long as it lasts. */
  async #inSession(repository: Repository): Promise<BackupReport> {
    const { dryRun, environment } = this.#options
    const { clock } = environment
    const session = new Session(repository, 'writer')
    const stopBeats = clock.every(BEAT_PERIOD_MS, () => this.#beat(session))
    const stopCheckpoints = clock.every(CHECKPOINT_PERIOD_MS, () => void this.#checkpoints?.run())
    try {
      return await this.#store(repository, session)
    } finally {
      stopBeats()
      stopCheckpoints()
      // Ends what a checkpoint may be waiting for.
      await this.#pass.close()
      await this.#checkpoints?.settle()
      // A snapshot that was not looked at again stays unconfirmed: its session is left as it is.
      const isOver = !this.#isUnconfirmed && this.#checkpoints?.isUnconfirmed !== true
      // Without its beats the session is dead; a failure to remove the last changes nothing.
      if (!dryRun && isOver) await session.end().catch(() => {})
    }
  }

  /** One pass after another, until what one has stored is all there when its snapshot is. */
  async #store(repository: Repository, session: Session): Promise<BackupReport> {
    const { dryRun, signal } = this.#options
    if (!dryRun) await session.beat(signal)
    const seen = await this.#look(repository)
    if (!dryRun) this.#checkpoints = this.#newCheckpoints(repository, session, seen)
    let doomed = await this.#doomed(repository)
    const bad = await this.#bad(repository, doomed)
    if (!this.#pass.avoid(bad)) await this.#again(bad)
    for (let passes = 1; ; passes++) {
      const result = await this.#complete(repository, doomed, seen)
      if (result === undefined) {
        await this.#again(new Set())
        continue
      }
      const lost = dryRun ? undefined : await this.#lost(repository, result)
      if (lost === undefined) {
        const report = await this.#publish(repository, session, result, seen)
        if (report !== undefined) return report
      }
      if (passes === PASSES_MAX) {
        throw new CairnError(
          'CAIRN_CONFLICT',
          'cannot finish the backup: a prune keeps removing what it rests on; run it again later',
        )
      }
      doomed = await this.#doomed(repository)
      await this.#again(await this.#bad(repository, doomed))
    }
  }

  /** The caller wants it to end: what was done so far is kept if that is quick. */
  async interrupt(): Promise<void> {
    const { clock } = this.#options.environment
    const checkpoints = this.#checkpoints
    try {
      if (checkpoints !== undefined && this.#options.input.kind === 'paths') {
        await checkpoints.runQuickly(clock)
      }
    } finally {
      this.#end.abort(this.#interruption?.reason)
      await checkpoints?.settle()
      const message = checkpoints?.describeLast()
      if (message !== undefined && !this.#isConfirmed) this.#options.listener.onNotice?.(message)
    }
  }

  #newCheckpoints(repository: Repository, session: Session, seen: Seen): Checkpoints {
    const { environment, signal, listener } = this.#options
    return new Checkpoints({
      repository,
      seen,
      time: timeOf(this.#options.timeNs ?? this.#startNs),
      signal,
      session,
      take: (onStoring) => this.#pass.checkpoint(onStoring),
      contentOf: (result) => this.#contentOf(repository, result, seen, environment.clock.wallNs()),
      isLost: async (result) => (await this.#lost(repository, result)) !== undefined,
      onNotice: (message) => listener.onNotice?.(message),
    })
  }

  #beat(session: Session): void {
    session.beat(this.#options.signal).catch((error: unknown) => {
      this.#beatFailure = error
    })
  }

  /** FORMAT.md 17: `retired`, then `snapshots`. */
  async #look(repository: Repository): Promise<Seen> {
    const view = await lookAround(repository, this.#options.signal)
    const seen = seenStateOf(view)
    const parent = this.#options.force
      ? undefined
      : this.#options.chooseParent(seen.snapshots, this.#paths)
    this.#options.listener.onParent?.(parent)
    return { ...seen, parent }
  }

  async #doomed(repository: Repository): Promise<Set<FileName>> {
    return await doomedPacks(repository, this.#options.signal)
  }

  /** Undefined if the cached index turned out to be damaged: then the next pass does without it. */
  async #complete(
    repository: Repository,
    doomed: ReadonlySet<FileName>,
    seen: Seen,
  ): Promise<PassResult | undefined> {
    try {
      return await Promise.race([this.#pass.complete(repository, doomed, seen.parent), this.#ended])
    } catch (error) {
      const { cacheDirectory } = this.#options
      if (!isIndexDamage(error) || cacheDirectory === undefined) throw error
      await discardIndexMirror(cacheDirectory)
      this.#options = { ...this.#options, cacheDirectory: undefined }
      return undefined
    }
  }

  /** Begins anew with another pass, which rests on none of these packs. */
  async #again(bad: ReadonlySet<FileName>): Promise<void> {
    await this.#pass.close()
    await this.#checkpoints?.settle()
    this.#pass = new BackupPass(this.#options, bad, this.#startNs)
    await this.#pass.scanUntilOpen()
  }

  /** Every pack of the scan cache that it must not rest on any more. */
  async #bad(repository: Repository, doomed: ReadonlySet<FileName>): Promise<Set<FileName>> {
    const cached = this.#pass.cachedPacks
    if (cached.length === 0) return new Set()
    const listed = await repository.listPacks(this.#options.signal)
    return new Set(cached.filter((name) => doomed.has(name) || !listed.has(name)))
  }

  /**
   * The refresh of FORMAT.md 17: marks, then packs. Returns the packs that the new tree rests on
   * and that are doomed or gone, or undefined if there are none. A stream cannot be stored again,
   * so a mark, which nothing is removed for while this run is there, does not end it.
   */
  async #lost(repository: Repository, result: PassResult): Promise<FileName[] | undefined> {
    const { signal, input } = this.#options
    const phase = input.kind === 'stream' ? { phase: 'sweep' as const } : {}
    const lost = await lostPacks(repository, result.relied, { signal, ...phase })
    return lost.length === 0 ? undefined : lost
  }

  /** Writes the snapshot; undefined if what it rests on was taken away before it could be reported. */
  async #publish(
    repository: Repository,
    session: Session,
    result: PassResult,
    seen: Seen,
  ): Promise<BackupReport | undefined> {
    const { dryRun, skipIfUnchanged, signal, environment } = this.#options
    await this.#checkpoints?.settle()
    throwIfAborted(this.#interruption)
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
    if (skipIfUnchanged && standsFor(seen, result.root)) return report(undefined)
    const content = this.#contentOf(repository, result, seen, endNs)
    const time = timeOf(this.#options.timeNs ?? this.#startNs)
    const known = this.#checkpoints?.seen ?? seen
    await session.renew(signal)
    this.#isUnconfirmed = true
    const saved = await saveSnapshot(repository, time, content, known, { signal })
    await repository.backend.flush()
    if ((await this.#lost(repository, result)) !== undefined) {
      await takeBack(repository, session, saved)
      this.#isUnconfirmed = false
      return undefined
    }
    this.#isUnconfirmed = false
    this.#isConfirmed = true
    this.#pass.commitCache()
    await this.#checkpoints?.removeReplaced(saved)
    await resolveDeadSessions(repository, environment, signal)
    if (this.#beatFailure !== undefined) {
      this.#options.listener.onNotice?.('the session could not be kept alive for a while')
    }
    return report(saved.id)
  }

  #contentOf(repository: Repository, result: PassResult, seen: Seen, endNs: bigint) {
    return snapshotContentOf(repository, result, {
      options: this.#options,
      paths: this.#paths,
      parent: seen.parent,
      startNs: this.#startNs,
      endNs,
    })
  }
}

/**
 * Whether the parent can be all that is left of this run: it is of the same files, and stays. A partial
 * one is chosen by nothing, and one that is not settled may be taken back by its run.
 */
function standsFor({ parent, isSettled }: Seen, root: NodeRoot): boolean {
  if (parent === undefined || parent.envelope.partial) return false
  return isSameRoot(root, parent.content?.root) && isSettled(parent)
}

function isSameRoot(a: NodeRoot, b: NodeRoot | undefined): boolean {
  return b !== undefined && a.height === b.height && Buffer.compare(a.id, b.id) === 0
}
