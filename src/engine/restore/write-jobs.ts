/**
 * Cuts a batch into jobs for workers: units in the order in which packs hold them, so that each
 * segment is opened once, as far as files allow that are to be written whole.
 */

import { SEGMENT_ALIGN_BYTES, SEGMENT_HEADER_BYTES } from '../../format/constants.ts'
import { segmentBodyBytes } from '../../format/segment.ts'
import {
  NOT_LOADED,
  ROW_COLUMNS,
  SEGMENT_COLUMNS,
  SHARED_FILE,
  type WriteJob,
} from '../../pipeline/restore-job.ts'
import type { Batch } from './batch.ts'
import type { SpreadFile } from './spread-file.ts'
import type { FileTask } from './window.ts'

/** A job ends after this much of plaintext of segments, at a segment that it does not have yet. */
const PLAIN_BYTES = 4 << 20
/** It ends anyway before it has more than these: keys and buffers are bounded by them. */
const ROWS_MAX = 1 << 13
const FILES_MAX = 2048
const WRITTEN_BYTES_MAX = 64 << 20
/** Extended attributes in a blob of their own count as this much of it: they are all in memory. */
export const LARGE_XATTRS_BYTES = 4 << 20
/** Files of several blobs may all be open at once. */
const PART_FILES_MAX = 64

/** Everything of a job but what is gathered when it starts. */
export interface PlannedJob {
  readonly batch: Batch
  readonly message: Omit<WriteJob, 'refresh' | 'files' | 'packs' | 'sealed' | 'shared'>
  /** Packs of the batch, in the order of the message's. */
  readonly packs: readonly number[]
  readonly tasks: readonly FileTask[]
  /** Rows of the message, as rows of the batch. */
  readonly batchRows: Uint32Array
  /** The files of the message's `shared`. */
  readonly spread: readonly SpreadFile[]
}

/** The units of a batch, in the order of packs and segments, by 64-bit keys with the unit below. */
function orderUnits(batch: Batch): Uint32Array {
  const words = new Uint32Array(batch.unitCount * 2)
  for (let unit = 0; unit < batch.unitCount; unit++) {
    const row = batch.unitRow[unit] ?? 0
    const hasRows = batch.unitRows[unit] !== 0
    const rank = hasRows ? (batch.rank[row] ?? 0) : 0
    const segment = hasRows ? (batch.segment[row] ?? 0) : 0
    // 20 bits of pack, 26 of segment, 18 of unit; little-endian words, as every Node platform has.
    words[unit * 2] = ((segment & 0x3fff) << 18) | unit
    words[unit * 2 + 1] = (rank << 12) | (segment >>> 14)
  }
  new BigUint64Array(words.buffer).sort()
  return Uint32Array.from({ length: batch.unitCount }, (_, i) => (words[i * 2] ?? 0) & 0x3ffff)
}

export function* writeJobs(batch: Batch): Generator<PlannedJob> {
  let draft = new JobDraft(batch)
  for (const unit of orderUnits(batch)) {
    if (!draft.fits(unit)) {
      yield draft.build()
      draft = new JobDraft(batch)
    }
    draft.add(unit)
  }
  if (!draft.isEmpty) yield draft.build()
}

class JobDraft {
  readonly #batch: Batch
  /** Segments by pack and place, to their number in the job. */
  readonly #segments = new Map<number, number>()
  readonly #segmentRows: number[] = []
  readonly #tasks: FileTask[] = []
  readonly #rowCounts: number[] = []
  /** Per row of the job: its row of the batch, its segment in the job, its file as in the message. */
  readonly #rows: number[] = []
  readonly #rowSegments: number[] = []
  readonly #rowFiles: number[] = []
  #plainBytes = 0
  #writtenBytes = 0
  /** Files of several jobs: by their number in the batch, that in this job. */
  readonly #shared = new Map<number, number>()
  #partFiles = 0

  constructor(batch: Batch) {
    this.#batch = batch
  }

  get isEmpty(): boolean {
    return this.#rows.length === 0 && this.#tasks.length === 0
  }

  #segmentKey(row: number): number {
    return (this.#batch.rank[row] ?? 0) * 2 ** 26 + (this.#batch.segment[row] ?? 0)
  }

