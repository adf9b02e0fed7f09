/**
 * Copies the blobs that are still needed out of a pack, for `prune` and `repair`: opens each segment
 * that holds one, checks every id, and seals what is wanted into new packs. Keys and nonces belong
 * to a pack, so nothing is copied as it lies there.
 */

import { byteStringOf, concat, equalBytes } from '../base/bytes.ts'
import { errorChain, isCairnError } from '../base/errors.ts'
import { ID_BYTES } from '../base/ids.ts'
import { loadZstd } from '../compression/zstd.ts'
import { loadBlake3, prepareBlake3 } from '../crypto/blake3.ts'
import {
  type BlobType,
  SEGMENT_HEADER_BYTES,
  SEGMENT_KIND,
  SEGMENT_ROW_BYTES,
  type SegmentKind,
} from '../format/constants.ts'
import { type DirectorySegment, PackDirectory } from '../format/directory.ts'
import { segmentBodyBytes, segmentKindOf } from '../format/segment.ts'
import type { BlobLookup, IndexShare } from './index/blob-index.ts'
import { openLookup } from './index/open-lookup.ts'
import { type BlobIdKeys, BlobIdentifier, type WriteKeys } from './keys.ts'
import { hashOf } from './pack-body.ts'
import { type PackContents, contentsOfBytes, PackFileReader } from './pack-contents.ts'
import { AeadSet, type PackKey } from './pack-seal.ts'
import { PackWriter, type PackWriterOptions, type SealedPack } from './pack-writer.ts'
import { SegmentReader } from './segment-reader.ts'
import type { BodyHost, WorkBody } from './work-pool.ts'

export interface RepackInit {
  readonly keys: WriteKeys
  readonly writer: Omit<PackWriterOptions, 'kind' | 'keys' | 'packBytesTarget'>
  readonly packBytesTargets: { readonly data: number; readonly metadata: number }
  /** [0] the last pack handle given out. */
  readonly control: SharedArrayBuffer
  /** Where packs of another repository are read. */
  readonly foreign?: ForeignPacks
}

export interface ForeignPacks {
  /** What ids are made with there. */
  readonly idKeys: BlobIdKeys
  /** What is here already, and is not stored again. */
  readonly there: IndexShare
}

/** Which blobs of a pack are wanted: one byte each, in the order of its directory. */
export interface RepackPackJob {
  readonly kind: 'copy' | 'verify'
  readonly source: { readonly path: string } | { readonly bytes: Uint8Array }
  readonly key: PackKey
  readonly directory: Uint8Array
  readonly wanted: Uint8Array
  /** The 32 bytes of the name, to check the whole file against it as well. */
  readonly name?: Uint8Array
}

export interface RepackFinishJob {
  readonly kind: 'finish'
}

export type RepackJob = RepackPackJob | RepackFinishJob

export interface RepackResult {
  /** Why the file could not be read; nothing of it was copied then. */
  readonly unreadable: string | undefined
  /** What is wrong with the pack, in words; empty if all that was wanted is good. */
  readonly problems: readonly string[]
  /** The numbers of wanted blobs that are damaged. */
  readonly damaged: Uint32Array
  readonly blobCount: number
  readonly plainBytes: number
  /** What came from another repository: */
  readonly foreign: ForeignResult | undefined
}

export interface ForeignResult {
  /** The ids here of the wanted blobs, in their order; zeros for those that are damaged. */
  readonly ids: Uint8Array
  /** Numbers of packs of the index that have some of them. */
  readonly packNumbers: readonly number[]
}

export type RepackNote = { readonly kind: 'pack'; readonly pack: SealedPack }
export type RepackReply = { readonly kind: 'buffer'; readonly buffer: ArrayBuffer }

const PROBLEMS_MAX = 5
const NO_ID = new Uint8Array(ID_BYTES)

