/**
 * An index in a LevelDB directory: what a repository has, kept between runs. A cache: its truth is
 * in index files, any doubt deletes it (IndexDamagedError), and LevelDB's repair is never called.
 * Keys and values are drawn in level-rows.ts.
 *
 * The filter answers first: what it does not know is absent. Packs and applied index files are few
 * and are read at opening. Batches are atomic, each has at least one pack or one index file in it,
 * and "meta" counts both: a batch that LevelDB has lost shows at the next opening.
 *
 * What is found is checked by its own checksum. What is not found is absent only as far as the
 * tables are what they were: a view's are checked when it is made (level-files.ts).
 */

import type { Randomness } from '../../base/seams.ts'
import { byteString, concat, equalBytes } from '../../base/bytes.ts'
import type { FileName } from '../../base/ids.ts'
import { sha256 } from '../../crypto/sha256.ts'
import type { PackDirectory } from '../../format/directory.ts'
import type { IndexedPack } from '../../format/index-file.ts'
import type { BlobIndex, BlobLocation, IndexShare, KnownPack } from './blob-index.ts'
import { BloomFilter } from './bloom-filter.ts'
import {
  forEachEntry,
  forEachKey,
  getOrThrow,
  type LevelDatabase,
  openLevel,
  type WriteBatch,
} from './level-database.ts'
import { encodeMeta, META_KEY, type Meta, readMeta, stampOf } from './level-meta.ts'
import {
  BLOB_RANGE,
  FILE_RANGE,
  IndexDamagedError,
  type LevelPack,
  PACK_RANGE,
  RowCodec,
} from './level-rows.ts'
import { PackTable } from './pack-table.ts'

export { levelLookup } from './level-lookup.ts'
export { IndexDamagedError } from './level-rows.ts'

const FIRST_KEY = Buffer.from([0])
const LAST_KEY = Buffer.from([0xff])
/** A batch is written once it has so many blobs. A pack is never split. */
const BATCH_BLOBS = 8192
/** Growing means reading all ids again, so it is done in large steps. */
const FILTER_GROWTH = 4
const FILTER_CAPACITY_MIN = 1 << 14

export interface LevelIndexOptions {
  /** An absolute path. */
  readonly directory: string
  readonly repositoryId: Uint8Array
  /** Given: an empty database is made where there is none. */
  readonly randomness?: Randomness
  /** Whether workers of this process may open it too. */
  readonly isShared: boolean
  /** The filter saved for a state of the database; without one it is made from all keys. */
  readonly loadFilter?: (stamp: Uint8Array) => BloomFilter | undefined
}

/** Rows that are not written yet. */
interface Pending {
  readonly batch: WriteBatch
  /** By id (latin1): what the batch puts there. */
  readonly values: Map<string, Buffer>
  packCount: number
  idCount: number
}

export class LevelIndex implements BlobIndex {
  readonly implementation = 'level'
  readonly directory: string
  readonly #repositoryId: Uint8Array
  readonly #database: LevelDatabase
  readonly #meta: Meta
  readonly #codec: RowCodec
  readonly #packs = new PackTable<LevelPack>()
  readonly #packCountOpened: number
  readonly #files = new Set<FileName>()
  #filter = BloomFilter.create(FILTER_CAPACITY_MIN)
  #lastWrite: Promise<void> = Promise.resolve()

  private constructor(options: LevelIndexOptions, database: LevelDatabase, meta: Meta) {
    this.directory = options.directory
    this.#repositoryId = options.repositoryId
    this.#database = database
    this.#meta = meta
    this.#packCountOpened = meta.packCount
    this.#codec = new RowCodec(meta.databaseId)
  }

