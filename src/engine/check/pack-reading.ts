/**
 * Reads packs for a check, as fast as the cores go. Hashing needs no key, so where packs are local
 * files it begins before the repository is open; elsewhere each pack is fetched once, when there is
 * everything to check it with.
 *
 * Memory: a pack and a segment for each worker, and one pack on the way.
 */

import { errorChain, isDamage, throwIfAborted } from '../../base/errors.ts'
import { idBytes } from '../../base/ids.ts'
import type { PackClaim, PackJob, PackResult } from '../../pipeline/pack-body.ts'
import { openPool, type WorkPool } from '../../pipeline/work-pool.ts'
import { workEnvironment } from '../environment.ts'
import type { TransientCount } from './check-context.ts'
import type { CheckOptions } from './check-options.ts'
import type { PackFileInfo } from './subset.ts'

/** Below this, starting threads takes longer than the work. */
const INLINE_BYTES_MAX = 16 << 20

/** What is known of a pack by the time it is decoded. */
export type ClaimsOf = (pack: PackFileInfo) => Promise<KnownClaims>

export interface KnownClaims {
  readonly claims: readonly PackClaim[]
  /** Why the pack cannot even be read to check it. */
  readonly problem?: string
}

/** A pack that stays damaged when it is read again. */
export interface PackVerdict {
  readonly pack: PackFileInfo
  readonly problems: readonly string[]
  readonly differsFromIndex: boolean
  /** Once for each claim that a blob cannot be read by, 32 bytes each. */
  readonly damagedIds: readonly Uint8Array[]
}

export interface PackReadingParts {
  readonly transient: TransientCount
  readonly onProgress: () => void
}

interface PackTask extends PackFileInfo {
  isHashed: boolean
}

export class PackReading {
  readonly #options: CheckOptions
  readonly #transient: TransientCount
  readonly #onProgress: () => void
  readonly #pool: WorkPool<'pack'>
  readonly #tasks: PackTask[]
  #nextHash = 0
  #hashing = 0
  #nextDecode = 0
  #claimsOf: ClaimsOf | undefined
  #wake: () => void = () => {}
  readonly #unlocked: Promise<void>
  /** Resolves when the keys are there, or it is known why not. */
  readonly #opened: Promise<void>
  #isOpened = false
  readonly #done: Promise<void>
  #isClosed = false
  readonly verdicts: PackVerdict[] = []
  packsDone = 0
  bytesDone = 0
  readonly bytesTotal: number