  fits(unit: number): boolean {
    if (this.isEmpty) return true
    const row = this.#batch.unitRow[unit] ?? 0
    const rows = this.#batch.unitRows[unit] ?? 0
    if (this.#rows.length + rows > ROWS_MAX || this.#tasks.length >= FILES_MAX) return false
    if (this.#writtenBytes >= WRITTEN_BYTES_MAX) return false
    if (rows > 1 && this.#partFiles >= PART_FILES_MAX) return false
    return this.#plainBytes < PLAIN_BYTES || rows === 0 || this.#segments.has(this.#segmentKey(row))
  }

  add(unit: number): void {
    const { unitFile, unitRow, unitRows, tasks, length } = this.#batch
    const file = unitFile[unit] ?? 0
    const rows = unitRows[unit] ?? 0
    const task = tasks[file]
    if (task !== undefined) {
      this.#tasks.push(task)
      this.#rowCounts.push(rows)
      if (rows > 1) this.#partFiles++
      if (task.entry.xattrsId !== undefined) this.#writtenBytes += LARGE_XATTRS_BYTES
    }
    const number = task === undefined ? this.#sharedFile(-1 - file) : this.#tasks.length - 1
    const first = unitRow[unit] ?? 0
    for (let row = first; row < first + rows; row++) {
      this.#rows.push(row)
      this.#rowSegments.push(this.#segmentOf(row))
      this.#rowFiles.push(number)
      this.#writtenBytes += length[row] ?? 0
    }
  }

  #sharedFile(spread: number): number {
    let number = this.#shared.get(spread)
    if (number === undefined) this.#shared.set(spread, (number = this.#shared.size))
    return SHARED_FILE + number
  }

  #segmentOf(row: number): number {
    const key = this.#segmentKey(row)
    const known = this.#segments.get(key)
    if (known !== undefined) return known
    const number = this.#segmentRows.push(row) - 1
    this.#segments.set(key, number)
    this.#plainBytes += this.#batch.plain[row] ?? 0
    return number
  }

  /** The rows of the job by segment and offset: 13, 27 and 13 bits of an exact number. */
  #orderRows(): Float64Array {
    const keys = new Float64Array(this.#rows.length)
    for (const [i, row] of this.#rows.entries()) {
      const segment = this.#rowSegments[i] ?? 0
      keys[i] = (segment * 2 ** 27 + (this.#batch.offset[row] ?? 0)) * ROWS_MAX + i
    }
    return keys.sort()
  }

  build(): PlannedJob {
    const { offset, length, position, ids: batchIds, spread } = this.#batch
    const rowCount = this.#rows.length
    const rows = new Uint32Array(rowCount * ROW_COLUMNS)
    const positions = new Float64Array(rowCount)
    const batchRows = new Uint32Array(rowCount)
    const ids = Buffer.allocUnsafeSlow(rowCount * 32)
    const segmentRows = new Uint32Array(this.#segmentRows.length)
    const order = this.#orderRows()
    for (let at = 0; at < rowCount; at++) {
      const i = (order[at] ?? 0) % ROWS_MAX
      const row = this.#rows[i] ?? 0
      const segment = this.#rowSegments[i] ?? 0
      rows[at * ROW_COLUMNS] = offset[row] ?? 0
      rows[at * ROW_COLUMNS + 1] = length[row] ?? 0
      rows[at * ROW_COLUMNS + 2] = this.#rowFiles[i] ?? 0
      positions[at] = position[row] ?? 0
      batchRows[at] = row
      segmentRows[segment] = (segmentRows[segment] ?? 0) + 1
      batchIds.copy(ids, at * 32, row * 32, row * 32 + 32)
    }
    const { segments, packs } = this.#segmentColumns(segmentRows)
    return {
      batch: this.#batch,
      message: {
        kind: 'write',
        overwrite: Uint8Array.from(this.#tasks, ({ replaces }) => (replaces ? 1 : 0)),
        rowCounts: Uint32Array.from(this.#rowCounts),
        segments,
        ids,
        rows,
        positions,
      },
      packs,
      tasks: this.#tasks,
      batchRows,
      spread: [...this.#shared.keys()].flatMap((number) => spread[number] ?? []),
    }
  }

  #segmentColumns(rowCounts: Uint32Array): { segments: Uint32Array; packs: number[] } {
    const batch = this.#batch
    const segments = new Uint32Array(this.#segmentRows.length * SEGMENT_COLUMNS)
    const packs: number[] = []
    const numbers = new Map<number, number>()
    for (const [i, row] of this.#segmentRows.entries()) {
      const rank = batch.rank[row] ?? 0
      let pack = numbers.get(rank)
      if (pack === undefined) numbers.set(rank, (pack = packs.push(rank) - 1))
      segments.set(
        [pack, batch.segment[row] ?? 0, batch.stored[row] ?? 0, rowCounts[i] ?? 0, NOT_LOADED, 0],
        i * SEGMENT_COLUMNS,
      )
    }
    return { segments, packs }
  }
}

/** Where segment `i` of a job lies in its pack. */
export function segmentRange(
  segments: Uint32Array,
  i: number,
): { readonly offset: number; readonly byteCount: number } {
  const at = i * SEGMENT_COLUMNS
  const offset = (segments[at + 1] ?? 0) * SEGMENT_ALIGN_BYTES
  return { offset, byteCount: SEGMENT_HEADER_BYTES + segmentBodyBytes(segments[at + 2] ?? 0) }
}
