/**
 * What a worker does in a restore: opens segments once, checks every blob against its id, and writes
 * the files it is made of. A file is written by one worker as a whole and gets its name when it is
 * whole; files that span jobs belong to the owner of the pool, who opens and names them.
 *
 * No byte that does not have its id is ever written. A file that misses a blob is taken back and told.
 */

import { equalBytes } from '../base/bytes.ts'
import { CairnError, errorChain, isCairnError } from '../base/errors.ts'
import { loadZstd } from '../compression/zstd.ts'
import { loadBlake3, prepareBlake3 } from '../crypto/blake3.ts'
import { BLOB_TYPE, SEGMENT_ALIGN_BYTES } from '../format/constants.ts'
import { libc } from '../source/libc.ts'
import type { Target } from '../source/target-files.ts'
import { nodeTargetFiles } from '../source/node-target-files.ts'
import { xattrSelector } from '../source/target-xattrs.ts'
import { BlobIdentifier } from './keys.ts'
import { AeadSet } from './pack-seal.ts'
import { FileComparison } from './restore-compare.ts'
import { FileWriters } from './restore-files.ts'
import {
  NOT_LOADED,
  type RestoreInit,
  type RestoreJob,
  type RestoreResult,
  ROW_COLUMNS,
  SEGMENT_COLUMNS,
  SHARED_FILE,
  type WriteJob,
} from './restore-job.ts'
import { PackRanges } from './restore-packs.ts'
import { SegmentReader } from './segment-reader.ts'
import type { BodyHost, WorkBody } from './work-pool.ts'

export type { RestoreInit, RestoreJob, RestoreResult } from './restore-job.ts'

/** Loads the native parts: for a thread that has nothing else to do while keys are derived. */
export async function warmUp(): Promise<void> {
  libc()
  loadZstd()
  await prepareBlake3()
}

export async function createRestoreBody(
  init: RestoreInit,
  host: BodyHost,
): Promise<WorkBody<RestoreJob, RestoreResult>> {
  await prepareBlake3()
  return new RestoreBody(init, host)
}

/** A segment of a job, and the rows that want something of it. */
interface WantedSegment {
  readonly index: number
  readonly firstRow: number
  readonly rowCount: number
}

class RestoreBody implements WorkBody<RestoreJob, RestoreResult> {
  readonly #target: Target
  readonly #ownsTarget: boolean
  readonly #sparse: boolean
  readonly #selectsXattr: ReturnType<typeof xattrSelector>
  readonly #control: Int32Array
  readonly #packs: PackRanges
  readonly #segments = new SegmentReader(new AeadSet(), loadZstd())
  readonly #identifier: BlobIdentifier
  readonly #comparison: FileComparison
  readonly #id = Buffer.allocUnsafeSlow(32)
  #damagedRows: number[] = []
  #damage: string[] = []

