/**
 * What a worker does in a backup: reads files, cuts them, computes ids, and stores what is new. The
 * whole path of a file is on one thread, in fixed buffers; results are flat arrays, because a
 * message of 64 small objects costs more than the work it reports.
 */

import type { ByteString } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { createChunker, gearTableFrom } from '../chunker/create-chunker.ts'
import type { Chunker, ChunkerParameters } from '../chunker/chunker.ts'
import { loadZstd } from '../compression/zstd.ts'
import { loadBlake3, prepareBlake3 } from '../crypto/blake3.ts'
import { BLOB_TYPE, SEGMENT_KIND } from '../format/constants.ts'
import type { DataRun, OpenSourceFile } from '../source/source-files.ts'
import { type BackupResult, READ_STATUS, ResultBuilder } from './backup-result.ts'
import { Claims } from './claim-table.ts'
import { CutPoints } from './cut-points.ts'
import { dataRuns } from './data-runs.ts'
import type { BlobLookup, IndexShare } from './index/blob-index.ts'
import { openLookup } from './index/open-lookup.ts'
import { BlobIdentifier, type WriteKeys } from './keys.ts'
import { PackWriter, type PackWriterOptions, type SealedPack } from './pack-writer.ts'
import { ReadAhead } from './read-ahead.ts'
import type { BodyHost, WorkBody } from './work-pool.ts'

export interface BackupInit {
  readonly keys: WriteKeys
  readonly gearBytes: Uint8Array
  readonly chunker: ChunkerParameters
  readonly writer: Omit<PackWriterOptions, 'kind' | 'keys' | 'blobBytesMax'>
  readonly claims: readonly SharedArrayBuffer[]
  readonly index: IndexShare
  /** [0] cancelled if not 0; [1] the last pack handle given out. */
  readonly control: SharedArrayBuffer
  /** [0] bytes read by all workers, for progress. */
  readonly progress: SharedArrayBuffer
}

/** A file as the scan saw it: anything else at its path now is not this file. */
export interface FileJob {
  readonly kind: 'files'
  readonly paths: readonly ByteString[]
  readonly devices: BigUint64Array
  readonly inodes: BigUint64Array
  readonly sizes: Float64Array
}

/** Finds the cut points of a part of one large file. */
export interface CutJob {
  readonly kind: 'cut'
  readonly path: ByteString
  readonly device: bigint
  readonly inode: bigint
  readonly position: number
  /** Stop at the first cut point at or after this many bytes of data. */
  readonly byteCount: number
  /** How long the file was when the scan saw it: what is behind that is not read. */
  readonly size: number
}

/** Stores chunks of known lengths of one large file. */
export interface RangeJob {
  readonly kind: 'range'
  readonly path: ByteString
  readonly device: bigint
  readonly inode: bigint
  readonly position: number
  /** As results have them. */
  readonly lengths: Uint32Array
  readonly gaps: Float64Array
}

/** Stores chunks that the owner has read and cut itself (standard input). */
export interface BytesJob {
  readonly kind: 'bytes'
  readonly bytes: Uint8Array
  readonly lengths: Uint32Array
}

export interface FinishJob {
  readonly kind: 'finish'
}

export type BackupJob = FileJob | CutJob | RangeJob | BytesJob | FinishJob

/** What a body tells its owner between results. */
export type BackupNote = { readonly kind: 'pack'; readonly pack: SealedPack }
/** What the owner tells a body. */
export type BackupReply =
  | { readonly kind: 'buffer'; readonly buffer: ArrayBuffer }
  | { readonly kind: 'claims'; readonly buffer: SharedArrayBuffer }

const ARENA_BYTES_MIN = 4 << 20
const READ_BYTES_MAX = 4 << 20
/** How much is read of a file that has no size: more than there is of any but one without an end. */
const UNSIZED_BYTES_MAX = 64 << 20

export async function createBackupBody(
  init: BackupInit,
  host: BodyHost,
): Promise<WorkBody<BackupJob, BackupResult>> {
  await prepareBlake3()
  return new BackupBody(init, host, await openLookup(init.index))
}

