/**
 * Partial snapshots of a run that goes on for long, or is interrupted (FORMAT.md 14): each stands for
 * the one before it, and the complete snapshot for the last. A failure costs a checkpoint, not the run.
 */

import { errorChain, isCairnError } from '../../base/errors.ts'
import { shortId } from '../../base/ids.ts'
import type { Clock } from '../../base/seams.ts'
import type { SnapshotContent } from '../../format/snapshot.ts'
import type { Time } from '../../format/tree.ts'
import { replacedSnapshots } from '../../repository/partial-snapshots.ts'
import type { Repository } from '../../repository/repository.ts'
import type { Session } from '../../repository/sessions.ts'
import { saveSnapshot, type SeenState, type Snapshot } from '../../repository/snapshots.ts'
import { takeBack } from '../writer-run.ts'
import type { PassResult } from './backup-pass.ts'

/** Half of the ten minutes that are promised: the rest is for what is under way when it is due. */
export const CHECKPOINT_PERIOD_MS = 5 * 60 * 1000
/**
 * What an interrupted run, which has to end within two seconds, may take for its last one: until the
 * workers have done what they were at, and until it is stored. It takes time to stop a busy worker, too.
 */
const LAST_WORK_MS_MAX = 150
const LAST_STORING_MS_MAX = 700

export interface CheckpointSource {
  readonly repository: Repository
  readonly seen: SeenState
  readonly time: Time
  readonly signal: AbortSignal
  readonly session: Session
  /** What is in so far, durable; undefined if there is nothing new. `onStoring` as in `BackupPass`. */
  take(onStoring: () => void): Promise<PassResult | undefined>
  contentOf(result: PassResult): SnapshotContent
  /** Whether something that the result rests on is doomed or gone. */
  isLost(result: PassResult): Promise<boolean>
  onNotice(message: string): void
}

export class Checkpoints {
  readonly #source: CheckpointSource
  #running: Promise<void> | undefined
  #isStoring = false
  /** Every one that this run wrote and looked at again. */
  readonly #written: Snapshot[] = []
  /** Those that it could not look at again, or not take back. */
  #unconfirmed: Snapshot[] = []
  /** Saves that have failed since: what they wrote may be there all the same, or come later. */
  #failedSaves = 0

  constructor(source: CheckpointSource) {
    this.#source = source
  }

  /** The partial snapshot that stands for what was done so far. */
  get last(): Snapshot | undefined {
    return this.#written.at(-1)
  }

  /** Whether a snapshot was written and not looked at again: its session must not say goodbye. */
  get isUnconfirmed(): boolean {
    return this.#unconfirmed.length > 0 || this.#failedSaves > 0
  }

  /** What a snapshot that is written now has to know of: it comes after the run's own checkpoints. */
  get seen(): SeenState {
    const { seen } = this.#source
    const snapshots = [...seen.snapshots, ...this.#written, ...this.#unconfirmed]
    return { ...seen, snapshots, skipped: this.#failedSaves }
  }

  /** Makes one, or joins the one being made. Never rejects. */
  run(): Promise<void> {
    this.#running ??= this.#run()
      .catch((error: unknown) => {
        // The run itself ends with these.
        if (isCairnError(error, 'CAIRN_ABORTED') || !isCairnError(error)) return
        this.#source.onNotice(`no checkpoint could be saved: ${errorChain(error)}`)
      })
      .finally(() => {
        this.#running = undefined
        this.#isStoring = false
      })
    return this.#running
  }

  /** As `run`, if that is quick; resolves soon in any case. */
  async runQuickly(clock: Clock): Promise<void> {
    const { signal } = this.#source
    const running = this.run()
    await Promise.race([running, clock.sleep(LAST_WORK_MS_MAX, signal)])
    if (this.#isStoring) await Promise.race([running, clock.sleep(LAST_STORING_MS_MAX, signal)])
  }

  /** Resolves when none is being made. */
  async settle(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    const { repository, session, time, signal } = this.#source
    const result = await this.#source.take(() => {
      this.#isStoring = true
    })
    if (result === undefined || (await this.#source.isLost(result))) return
    const content = this.#source.contentOf(result)
    await session.renew(signal)
    const saved = await this.#save(time, content)
    const open = this.#unconfirmed
    this.#unconfirmed = [...open, saved]
    await repository.backend.flush({ signal })
    if (await this.#source.isLost(result)) {
      await takeBack(repository, session, saved)
      this.#unconfirmed = open
      return
    }
    const before = this.last
    this.#written.push(saved)
    this.#standsForAll()
    await this.#remove(before === undefined ? open : [...open, before])
  }

  /** A snapshot that was looked at has taken the place of all before it. */
  #standsForAll(): void {
    this.#unconfirmed = []
    this.#failedSaves = 0
  }

  async #save(time: Time, content: SnapshotContent): Promise<Snapshot> {
    const { repository, signal } = this.#source
    try {
      return await saveSnapshot(repository, time, content, this.seen, { partial: true, signal })
    } catch (error) {
      this.#failedSaves++
      throw error
    }
  }

  /**
   * Removes what the complete snapshot replaces: this run's checkpoint, and those of runs before it
   * that never ended. Where the storage does not let it, they are ignored all the same.
   */
  async removeReplaced(complete: Snapshot): Promise<void> {
    const known = this.seen.snapshots
    const replaced = replacedSnapshots([...known, complete], [])
    this.#standsForAll()
    await this.#remove(known.filter(({ id }) => replaced.has(id)))
  }

  async #remove(snapshots: readonly Snapshot[]): Promise<void> {
    const { repository } = this.#source
    try {
      for (const { name } of snapshots) await repository.backend.remove({ kind: 'snapshots', name })
    } catch (error) {
      if (!isCairnError(error)) throw error
    }
  }

  /** For the user, when the run was interrupted. */
  describeLast(): string | undefined {
    const { last } = this
    if (last === undefined) return undefined
    return `what was done so far is partial snapshot ${shortId(last.id)}; the next backup goes on from there`
  }
}
