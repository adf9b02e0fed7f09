/**
 * Everything a backup writes through, made when the first thing has changed: index, claims, pack
 * store, metadata writer, workers. One per pass over the sources.
 */

import { toHex } from '../../base/bytes.ts'
import { CairnError } from '../../base/errors.ts'
import { type FileName, shortId } from '../../base/ids.ts'
import { loadBlake3 } from '../../crypto/blake3.ts'
import { keyStream, prepareKeyStream } from '../../crypto/derive.ts'
import { BLOB_TYPE, LIMIT } from '../../format/constants.ts'
import { encodeXattrs } from '../../format/xattrs.ts'
import { Claims } from '../../pipeline/claim-table.ts'
import type { BackupInit, BackupNote, BackupReply } from '../../pipeline/backup-body.ts'
import { PackStates } from '../../pipeline/index/blob-index.ts'
import { openPool, type WorkPool } from '../../pipeline/work-pool.ts'
import { adoptOrphans } from '../../repository/adopt-orphans.ts'
import { MetadataWriter } from '../../repository/metadata-writer.ts'
import { type OpenedIndex, openIndex } from '../../repository/open-index.ts'
import { PackStore } from '../../repository/pack-store.ts'
import type { Repository } from '../../repository/repository.ts'
import { ChunkListWriter, TreeWriter } from '../../repository/tree-writer.ts'
import type { Xattr } from '../../source/extended-metadata.ts'
import type { SourceStat } from '../../source/source-files.ts'
import { workEnvironment } from '../environment.ts'
import type { BackupOptions } from './backup-options.ts'
import type { PackHandles } from './pack-handles.ts'
import type { TreeServices } from './scan-options.ts'
import type { ScanCacheWriter } from './scan-cache-writer.ts'
import { StoredBlobs } from './stored-blobs.ts'
import type { EntryExtras } from './tree-entry.ts'

export interface BackupWriterOptions {
  readonly backup: BackupOptions
  readonly repository: Repository
  readonly handles: PackHandles
  readonly doomed: ReadonlySet<FileName>
  readonly cacheWriter: ScanCacheWriter | undefined
  /** Threads that were started while the keys were being derived; undefined works inline. */
  readonly threads: EarlyThreads | undefined
  readonly progress: SharedArrayBuffer
}

/** Threads that load their code before there is anything to tell them. */
export class EarlyThreads {
  readonly pool: Promise<WorkPool<'backup'>>
  #start: (init: BackupInit) => void = () => {}
  #store: PackStore | undefined

  constructor(backup: BackupOptions) {
    const init = new Promise<BackupInit>((resolve) => {
      this.#start = resolve
    })
    this.pool = openPool({
      purpose: 'backup',
      init,
      threads: backup.environment.threads,
      environment: workEnvironment(backup.environment),
      entry: backup.environment.workerEntry,
      onNote: (note, worker) => this.#store?.take((note as BackupNote).pack, worker),
    })
    prepareKeyStream()
  }

  async begin(init: BackupInit, store: PackStore): Promise<WorkPool<'backup'>> {
    this.#store = store
    this.#start(init)
    return await this.pool
  }

  async close(): Promise<void> {
    await (await this.pool).close()
  }
}

export class BackupWriter implements TreeServices {
  readonly cacheWriter: ScanCacheWriter | undefined
  readonly pool: WorkPool<'backup'>
  readonly store: PackStore
  readonly metadata: MetadataWriter
  readonly #options: BackupWriterOptions
  readonly #opened: OpenedIndex
  readonly #stored: StoredBlobs
  readonly #claims: Claims
  readonly #splitHash: (data: Uint8Array) => Uint8Array
  #collecting: Set<number> | undefined
  /** Ids that rest on a claim by fingerprint, 32 bytes each. */
  readonly #claimed: Uint8Array[] = []

  private constructor(
    options: BackupWriterOptions,
    parts: {
      readonly opened: OpenedIndex
      readonly stored: StoredBlobs
      readonly claims: Claims
      readonly store: PackStore
      readonly pool: WorkPool<'backup'>
    },
  ) {
    const { opened, stored, claims, store, pool } = parts
    this.#options = options
    this.#opened = opened
    this.#stored = stored
    this.#claims = claims
    this.store = store
    this.pool = pool
    this.cacheWriter = options.cacheWriter
    const { repository, handles, backup } = options
    this.#splitHash = loadBlake3().keyed(repository.keyring.ids.split)
    const share = opened.index.share()
    this.metadata = new MetadataWriter({
      repository,
      store,
      claims,
      index: opened.index,
      states: share.kind === 'empty' ? undefined : new PackStates(share.states),
      level: backup.level,
      nextHandle: () => handles.next(),
      onRelied: (raw, claimedId) => {
        const handle = handles.resolve(raw)
        handles.used.add(handle)
        this.#collecting?.add(handle)
        if (claimedId !== undefined) this.#claimed.push(Uint8Array.from(claimedId))
      },
    })
  }