class BackupBody implements WorkBody<BackupJob, BackupResult> {
  readonly #host: BodyHost
  readonly #chunker: Chunker
  readonly #arena: Buffer
  readonly #maxBytes: number
  readonly #minBytes: number
  readonly #identifier: BlobIdentifier
  readonly #claims: Claims
  readonly #lookup: BlobLookup
  readonly #writer: PackWriter
  readonly #control: Int32Array
  readonly #progress: BigInt64Array
  readonly #readAhead: ReadAhead
  readonly #buffers: ArrayBuffer[] = []
  readonly #id = Buffer.allocUnsafeSlow(32)
  #out = new ResultBuilder()
  /** Of the file that is being read. */
  #reads = 0

  constructor(init: BackupInit, host: BodyHost, lookup: BlobLookup) {
    this.#host = host
    this.#lookup = lookup
    this.#maxBytes = init.chunker.maxBytes
    this.#minBytes = init.chunker.minBytes
    this.#chunker = createChunker({
      parameters: init.chunker,
      table: gearTableFrom(init.gearBytes),
      arenaBytes: Math.max(ARENA_BYTES_MIN, 2 * init.chunker.maxBytes),
    })
    const { buffer, byteOffset, byteLength } = this.#chunker.arena
    this.#arena = Buffer.from(buffer, byteOffset, byteLength)
    const blake3 = loadBlake3()
    this.#identifier = new BlobIdentifier(init.keys.idKeys, blake3)
    this.#claims = new Claims(init.claims)
    this.#control = new Int32Array(init.control)
    this.#progress = new BigInt64Array(init.progress)
    this.#readAhead = new ReadAhead(host.environment.source, host.environment.clock)
    this.#writer = new PackWriter(
      {
        ...init.writer,
        kind: SEGMENT_KIND.data,
        keys: init.keys,
        blobBytesMax: init.chunker.maxBytes,
      },
      {
        blake3,
        zstd: loadZstd(),
        entropy: host.environment,
        allocate: (byteCount) => this.#allocate(byteCount),
        emit: (pack) => host.post({ kind: 'pack', pack } satisfies BackupNote, [pack.bytes.buffer]),
        nextHandle: () => Atomics.add(this.#control, 1, 1) + 1,
      },
    )
  }

  #allocate(byteCount: number): ArrayBuffer {
    const at = this.#buffers.findIndex((buffer) => buffer.byteLength >= byteCount)
    return this.#buffers.splice(at, at < 0 ? 0 : 1)[0] ?? new ArrayBuffer(byteCount)
  }

  receive(note: unknown): void {
    const reply = note as BackupReply
    if (reply.kind === 'buffer') this.#buffers.push(reply.buffer)
    else this.#claims.add(reply.buffer)
  }

  async close(): Promise<void> {
    await this.#lookup.close()
  }

  run(job: BackupJob): BackupResult {
    this.#out = new ResultBuilder()
    if (job.kind === 'files') this.#files(job)
    else if (job.kind === 'cut') this.#cut(job)
    else if (job.kind === 'range') this.#range(job)
    else if (job.kind === 'bytes') this.#bytes(job)
    else this.#writer.finish()
    return this.#out.build()
  }

  #throwIfCancelled(): void {
    if (Atomics.load(this.#control, 0) !== 0) throw new CairnError('CAIRN_ABORTED', 'interrupted')
  }

  #files(job: FileJob): void {
    this.#readAhead.begin(job.paths)
    for (const [i, path] of job.paths.entries()) {
      this.#throwIfCancelled()
      this.#readAhead.next(i)
      const size = job.sizes[i] ?? 0
      const expected = { device: job.devices[i] ?? 0n, inode: job.inodes[i] ?? 0n }
      this.#withFile(path, expected, (file) => {
        const status = this.#readWhole(file, size)
        // Last, so that they are of a file that was still there.
        this.#out.addExtended(file.extended())
        return status
      })
    }
  }

  /** Opens a file, lets `read` take it in, and records how it went. */
  #withFile(
    path: ByteString,
    expected: { readonly device: bigint; readonly inode: bigint },
    read: (file: OpenSourceFile) => number,
  ): void {
    const out = this.#out
    out.beginFile()
    let file: OpenSourceFile | undefined
    try {
      file = this.#host.environment.source.open(path)
      const { dev, ino } = file.stat
      if (dev !== expected.device || ino !== expected.inode) out.endFile(READ_STATUS.replaced)
      else out.endFile(read(file))
    } catch (error) {
      if (error instanceof CairnError) throw error
      const { code, message } = error as NodeJS.ErrnoException
      // Errors without a system code are cairn's own mistakes and end the run.
      if (code === undefined || code.startsWith('ERR_')) throw error
      if (code === 'ENOENT' && file === undefined) out.endFile(READ_STATUS.vanished)
      else out.failFile(message)
    } finally {
      file?.close()
    }
  }

  /** Reads a file as long as it was when it was opened, cutting as it goes. */
  #readWhole(file: OpenSourceFile, sizeSeen: number): number {
    const { size } = file.stat
    // What has no size may have content all the same, as in /proc.
    const limit = size > 0 ? size : UNSIZED_BYTES_MAX
    const { mayHaveHoles } = file
    this.#reads = 0
    let position = 0
    let isCutOff = false
    for (const run of mayHaveHoles ? dataRuns(file, 0, limit) : [{ start: 0, end: limit }]) {
      this.#addHole(run.start - position)
      position = this.#readRun(file, run)
      isCutOff = position < run.end
      if (isCutOff) break
    }
    if (mayHaveHoles && !isCutOff) this.#addHole(limit - position)
    if (size === 0 && position === limit) {
      const message = `it has no size, and more than ${UNSIZED_BYTES_MAX >> 20} MiB to read`
      throw Object.assign(new Error(message), { code: 'EFBIG' })
    }
    const isWhole = !isCutOff && size > 0
    if (size !== sizeSeen) return READ_STATUS.changed
    // What took one read is as whole as a read; of anything longer the times tell.
    if (isWhole && !mayHaveHoles && this.#reads <= 1) return READ_STATUS.ok
    if (size === 0 && position === 0) return READ_STATUS.ok
    return hasChanged(file) ? READ_STATUS.changed : READ_STATUS.ok
  }

  #addHole(byteCount: number): void {
    this.#out.addHole(byteCount)
    this.#addProgress(byteCount)
  }

  /** Stores a run of data as a stream of chunks. Returns where it ended, before its end or at it. */
  #readRun(file: OpenSourceFile, run: DataRun): number {
    let start = 0
    let end = 0
    let position = run.start
    let isLast = false
    for (;;) {
      if (!isLast && end - start < this.#maxBytes) {
        if (this.#arena.length - end < READ_BYTES_MAX / 4) {
          this.#arena.copyWithin(0, start, end)
          end -= start
          start = 0
        }
        const wanted = Math.min(this.#arena.length - end, READ_BYTES_MAX, run.end - position)
        const isFirst = this.#reads++ === 0
        if (isFirst) this.#readAhead.readBegins()
        const count = file.read(this.#arena, end, wanted, position)
        if (isFirst) this.#readAhead.readEnded(count)
        end += count
        position += count
        isLast = count === 0 || position === run.end
        this.#addProgress(count)
      }
      if (start === end) {
        if (isLast) return position
        continue
      }
      const cut = this.#chunkEnd(start, end, isLast)
      if (cut === 0) continue
      this.#store(this.#arena.subarray(start, cut))
      start = cut
      if (this.#reads > 2) this.#throwIfCancelled()
    }
  }

  #chunkEnd(start: number, end: number, isLast: boolean): number {
    if (isLast && end - start <= this.#minBytes) return end
    return this.#chunker.cut(start, end, isLast)
  }

  #addProgress(byteCount: number): void {
    if (byteCount > 0) Atomics.add(this.#progress, 0, BigInt(byteCount))
  }

  #cut(job: CutJob): void {
    const cuts = new CutPoints()
    let position = job.position
    this.#withFile(job.path, job, (file) => {
      this.#out.addExtended(file.extended())
      for (const run of dataRuns(file, position, job.size)) {
        if (cuts.byteCount >= job.byteCount || cuts.isFull) return READ_STATUS.ok
        cuts.addGap(run.start - position)
        position = this.#cutRun(file, run, cuts, job.byteCount)
        if (position < run.end) return READ_STATUS.ok
      }
      if (cuts.byteCount < job.byteCount && !cuts.isFull) {
        // Only holes are left, if anything is.
        if (file.mayHaveHoles) cuts.addGap(job.size - position)
        cuts.atEnd = true
      }
      return READ_STATUS.ok
    })
    cuts.give(this.#out)
  }

  /** Adds cut points of a run. Returns where it stopped: at enough, or where there was no more. */
  #cutRun(file: OpenSourceFile, run: DataRun, cuts: CutPoints, byteCountMax: number): number {
    let start = 0
    let end = 0
    let position = run.start
    let isLast = false
    while (cuts.byteCount < byteCountMax) {
      this.#throwIfCancelled()
      if (!isLast && end - start < this.#maxBytes) {
        this.#arena.copyWithin(0, start, end)
        end -= start
        start = 0
        const wanted = Math.min(this.#arena.length - end, READ_BYTES_MAX, run.end - position)
        const count = file.read(this.#arena, end, wanted, position)
        end += count
        position += count
        isLast = count === 0 || position === run.end
        if (count === 0) cuts.atEnd = true
      }
      if (start === end) break
      const cut = this.#chunkEnd(start, end, isLast)
      if (cut === 0) continue
      cuts.add(cut - start)
      start = cut
    }
    return position - (end - start)
  }

  #range(job: RangeJob): void {
    this.#withFile(job.path, job, (file) => {
      let position = job.position
      for (const [i, length] of job.lengths.entries()) {
        this.#throwIfCancelled()
        const gap = job.gaps[i] ?? 0
        this.#addHole(gap)
        position += gap
        let got = 0
        while (got < length) {
          const count = file.read(this.#arena, got, length - got, position + got)
          if (count === 0) break
          got += count
        }
        this.#addProgress(got)
        position += got
        if (got > 0) this.#store(this.#arena.subarray(0, got))
        if (got < length) return READ_STATUS.changed
      }
      return READ_STATUS.ok
    })
  }

  #bytes(job: BytesJob): void {
    this.#out.beginFile()
    let at = 0
    for (const length of job.lengths) {
      this.#throwIfCancelled()
      this.#store(job.bytes.subarray(at, at + length))
      at += length
    }
    this.#addProgress(at)
    this.#out.endFile(READ_STATUS.ok)
  }

  /** Stores a chunk unless it is there, and records the reference to it. */
  #store(chunk: Uint8Array): void {
    const id = this.#id
    this.#identifier.id(BLOB_TYPE.data, chunk, id)
    const known = this.#lookup.findPack(id)
    if (known >= 0) {
      this.#out.add(id, chunk.length, -1 - known, false)
      return
    }
    const handle = this.#writer.reserve(chunk.length)
    const owner = this.#claims.claim(id, handle)
    if (owner !== 0) {
      this.#out.add(id, chunk.length, owner, true)
      return
    }
    this.#writer.add(BLOB_TYPE.data, id, chunk)
    this.#out.add(id, chunk.length, handle, false)
    this.#out.newBlobs++
    this.#out.newBytes += chunk.length
  }
}

/** Whether a file that is open is not what it was when it was opened. */
function hasChanged(file: OpenSourceFile): boolean {
  const before = file.stat
  const now = file.statNow()
  return (
    now.size !== before.size || now.mtimeNs !== before.mtimeNs || now.ctimeNs !== before.ctimeNs
  )
}
