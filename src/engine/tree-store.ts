/** Reads trees of the repository and writes new ones: for whoever makes snapshots without sources. */

import { CairnError } from '../base/errors.ts'
import { blobIdOf, type FileName, shortId } from '../base/ids.ts'
import { loadBlake3 } from '../crypto/blake3.ts'
import { Claims } from '../pipeline/claim-table.ts'
import { PackStates } from '../pipeline/index/blob-index.ts'
import { indexOrphans } from '../repository/adopt-orphans.ts'
import { BlobReader } from '../repository/blob-reader.ts'
import { MetadataWriter } from '../repository/metadata-writer.ts'
import { type OpenedIndex, openIndex } from '../repository/open-index.ts'
import { PackStore } from '../repository/pack-store.ts'
import type { Repository } from '../repository/repository.ts'
import { ChunkListWriter, TreeWriter } from '../repository/tree-writer.ts'
import { PackHandles } from './backup/pack-handles.ts'

const LEVEL = 3

export interface TreeStoreOptions {
  readonly repository: Repository
  /** Nodes whose only copies lie in these are stored again. */
  readonly doomed: ReadonlySet<FileName>
  readonly cacheDirectory: string | undefined
  /** Stores nothing, and gives every new tree its id all the same. */
  readonly dryRun: boolean
  readonly signal: AbortSignal | undefined
}

export class TreeStore {
  readonly blobs: BlobReader
  readonly #opened: OpenedIndex
  readonly #store: PackStore
  readonly #metadata: MetadataWriter
  readonly #claims: Claims
  readonly #handles: PackHandles
  readonly #splitHash: (data: Uint8Array) => Uint8Array
  readonly #claimed: Uint8Array[] = []
  readonly #isDry: boolean

  private constructor(options: TreeStoreOptions, opened: OpenedIndex) {
    const { repository, signal, dryRun } = options
    this.#isDry = dryRun
    this.#opened = opened
    this.blobs = new BlobReader(repository, opened.index)
    this.#handles = new PackHandles([])
    const handles = this.#handles
    handles.useIndex((packNumber) => opened.index.pack(packNumber).name)
    this.#claims = new Claims([])
    this.#store = new PackStore({
      repository,
      signal,
      dryRun,
      onSaved: ({ handle, name }) => handles.setName(handle, name),
      onIndexed: async (packs) => await opened.add(packs),
    })
    this.#splitHash = loadBlake3().keyed(repository.keyring.ids.split)
    const share = opened.index.share()
    this.#metadata = new MetadataWriter({
      repository,
      store: this.#store,
      claims: this.#claims,
      index: opened.index,
      states: share.kind === 'empty' ? undefined : new PackStates(share.states),
      level: LEVEL,
      nextHandle: () => handles.next(),
      onRelied: (raw, claimedId) => {
        handles.used.add(handles.resolve(raw))
        if (claimedId !== undefined) this.#claimed.push(Uint8Array.from(claimedId))
      },
    })
  }

  static async open(options: TreeStoreOptions): Promise<TreeStore> {
    const { repository, cacheDirectory, signal, doomed, dryRun } = options
    const operation = { signal }
    const opened = await openIndex(repository, {
      cacheDirectory,
      bulk: false,
      readOrphans: dryRun,
      ...operation,
    })
    opened.index.setStates(opened.listed, doomed)
    if (!dryRun) await indexOrphans(opened, { repository, doomed, ...operation })
    return new TreeStore(options, opened)
  }

  /** Resolves once there is room for more. */
  async ready(): Promise<void> {
    await this.#store.ready()
    this.#claims.grow()
  }

  /** A writer of one directory. Resolves once there is room for it. */
  async newTree(): Promise<TreeWriter> {
    await this.ready()
    return new TreeWriter((type, bytes) => this.#metadata.save(type, bytes), this.#splitHash)
  }

  /** A writer of one chunk list. Resolves once there is room for it. */
  async newList(): Promise<ChunkListWriter> {
    await this.ready()
    return new ChunkListWriter((type, bytes) => this.#metadata.save(type, bytes))
  }

  /** Packs that the new trees rest on, as far as they were written here. */
  get relied(): Set<FileName> {
    const names = [...this.#handles.used].map((handle) => this.#handles.nameOf(handle))
    return new Set(names.filter((name) => name !== undefined))
  }

  /** Bytes of packs that were written. */
  get bytesWritten(): number {
    return this.#store.storedBytes.metadata
  }

  /** Returns once all that was written is durable and named by index files. */
  async finish(): Promise<void> {
    this.#metadata.finish()
    await this.#store.finish()
    if (this.#isDry) return
    for (const id of this.#claimed) {
      if (this.#opened.index.find(id).length > 0) continue
      const blob = shortId(blobIdOf(id))
      throw new CairnError(
        'CAIRN_FAILED',
        `cannot finish: blob ${blob} was taken for another; run it again`,
      )
    }
  }

  async close(): Promise<void> {
    await this.#opened.close()
  }
}
