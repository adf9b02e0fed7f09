/** Writes the files of one job: the ones that are whole within it. */

import { CairnError } from '../base/errors.ts'
import type { ByteString } from '../base/bytes.ts'
import type { MetadataFailure, Target, TargetFile } from '../source/target-files.ts'
import {
  decodePaths,
  FILE_STATUS,
  type FileReport,
  metadataOf,
  REFUSED_SHIFT,
  type SharedFailure,
  UNSET,
  type WriteJob,
} from './restore-job.ts'
import { hasZeroRun, type WrittenRange, writeAroundZeros } from './zero-runs.ts'

/** What may concern every file, as owners do for an ordinary user, is told by example. */
const EXAMPLES_MAX = 4

/** What became of the files of a job. */
export class FileReports {
  readonly statuses: Uint8Array
  readonly unset: Uint16Array
  readonly reports: FileReport[] = []
  readonly #examples = new Map<MetadataFailure['what'], number>()

  constructor(fileCount: number) {
    this.statuses = new Uint8Array(fileCount)
    this.unset = new Uint16Array(fileCount)
  }

  addUnset(file: number, failures: readonly MetadataFailure[]): void {
    for (const { what, error, isRefused = false } of failures) {
      const bits = isRefused ? UNSET[what] << REFUSED_SHIFT : UNSET[what]
      this.unset[file] = (this.unset[file] ?? 0) | bits
      if ((what === 'owner' || isRefused) && this.#isTold(what)) continue
      const { code = '', message } = error as NodeJS.ErrnoException
      this.reports.push({ file, what, code, message, isRefused })
    }
  }

  #isTold(what: MetadataFailure['what']): boolean {
    const count = (this.#examples.get(what) ?? 0) + 1
    this.#examples.set(what, count)
    return count > EXAMPLES_MAX
  }

  /** Records a failure of the file system; anything else is a mistake of cairn's and is thrown. */
  addFailure(file: number, error: unknown, status: number = FILE_STATUS.failed): void {
    const { code, message } = fileSystemError(error)
    this.statuses[file] = status
    this.reports.push({ file, what: 'content', code, message })
  }
}

/** What the file system said; anything else is a mistake of cairn's and is thrown. */
function fileSystemError(error: unknown): { readonly code: string; readonly message: string } {
  const { code, message } = error as NodeJS.ErrnoException
  if (error instanceof CairnError || code === undefined || code.startsWith('ERR_')) throw error
  return { code, message }
}

export interface FileWriterOptions {
  readonly sparse: boolean
  readonly selectsXattr: (name: ByteString) => boolean
}

export class FileWriters extends FileReports {
  readonly #target: Target
  readonly #job: WriteJob
  readonly #sparse: boolean
  readonly #selectsXattr: FileWriterOptions['selectsXattr']
  readonly #paths: readonly ByteString[]
  /** Rows that each file still waits for. */
  readonly #rowsLeft: Uint32Array
  readonly #open = new Map<number, TargetFile>()
  readonly #givenUp = new Set<number>()
  readonly sharedFailures: SharedFailure[] = []

  constructor(target: Target, job: WriteJob, { sparse, selectsXattr }: FileWriterOptions) {
    super(job.rowCounts.length)
    this.#target = target
    this.#job = job
    this.#sparse = sparse
    this.#selectsXattr = selectsXattr
    this.#paths = decodePaths(job.files)
    this.#rowsLeft = job.rowCounts.slice()
  }

  #size(file: number): number {
    return this.#job.files.sizes[file] ?? 0
  }

  /** Writes the files that have no rows: empty ones, and such as are nothing but holes. */
  writeEmpty(throwIfCancelled: () => void): void {
    const { rowCounts } = this.#job
    for (let file = 0; file < rowCounts.length; file++) {
      if (rowCounts[file] !== 0) continue
      throwIfCancelled()
      if (this.#size(file) === 0) this.#writeWhole(file, new Uint8Array())
      else if (this.#create(file) !== undefined) this.#finish(file)
    }
  }

  write(file: number, bytes: Uint8Array, range: WrittenRange): void {
    if (this.statuses[file] !== FILE_STATUS.done) return
    const isWhole = this.#job.rowCounts[file] === 1 && range.length === this.#size(file)
    if (isWhole) {
      const content = bytes.subarray(range.offset, range.offset + range.length)
      if (!this.#sparse || !hasZeroRun(content)) return this.#writeWhole(file, content)
    }
    const target = this.#open.get(file) ?? this.#create(file)
    if (target === undefined) return
    try {
      if (this.#sparse) writeAroundZeros(target, bytes, range)
      else target.write(bytes, range.offset, range.length, range.position)
    } catch (error) {
      this.#fail(file, error)
      return
    }
    const rowsLeft = (this.#rowsLeft[file] ?? 1) - 1
    this.#rowsLeft[file] = rowsLeft
    if (rowsLeft === 0) this.#finish(file)
  }

  /** Writes into a file that is not of this job alone. After a failure its other rows are left out. */
  writeShared(number: number, bytes: Uint8Array, range: WrittenRange): void {
    const shared = this.#job.shared[number] ?? -1
    if (shared < 0 || this.#givenUp.has(number)) return
    try {
      if (!this.#sparse) return this.#target.writeShared(shared, bytes, range)
      const write = (from: Uint8Array, offset: number, length: number, position: number) =>
        this.#target.writeShared(shared, from, { offset, length, position })
      writeAroundZeros({ write }, bytes, range)
    } catch (error) {
      const { code, message } = fileSystemError(error)
      this.#givenUp.add(number)
      this.sharedFailures.push({ shared: number, code, message })
    }
  }

  #writeWhole(file: number, content: Uint8Array): void {
    const metadata = metadataOf(this.#job.files, file, this.#selectsXattr)
    const overwrite = this.#job.overwrite[file] === 1
    try {
      const path = this.#paths[file] ?? ''
      const failures = this.#target.writeWholeFile(path, content, metadata, { overwrite })
      if (failures.length > 0) this.addUnset(file, failures)
    } catch (error) {
      this.addFailure(file, error)
    }
  }

  #create(file: number): TargetFile | undefined {
    try {
      const target = this.#target.createFile(this.#paths[file] ?? '')
      this.#open.set(file, target)
      target.truncate(this.#size(file))
      return target
    } catch (error) {
      this.#fail(file, error)
      return undefined
    }
  }

  #finish(file: number): void {
    const target = this.#open.get(file)
    if (target === undefined) return
    try {
      const metadata = metadataOf(this.#job.files, file, this.#selectsXattr)
      const failures = target.setMetadata(metadata)
      const afterwards = target.commit({ overwrite: this.#job.overwrite[file] === 1 })
      this.#open.delete(file)
      this.addUnset(file, failures)
      this.addUnset(file, afterwards)
    } catch (error) {
      this.#fail(file, error)
    }
  }

  #fail(file: number, error: unknown): void {
    this.#discard(file)
    this.addFailure(file, error)
  }

  markDamaged(file: number): void {
    if (this.statuses[file] !== FILE_STATUS.done) return
    this.#discard(file)
    this.statuses[file] = FILE_STATUS.damaged
  }

  #discard(file: number): void {
    const target = this.#open.get(file)
    this.#open.delete(file)
    try {
      target?.discard()
    } catch {
      // What failed first is what to tell; a later restore knows the name for what it is.
    }
  }

  /** To be called whatever happened: nothing stays open or behind. */
  discardOpen(): void {
    for (const file of this.#open.keys()) this.#discard(file)
  }
}