export async function createRepackBody(
  init: RepackInit,
  host: BodyHost,
): Promise<WorkBody<RepackJob, RepackResult>> {
  await prepareBlake3()
  const there = init.foreign === undefined ? undefined : await openLookup(init.foreign.there)
  return new RepackBody(init, host, there)
}

class RepackBody implements WorkBody<RepackJob, RepackResult> {
  readonly #init: RepackInit
  readonly #host: BodyHost
  readonly #files: PackFileReader
  readonly #segments = new SegmentReader(new AeadSet(), loadZstd())
  readonly #identifier: BlobIdentifier
  readonly #writers = new Map<SegmentKind, PackWriter>()
  readonly #buffers: ArrayBuffer[] = []
  readonly #id = Buffer.allocUnsafeSlow(ID_BYTES)
  readonly #there: BlobLookup | undefined
  readonly #newIdentifier: BlobIdentifier

  constructor(init: RepackInit, host: BodyHost, there: BlobLookup | undefined) {
    this.#init = init
    this.#host = host
    this.#there = there
    this.#files = new PackFileReader(host.environment.source)
    this.#newIdentifier = new BlobIdentifier(init.keys.idKeys, loadBlake3())
    this.#identifier =
      init.foreign === undefined
        ? this.#newIdentifier
        : new BlobIdentifier(init.foreign.idKeys, loadBlake3())
  }

  run(job: RepackJob): RepackResult {
    const tally = new Tally(this.#there !== undefined)
    if (job.kind === 'finish') {
      for (const writer of this.#writers.values()) writer.finish()
      return tally.finish()
    }
    const { source } = job
    if ('bytes' in source) {
      this.#pack(job, contentsOfBytes(source.bytes), tally)
      return tally.finish()
    }
    let isOpen = false
    try {
      this.#files.with(byteStringOf(source.path), false, (contents) => {
        isOpen = true
        this.#pack(job, contents, tally)
      })
      return tally.finish()
    } catch (error) {
      // The owner asks the storage again, which knows what it means; what was copied stays copied.
      if (isOpen && isCairnError(error, 'CAIRN_FAILED')) throw error
      return tally.finish(errorChain(error))
    }
  }

