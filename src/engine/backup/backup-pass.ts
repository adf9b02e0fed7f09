/**
 * One pass over the sources: from the first directory to a root that is durable and indexed. A run
 * needs a second pass only if a prune takes away packs that the first one rested on.
 */

import { toHex } from '../../base/bytes.ts'
import { CairnError, throwIfAborted } from '../../base/errors.ts'
import type { FileName } from '../../base/ids.ts'
import type { NodeRoot } from '../../format/tree.ts'
import type { Repository } from '../../repository/repository.ts'
import type { Snapshot } from '../../repository/snapshots.ts'
import type { BackupOptions } from './backup-options.ts'
import { BackupTotals, type Totals } from './backup-totals.ts'
import { BackupWriter, EarlyThreads } from './backup-writer.ts'
import { Exclusions } from './exclusions.ts'
import { FileReader } from './file-reader.ts'
import { PackHandles } from './pack-handles.ts'
import { Scan } from './scan.ts'
import type { PendingFile } from './scan-options.ts'
import { ScanCacheReader } from './scan-cache.ts'
import { ScanCacheWriter } from './scan-cache-writer.ts'
import { sourceRoots } from './source-roots.ts'
import { storeStream } from './stream-source.ts'
import { WaitingFiles } from './waiting-files.ts'

/** Entries scanned before pending events get a turn. */
const SLICE_STEPS = 256
/** What the scan may be ahead of the workers: bounds memory. */
const WAITING_FILES_MAX = 2048
const OPEN_SLOTS_MAX = 65_536
/** Below this much to read, threads cost more than they save. Measured: 70 to 100 ms to start two. */
const INLINE_FILES_MAX = 512
const INLINE_BYTES_MAX = 24 << 20

export interface PassResult {
  readonly root: NodeRoot
  readonly totals: Totals
  /** Packs that the tree rests on, written now or before. */
  readonly relied: readonly FileName[]
  readonly userNames: ReadonlyMap<number, string>
  readonly groupNames: ReadonlyMap<number, string>
}

export class BackupPass {
  readonly #options: BackupOptions
  readonly #startNs: bigint
  readonly #cache: ScanCacheReader | undefined
  readonly #cacheWriter: ScanCacheWriter | undefined
  readonly #handles: PackHandles
  readonly #scan: Scan | undefined
  readonly #waiting = new WaitingFiles()
  readonly #totals: BackupTotals
  readonly #reused = new Set<number>()
  readonly #badHandles = new Set<number>()
  #writer: BackupWriter | undefined
  #reader: FileReader | undefined
  #threads: EarlyThreads | undefined
  #isUnchanged = false
  #isClosed = false
  /** The root of the last checkpoint. */
  #checkpointId: string | undefined

  constructor(options: BackupOptions, bad: ReadonlySet<FileName>, startNs: bigint) {
    this.#options = options
    this.#startNs = startNs
    this.#totals = new BackupTotals(options)
    const { scanCache, force, dryRun, input } = options
    const usesCache = scanCache !== undefined && input.kind === 'paths'
    this.#cache =
      usesCache && !force ? ScanCacheReader.open(scanCache.files, scanCache.name) : undefined
    this.#cacheWriter =
      usesCache && !dryRun ? ScanCacheWriter.open(scanCache.files, scanCache.name) : undefined
    const known = this.#cache?.packs ?? []
    this.#handles = new PackHandles(known)
    this.avoid(bad)
    this.#scan = input.kind === 'paths' ? this.#newScan() : undefined
  }

  /** The packs that the scan cache rests on. */
  get cachedPacks(): readonly FileName[] {
    return this.#cache?.packs.slice(1) ?? []
  }

