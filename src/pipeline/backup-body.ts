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
import type { OpenSourceFile } from '../source/source-files.ts'
import { type BackupResult, READ_STATUS, ResultBuilder } from './backup-result.ts'
import { Claims } from './claim-table.ts'
import type { BlobLookup, IndexShare } from './index/blob-index.ts'
import { openLookup } from './index/open-lookup.ts'
import { BlobIdentifier, type WriteKeys } from './keys.ts'
import { PackWriter, type PackWriterOptions, type SealedPack } from './pack-writer.ts'
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
  /** Stop at the first cut point at or after this many bytes. */
  readonly byteCount: number
}

/** Stores chunks of known lengths of one large file. */
export interface RangeJob {
  readonly kind: 'range'
  readonly path: ByteString
  readonly device: bigint
  readonly inode: bigint
  readonly position: number
  readonly lengths: Uint32Array
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
  readonly #buffers: ArrayBuffer[] = []
  readonly #id = Buffer.allocUnsafeSlow(32)
  #out = new ResultBuilder()

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
        emit: (pack) => host.post({ kind: 'pack', pack } satisfies BackupNote, [pack.buffer]),
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
    for (const [i, path] of job.paths.entries()) {
      this.#throwIfCancelled()
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

  /** Reads a file from its beginning, cutting as it goes. */
  #readWhole(file: OpenSourceFile, sizeSeen: number): number {
    const before = file.stat
    let start = 0
    let end = 0
    let position = 0
    let reads = 0
    let isLast = false
    for (;;) {
      if (!isLast && end - start < this.#maxBytes) {
        if (this.#arena.length - end < READ_BYTES_MAX / 4) {
          this.#arena.copyWithin(0, start, end)
          end -= start
          start = 0
        }
        const room = Math.min(this.#arena.length - end, READ_BYTES_MAX)
        // One byte more than there should be: a short read then shows the end without another call.
        const wanted = Math.min(room, Math.max(1, before.size - position + 1))
        const count = file.read(this.#arena, end, wanted, position)
        reads++
        end += count
        position += count
        isLast = count === 0 || (count < wanted && position === before.size)
        this.#addProgress(count)
      }
      if (start === end) {
        if (isLast) break
        continue
      }
      const cut = this.#chunkEnd(start, end, isLast)
      if (cut === 0) continue
      this.#store(this.#arena.subarray(start, cut))
      start = cut
      if (reads > 2) this.#throwIfCancelled()
    }
    return this.#statusAfter(file, position, sizeSeen, reads)
  }

  #chunkEnd(start: number, end: number, isLast: boolean): number {
    if (isLast && end - start <= this.#minBytes) return end
    return this.#chunker.cut(start, end, isLast)
  }

  /** A file that took one read is as whole as a read; of a longer one the times tell. */
  #statusAfter(file: OpenSourceFile, position: number, sizeSeen: number, reads: number): number {
    const before = file.stat
    if (position !== before.size || before.size !== sizeSeen) return READ_STATUS.changed
    if (reads <= 1) return READ_STATUS.ok
    const after = file.statNow()
    const isSame =
      after.size === before.size &&
      after.mtimeNs === before.mtimeNs &&
      after.ctimeNs === before.ctimeNs
    return isSame ? READ_STATUS.ok : READ_STATUS.changed
  }

  #addProgress(byteCount: number): void {
    Atomics.add(this.#progress, 0, BigInt(byteCount))
  }

  #cut(job: CutJob): void {
    const lengths: number[] = []
    let atEnd = false
    this.#withFile(job.path, job, (file) => {
      let start = 0
      let end = 0
      let position = job.position
      let found = 0
      while (found < job.byteCount) {
        this.#throwIfCancelled()
        if (!atEnd && end - start < this.#maxBytes) {
          this.#arena.copyWithin(0, start, end)
          end -= start
          start = 0
          const wanted = Math.min(this.#arena.length - end, READ_BYTES_MAX)
          const count = file.read(this.#arena, end, wanted, position)
          end += count
          position += count
          atEnd = count === 0
        }
        if (start === end) break
        const cut = this.#chunkEnd(start, end, atEnd)
        if (cut === 0) continue
        lengths.push(cut - start)
        found += cut - start
        start = cut
      }
      atEnd = atEnd && start === end
      if (job.position === 0) this.#out.addExtended(file.extended())
      return READ_STATUS.ok
    })
    this.#out.lengths = Uint32Array.from(lengths)
    this.#out.atEnd = atEnd
  }

  #range(job: RangeJob): void {
    this.#withFile(job.path, job, (file) => {
      let position = job.position
      for (const length of job.lengths) {
        this.#throwIfCancelled()
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