  /** Throws LevelDB's error if it cannot be opened, IndexDamagedError if it is not to be trusted. */
  static async open(options: LevelIndexOptions): Promise<LevelIndex> {
    const database = await openLevel(options.directory, {
      createIfMissing: options.randomness !== undefined,
      multithreading: options.isShared,
    })
    try {
      const meta = await readMeta(database, options.repositoryId, options.randomness)
      const index = new LevelIndex(options, database, meta)
      await index.#load(options.loadFilter?.(stampOf(meta)))
      return index
    } catch (error) {
      await database.close()
      if (error instanceof IndexDamagedError) throw error
      throw new IndexDamagedError('it cannot be read', error)
    }
  }

  async #load(filter: BloomFilter | undefined): Promise<void> {
    await forEachEntry(this.#database, PACK_RANGE, (key, value) => {
      this.#packs.push(this.#codec.decodePack(this.#packs.count, key, value))
    })
    await forEachEntry(this.#database, FILE_RANGE, (key, value) => {
      this.#files.add(this.#codec.decodeFile(key, value))
    })
    const { packCount, fileCount } = this.#meta
    if (this.#packs.count !== packCount || this.#files.size !== fileCount) {
      throw new IndexDamagedError('packs or index files are missing')
    }
    if (filter === undefined) await this.#rebuildFilter()
    else this.#filter = filter
  }

  async #rebuildFilter(): Promise<void> {
    const { idCount } = this.#meta
    const filter = BloomFilter.create(Math.max(FILTER_CAPACITY_MIN, idCount * FILTER_GROWTH))
    await forEachKey(this.#database, BLOB_RANGE, (key) => filter.add(key.subarray(1)))
    if (filter.count !== idCount) throw new IndexDamagedError('blobs are missing')
    this.#filter = filter
  }

  /** The index files that have been applied. */
  get files(): ReadonlySet<FileName> {
    return this.#files
  }

  /** How many different blobs it knows. */
  get blobCount(): number {
    return this.#meta.idCount
  }

  /** Which state of which database this is. */
  get stamp(): Uint8Array {
    return stampOf(this.#meta)
  }

  find(id: Uint8Array): BlobLocation[] {
    if (!this.#filter.has(id)) return []
    const value = getOrThrow(this.#database, this.#codec.blobKey(id))
    if (value === undefined) return []
    return this.#packs.order(this.#codec.decodeRows(value, this.#packs.tags))
  }

  pack(packNumber: number): KnownPack {
    return this.#packs.get(packNumber)
  }

  packNumberOf(name: FileName): number | undefined {
    return this.#packs.bestNumberOf(name)
  }

  packNumbers(): Iterable<number> {
    return this.#packs.numbers()
  }

  /** Whether most packs that it was opened with are gone, so that making it anew would pay. */
  get isMostlyGone(): boolean {
    return this.#packs.goneCount(this.#packCountOpened) * 2 > this.#packCountOpened
  }

  setStates(listed: ReadonlyMap<FileName, number>, doomed: ReadonlySet<FileName>): void {
    this.#packs.setStates(listed, doomed)
  }

  async add(packs: readonly IndexedPack[]): Promise<void> {
    await this.#enqueue(() => this.#apply(packs, undefined))
  }

  /** Adds the packs of an index file, and remembers that they were added. */
  async addFile(name: FileName, packs: readonly IndexedPack[]): Promise<void> {
    await this.#enqueue(() => this.#apply(packs, name))
  }

  async #enqueue(write: () => Promise<void>): Promise<void> {
    const done = this.#lastWrite.then(write)
    this.#lastWrite = done
    done.catch(() => {}) // Whoever waits for `done` hears of it, and so does everybody after.
    await done
  }

  async #apply(packs: readonly IndexedPack[], file: FileName | undefined): Promise<void> {
    try {
      let pending = this.#begin()
      for (const pack of packs) {
        this.#addPack(pending, pack)
        if (pending.values.size < BATCH_BLOBS) continue
        await this.#write(pending)
        pending = this.#begin()
      }
      if (file !== undefined && !this.#files.has(file)) {
        pending.batch.put(this.#codec.fileKey(file), this.#codec.encodeFile(file))
        this.#files.add(file)
      }
      await this.#write(pending)
    } catch (error) {
      if (error instanceof IndexDamagedError) throw error
      throw new IndexDamagedError('it cannot be written', error)
    }
  }

  #begin(): Pending {
    const { packCount, idCount } = this.#meta
    return { batch: this.#database.batch(), values: new Map(), packCount, idCount }
  }

  async #write(pending: Pending): Promise<void> {
    const { batch, values } = pending
    if (values.size === 0 && batch.length === 0) return await batch.close()
    for (const [id, value] of values) {
      batch.put(this.#codec.blobKey(Buffer.from(id, 'latin1')), value)
    }
    const meta = this.#meta
    meta.generation += 1n
    meta.packCount = this.#packs.count
    meta.fileCount = this.#files.size
    meta.idCount = pending.idCount
    batch.put(META_KEY, encodeMeta(meta, this.#repositoryId))
    await batch.write()
    if (this.#filter.isFull) await this.#rebuildFilter()
  }

  #addPack(pending: Pending, pack: IndexedPack): void {
    const digest = digestOf(pack)
    const same = this.#packs
      .numbersOf(pack.name)
      .find((number) => equalBytes(this.#packs.get(number).digest, digest))
    if (same !== undefined) {
      if (pack.verified) this.#verify(pending, same)
      return
    }
    const { name, byteCount, verified, author, preamble, directory } = pack
    const known = { name, byteCount, verified, author, preamble, digest }
    const number = this.#packs.push(known)
    pending.batch.put(this.#codec.packKey(number), this.#codec.encodePack(number, known))
    this.#addBlobs(pending, directory, number)
  }

  #verify(pending: Pending, number: number): void {
    const known = this.#packs.get(number)
    if (known.verified) return
    const verified = { ...known, verified: true }
    this.#packs.replace(number, verified)
    pending.batch.put(this.#codec.packKey(number), this.#codec.encodePack(number, verified))
  }

  #addBlobs(pending: Pending, directory: PackDirectory, packNumber: number): void {
    const tag = this.#packs.tags[packNumber] ?? 0
    directory.forEach((blob, _, offset, segment) => {
      const id = directory.id(blob)
      const key = this.#codec.blobKey(id)
      const length = directory.length(blob)
      const type = directory.type(blob)
      const row = this.#codec.encodeRow({ packNumber, segment, offset, length, type }, tag)
      const text = byteString(id)
      const older = this.#filter.has(id)
        ? (pending.values.get(text) ?? getOrThrow(this.#database, key))
        : undefined
      pending.values.set(text, older === undefined ? row : Buffer.concat([older, row]))
      if (older !== undefined) return
      this.#filter.add(id)
      pending.idCount++
    })
  }

  /** Brings everything into tables, so that opening needs no log. */
  async settle(): Promise<void> {
    await this.#lastWrite
    await this.#database.compactRange(LAST_KEY, LAST_KEY)
  }

  /** Merges all tables, so that LevelDB finds nothing to do afterwards. */
  async compact(): Promise<void> {
    await this.#database.compactRange(FIRST_KEY, LAST_KEY)
  }

  /** The number of tables that LevelDB is about to merge. */
  get unmergedTableCount(): number {
    return Number(this.#database.getProperty('leveldb.num-files-at-level0'))
  }

  encodeFilter(): Uint8Array {
    return this.#filter.encode(this.stamp)
  }

  share(): IndexShare {
    return {
      kind: 'level',
      directory: this.directory,
      filter: this.#filter.buffer,
      states: this.#packs.states.buffer,
      tags: this.#packs.tags.buffer,
      repositoryId: this.#repositoryId,
    }
  }

  async close(): Promise<void> {
    await this.#lastWrite.catch(() => {})
    await this.#database.close()
  }
}

/** Of what an index file says about a pack, but for its being verified. */
function digestOf(pack: IndexedPack): Uint8Array {
  const byteCount = Buffer.alloc(8)
  byteCount.writeBigUInt64LE(BigInt(pack.byteCount))
  return sha256(concat(byteCount, pack.author, pack.preamble, pack.directory.bytes))
}