  static async open(options: BackupWriterOptions): Promise<BackupWriter> {
    const { backup, repository, handles, doomed } = options
    const signal = { signal: backup.signal }
    const opened = await openIndex(repository, {
      cacheDirectory: backup.cacheDirectory,
      bulk: false,
      readOrphans: false,
      ...signal,
    })
    const stored = new StoredBlobs(opened)
    const store = new PackStore({
      repository,
      ...signal,
      dryRun: backup.dryRun,
      onSaved: (pack) => {
        handles.setName(pack.handle, pack.name)
        const worker = pack.worker
        if (worker === undefined) return
        const reply: BackupReply = { kind: 'buffer', buffer: pack.buffer }
        pool.send(reply, worker, [pack.buffer])
      },
      onIndexed: async (packs, isLast) => await stored.add(packs, isLast),
    })
    if (!backup.dryRun) await adoptOrphans(opened, store, options)
    opened.index.setStates(opened.listed, doomed)
    handles.useIndex((packNumber) => opened.index.pack(packNumber).name)
    const claims = new Claims([])
    claims.grow()
    const init = backupInit(options, opened, claims)
    // Packs come only from the pool: `onSaved` never runs before there is one.
    const pool = await (options.threads?.begin(init, store) ?? openInline(backup, init, store))
    return new BackupWriter(options, { opened, stored, claims, store, pool })
  }

  /** Gives workers a larger claim table when the last has become full. */
  growClaims(): void {
    const grown = this.#claims.grow()
    if (grown === undefined) return
    // Inline, the body holds tables of its own over the same memory, as a thread does.
    this.pool.send({ kind: 'claims', buffer: grown } satisfies BackupReply)
  }

  addClaimed(ids: Uint8Array): void {
    this.#claimed.push(ids)
  }

  newTree(): TreeWriter {
    return new TreeWriter((type, bytes) => this.metadata.save(type, bytes), this.#splitHash)
  }

  newList(): ChunkListWriter {
    return new ChunkListWriter((type, bytes) => this.metadata.save(type, bytes))
  }

  collectHandles(handles: Set<number> | undefined): void {
    this.#collecting = handles
  }

  /** FORMAT.md 12, key 20. */
  linkGroup(stat: SourceStat): bigint {
    const input = Buffer.alloc(16)
    input.writeBigUInt64LE(stat.dev, 0)
    input.writeBigUInt64LE(stat.ino, 8)
    return Buffer.from(this.#splitHash(input)).readBigUInt64LE(0)
  }

  /** FORMAT.md 12, keys 17 and 18. */
  storeXattrs(xattrs: readonly Xattr[]): Pick<EntryExtras, 'xattrs' | 'xattrsId'> {
    const encoded = encodeXattrs(xattrs)
    if (encoded.length <= LIMIT.inlineXattrBytesMax) return { xattrs }
    return { xattrsId: this.metadata.save(BLOB_TYPE.aux, encoded) }
  }

  /**
   * Ends the packs of all workers and of the metadata, and returns when they are durable and
   * indexed. Then every id that rests on a fingerprint is looked up in full.
   */
  async finish(): Promise<void> {
    const workersFinished = this.#finishWorkers()
    workersFinished.catch(() => {}) // It is awaited below, unless something else fails before.
    this.metadata.finish()
    await workersFinished
    await this.store.allSaved()
    // The threads end while the last index file is written.
    await Promise.all([this.store.finish(), this.pool.close()])
    await this.#requireStored(this.#claimed.length)
  }

  /** As `finish`, for what has been handed in so far: the run goes on. */
  async checkpoint(onStoring: () => void): Promise<void> {
    const claimedCount = this.#claimed.length
    this.metadata.finish()
    await this.#finishWorkers()
    onStoring()
    await this.store.sync()
    await this.#requireStored(claimedCount)
  }

  async #finishWorkers(): Promise<void> {
    const jobs = Array.from({ length: this.pool.size }, (_, worker) =>
      this.pool.run({ kind: 'finish' }, { worker }),
    )
    await Promise.all(jobs)
  }

  async #requireStored(claimedCount: number): Promise<void> {
    if (this.#options.backup.dryRun) return
    const id = await this.#stored.firstMissing(this.#claimed.slice(0, claimedCount))
    if (id === undefined) return
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot finish the backup: blob ${shortId(toHex(id))} was taken for another; run it again`,
    )
  }

  async close(): Promise<void> {
    await this.pool.close()
    await this.#opened.close()
  }
}

function openInline(
  backup: BackupOptions,
  init: BackupInit,
  store: PackStore,
): Promise<WorkPool<'backup'>> {
  return openPool({
    purpose: 'backup',
    init,
    threads: 0,
    environment: workEnvironment(backup.environment),
    entry: undefined,
    onNote: (note, worker) => store.take((note as BackupNote).pack, worker),
  })
}

function backupInit(options: BackupWriterOptions, opened: OpenedIndex, claims: Claims): BackupInit {
  const { backup, repository, handles, progress } = options
  const { box, keyring } = repository
  return {
    keys: repository.writeKeys,
    gearBytes: keyStream(keyring.ids.chunker, 'gear32', 1024),
    chunker: box.chunker,
    writer: {
      packBytesTarget: backup.packBytes ?? box.dataPackBytes,
      padding: box.padding,
      level: backup.level,
      verify: backup.verify,
    },
    claims: claims.buffers,
    index: opened.index.share(),
    control: handles.control,
    progress,
  }
}
