/**
 * All packs there are and what index files, or else their own footers, say of them. Kept as index
 * files have it: 37 bytes a blob, and as much again for looking them up.
 */

import { CairnError, errorChain, isCairnError } from '../../base/errors.ts'
import { equalBytes } from '../../base/bytes.ts'
import type { FileName } from '../../base/ids.ts'
import { decodeIndexFile, type IndexedPack } from '../../format/index-file.ts'
import type { BlobLookup } from '../../pipeline/index/blob-index.ts'
import { MemoryIndex, memoryLookup } from '../../pipeline/index/memory-index.ts'
import { isSameClaim } from '../../pipeline/index/pack-table.ts'
import { readPackDirectory } from '../../pipeline/pack-directory-reader.ts'
import type { Repository } from '../../repository/repository.ts'

const LOADS_AT_ONCE = 8
const NOTHING: BlobLookup = { findPack: () => -1, close: async () => {} }

export interface IndexFileContents {
  readonly packs: readonly IndexedPack[]
  /** Whether all of it could be decoded: only then may it be replaced. */
  readonly isWhole: boolean
}

export interface ListedPack {
  readonly name: FileName
  readonly byteCount: number
  readonly mtimeMs: number | undefined
  /** What is said of it, without repetitions; none if nothing that is good. */
  readonly claims: readonly IndexedPack[]
  readonly isIndexed: boolean
  /** Why a pack without claims cannot be used. */
  readonly problem: string | undefined
}

export class PackInventory {
  #index: MemoryIndex
  readonly #seed: number
  /** By name of the index file. */
  readonly files = new Map<FileName, IndexFileContents>()
  #packs = new Map<FileName, ListedPack>()
  #lookup: BlobLookup = NOTHING
  #listed = new Map<FileName, number>()
  readonly #footers = new Map<FileName, IndexedPack | string>()
  readonly #repository: Repository
  readonly #operation: { readonly signal?: AbortSignal | undefined }

  constructor(repository: Repository, operation: { readonly signal?: AbortSignal | undefined }) {
    this.#repository = repository
    this.#operation = operation
    this.#seed = Buffer.from(repository.random.bytes(4)).readUInt32LE(0)
    this.#index = new MemoryIndex(0, this.#seed)
  }

  /** What has been loaded so far. Not to be kept from before the first `loadIndex`. */
  get index(): MemoryIndex {
    return this.#index
  }

  get packs(): ReadonlyMap<FileName, ListedPack> {
    return this.#packs
  }

