/** Opens every segment that a directory names and recomputes every id (FORMAT.md 4 and 8). */

import { errorChain, isCairnError } from '../base/errors.ts'
import { ID_BYTES } from '../base/ids.ts'
import { SEGMENT_HEADER_BYTES, SEGMENT_ROW_BYTES } from '../format/constants.ts'
import type { DirectorySegment, PackDirectory } from '../format/directory.ts'
import { mayHold, segmentBodyBytes } from '../format/segment.ts'
import type { BlobIdentifier } from './keys.ts'
import type { PackContents } from './pack-contents.ts'
import type { PackKey } from './pack-seal.ts'
import type { OpenedSegment, SegmentReader } from './segment-reader.ts'

export interface SegmentCheckRun {
  readonly key: PackKey
  readonly directory: PackDirectory
  readonly contents: PackContents
  readonly onProblem: (problem: string) => void
}

/** Damaged ids are counted before they are kept: there are none as a rule. */
export class SegmentCheck {
  readonly #segments: SegmentReader
  readonly #identifier: BlobIdentifier
  readonly #id = Buffer.alloc(ID_BYTES)
  #damagedIds: Uint8Array[] = []
  plainBytes = 0

  constructor(segments: SegmentReader, identifier: BlobIdentifier) {
    this.#segments = segments
    this.#identifier = identifier
  }

  /** The ids of the last run's damaged blobs, in memory of their own. */
  takeDamagedIds(): Uint8Array {
    const ids = new Uint8Array(this.#damagedIds.length * ID_BYTES)
    for (const [i, id] of this.#damagedIds.entries()) ids.set(id, i * ID_BYTES)
    this.#damagedIds = []
    return ids
  }

  run(run: SegmentCheckRun): void {
    this.#damagedIds = []
    this.plainBytes = 0
    const { directory, onProblem } = run
    let firstBlob = 0
    for (let s = 0; s < directory.segmentCount; s++) {
      const segment = directory.segment(s)
      const problem = this.#checkSegment(run, segment, firstBlob)
      if (problem !== undefined) onProblem(`segment ${s} at byte ${segment.offset}: ${problem}`)
      firstBlob += segment.blobCount
    }
  }

  #checkSegment(
    run: SegmentCheckRun,
    segment: DirectorySegment,
    first: number,
  ): string | undefined {
    const { directory } = run
    const opened = this.#open(run, segment)
    if (typeof opened === 'string') {
      for (let i = first; i < first + segment.blobCount; i++) this.#addDamaged(directory.id(i))
      return opened
    }
    this.plainBytes += opened.plain.length
    const damagedBefore = this.#damagedIds.length
    const agrees = this.#checkBlobs(run, segment, first, opened.plain)
    const damagedCount = this.#damagedIds.length - damagedBefore
    if (damagedCount > 0) return `${damagedCount} blobs do not have their ids`
    return agrees && hasSameFigures(opened, segment)
      ? undefined
      : 'the directory describes it wrongly'
  }

  #open(run: SegmentCheckRun, segment: DirectorySegment): OpenedSegment | string {
    const { contents, key } = run
    const byteCount = SEGMENT_HEADER_BYTES + segmentBodyBytes(segment.storedBytes)
    if (segment.offset + byteCount > contents.byteCount) return 'it is cut off'
    try {
      const sealed = contents.range(segment.offset, byteCount)
      return this.#segments.open(key, segment.offset, sealed)
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      return errorChain(error)
    }
  }

  /** Returns whether the segment's own table, and its kind, are what the directory says. */
  #checkBlobs(
    { directory }: SegmentCheckRun,
    segment: DirectorySegment,
    first: number,
    plain: Uint8Array,
  ): boolean {
    let agrees = true
    let offset = segment.blobCount * SEGMENT_ROW_BYTES
    for (let i = 0; i < segment.blobCount; i++) {
      const type = directory.type(first + i)
      const length = directory.length(first + i)
      agrees &&= isRow(plain, i, type, length) && mayHold(segment.kind, type)
      if (!this.#hasId(directory.id(first + i), type, plain, offset, length)) {
        this.#addDamaged(directory.id(first + i))
      }
      offset += length
    }
    return agrees
  }

  #hasId(
    id: Uint8Array,
    type: Parameters<BlobIdentifier['id']>[0],
    plain: Uint8Array,
    offset: number,
    length: number,
  ): boolean {
    if (offset + length > plain.length) return false
    this.#identifier.id(type, plain.subarray(offset, offset + length), this.#id)
    return this.#id.equals(id)
  }

  #addDamaged(id: Uint8Array): void {
    this.#damagedIds.push(Uint8Array.from(id))
  }
}

function isRow(plain: Uint8Array, row: number, type: number, length: number): boolean {
  const at = row * SEGMENT_ROW_BYTES
  return (
    plain[at] === type &&
    plain[at + 1] === (length & 0xff) &&
    plain[at + 2] === ((length >>> 8) & 0xff) &&
    plain[at + 3] === ((length >>> 16) & 0xff) &&
    plain[at + 4] === length >>> 24
  )
}

function hasSameFigures({ header }: OpenedSegment, segment: DirectorySegment): boolean {
  return (
    header.storedBytes === segment.storedBytes &&
    header.plainBytes === segment.plainBytes &&
    header.blobCount === segment.blobCount &&
    header.compression === segment.compression &&
    header.kind === segment.kind
  )
}
