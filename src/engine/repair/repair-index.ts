/**
 * Makes index files say what packs are there and what is in them. Every pack says it of itself, so
 * nothing but time is at stake. An index that is right stays as it is, byte for byte.
 */

import type { FileName } from '../../base/ids.ts'
import type { IndexedPack } from '../../format/index-file.ts'
import { doomedBy, listMarks } from '../../repository/marks.ts'
import { type ListedPack, PackInventory, saysTheSame } from '../prune/pack-inventory.ts'
import { replaceIndex } from '../prune/replace-index.ts'
import { packLabel, type RepairContext, requireRepairable } from './repair-options.ts'
import { type Salvaged, salvagePack } from '../../repository/salvage.ts'

export interface RepairIndexOptions extends RepairContext {
  /** Reads the footer of every pack, also of those that index files agree on. */
  readonly readAllPacks: boolean
  readonly onProgress?: (done: number, total: number) => void
}

export interface RepairIndexReport {
  /** Index files that were damaged. */
  readonly damagedFiles: number
  /** Packs that index files named and that are not there, or not of that length. */
  readonly packsDropped: number
  /** Packs that are named now and were not, or wrongly. */
  readonly packsAdded: number
  /** Of these, packs without a footer whose segments were found one by one. */
  readonly packsSalvaged: number
  readonly filesRemoved: number
  readonly filesWritten: number
  /** Packs of which nothing can be read. */
  readonly unreadable: readonly { readonly name: FileName; readonly problem: string }[]
}

export async function repairIndex(options: RepairIndexOptions): Promise<RepairIndexReport> {
  await requireRepairable(options)
  return await new IndexRepair(options).run()
}

class IndexRepair {
  readonly #options: RepairIndexOptions
  readonly #inventory: PackInventory
  readonly #gone = new Set<FileName>()
  readonly #added: IndexedPack[] = []
  readonly #unreadable: { name: FileName; problem: string }[] = []
  #dropped = 0
  #salvaged = 0

  constructor(options: RepairIndexOptions) {
    this.#options = options
    this.#inventory = new PackInventory(options.repository, options.operation)
  }

  async run(): Promise<RepairIndexReport> {
    const { repository, operation, dryRun, onProgress } = this.#options
    await this.#inventory.loadIndex()
    const doomed = doomedBy(await listMarks(repository, operation.signal))
    await this.#inventory.listPacks(doomed)
    this.#dropEntries()
    const suspects = this.#suspects(doomed)
    for (const [i, pack] of suspects.entries()) {
      await this.#examine(pack)
      onProgress?.(i + 1, suspects.length)
      await this.#options.environment.yield()
    }
    const { files } = this.#inventory
    const damaged = [...files].filter(([, { isWhole }]) => !isWhole).map(([name]) => name)
    const input = { discard: new Set(damaged), gone: this.#gone, added: this.#added }
    const replaced = dryRun
      ? { removed: 0, written: 0 }
      : await replaceIndex({ repository, files, operation, ...input })
    return {
      damagedFiles: damaged.length,
      packsDropped: this.#dropped,
      packsAdded: this.#added.length,
      packsSalvaged: this.#salvaged,
      filesRemoved: replaced.removed,
      filesWritten: replaced.written,
      unreadable: this.#unreadable,
    }
  }

  /** Entries that count for nothing: their pack is not there, or has another length. */
  #dropEntries(): void {
    const { repository, onNotice } = this.#options
    for (const { packs } of this.#inventory.files.values()) {
      for (const { name, byteCount } of packs) {
        const listed = this.#inventory.packs.get(name)
        if (listed?.byteCount === byteCount || this.#gone.has(name)) continue
        // A listing that lags behind does not say that a pack is gone.
        if (listed === undefined && !repository.backend.listsConsistently) continue
        this.#gone.add(name)
        this.#dropped++
        const length = listed === undefined ? 'is not there' : `has ${listed.byteCount} bytes`
        onNotice(`${packLabel(name)}, which the index has with ${byteCount} bytes, ${length}`)
      }
    }
  }

  /** Packs that index files do not name, or about which they do not agree. */
  #suspects(doomed: ReadonlySet<FileName>): ListedPack[] {
    return [...this.#inventory.packs.values()].filter(({ name, claims, isIndexed }) => {
      if (this.#options.readAllPacks || this.#gone.has(name)) return true
      // What a prune is about to remove needs no entry.
      return isIndexed ? claims.length !== 1 : !doomed.has(name)
    })
  }

  async #examine(listed: ListedPack): Promise<void> {
    const { repository, operation } = this.#options
    const { name, byteCount, claims, isIndexed } = listed
    const preamble = this.#knownPreamble(name)
    const salvaged = await salvagePack(repository, { name, byteCount, preamble }, operation)
    if (salvaged.kind === 'nothing') {
      this.#refuse(listed, salvaged.problem)
      return
    }
    const [claim] = claims
    const isRight = isIndexed && claims.length === 1 && claim !== undefined
    if (isRight && saysTheSame({ ...claim, author: salvaged.pack.author }, salvaged.pack)) return
    // An index file that knows more than a damaged pack does is right.
    if (isRight && salvaged.kind === 'segments') return
    this.#take(name, salvaged)
  }

  #refuse({ name, isIndexed }: ListedPack, problem: string): void {
    this.#unreadable.push({ name, problem })
    const what = isIndexed ? 'cannot be read' : 'is in no index file and cannot be read'
    this.#options.onNotice(`${packLabel(name)} ${what}: ${problem}`)
  }

  #take(name: FileName, salvaged: Exclude<Salvaged, { kind: 'nothing' }>): void {
    this.#gone.add(name)
    this.#added.push(salvaged.pack)
    const count = salvaged.pack.directory.blobCount
    const how = salvaged.kind === 'footer' ? 'is named' : 'has lost its footer and is named'
    this.#options.onNotice(`${packLabel(name)} ${how}, with ${count} blobs`)
    if (salvaged.kind === 'segments') this.#salvaged++
  }

  #knownPreamble(name: FileName): Uint8Array | undefined {
    for (const { packs } of this.#inventory.files.values()) {
      const pack = packs.find((one) => one.name === name)
      if (pack !== undefined) return pack.preamble
    }
    return undefined
  }
}