  private constructor(
    options: CheckOptions,
    parts: PackReadingParts,
    tasks: PackTask[],
    pool: WorkPool<'pack'>,
  ) {
    this.#options = options
    this.#transient = parts.transient
    this.#onProgress = parts.onProgress
    this.#tasks = tasks
    this.#pool = pool
    this.bytesTotal = tasks.reduce((sum, { byteCount }) => sum + byteCount, 0)
    this.#unlocked = new Promise((resolve) => {
      this.#wake = resolve
    })
    const noteOpened = () => {
      this.#isOpened = true
    }
    this.#opened = options.opening.then(noteOpened, noteOpened)
    const loops = Array.from({ length: pool.size + 1 }, () => this.#loop())
    this.#done = Promise.all(loops).then(() => {})
    this.#done.catch(() => {}) // Thrown by `finish`.
  }

  get packsTotal(): number {
    return this.#tasks.length
  }

  /** Begins with these packs. */
  static async start(
    options: CheckOptions,
    parts: PackReadingParts,
    packs: readonly PackFileInfo[],
  ): Promise<PackReading> {
    const { environment } = options
    const tasks = packs.map(({ name, byteCount }) => ({ name, byteCount, isHashed: false }))
    const byteCount = tasks.reduce((sum, task) => sum + task.byteCount, 0)
    const isSmall = byteCount <= INLINE_BYTES_MAX
    const pool = await openPool({
      purpose: 'pack',
      init: {},
      threads: isSmall ? 0 : Math.min(environment.threads, tasks.length),
      environment: workEnvironment(environment),
      entry: environment.workerEntry,
      onNote: () => {},
    })
    return new PackReading(options, parts, tasks, pool)
  }

  /** From now on packs are decoded. */
  decode(claimsOf: ClaimsOf): void {
    this.#claimsOf = claimsOf
    this.#wake()
  }

  /** Resolves once every pack has been read. Rejects with the first failure. */
  async finish(): Promise<void> {
    await this.#done
  }

  /** Ends the threads, whatever they do. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#wake()
    await this.#pool.close()
  }

  async #loop(): Promise<void> {
    while (!this.#isClosed) {
      throwIfAborted(this.#options.signal)
      if (this.#claimsOf === undefined) {
        const task = this.#mayHash() ? this.#tasks[this.#nextHash++] : undefined
        if (task !== undefined) await this.#hashAhead(task)
        else if (this.#isOpened) await this.#unlocked
        else await Promise.race([this.#opened, this.#unlocked])
      } else {
        const task = this.#tasks[this.#nextDecode++]
        if (task === undefined) return
        await this.#check(task, this.#claimsOf)
      }
      await this.#options.environment.yield()
    }
  }

  /**
   * Until the keys are there, one worker leaves its core to their derivation: everything else waits
   * for it, and a pack that is hashed by itself has to be read twice.
   */
  #mayHash(): boolean {
    if (this.#options.backend.localPath === undefined) return false
    return this.#isOpened || this.#hashing < Math.max(1, this.#pool.size - 1)
  }

  async #hashAhead(task: PackTask): Promise<void> {
    this.#hashing++
    const result = await this.#run(task, { kind: 'hash', name: idBytes(task.name) })
    this.#hashing--
    // If anything is wrong, the pack is hashed again when it is decoded.
    task.isHashed = result !== undefined && isSound(result)
  }

  async #check(task: PackTask, claimsOf: ClaimsOf): Promise<void> {
    const { claims, problem } = await claimsOf(task)
    const verdict: PackVerdict = await this.#verdict(task, claims, problem)
    if (verdict.problems.length > 0 && (await this.#isListed(task))) this.verdicts.push(verdict)
    this.packsDone++
    this.bytesDone += task.byteCount
    this.#onProgress()
  }

  async #verdict(
    task: PackTask,
    claims: readonly PackClaim[],
    problem: string | undefined,
  ): Promise<PackVerdict> {
    const problems = new Set<string>(problem === undefined ? [] : [problem])
    const damagedIds: Uint8Array[] = []
    let differsFromIndex = false
    const name = idBytes(task.name)
    const jobs: Pick<PackJob, 'kind' | 'claim'>[] =
      claims.length === 0
        ? [{ kind: 'hash' }]
        : claims.map((claim, i) => ({
            kind: i > 0 || task.isHashed ? 'decode' : 'hash+decode',
            claim,
          }))
    for (const job of jobs) {
      const result = await this.#twice(task, { name, ...job })
      if (result === undefined) continue
      for (const text of result.problems) problems.add(text)
      differsFromIndex ||= result.differsFromIndex
      if (result.damagedIds.length > 0) damagedIds.push(result.damagedIds)
    }
    return { pack: task, problems: [...problems], differsFromIndex, damagedIds }
  }

  /** Runs a job, and again from the storage if anything is wrong. Undefined: the pack is gone. */
  async #twice(
    task: PackTask,
    job: Omit<PackJob, 'source' | 'byteCount'>,
  ): Promise<PackResult | undefined> {
    const first = await this.#run(task, job)
    if (first !== undefined && isSound(first)) return first
    const again = job.kind === 'decode' ? { ...job, kind: 'hash+decode' as const } : job
    const second = await this.#fetchAndRun(task, again)
    if (second !== undefined && isSound(second)) this.#transient.count++
    return second
  }

  async #run(
    task: PackTask,
    job: Omit<PackJob, 'source' | 'byteCount'>,
  ): Promise<PackResult | undefined> {
    const { backend } = this.#options
    const path = backend.localPath?.({ kind: 'packs', name: task.name })
    if (path === undefined) return await this.#fetchAndRun(task, job)
    return await this.#pool.run({ ...job, byteCount: task.byteCount, source: { path } })
  }

  async #fetchAndRun(
    task: PackTask,
    job: Omit<PackJob, 'source' | 'byteCount'>,
  ): Promise<PackResult | undefined> {
    const { backend, signal } = this.#options
    let bytes: Uint8Array | undefined
    try {
      bytes = await backend.load({ kind: 'packs', name: task.name }, undefined, { signal })
    } catch (error) {
      if (!isDamage(error)) throw error
      return failed(errorChain(error))
    }
    if (bytes === undefined) return await this.#vanished(task)
    const own = isWhole(bytes) ? bytes : Uint8Array.from(bytes)
    return await this.#pool.run(
      { ...job, byteCount: task.byteCount, source: { bytes: own } },
      { transfer: [own.buffer as ArrayBuffer] },
    )
  }

  /** A pack that a prune has removed is not listed any more; one that is listed is damage. */
  async #vanished(task: PackTask): Promise<PackResult | undefined> {
    return (await this.#isListed(task)) ? failed('it is listed and is not there') : undefined
  }

  async #isListed(task: PackTask): Promise<boolean> {
    const { backend, signal } = this.#options
    const files = await backend.list('packs', { signal })
    return files.some(({ name }) => name === task.name)
  }
}

function isSound({ unreadable, problems }: PackResult): boolean {
  return unreadable === undefined && problems.length === 0
}

function isWhole(bytes: Uint8Array): boolean {
  return bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength
}

function failed(problem: string): PackResult {
  return {
    unreadable: undefined,
    problems: [problem],
    differsFromIndex: false,
    damagedIds: new Uint8Array(),
    blobCount: 0,
    plainBytes: 0,
  }
}