  /** Index files that came since the last time, and those that went. */
  async loadIndex(): Promise<void> {
    const { backend } = this.#repository
    const names = (await backend.list('index', this.#operation)).map(({ name }) => name).sort()
    const there = new Set(names)
    for (const name of this.files.keys()) if (!there.has(name)) this.files.delete(name)
    const fresh = names.filter((name) => !this.files.has(name))
    const isFirst = this.files.size === 0 && this.#index.blobCount === 0
    const added: IndexedPack[] = []
    for (let at = 0; at < fresh.length; at += LOADS_AT_ONCE) {
      const batch = fresh.slice(at, at + LOADS_AT_ONCE)
      const loaded = await Promise.all(batch.map((name) => this.#loadFile(name)))
      for (const [i, contents] of loaded.entries()) {
        const name = batch[i]
        if (name === undefined || contents === undefined) continue
        this.files.set(name, contents)
        added.push(...contents.packs)
      }
    }
    if (isFirst) {
      const blobCount = added.reduce((sum, { directory }) => sum + directory.blobCount, 0)
      this.#index = new MemoryIndex(blobCount, this.#seed)
    }
    await this.#index.add(added)
  }

  async #loadFile(name: FileName): Promise<IndexFileContents | undefined> {
    const repository = this.#repository
    let isWhole = true
    try {
      const object = await repository.loadObject('index', name, this.#operation.signal)
      if (object === undefined) return undefined
      const { packs } = decodeIndexFile(object.body, (pack, error) => {
        isWhole = false
        repository.warnDamagedEntry(name, pack, error)
      })
      // Only what an admin has signed says that a pack was verified (FORMAT.md 10).
      const isAdmin = object.author.role === 'admin'
      return {
        packs: packs.map((pack) => (isAdmin ? pack : { ...pack, verified: false })),
        isWhole,
      }
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      repository.warnDamage({ kind: 'index', name, error })
      return { packs: [], isWhole: false }
    }
  }

  /** FORMAT.md 17: after `loadIndex`. Packs that no index file names are read through footers. */
  async listPacks(doomed: ReadonlySet<FileName>): Promise<void> {
    const files = await this.#repository.backend.list('packs', this.#operation)
    this.#listed = new Map(files.map(({ name, byteCount }) => [name, byteCount]))
    const claims = this.#claims()
    const orphans = files.filter(({ name }) => !claims.has(name))
    await this.#readFooters(orphans)
    this.#packs = new Map()
    for (const { name, byteCount, mtimeMs } of files) {
      const indexed = claims.get(name)
      const footer = this.#footers.get(name)
      const known = indexed ?? (typeof footer === 'object' ? [footer] : [])
      const fitting = known.filter((claim) => claim.byteCount === byteCount)
      this.#packs.set(name, {
        name,
        byteCount,
        mtimeMs,
        claims: fitting,
        isIndexed: indexed !== undefined,
        problem: fitting.length > 0 ? undefined : problemOf(known, footer, byteCount),
      })
    }
    this.#setDoomed(doomed)
  }

  /** From now on, packs that are listed count, and as doomed if they are named here. */
  #setDoomed(doomed: ReadonlySet<FileName>): void {
    this.index.setStates(this.#listed, doomed)
    const share = this.index.share()
    if (share.kind === 'memory') this.#lookup = memoryLookup(share)
  }

  /** Whether a pack has the blob that is there and not doomed. */
  hasLive(id: Uint8Array): boolean {
    return this.#lookup.findPack(Buffer.from(id.buffer, id.byteOffset, id.byteLength)) >= 0
  }

  /** Counts packs that were just saved: they are there. */
  async add(packs: readonly IndexedPack[]): Promise<void> {
    for (const { name, byteCount } of packs) this.#listed.set(name, byteCount)
    await this.index.add(packs)
  }

  #claims(): Map<FileName, IndexedPack[]> {
    const claims = new Map<FileName, IndexedPack[]>()
    for (const { packs } of this.files.values()) {
      for (const pack of packs) {
        const known = claims.get(pack.name)
        if (known === undefined) claims.set(pack.name, [pack])
        else if (!known.some((other) => saysTheSame(other, pack))) known.push(pack)
      }
    }
    return claims
  }

  async #readFooters(
    orphans: readonly { readonly name: FileName; readonly byteCount: number }[],
  ): Promise<void> {
    const unread = orphans.filter(({ name }) => !this.#footers.has(name))
    for (let at = 0; at < unread.length; at += LOADS_AT_ONCE) {
      const batch = unread.slice(at, at + LOADS_AT_ONCE)
      const read = await Promise.all(batch.map((file) => this.#readFooter(file)))
      for (const [i, footer] of read.entries()) {
        const name = batch[i]?.name
        if (name === undefined) continue
        this.#footers.set(name, footer)
        if (typeof footer === 'object') await this.index.add([footer])
      }
    }
  }

  async #readFooter(file: {
    readonly name: FileName
    readonly byteCount: number
  }): Promise<IndexedPack | string> {
    const repository = this.#repository
    const { name, byteCount } = file
    try {
      const { preamble, directory } = await readPackDirectory({
        byteCount,
        keyOf: (head) => repository.packKey(head),
        load: async (range) => {
          const reference = { kind: 'packs' as const, name }
          const bytes = await repository.backend.load(reference, range, this.#operation)
          if (bytes !== undefined) return bytes
          throw new CairnError('CAIRN_CORRUPT', 'the pack is gone')
        },
      })
      const author = repository.keyring.authorId
      return { name, byteCount, verified: false, author, preamble, directory }
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      return errorChain(error)
    }
  }
}

function problemOf(
  known: readonly IndexedPack[],
  footer: IndexedPack | string | undefined,
  byteCount: number,
): string {
  const [claim] = known
  if (claim !== undefined) {
    return `it has ${byteCount} bytes where the index says ${claim.byteCount}`
  }
  return typeof footer === 'string' ? footer : 'nothing is known of it'
}

export function saysTheSame(a: IndexedPack, b: IndexedPack): boolean {
  return isSameClaim(a, b) && equalBytes(a.directory.bytes, b.directory.bytes)
}
