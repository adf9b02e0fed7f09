/** Compares files of the target with references: before they are written, and for `--verify`. */

import type { ByteString } from '../base/bytes.ts'
import { REFERENCE_BYTES, BLOB_TYPE } from '../format/constants.ts'
import { isHole, referenceId, referenceLength } from '../format/tree.ts'
import type { ExistingFile, Target } from '../source/target-files.ts'
import type { BlobIdentifier } from './keys.ts'
import { FileReports } from './restore-files.ts'
import {
  type CompareJob,
  decodePaths,
  FILE_STATUS,
  metadataOf,
  type RestoreResult,
} from './restore-job.ts'

const HOLE_PIECE_BYTES = 1 << 20

export class FileComparison {
  readonly #target: Target
  readonly #identifier: BlobIdentifier
  readonly #selectsXattr: (name: ByteString) => boolean
  readonly #throwIfCancelled: () => void
  readonly #id = Buffer.allocUnsafeSlow(32)
  #buffer: Buffer = Buffer.allocUnsafeSlow(HOLE_PIECE_BYTES)

  constructor(options: {
    readonly target: Target
    readonly identifier: BlobIdentifier
    readonly selectsXattr: (name: ByteString) => boolean
    readonly throwIfCancelled: () => void
  }) {
    this.#target = options.target
    this.#identifier = options.identifier
    this.#selectsXattr = options.selectsXattr
    this.#throwIfCancelled = options.throwIfCancelled
  }

  run(job: CompareJob): RestoreResult {
    const paths = decodePaths(job.files)
    const out = new FileReports(paths.length)
    let first = 0
    for (const [file, path] of paths.entries()) {
      this.#throwIfCancelled()
      const count = job.counts[file] ?? 0
      const end = (first + count) * REFERENCE_BYTES
      const references = job.references.subarray(first * REFERENCE_BYTES, end)
      first += count
      this.#compare(job, { file, path, references }, out)
    }
    const { statuses, unset, reports } = out
    const none = { damagedRows: new Uint32Array(), damage: [], sharedFailures: [] }
    return { statuses, unset, reports, ...none }
  }

  #compare(
    job: CompareJob,
    { file, path, references }: { file: number; path: string; references: Uint8Array },
    out: FileReports,
  ): void {
    let existing: ExistingFile | undefined
    try {
      existing = this.#target.openExisting(path)
      const isEqual =
        existing.stat.size === (job.files.sizes[file] ?? 0) &&
        this.#isEqual(existing, references, job.starts[file] ?? 0)
      if (!isEqual) out.statuses[file] = FILE_STATUS.differs
      else if (job.adopt) {
        const failures = existing.adopt(metadataOf(job.files, file, this.#selectsXattr))
        if (failures === undefined) out.statuses[file] = FILE_STATUS.unadopted
        else out.addUnset(file, failures)
      }
    } catch (error) {
      out.addFailure(file, error)
    } finally {
      existing?.close()
    }
  }

  #isEqual(existing: ExistingFile, references: Uint8Array, start: number): boolean {
    let position = start
    for (let i = 0; i < references.length / REFERENCE_BYTES; i++) {
      this.#throwIfCancelled()
      const id = referenceId(references, i)
      const length = referenceLength(references, i)
      const isEqual = isHole(id)
        ? this.#isZero(existing, position, length)
        : this.#hasId(existing, position, length, id)
      if (!isEqual) return false
      position += length
    }
    return true
  }

  /** Reads into the buffer; false if the file ends before. */
  #read(existing: ExistingFile, position: number, length: number): boolean {
    if (this.#buffer.length < length) this.#buffer = Buffer.allocUnsafeSlow(length)
    for (let done = 0; done < length; ) {
      const count = existing.read(this.#buffer, done, length - done, position + done)
      if (count === 0) return false
      done += count
    }
    return true
  }

  #hasId(existing: ExistingFile, position: number, length: number, id: Uint8Array): boolean {
    if (!this.#read(existing, position, length)) return false
    this.#identifier.id(BLOB_TYPE.data, this.#buffer.subarray(0, length), this.#id)
    return this.#id.equals(id)
  }

  #isZero(existing: ExistingFile, start: number, length: number): boolean {
    for (let done = 0; done < length; done += HOLE_PIECE_BYTES) {
      this.#throwIfCancelled()
      // What is a hole there, too, need not be read: it may be a terabyte.
      const next = existing.nextData(start + done)
      if (next === undefined || next >= start + length) return existing.stat.size >= start + length
      done = Math.max(done, next - start)
      const count = Math.min(HOLE_PIECE_BYTES, length - done)
      if (!this.#read(existing, start + done, count)) return false
      if (!this.#buffer.subarray(0, count).every((byte) => byte === 0)) return false
    }
    return true
  }
}
