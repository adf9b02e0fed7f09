/**
 * Saves what can be read of damaged packs: good blobs go to new packs, and the damaged ones are
 * removed. A blob that cannot be read is lost with it, unless a backup stores the same again.
 */

import { CairnError } from '../../base/errors.ts'
import type { FileName } from '../../base/ids.ts'
import type { IndexedPack } from '../../format/index-file.ts'
import { doomedBy, listMarks, saveMark } from '../../repository/marks.ts'
import { Session } from '../../repository/sessions.ts'
import { PackInventory } from '../prune/pack-inventory.ts'
import { longestBlob, Repacker, type RepackItem } from '../prune/repacker.ts'
import { replaceIndex } from '../prune/replace-index.ts'
import { packLabel, type RepairContext, requireRepairable } from './repair-options.ts'
import { salvagePack } from '../../repository/salvage.ts'

export interface RepairPacksOptions extends RepairContext {
  /** Packs to repair; undefined reads all packs to find those that are damaged. */
  readonly packs: readonly FileName[] | undefined
  readonly level: number | undefined
  readonly verify: boolean
  readonly onProgress?: (done: number, total: number) => void
}

export interface RepairPacksReport {
  readonly packsRead: number
  readonly damaged: readonly FileName[]
  readonly blobsSaved: number
  readonly blobsLost: number
}

export async function repairPacks(options: RepairPacksOptions): Promise<RepairPacksReport> {
  await requireRepairable(options)
  const session = new Session(options.repository, 'pruner')
  if (!options.dryRun) await session.beat(options.signal)
  try {
    // Whoever has begun meanwhile is seen now, or sees this session.
    if (!options.dryRun) await requireRepairable(options)
    return await new PacksRepair(options).run()
  } finally {
    await session.end().catch(() => {})
  }
}

class PacksRepair {
  readonly #options: RepairPacksOptions
  readonly #inventory: PackInventory
  #blobsSaved = 0
  #blobsLost = 0

  constructor(options: RepairPacksOptions) {
    this.#options = options
    this.#inventory = new PackInventory(options.repository, options.operation)
  }

  async run(): Promise<RepairPacksReport> {
    const { repository, operation, dryRun, packs } = this.#options
    await this.#inventory.loadIndex()
    const doomed = doomedBy(await listMarks(repository, operation.signal))
    await this.#inventory.listPacks(doomed)
    const chosen = packs ?? [...this.#inventory.packs.keys()].filter((name) => !doomed.has(name))
    const items = await this.#items(chosen)
    const damaged = await this.#damaged(items, packs !== undefined)
    if (!dryRun && damaged.length > 0) {
      await this.#copy(items.filter(({ claim }) => damaged.includes(claim.name)))
      await this.#remove(damaged)
    }
    const { length: packsRead } = chosen
    return { packsRead, damaged, blobsSaved: this.#blobsSaved, blobsLost: this.#blobsLost }
  }

  /** What each pack is read by: what index files say, or what it says itself. */
  async #items(names: readonly FileName[]): Promise<RepackItem[]> {
    const items: RepackItem[] = []
    for (const name of names) {
      const listed = this.#inventory.packs.get(name)
      if (listed === undefined) {
        throw new CairnError('CAIRN_FAILED', `there is no ${packLabel(name)}`)
      }
      const claims = listed.claims.length > 0 ? listed.claims : await this.#salvaged(name)
      for (const claim of claims) {
        items.push({ claim, wanted: new Uint8Array(claim.directory.blobCount).fill(1) })
      }
    }
    return items
  }

  async #salvaged(name: FileName): Promise<IndexedPack[]> {
    const { repository, operation } = this.#options
    const byteCount = this.#inventory.packs.get(name)?.byteCount ?? 0
    const file = { name, byteCount, preamble: this.#knownPreamble(name) }
    const salvaged = await salvagePack(repository, file, operation)
    if (salvaged.kind !== 'nothing') return [salvaged.pack]
    this.#options.onNotice(`nothing of ${packLabel(name)} can be read, so it is left alone`)
    return []
  }

  #knownPreamble(name: FileName): Uint8Array | undefined {
    for (const { packs } of this.#inventory.files.values()) {
      const pack = packs.find((one) => one.name === name)
      if (pack !== undefined) return pack.preamble
    }
    return undefined
  }

  async #open(items: readonly RepackItem[]): Promise<Repacker> {
    return await Repacker.open({
      ...this.#options,
      byteCount: items.reduce((sum, { claim }) => sum + claim.byteCount, 0),
      blobBytesMax: longestBlob(items),
    })
  }

  /** Those with a blob that cannot be read, or that were named and are not as their index says. */
  async #damaged(items: readonly RepackItem[], isNamed: boolean): Promise<FileName[]> {
    const damaged = new Set<FileName>()
    const repacker = await this.#open(items)
    let done = 0
    try {
      await repacker.each('check', items, ({ claim }, result) => {
        this.#options.onProgress?.(++done, items.length)
        const isCut = this.#inventory.packs.get(claim.name)?.claims.length === 0
        if (result.problems.length === 0 && !isCut && !isNamed) return
        damaged.add(claim.name)
        this.#blobsLost += result.damaged.length
        if (this.#options.dryRun) this.#blobsSaved += result.blobCount
        const what = result.problems.length > 0 ? `: ${result.problems.join('; ')}` : ''
        this.#options.onNotice(
          `${packLabel(claim.name)} has ${result.damaged.length} damaged and ${result.blobCount} good blobs${what}`,
        )
      })
    } finally {
      await repacker.close()
    }
    return [...damaged].sort()
  }

  async #copy(items: readonly RepackItem[]): Promise<void> {
    const repacker = await this.#open(items)
    try {
      await repacker.each('copy', items, (_item, { blobCount }) => {
        this.#blobsSaved += blobCount
      })
      await repacker.finish()
    } finally {
      await repacker.close()
    }
  }

  /** In the order of FORMAT.md 17, so that a backup that begins now learns of it. */
  async #remove(names: readonly FileName[]): Promise<void> {
    const { repository, operation } = this.#options
    const { backend } = repository
    const mark = await saveMark(repository, 'mark', names, operation.signal)
    const intent = await saveMark(repository, 'sweep', names, operation.signal)
    const { files } = this.#inventory
    await replaceIndex({ repository, files, gone: new Set(names), operation })
    for (const name of names) await backend.remove({ kind: 'packs', name }, operation)
    await backend.flush(operation)
    for (const { name } of [intent, mark]) {
      await backend.remove({ kind: 'marks', name }, operation)
      await backend.flush(operation)
    }
  }
}