  /**
   * Reads again whatever rests on these packs. False if the scan, which began on trust, has kept
   * something of them already: then it has to begin again.
   */
  avoid(packs: ReadonlySet<FileName>): boolean {
    let isClean = true
    for (const [handle, name] of (this.#cache?.packs ?? []).entries()) {
      if (!packs.has(name)) continue
      this.#badHandles.add(handle)
      if (this.#reused.has(handle)) isClean = false
    }
    return isClean
  }

  #newScan(): Scan | undefined {
    const { input, environment, exclusions, listener, ignoreCtime, ignoreInode } = this.#options
    if (input.kind !== 'paths') return undefined
    const { root, paths } = sourceRoots(input.paths, input.workingDirectory)
    return new Scan(root, {
      source: environment.source,
      named: new Set(paths),
      exclusions: new Exclusions(exclusions, (path, what) =>
        listener.onNotice?.(`${what} lies inside the source and is left out: ${path}`),
      ),
      cache: this.#cache,
      rules: { ignoreCtime, ignoreInode },
      entries: { withAtime: this.#options.withAtime },
      badHandles: this.#badHandles,
      startNs: this.#startNs,
      hooks: {
        readFile: (file) => this.#waiting.push(file),
        onError: (path, error) => this.#totals.failed(path, error),
        onItem: (item) => this.#totals.item(item),
        onReused: (handles) => {
          for (const handle of handles) this.#reused.add(handle)
        },
      },
    })
  }

  get #isAheadEnough(): boolean {
    const openSlots = this.#scan?.openSlots ?? 0
    return this.#waiting.length >= WAITING_FILES_MAX || openSlots >= OPEN_SLOTS_MAX
  }

  #scanSlice(): void {
    const scan = this.#scan
    for (let i = 0; i < SLICE_STEPS && scan !== undefined && !scan.isWalked; i++) {
      if (this.#isAheadEnough) return
      scan.step()
    }
    this.#totals.report(this.#waiting)
  }

  /** Scans as far as it can while the repository is being opened. Rejects if it cannot be. */
  async scanUntilOpen(): Promise<Repository> {
    const { opening, environment, signal } = this.#options
    let opened: Repository | undefined
    let failure: { readonly error: unknown } | undefined
    opening.then(
      (repository) => {
        opened = repository
      },
      (error: unknown) => {
        failure = { error }
      },
    )
    const canScan = () => this.#scan?.isWalked === false && !this.#isAheadEnough
    while (opened === undefined && failure === undefined && canScan()) {
      throwIfAborted(signal)
      this.#scanSlice()
      if (!this.#isSmall) this.#startThreads()
      await environment.yield()
    }
    return await opening
  }

  /** Whether what waits to be read is too little for threads to be worth their start. */
  get #isSmall(): boolean {
    return this.#waiting.length < INLINE_FILES_MAX && this.#waiting.byteCount < INLINE_BYTES_MAX
  }

  #startThreads(): void {
    if (this.#options.environment.threads === 0) return
    this.#threads ??= new EarlyThreads(this.#options)
  }

  /** Finishes the scan, stores what is new and returns the root. */
  async complete(
    repository: Repository,
    doomed: ReadonlySet<FileName>,
    parent: Snapshot | undefined,
  ): Promise<PassResult> {
    this.#totals.estimateFrom(parent)
    const root = await this.#build(repository, doomed)
    return {
      root,
      totals: this.#totals.totals(this.#writer, this.#reader),
      relied: this.#packsOf([...this.#handles.used, ...this.#reused]),
      ...this.#totals.names(this.#options.environment.source),
    }
  }

  /**
   * Stores a tree of what is in so far and returns it once it is durable and indexed; undefined if
   * there is nothing that the last checkpoint does not have. The pass goes on meanwhile. `onStoring`
   * is called when workers have done their part, which may be long.
   */
  async checkpoint(onStoring: () => void): Promise<PassResult | undefined> {
    const writer = this.#writer
    const partial = writer === undefined ? undefined : this.#scan?.partialTree()
    if (writer === undefined || partial === undefined) return undefined
    const totals = this.#totals.totals(writer, this.#reader)
    const rootId = toHex(partial.root.id)
    if (totals.filesProcessed === 0 || rootId === this.#checkpointId) return undefined
    this.#checkpointId = rootId
    const handles = [...this.#handles.used, ...this.#reused, ...partial.handles]
    const names = this.#totals.names(this.#options.environment.source)
    await writer.checkpoint(onStoring)
    return { root: partial.root, totals, relied: this.#packsOf(handles), ...names }
  }

  async #build(repository: Repository, doomed: ReadonlySet<FileName>): Promise<NodeRoot> {
    const { input, signal, environment } = this.#options
    if (input.kind === 'stream') return await this.#buildStream(repository, doomed, input)
    const scan = this.#scan
    while (scan !== undefined && scan.result === undefined) {
      throwIfAborted(signal)
      this.#scanSlice()
      await this.#hand(repository, doomed, scan)
      await environment.yield()
    }
    const result = scan?.result
    if (result === undefined) throw new CairnError('CAIRN_FAILED', 'the scan has no result')
    this.#isUnchanged = result.isUnchanged
    if (scan?.sourcesFound === 0) {
      throw new CairnError('CAIRN_FAILED', 'cannot back up: none of the sources could be read')
    }
    await this.#writer?.finish()
    if (this.#writer !== undefined && !environment.source.hasExtended) {
      this.#options.listener.onNotice?.(
        'extended attributes, access control lists and inode flags are not saved: the C library cannot be called here',
      )
    }
    return result.root
  }

  async #buildStream(
    repository: Repository,
    doomed: ReadonlySet<FileName>,
    input: Extract<BackupOptions['input'], { kind: 'stream' }>,
  ): Promise<NodeRoot> {
    const options = this.#options
    this.#startThreads()
    const writer = await this.#open(repository, doomed)
    const reader = new FileReader(this.#fileReaderOptions(writer))
    this.#reader = reader
    const parts = { writer, reader, repository, options, nowNs: this.#startNs }
    const { root, byteCount } = await storeStream(input, parts)
    this.#totals.addStream(byteCount)
    await writer.finish()
    return root
  }

  /** Gives what the scan has found to the workers, once it is worth it. */
  async #hand(repository: Repository, doomed: ReadonlySet<FileName>, scan: Scan): Promise<void> {
    if (this.#writer === undefined) {
      const isNeeded = scan.isStalled || this.#waiting.length > 0
      if (!isNeeded || (this.#isSmall && !scan.isWalked && !this.#isAheadEnough)) return
      if (!this.#isSmall) this.#startThreads()
      const writer = await this.#open(repository, doomed)
      scan.provide(writer)
    }
    const reader = this.#reader
    if (reader === undefined) return
    for (let file = this.#waiting.shift(); file !== undefined; file = this.#waiting.shift()) {
      await reader.take(file)
      this.#totals.report(this.#waiting)
      // Keep the queue filled while the workers are busy.
      if (this.#waiting.length < WAITING_FILES_MAX / 4 && !scan.isWalked) break
    }
    // Nothing more comes before what is out has come back: not even company for a last batch.
    const isAtEnd = scan.isWalked || this.#isAheadEnough
    if (isAtEnd && this.#waiting.length === 0) await reader.drain()
  }

  async #open(repository: Repository, doomed: ReadonlySet<FileName>): Promise<BackupWriter> {
    const writer = await BackupWriter.open({
      backup: this.#options,
      repository,
      handles: this.#handles,
      doomed,
      cacheWriter: this.#cacheWriter,
      threads: this.#threads,
      progress: this.#totals.bytesRead,
    })
    if (this.#isClosed) {
      await writer.close()
      throw new CairnError('CAIRN_ABORTED', 'interrupted')
    }
    this.#writer = writer
    this.#reader = new FileReader(this.#fileReaderOptions(writer))
    return writer
  }

  #fileReaderOptions(writer: BackupWriter) {
    return {
      pool: writer.pool,
      handles: this.#handles,
      ready: () => writer.store.ready(),
      newList: () => writer.newList(),
      onClaimed: (ids: Uint8Array) => writer.addClaimed(ids),
      onError: (file: PendingFile, message: string) =>
        this.#totals.failed(file.path, new Error(message)),
      lstat: this.#options.environment.source.lstat,
      onJob: () => writer.growClaims(),
      signal: this.#options.signal,
    }
  }

  #packsOf(handles: readonly number[]): FileName[] {
    const relied = new Set<FileName>()
    for (const handle of handles) {
      const name = this.#handles.nameOf(handle)
      if (name !== undefined) relied.add(name)
    }
    return [...relied]
  }

  /** The snapshot is durable: what the scan saw may be trusted next time. */
  commitCache(): void {
    if (this.#isUnchanged) this.#cacheWriter?.discard()
    else this.#cacheWriter?.commit(this.#handles.names)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#handles.cancel()
    this.#scan?.close()
    this.#cacheWriter?.discard()
    this.#cache?.close()
    await this.#writer?.close()
    await this.#threads?.close()
    this.#writer = undefined
  }
}
