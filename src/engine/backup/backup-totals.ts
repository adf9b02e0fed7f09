/** Counts what a backup does, for its progress and its summary. */

import type { ByteString } from '../../base/bytes.ts'
import type { Snapshot } from '../../repository/snapshots.ts'
import type { SourceFiles } from '../../source/source-files.ts'
import type { BackupOptions, BackupReport } from './backup-options.ts'
import type { BackupWriter } from './backup-writer.ts'
import type { FileReader } from './file-reader.ts'
import type { ItemAction, ScanItem } from './scan-options.ts'
import type { WaitingFiles } from './waiting-files.ts'

export type Totals = Pick<
  BackupReport,
  | 'files'
  | 'directories'
  | 'dataBlobs'
  | 'treeBlobs'
  | 'bytesAdded'
  | 'bytesAddedStored'
  | 'filesProcessed'
  | 'bytesProcessed'
  | 'errorCount'
>

const NAMES_SHOWN = 2
const REPORT_PERIOD_MS = 50

export class BackupTotals {
  readonly #options: BackupOptions
  readonly #files: Record<ItemAction, number> = { new: 0, modified: 0, unchanged: 0 }
  readonly #directories: Record<ItemAction, number> = { new: 0, modified: 0, unchanged: 0 }
  readonly #uids = new Set<number>()
  readonly #gids = new Set<number>()
  /** [0] bytes read, added to by every worker. */
  readonly bytesRead = new SharedArrayBuffer(8)
  readonly #bytesRead = new BigInt64Array(this.bytesRead)
  #bytesProcessed = 0
  #bytesUnchanged = 0
  #errors = 0
  #reportedMs = Number.NEGATIVE_INFINITY
  #estimate: { readonly files: number; readonly bytes: number } | undefined

  constructor(options: BackupOptions) {
    this.#options = options
  }

  estimateFrom(parent: Snapshot | undefined): void {
    const statistics = parent?.content?.statistics
    if (statistics === undefined) return
    this.#estimate = { files: statistics.filesProcessed, bytes: statistics.bytesProcessed }
  }

  item(item: ScanItem): void {
    const { stat, action } = item
    this.#uids.add(stat.uid)
    this.#gids.add(stat.gid)
    if (item.isDirectory) this.#directories[action]++
    else if (stat.type === 'file') {
      this.#files[action]++
      this.#bytesProcessed += stat.size
      if (action === 'unchanged') this.#bytesUnchanged += stat.size
    }
    this.#options.listener.onItem?.(item)
  }

  failed(path: ByteString, error: Error): void {
    this.#errors++
    this.#options.listener.onError?.(path, error)
  }

  /** Tells the listener how far it is, now and then. */
  report(waiting: WaitingFiles): void {
    const { onProgress } = this.#options.listener
    const nowMs = this.#options.environment.clock.monotonicMs()
    if (onProgress === undefined || nowMs < this.#reportedMs + REPORT_PERIOD_MS) return
    this.#reportedMs = nowMs
    const { new: added, modified, unchanged } = this.#files
    onProgress({
      filesDone: added + modified + unchanged,
      bytesDone: this.#bytesUnchanged + Number(Atomics.load(this.#bytesRead, 0)),
      ...(this.#estimate === undefined
        ? {}
        : { totalFiles: this.#estimate.files, totalBytes: this.#estimate.bytes }),
      errorCount: this.#errors,
      currentFiles: waiting.peek(NAMES_SHOWN).map(({ path }) => path),
    })
  }

  /** The entry of a stream, which no scan has seen. */
  addStream(byteCount: number): void {
    this.#files.new++
    this.#bytesProcessed += byteCount
  }

  totals(writer: BackupWriter | undefined, reader: FileReader | undefined): Totals {
    const { new: added, modified, unchanged } = this.#files
    const stored = writer?.store.storedBytes
    return {
      files: { ...this.#files },
      directories: { ...this.#directories },
      dataBlobs: reader?.newBlobs ?? 0,
      treeBlobs: writer?.metadata.newBlobs ?? 0,
      bytesAdded: (reader?.newBytes ?? 0) + (writer?.metadata.newBytes ?? 0),
      bytesAddedStored: (stored?.data ?? 0) + (stored?.metadata ?? 0),
      filesProcessed: added + modified + unchanged,
      bytesProcessed: this.#bytesProcessed,
      errorCount: this.#errors,
    }
  }

  names(source: SourceFiles): {
    readonly userNames: ReadonlyMap<number, string>
    readonly groupNames: ReadonlyMap<number, string>
  } {
    const named = (ids: ReadonlySet<number>, nameOf: (id: number) => string | undefined) =>
      new Map([...ids].flatMap((id) => (nameOf(id) === undefined ? [] : [[id, nameOf(id) ?? '']])))
    return {
      userNames: named(this.#uids, (uid) => source.userName(uid)),
      groupNames: named(this.#gids, (gid) => source.groupName(gid)),
    }
  }
}
