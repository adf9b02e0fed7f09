/**
 * Saves finished packs and names them in index files (FORMAT.md 10 and 17): packs durable first,
 * then the index file that names them. Index files are written often, so that a run that is killed
 * loses little.
 */

import { assert } from '../base/errors.ts'
import { type FileName, fileNameOf } from '../base/ids.ts'
import { SEGMENT_KIND } from '../format/constants.ts'
import { PackDirectory } from '../format/directory.ts'
import { encodeIndexFile, type IndexedPack, indexedPackBytes } from '../format/index-file.ts'
import type { SealedPack } from '../pipeline/pack-writer.ts'
import type { Repository } from './repository.ts'

const MIB = 1 << 20
/** An index file is written when this many packs or bytes wait for one. */
const PACKS_PER_INDEX_MAX = 32
const INDEX_BYTES_MAX = 8 * MIB
/** Saves under way before `ready` holds back whoever makes packs: bounds memory. */
const SAVES_AT_ONCE = 2

export interface PackStoreOptions {
  readonly repository: Repository
  readonly signal?: AbortSignal | undefined
  /** Called once the pack's bytes are with the storage and its buffer is free again. */
  readonly onSaved?: (pack: SavedPack) => void
  /**
   * Called after an index file that names these packs is durable. `isLast`: it is the one that
   * `finish` ends with.
   */
  readonly onIndexed?: (packs: readonly IndexedPack[], isLast: boolean) => Promise<void> | void
  /** Saves nothing; sizes are counted all the same (`--dry-run`). */
  readonly dryRun?: boolean
}

export interface SavedPack {
  readonly handle: number
  readonly name: FileName
  readonly buffer: ArrayBuffer
  /** Who made it, as `take` was told. */
  readonly worker: number | undefined
}

export class PackStore {
  readonly #options: PackStoreOptions
  readonly #unindexed: IndexedPack[] = []
  readonly #saving = new Set<Promise<void>>()
  #indexing: Promise<void> = Promise.resolve()
  #failure: unknown
  #waiting: (() => void)[] = []
  /** Bytes of packs that were saved, by kind. */
  readonly storedBytes = { data: 0, metadata: 0 }

  constructor(options: PackStoreOptions) {
    this.#options = options
  }

  /** Takes a pack. Never rejects: a failure is thrown by `ready` and `finish`. */
  take(pack: SealedPack, worker?: number): void {
    const name = fileNameOf(pack.name)
    if (pack.kind === SEGMENT_KIND.data) this.storedBytes.data += pack.bytes.byteLength
    else this.storedBytes.metadata += pack.bytes.byteLength
    const indexed: IndexedPack = {
      name,
      byteCount: pack.bytes.byteLength,
      verified: false,
      author: this.#options.repository.keyring.authorId,
      preamble: pack.preamble,
      directory: new PackDirectory(pack.directory),
    }
    const saving = this.#save(pack, indexed, worker)
      .catch((error: unknown) => {
        this.#failure ??= error
      })
      .finally(() => {
        this.#saving.delete(saving)
        this.#wake()
      })
    this.#saving.add(saving)
  }

  async #save(pack: SealedPack, indexed: IndexedPack, worker: number | undefined): Promise<void> {
    const { repository, signal, onSaved, dryRun } = this.#options
    if (dryRun !== true) {
      const operation = { signal }
      await repository.backend.save({ kind: 'packs', name: indexed.name }, pack.bytes, operation)
    }
    onSaved?.({ handle: pack.handle, name: indexed.name, buffer: pack.bytes.buffer, worker })
    this.adopt(indexed)
  }

  /** Names a pack that the storage has already in the next index file. */
  adopt(pack: IndexedPack): void {
    this.#unindexed.push(pack)
    const bytes = this.#unindexed.reduce((sum, each) => sum + indexedPackBytes(each), 0)
    if (this.#unindexed.length >= PACKS_PER_INDEX_MAX || bytes >= INDEX_BYTES_MAX) {
      this.#indexing = this.#indexing
        .then(() => this.#writeIndex())
        .catch((error: unknown) => {
          this.#failure ??= error
        })
    }
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resume of waiting) resume()
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Resolves once another pack may be made. Rejects with the first failure. */
  async ready(): Promise<void> {
    while (this.#saving.size >= SAVES_AT_ONCE && this.#failure === undefined) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    this.#throwIfFailed()
  }

  async #writeIndex(isLast = false): Promise<void> {
    const packs = this.#unindexed.splice(0)
    if (packs.length === 0) return
    const { repository, signal, onIndexed, dryRun } = this.#options
    if (dryRun === true) return
    const operation = { signal }
    await repository.backend.flush(operation)
    const body = encodeIndexFile({ superseded: [], packs })
    await repository.saveObject('index', body, signal)
    await repository.backend.flush(operation)
    await onIndexed?.(packs, isLast)
  }

  /** Returns once every pack taken so far is with the storage, which need not be durable yet. */
  async allSaved(): Promise<void> {
    while (this.#saving.size > 0) await Promise.all(this.#saving)
    this.#throwIfFailed()
  }

  /**
   * Returns once every pack taken before the call is durable and named by a durable index file.
   * More may be taken meanwhile.
   */
  async sync(): Promise<void> {
    await this.#sync(false)
  }

  async #sync(isLast: boolean): Promise<void> {
    await Promise.all(this.#saving)
    this.#throwIfFailed()
    this.#indexing = this.#indexing
      .then(() => this.#writeIndex(isLast))
      .catch((error: unknown) => {
        this.#failure ??= error
      })
    await this.#indexing
    this.#throwIfFailed()
  }

  /** As `sync`, when no more packs will be taken. */
  async finish(): Promise<void> {
    await this.allSaved()
    await this.#sync(true)
    assert(this.#unindexed.length === 0, 'every pack is indexed')
  }
}
