/**
 * Has files read by workers: small ones in batches, large ones cut in one place and stored by all.
 * Bounds what is under way, so that memory and the storage's queue stay small.
 */

import { assert, throwIfAborted } from '../../base/errors.ts'
import { LIMIT, REFERENCE_BYTES } from '../../format/constants.ts'
import type { NodeRoot } from '../../format/tree.ts'
import type { BackupResult, FileExtended } from '../../pipeline/backup-result.ts'
import { READ_STATUS } from '../../pipeline/backup-result.ts'
import type { WorkPool } from '../../pipeline/work-pool.ts'
import type { ChunkListWriter } from '../../repository/tree-writer.ts'
import type { PackHandles } from './pack-handles.ts'
import type { PendingFile } from './scan-options.ts'
import type { SourceFiles, SourceStat } from '../../source/source-files.ts'
import { extendedExtras } from './tree-entry.ts'

const MIB = 1 << 20
const BATCH_FILES_MAX = 64
const BATCH_BYTES_MAX = 4 * MIB
/** From this size on a file's chunks are stored by all workers at once. */
const LARGE_FILE_BYTES = 64 * MIB
const CUT_WINDOW_BYTES = 64 * MIB
const RANGE_BYTES = 8 * MIB
/** Jobs given to a worker before it has answered: it never waits for the next. */
const JOBS_PER_WORKER = 2

export interface FileReaderOptions {
  readonly pool: WorkPool<'backup'>
  readonly handles: PackHandles
  /** Resolves when the storage can take another pack. */
  readonly ready: () => Promise<void>
  readonly newList: () => ChunkListWriter
  /** Ids that another worker's claim was relied on for: to be resolved in full. */
  readonly onClaimed: (ids: Uint8Array) => void
  readonly onError: (file: PendingFile, message: string) => void
  readonly lstat: SourceFiles['lstat']
  /** Before each round of jobs: a chance to hand out a larger claim table. */
  readonly onJob: () => void
  readonly signal: AbortSignal | undefined
}

/** Content of a file, collected as results come in. */
export class ContentCollector {
  #inline: Uint8Array[] = []
  #inlineCount = 0
  #list: ChunkListWriter | undefined
  readonly #newList: () => ChunkListWriter
  readonly handles = new Set<number>()
  size = 0
  extended: FileExtended | undefined

  constructor(newList: () => ChunkListWriter) {
    this.#newList = newList
  }

