/**
 * Blobs to be restored, as columns: where each is stored and where it goes. A file whose blobs lie
 * close together is one unit and is written by one worker as a whole; of any other file each blob is
 * a unit of its own, and the main thread puts the file together.
 */

import { CairnError, isCairnError } from '../../base/errors.ts'
import { blobIdOf, shortId } from '../../base/ids.ts'
import { BLOB_TYPE, REFERENCE_BYTES, SEGMENT_ALIGN_BYTES } from '../../format/constants.ts'
import { isHole, referenceId, referenceLength } from '../../format/tree.ts'
import type { BlobIndex, BlobLocation } from '../../pipeline/index/blob-index.ts'
import type { PackKey } from '../../pipeline/pack-seal.ts'
import type { SpreadFile } from './spread-file.ts'
import type { FileTask } from './window.ts'

const ROWS_MAX = 128 * 1024
/** Bounds the descriptors of files that are being put together. */
const SPREAD_FILES_MAX = 200
/** A file whose blobs lie in more than this of segments is not decoded by one worker alone. */
const WHOLE_PLAIN_BYTES_MAX = 16 << 20
/** Columns are addressed by 18 bits when units are put in order (write-jobs.ts). */
const CAPACITY = 1 << 18

/** A pack that a batch needs. */
export interface BatchPack {
  readonly packNumber: number
  readonly key: PackKey
}

/** What may be asked of the index, and what was found to be damaged meanwhile. */
export interface BlobSource {
  readonly index: BlobIndex
  /** The key of a pack, from its preamble. Throws CAIRN_CORRUPT. */
  readonly packKey: (preamble: Uint8Array) => PackKey
  /** Copies that are damaged, by `locationKey`, and in what way. */
  readonly damaged: Map<string, string>
}