  #pack(job: RepackPackJob, contents: PackContents, tally: Tally): void {
    if (job.name !== undefined && !equalBytes(hashOf(contents), job.name)) {
      tally.addProblem('its bytes do not have its name')
    }
    const directory = new PackDirectory(job.directory)
    let first = 0
    for (let s = 0; s < directory.segmentCount; s++) {
      const segment = directory.segment(s)
      const end = first + segment.blobCount
      if (job.wanted.subarray(first, end).includes(1)) {
        this.#segment(job, { directory, segment, first }, contents, tally)
      }
      first = end
    }
  }

  #segment(job: RepackPackJob, place: SegmentPlace, contents: PackContents, tally: Tally): void {
    const { directory, segment, first } = place
    const plain = this.#open(job.key, segment, contents, tally)
    let offset = segment.blobCount * SEGMENT_ROW_BYTES
    for (let blob = first; blob < first + segment.blobCount; blob++) {
      const length = directory.length(blob)
      const start = offset
      offset += length
      if (job.wanted[blob] !== 1) continue
      const type = directory.type(blob)
      const bytes = plain?.subarray(start, start + length)
      if (bytes?.length !== length || !this.#hasId(directory.id(blob), type, bytes)) {
        tally.addDamaged(blob, plain === undefined ? undefined : segment.offset)
        continue
      }
      if (job.kind === 'copy') this.#copy(type, bytes, tally)
      tally.blobCount++
      tally.plainBytes += length
    }
  }

  /** `#id` is the blob's where it was read. */
  #copy(type: BlobType, bytes: Uint8Array, tally: Tally): void {
    if (this.#there !== undefined) {
      this.#newIdentifier.id(type, bytes, this.#id)
      const packNumber = this.#there.findPack(this.#id)
      tally.addForeign(this.#id, packNumber)
      if (packNumber >= 0) return
    }
    this.#writer(type).add(type, this.#id, bytes)
  }

  #open(
    key: PackKey,
    segment: DirectorySegment,
    contents: PackContents,
    tally: Tally,
  ): Uint8Array | undefined {
    const byteCount = SEGMENT_HEADER_BYTES + segmentBodyBytes(segment.storedBytes)
    if (segment.offset + byteCount > contents.byteCount) {
      tally.addProblem(`it is cut off at byte ${contents.byteCount}`)
      return undefined
    }
    const sealed = contents.range(segment.offset, byteCount)
    try {
      return this.#segments.open(key, segment.offset, sealed).plain
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      tally.addProblem(errorChain(error))
      return undefined
    }
  }

  #hasId(id: Uint8Array, type: BlobType, bytes: Uint8Array): boolean {
    this.#identifier.id(type, bytes, this.#id)
    return equalBytes(this.#id, id)
  }

  #writer(type: BlobType): PackWriter {
    const kind = segmentKindOf(type)
    const known = this.#writers.get(kind)
    if (known !== undefined) return known
    const { keys, writer, packBytesTargets, control } = this.#init
    const handles = new Int32Array(control)
    const isData = kind === SEGMENT_KIND.data
    const made = new PackWriter(
      {
        ...writer,
        kind,
        keys,
        packBytesTarget: isData ? packBytesTargets.data : packBytesTargets.metadata,
      },
      {
        blake3: loadBlake3(),
        zstd: loadZstd(),
        entropy: this.#host.environment,
        allocate: (byteCount) => this.#buffer(byteCount),
        emit: (pack) => {
          const note: RepackNote = { kind: 'pack', pack }
          this.#host.post(note, [pack.bytes.buffer])
        },
        nextHandle: () => Atomics.add(handles, 0, 1) + 1,
      },
    )
    this.#writers.set(kind, made)
    return made
  }

  #buffer(byteCount: number): ArrayBuffer {
    const at = this.#buffers.findIndex((buffer) => buffer.byteLength >= byteCount)
    return at < 0 ? new ArrayBuffer(byteCount) : (this.#buffers.splice(at, 1)[0] as ArrayBuffer)
  }

  receive(note: unknown): void {
    this.#buffers.push((note as RepackReply).buffer)
  }

  async close(): Promise<void> {
    await this.#there?.close()
  }
}

interface SegmentPlace {
  readonly directory: PackDirectory
  readonly segment: DirectorySegment
  /** The number of the segment's first blob. */
  readonly first: number
}

class Tally {
  readonly #problems: string[] = []
  readonly #damaged: number[] = []
  readonly #isForeign: boolean
  readonly #ids: Uint8Array[] = []
  readonly #packNumbers = new Set<number>()
  blobCount = 0
  plainBytes = 0

  constructor(isForeign: boolean) {
    this.#isForeign = isForeign
  }

  addProblem(problem: string): void {
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push(problem)
  }

  addDamaged(blob: number, segmentOffset: number | undefined): void {
    this.#damaged.push(blob)
    if (this.#isForeign) this.#ids.push(NO_ID)
    if (segmentOffset === undefined) return
    this.addProblem(`segment at byte ${segmentOffset}: a blob does not have its id`)
  }

  addForeign(id: Uint8Array, packNumber: number): void {
    this.#ids.push(Uint8Array.from(id))
    if (packNumber >= 0) this.#packNumbers.add(packNumber)
  }

  finish(unreadable?: string): RepackResult {
    return {
      unreadable,
      problems: this.#problems,
      damaged: Uint32Array.from(this.#damaged),
      blobCount: this.blobCount,
      plainBytes: this.plainBytes,
      foreign: this.#isForeign
        ? { ids: concat(...this.#ids), packNumbers: [...this.#packNumbers] }
        : undefined,
    }
  }
}