  add(references: Uint8Array): void {
    if (references.length === 0) return
    this.#inlineCount += references.length / REFERENCE_BYTES
    if (this.#list === undefined && this.#inlineCount <= LIMIT.inlineReferencesMax) {
      this.#inline.push(references.slice())
      return
    }
    this.#list ??= this.#newList()
    for (const part of this.#inline) this.#list.add(part)
    this.#inline = []
    this.#list.add(references)
  }

  extras(): { content?: Uint8Array; contentList?: NodeRoot } {
    if (this.#list !== undefined) return { contentList: this.#list.finish() }
    return this.#inline.length === 0 ? {} : { content: Buffer.concat(this.#inline) }
  }
}

export class FileReader {
  readonly #options: FileReaderOptions
  #batch: PendingFile[] = []
  #batchBytes = 0
  readonly #running = new Set<Promise<void>>()
  #failure: unknown
  #lastBytes: Promise<void> = Promise.resolve()
  newBlobs = 0
  newBytes = 0

  constructor(options: FileReaderOptions) {
    this.#options = options
  }

  /** Takes a file; resolves when the next may come. Rejects with the first failure of any. */
  async take(file: PendingFile): Promise<void> {
    if (file.stat.size >= LARGE_FILE_BYTES) {
      await this.flush()
      await this.#start(() => this.#readLarge(file))
      return
    }
    this.#batch.push(file)
    this.#batchBytes += file.stat.size
    const isFull = this.#batch.length >= BATCH_FILES_MAX || this.#batchBytes >= BATCH_BYTES_MAX
    if (isFull) await this.flush()
  }

  /**
   * Has chunks stored that are here already. Their results come in order, whichever worker is
   * first. Resolves when the next may come.
   */
  async takeBytes(
    bytes: Uint8Array<ArrayBuffer>,
    lengths: Uint32Array,
    onResult: (result: BackupResult) => void,
  ): Promise<void> {
    const before = this.#lastBytes
    await this.#start(async () => {
      this.#options.onJob()
      const job = this.#options.pool.run(
        { kind: 'bytes', bytes, lengths },
        { transfer: [bytes.buffer] },
      )
      this.#lastBytes = Promise.all([before, job]).then(([, result]) => {
        this.#count(result)
        onResult(result)
      })
      await this.#lastBytes
    })
  }

  /** Sends out the files that wait for company. */
  async flush(): Promise<void> {
    const batch = this.#batch
    if (batch.length === 0) return
    this.#batch = []
    this.#batchBytes = 0
    await this.#start(() => this.#readBatch(batch))
  }

  /** Resolves when everything taken so far has been read. */
  async drain(): Promise<void> {
    await this.flush()
    while (this.#running.size > 0) await Promise.all(this.#running)
    this.#throwIfFailed()
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure
    throwIfAborted(this.#options.signal)
  }

  async #start(work: () => Promise<void>): Promise<void> {
    const { pool, ready } = this.#options
    while (this.#running.size >= pool.size * JOBS_PER_WORKER) await Promise.race(this.#running)
    this.#throwIfFailed()
    await ready()
    this.#throwIfFailed()
    const running = work()
      .catch((error: unknown) => {
        this.#failure ??= error
      })
      .finally(() => this.#running.delete(running))
    this.#running.add(running)
  }

  #count(result: BackupResult): void {
    this.newBlobs += result.newBlobs
    this.newBytes += result.newBytes
    const { onClaimed } = this.#options
    for (const [i, claimed] of result.claimed.entries()) {
      if (claimed === 0) continue
      const at = i * REFERENCE_BYTES
      onClaimed(result.references.slice(at, at + 32))
    }
  }

  async #readBatch(batch: readonly PendingFile[]): Promise<void> {
    const { pool, onJob } = this.#options
    onJob()
    const result = await pool.run({
      kind: 'files',
      paths: batch.map(({ path }) => path),
      devices: BigUint64Array.from(batch, ({ stat }) => stat.dev),
      inodes: BigUint64Array.from(batch, ({ stat }) => stat.ino),
      sizes: Float64Array.from(batch, ({ stat }) => stat.size),
    })
    this.#count(result)
    const extended = new Map(result.extended.map((one) => [one.index, one]))
    let reference = 0
    let error = 0
    for (const [i, file] of batch.entries()) {
      const count = result.counts[i] ?? 0
      const content = new ContentCollector(this.#options.newList)
      this.collect(content, result, reference, count)
      content.size = result.sizes[i] ?? 0
      content.extended = extended.get(i)
      reference += count
      const status = result.statuses[i] ?? READ_STATUS.failed
      const message = status === READ_STATUS.failed ? result.errors[error++] : undefined
      this.#conclude(file, status, content, message)
    }
  }

  /** Adds references of a result to a file's content. */
  collect(content: ContentCollector, result: BackupResult, first: number, count: number): void {
    const { handles } = this.#options
    const at = first * REFERENCE_BYTES
    content.add(result.references.subarray(at, at + count * REFERENCE_BYTES))
    for (let i = first; i < first + count; i++) {
      const raw = result.handles[i] ?? 0
      if (raw === 0) continue // A hole.
      const handle = handles.resolve(raw)
      handles.used.add(handle)
      content.handles.add(handle)
    }
  }

  #conclude(
    file: PendingFile,
    status: number,
    content: ContentCollector,
    message: string | undefined,
  ): void {
    const { onError } = this.#options
    if (status === READ_STATUS.replaced) {
      file.again()
      return
    }
    if (status === READ_STATUS.vanished || status === READ_STATUS.failed) {
      onError(file, message ?? 'it vanished before it could be read')
      file.done(undefined)
      return
    }
    if (status === READ_STATUS.changed) onError(file, 'it changed while it was read')
    const changed = status === READ_STATUS.changed ? { changedWhileRead: true } : {}
    const { extended } = content
    for (const problem of extended?.problems ?? []) onError(file, problem)
    file.done({
      size: content.size,
      extras: {
        ...content.extras(),
        ...changed,
        ...(extended === undefined ? {} : extendedExtras(extended)),
      },
      handles: [...content.handles],
    })
  }

  /** One worker finds the cut points, a window at a time; all of them store the ranges between. */
  async #readLarge(file: PendingFile): Promise<void> {
    const { pool, newList } = this.#options
    const content = new ContentCollector(newList)
    const where = { path: file.path, device: file.stat.dev, inode: file.stat.ino }
    let position = 0
    let status: number = READ_STATUS.ok
    let message: string | undefined
    let previous: Promise<void> = Promise.resolve()
    for (let atEnd = false; !atEnd && status === READ_STATUS.ok; ) {
      this.#throwIfFailed()
      const cut = await pool.run({
        kind: 'cut',
        ...where,
        position,
        byteCount: CUT_WINDOW_BYTES,
        size: file.stat.size,
      })
      status = cut.statuses[0] ?? READ_STATUS.failed
      message = cut.errors[0]
      ;[content.extended] = cut.extended
      if (status !== READ_STATUS.ok) break
      atEnd = cut.atEnd || cut.lengths.length === 0
      // While the next window is cut, this one is stored; two are never stored at once.
      await previous
      const start = position
      position += sum(cut.lengths) + sum(cut.gaps)
      previous = this.#storeWindow(file, content, start, cut).then((ended) => {
        if (ended.status === READ_STATUS.ok) return
        status = ended.status
        message = ended.message
      })
      previous.catch(() => {})
    }
    await previous
    if (status === READ_STATUS.ok && this.#hasChanged(file, content.size)) {
      status = READ_STATUS.changed
    }
    this.#conclude(file, status, content, message)
  }

  #hasChanged({ path, stat }: PendingFile, byteCount: number): boolean {
    if (byteCount !== stat.size) return true
    let now: SourceStat | undefined
    try {
      now = this.#options.lstat(path)
    } catch {
      return false // It was read to its end; what became of it later is another matter.
    }
    // One that has been replaced since was not changed.
    if (now === undefined || now.ino !== stat.ino || now.dev !== stat.dev) return false
    return now.size !== stat.size || now.mtimeNs !== stat.mtimeNs || now.ctimeNs !== stat.ctimeNs
  }

  async #storeWindow(
    file: PendingFile,
    content: ContentCollector,
    start: number,
    { lengths, gaps }: Pick<BackupResult, 'lengths' | 'gaps'>,
  ): Promise<{ status: number; message: string | undefined }> {
    const { pool, ready, onJob } = this.#options
    const where = { path: file.path, device: file.stat.dev, inode: file.stat.ino }
    const waiting: Promise<BackupResult>[] = []
    const results: BackupResult[] = []
    let position = start
    for (let at = 0; at < lengths.length; ) {
      let end = at
      let byteCount = 0
      while (end < lengths.length && byteCount < RANGE_BYTES) byteCount += lengths[end++] ?? 0
      const part = { lengths: lengths.slice(at, end), gaps: gaps.slice(at, end) }
      await ready()
      onJob()
      const job = pool.run({ kind: 'range', ...where, position, ...part })
      job.catch(() => {})
      waiting.push(job)
      if (waiting.length > pool.size * JOBS_PER_WORKER) {
        const first = waiting.shift()
        if (first !== undefined) results.push(await first)
      }
      position += byteCount + sum(part.gaps)
      at = end
    }
    results.push(...(await Promise.all(waiting)))
    for (const result of results) {
      this.#count(result)
      assert(result.counts.length === 1, 'a range is one result')
      this.collect(content, result, 0, result.counts[0] ?? 0)
      content.size += result.sizes[0] ?? 0
      const status = result.statuses[0] ?? READ_STATUS.failed
      if (status !== READ_STATUS.ok) return { status, message: result.errors[0] }
    }
    return { status: READ_STATUS.ok, message: undefined }
  }
}

function sum(numbers: Uint32Array | Float64Array): number {
  let total = 0
  for (const number of numbers) total += number
  return total
}