export class Batch {
  readonly #source: BlobSource
  readonly packs: BatchPack[] = []
  readonly #ranks = new Map<number, number>()
  rowCount = 0
  unitCount = 0
  #capacity = 1024
  /** Per row. */
  rank = new Uint32Array(this.#capacity)
  segment = new Uint32Array(this.#capacity)
  stored = new Uint32Array(this.#capacity)
  plain = new Uint32Array(this.#capacity)
  offset = new Uint32Array(this.#capacity)
  length = new Uint32Array(this.#capacity)
  position = new Float64Array(this.#capacity)
  ids = Buffer.allocUnsafeSlow(this.#capacity * 32)
  /** Per unit: a number in `tasks`, or -1 - n for n in `spread`; its rows. */
  unitFile = new Int32Array(this.#capacity)
  unitRow = new Uint32Array(this.#capacity)
  unitRows = new Uint32Array(this.#capacity)
  readonly tasks: FileTask[] = []
  readonly spread: SpreadFile[] = []

  /** Whether workers have to look anew at directories that they know. */
  readonly refresh: boolean

  constructor(source: BlobSource, refresh = false) {
    this.#source = source
    this.refresh = refresh
  }

  get isFull(): boolean {
    return (
      this.rowCount >= ROWS_MAX ||
      this.unitCount >= ROWS_MAX ||
      this.spread.length >= SPREAD_FILES_MAX
    )
  }

  /**
   * Adds a file by its references. Returns false, with nothing added, if its blobs lie too far apart
   * for one worker. Throws CAIRN_CORRUPT if a blob has no copy left.
   */
  addWhole(
    task: FileTask,
    references: Uint8Array,
    plainBytesMax: number = WHOLE_PLAIN_BYTES_MAX,
  ): boolean {
    const first = this.rowCount
    let position = 0
    let plainBytes = 0
    for (let i = 0; i < references.length / REFERENCE_BYTES; i++) {
      const length = referenceLength(references, i)
      const id = referenceId(references, i)
      if (!isHole(id)) plainBytes += this.#addRow(id, length, position, first)
      position += length
      if (plainBytes > plainBytesMax && this.rowCount - first > 1) {
        this.rowCount = first
        return false
      }
    }
    this.#addUnit(this.tasks.push(task) - 1, first)
    return true
  }

  /** Adds one blob of a file that is put together. Throws as `addWhole` does. */
  addSpread(file: SpreadFile, id: Uint8Array, length: number, position: number): void {
    const first = this.rowCount
    this.#addRow(id, length, position, first)
    if (this.spread.at(-1) !== file) this.spread.push(file)
    this.#addUnit(-this.spread.length, first)
  }

  #addUnit(file: number, firstRow: number): void {
    const unit = this.unitCount++
    if (unit >= this.#capacity) this.#grow()
    this.unitFile[unit] = file
    this.unitRow[unit] = firstRow
    this.unitRows[unit] = this.rowCount - firstRow
  }

  /** Returns the bytes of the segment, if the unit's rows have not met it just before. */
  #addRow(id: Uint8Array, length: number, position: number, firstOfUnit: number): number {
    let location: BlobLocation
    try {
      location = this.#locate(id, length)
    } catch (error) {
      this.rowCount = firstOfUnit
      throw error
    }
    const row = this.rowCount++
    if (row >= this.#capacity) this.#grow()
    const { segment } = location
    this.rank[row] = this.#ranks.get(location.packNumber) ?? 0
    this.segment[row] = segment.offset / SEGMENT_ALIGN_BYTES
    this.stored[row] = segment.storedBytes
    this.plain[row] = segment.plainBytes
    this.offset[row] = location.offset
    this.length[row] = length
    this.position[row] = position
    this.ids.set(id, row * 32)
    const isSame =
      row > firstOfUnit &&
      this.rank[row - 1] === this.rank[row] &&
      this.segment[row - 1] === this.segment[row]
    return isSame ? 0 : segment.plainBytes
  }

  /** The best copy of a blob that is not known to be damaged. */
  #locate(id: Uint8Array, length: number): BlobLocation {
    const { index, damaged } = this.#source
    let problem: string | undefined
    for (const location of index.find(id)) {
      if (location.type !== BLOB_TYPE.data || location.length !== length) {
        problem ??= 'it does not have the length or the type that the file says'
        continue
      }
      const known = damaged.size === 0 ? undefined : damaged.get(locationKey(location))
      const unusable = known ?? this.#rankPack(location.packNumber)
      if (unusable === undefined) return location
      problem ??= `pack ${shortId(index.pack(location.packNumber).name)}: ${unusable}`
    }
    const blob = shortId(blobIdOf(id))
    throw problem === undefined
      ? new CairnError('CAIRN_CORRUPT', `blob ${blob} is missing: no index file and pack has it`)
      : new CairnError('CAIRN_CORRUPT', `blob ${blob} is damaged: ${problem}`)
  }

  /** Gives a pack its number in this batch, or says why it cannot be used. */
  #rankPack(packNumber: number): string | undefined {
    if (this.#ranks.has(packNumber)) return undefined
    try {
      const key = this.#source.packKey(this.#source.index.pack(packNumber).preamble)
      this.#ranks.set(packNumber, this.packs.push({ packNumber, key }) - 1)
      return undefined
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      return error.message
    }
  }

  /** Remembers that the copy behind a row is not to be used again. */
  markDamaged(row: number, problem: string): void {
    const packNumber = this.packs[this.rank[row] ?? 0]?.packNumber ?? -1
    const offset = (this.segment[row] ?? 0) * SEGMENT_ALIGN_BYTES
    const at = { packNumber, segment: { offset }, offset: this.offset[row] ?? 0 }
    this.#source.damaged.set(locationKey(at), problem)
  }

  #grow(): void {
    this.#capacity = Math.min(CAPACITY, this.#capacity * 4)
    const capacity = this.#capacity
    const grown = <T extends Uint32Array | Int32Array | Float64Array>(from: T, to: T): T => {
      to.set(from)
      return to
    }
    this.rank = grown(this.rank, new Uint32Array(capacity))
    this.segment = grown(this.segment, new Uint32Array(capacity))
    this.stored = grown(this.stored, new Uint32Array(capacity))
    this.plain = grown(this.plain, new Uint32Array(capacity))
    this.offset = grown(this.offset, new Uint32Array(capacity))
    this.length = grown(this.length, new Uint32Array(capacity))
    this.position = grown(this.position, new Float64Array(capacity))
    this.unitFile = grown(this.unitFile, new Int32Array(capacity))
    this.unitRow = grown(this.unitRow, new Uint32Array(capacity))
    this.unitRows = grown(this.unitRows, new Uint32Array(capacity))
    const ids = Buffer.allocUnsafeSlow(capacity * 32)
    this.ids.copy(ids)
    this.ids = ids
  }
}

function locationKey(location: {
  readonly packNumber: number
  readonly segment: { readonly offset: number }
  readonly offset: number
}): string {
  return `${location.packNumber}:${location.segment.offset}:${location.offset}`
}