  constructor(init: RestoreInit, host: BodyHost) {
    const { random, source } = host.environment
    this.#ownsTarget = init.target === undefined
    this.#target =
      init.target ??
      nodeTargetFiles({ randomness: random }).attachTarget(init.rootFd, init.rootPath)
    this.#sparse = init.sparse
    this.#control = new Int32Array(init.control)
    this.#packs = new PackRanges(source)
    this.#identifier = new BlobIdentifier(init.idKeys, loadBlake3())
    this.#selectsXattr = xattrSelector(init.xattrPatterns)
    this.#comparison = new FileComparison({
      target: this.#target,
      identifier: this.#identifier,
      selectsXattr: this.#selectsXattr,
      throwIfCancelled: () => this.#throwIfCancelled(),
    })
  }

  receive(): void {}

  async close(): Promise<void> {
    this.#packs.close()
    if (this.#ownsTarget) this.#target.close()
  }

  run(job: RestoreJob): RestoreResult {
    return job.kind === 'compare' ? this.#comparison.run(job) : this.#write(job)
  }

  #throwIfCancelled(): void {
    if (Atomics.load(this.#control, 0) !== 0) throw new CairnError('CAIRN_ABORTED', 'interrupted')
  }

  #write(job: WriteJob): RestoreResult {
    this.#damagedRows = []
    this.#damage = []
    if (job.refresh) this.#target.refresh()
    const writers = new FileWriters(this.#target, job, {
      sparse: this.#sparse,
      selectsXattr: this.#selectsXattr,
    })
    try {
      writers.writeEmpty(() => this.#throwIfCancelled())
      for (let index = 0, firstRow = 0; index < job.segments.length / SEGMENT_COLUMNS; index++) {
        this.#throwIfCancelled()
        const rowCount = job.segments[index * SEGMENT_COLUMNS + 3] ?? 0
        this.#restoreSegment(job, { index, firstRow, rowCount }, writers)
        firstRow += rowCount
      }
    } finally {
      writers.discardOpen()
    }
    const { statuses, unset, reports, sharedFailures } = writers
    const damagedRows = Uint32Array.from(this.#damagedRows)
    return { statuses, unset, reports, damagedRows, damage: this.#damage, sharedFailures }
  }

  #restoreSegment(job: WriteJob, wanted: WantedSegment, writers: FileWriters): void {
    let plain: Uint8Array
    try {
      plain = this.#open(job, wanted.index)
    } catch (error) {
      if (!isDamage(error)) throw error
      const problem = errorChain(error)
      for (let i = 0; i < wanted.rowCount; i++)
        this.#fail(job, wanted.firstRow + i, writers, problem)
      return
    }
    let checkedRow: number | undefined
    for (let row = wanted.firstRow; row < wanted.firstRow + wanted.rowCount; row++) {
      // Rows are in order of offsets: several that want the same blob follow each other.
      const isChecked = checkedRow !== undefined && isSameBlob(job, row, checkedRow)
      const problem = isChecked ? undefined : this.#problem(job, row, plain)
      if (problem !== undefined) {
        this.#fail(job, row, writers, problem)
        continue
      }
      checkedRow = row
      this.#put(job, row, plain, writers)
    }
  }

  #open(job: WriteJob, index: number): Uint8Array {
    const at = index * SEGMENT_COLUMNS
    const pack = job.packs[job.segments[at] ?? 0]
    const offset = (job.segments[at + 1] ?? 0) * SEGMENT_ALIGN_BYTES
    const storedBytes = job.segments[at + 2] ?? 0
    const sealedIndex = job.segments[at + 4] ?? NOT_LOADED
    const sealed = job.sealed[sealedIndex]?.subarray(job.segments[at + 5] ?? 0)
    if (pack === undefined || (pack.path === undefined && sealed === undefined)) {
      throw new CairnError('CAIRN_CORRUPT', 'the pack is missing or cut off')
    }
    const bytes = sealed ?? this.#packs.read(pack.path ?? '', offset, storedBytes)
    return this.#segments.open(pack.key, offset, bytes).plain
  }

  /** What is wrong with the blob of a row, if anything. */
  #problem(job: WriteJob, row: number, plain: Uint8Array): string | undefined {
    const offset = job.rows[row * ROW_COLUMNS] ?? 0
    const end = offset + (job.rows[row * ROW_COLUMNS + 1] ?? 0)
    if (end > plain.length) return 'the index and the segment disagree'
    this.#identifier.id(BLOB_TYPE.data, plain.subarray(offset, end), this.#id)
    const isSound = this.#id.compare(job.ids, row * 32, row * 32 + 32) === 0
    return isSound ? undefined : 'its bytes do not have its id'
  }

  #fail(job: WriteJob, row: number, writers: FileWriters, problem: string): void {
    this.#damagedRows.push(row)
    this.#damage.push(problem)
    const file = job.rows[row * ROW_COLUMNS + 2] ?? SHARED_FILE
    if (file < SHARED_FILE) writers.markDamaged(file)
  }

  #put(job: WriteJob, row: number, plain: Uint8Array, writers: FileWriters): void {
    const offset = job.rows[row * ROW_COLUMNS] ?? 0
    const length = job.rows[row * ROW_COLUMNS + 1] ?? 0
    const file = job.rows[row * ROW_COLUMNS + 2] ?? SHARED_FILE
    const position = job.positions[row] ?? 0
    if (file < SHARED_FILE) writers.write(file, plain, { offset, length, position })
    else writers.writeShared(file - SHARED_FILE, plain, { offset, length, position })
  }
}

/** Whether two rows of one segment want one blob. An index may say that several lie at one offset. */
function isSameBlob({ rows, ids }: WriteJob, a: number, b: number): boolean {
  return (
    rows[a * ROW_COLUMNS] === rows[b * ROW_COLUMNS] &&
    rows[a * ROW_COLUMNS + 1] === rows[b * ROW_COLUMNS + 1] &&
    equalBytes(ids.subarray(a * 32, a * 32 + 32), ids.subarray(b * 32, b * 32 + 32))
  )
}

/** Whether only this copy of some blobs is lost by it, and not the run. */
function isDamage(error: unknown): boolean {
  if (isCairnError(error)) return error.code === 'CAIRN_CORRUPT'
  const { code } = error as NodeJS.ErrnoException
  return code !== undefined && !code.startsWith('ERR_')
}
