/**
 * Carries a plan out (FORMAT.md 17). What needs no new pack goes first, so that a full disk gets
 * space; then needed blobs are copied out of the packs to be repacked, and those packs go.
 */

import { type FileName, shortId } from '../../base/ids.ts'
import { MARK_PHASE } from '../../format/session.ts'
import { doomedBy, listMarks, markAgeNs, saveMark } from '../../repository/marks.ts'
import type { PackUsage } from './pack-usage.ts'
import type { PrunePlan } from './plan.ts'
import type { DamagedPack, PruneContext } from './prune-options.ts'
import { prunersMet } from './prune-view.ts'
import { longestBlob, Repacker, type RepackItem } from './repacker.ts'
import { replaceIndex } from './replace-index.ts'
import { removeMarks, sweep } from './sweep.ts'

export interface PruneResult {
  readonly removed: readonly FileName[]
  readonly marked: readonly FileName[]
  /** Packs that an intent names and that are needed again: another round empties them. */
  readonly spared: readonly FileName[]
  readonly damaged: readonly DamagedPack[]
  readonly bytesWritten: number
}

/** Decides nothing that the plan has decided; looks again only where FORMAT.md 17 says so. */
export async function executePrune(context: PruneContext, plan: PrunePlan): Promise<PruneResult> {
  return await new Execution(context, plan).run()
}

class Execution {
  readonly #context: PruneContext
  readonly #plan: PrunePlan
  readonly #removed: FileName[] = []
  readonly #marked: FileName[] = []
  readonly #spared: FileName[] = []
  readonly #damaged: DamagedPack[]
  /** Marks and intents of this run. */
  readonly #own = new Set<FileName>()
  #bytesWritten = 0

  constructor(context: PruneContext, plan: PrunePlan) {
    this.#context = context
    this.#plan = plan
    this.#damaged = [...plan.damaged]
  }

  async run(): Promise<PruneResult> {
    const { remove } = this.#plan
    await this.#doom(remove)
    await this.#adopt()
    const emptied = await this.#repack()
    await this.#doom(emptied)
    await this.#sweepRipe([...remove, ...emptied])
    await this.#cleanMarks()
    await this.#dropEntries(this.#plan.absent)
    return {
      removed: this.#removed,
      marked: this.#marked,
      spared: this.#spared,
      damaged: this.#damaged,
      bytesWritten: this.#bytesWritten,
    }
  }

  /** Packs of which nothing is needed, or everything is elsewhere. */
  async #doom(packs: readonly FileName[]): Promise<void> {
    if (packs.length === 0) return
    if (this.#plan.mode === 'later') return await this.#mark(packs)
    const { view } = this.#plan
    const result = await sweep(this.#context, { view, packs, isRipe: false, own: this.#own })
    this.#take(result)
    if (result.postponed) this.#marked.push(...packs)
  }

  #take(result: Awaited<ReturnType<typeof sweep>>): void {
    this.#removed.push(...result.removed)
    this.#spared.push(...result.spared)
  }

  /** Writes a mark, unless they have one, and stops if another prune has done the same meanwhile. */
  async #mark(packs: readonly FileName[]): Promise<void> {
    const { repository, operation } = this.#context
    const { view } = this.#plan
    const doomed = doomedBy(view.marks)
    const fresh = packs.filter((name) => !doomed.has(name))
    this.#marked.push(...packs.filter((name) => !this.#plan.ripe.has(name)))
    if (fresh.length === 0) return
    const mark = await saveMark(repository, 'mark', fresh, operation.signal)
    this.#own.add(mark.name)
    const known = new Set([...view.marks.map(({ name }) => name), ...this.#own])
    const now = await listMarks(repository, operation.signal)
    if (now.every(({ name }) => known.has(name))) return
    await removeMarks(this.#context, [mark])
    throw prunersMet('its marks have appeared')
  }

  /** Names packs in an index file that are needed and were in none. */
  async #adopt(): Promise<void> {
    const { repository, operation } = this.#context
    const { adopt } = this.#plan
    if (adopt.length === 0) return
    await replaceIndex({
      repository,
      files: new Map(),
      gone: new Set(),
      added: adopt,
      operation,
    })
  }

  /** Returns the packs that were emptied. One with a damaged blob keeps what it has. */
  async #repack(): Promise<FileName[]> {
    const { repack, view } = this.#plan
    const { listener } = this.#context
    const items = repack.flatMap(itemOf)
    if (items.length === 0) return []
    listener.onPhase?.('repack')
    const emptied: FileName[] = []
    const repacker = await Repacker.open({
      ...this.#context,
      byteCount: items.reduce((sum, { claim }) => sum + claim.byteCount, 0),
      blobBytesMax: longestBlob(items),
      onIndexed: async (packs) => await view.inventory.add(packs),
    })
    let done = 0
    try {
      await repacker.each('copy', items, ({ claim }, { damaged, problems }) => {
        if (damaged.length === 0) emptied.push(claim.name)
        else this.#keepDamaged(claim.name, damaged.length, problems)
        listener.onProgress?.(++done, items.length)
      })
      await repacker.finish()
    } finally {
      await repacker.close()
      this.#bytesWritten += repacker.bytesWritten
    }
    return emptied
  }

  #keepDamaged(name: FileName, count: number, problems: readonly string[]): void {
    const blobs = count === 1 ? 'a needed blob' : `${count} needed blobs`
    const problem = `${blobs} of it cannot be read: ${problems.join('; ')}`
    this.#damaged.push({ name, problem })
    this.#context.listener.onNotice?.(`pack ${shortId(name)} is kept: ${problem}`)
  }

  /** What an earlier run has marked, long enough ago to go although somebody is at work. */
  async #sweepRipe(packs: readonly FileName[]): Promise<void> {
    const { mode, ripe, view } = this.#plan
    const due = packs.filter((name) => ripe.has(name))
    if (mode === 'now' || due.length === 0) return
    this.#take(await sweep(this.#context, { view, packs: due, isRipe: true, own: this.#own }))
  }

  /** Whoever finds a mark or an intent none of whose packs is there removes it, intents first. */
  async #cleanMarks(): Promise<void> {
    const { repository, operation, settings } = this.#context
    const { view } = this.#plan
    if (view.marks.length === 0) return
    const marks = await listMarks(repository, operation.signal)
    const listed = await repository.listPacks(operation.signal)
    const graceNs = BigInt(settings.graceMs) * 1_000_000n
    const done = marks.filter((stored) => {
      // A listing that lags behind does not say that a pack is gone.
      const isCertain =
        repository.backend.listsConsistently || markAgeNs(repository, stored) >= graceNs
      return isCertain && !stored.mark.packs.some((name) => listed.has(name))
    })
    const isIntent = (phase: number) => Number(phase === MARK_PHASE.sweep)
    done.sort((a, b) => isIntent(b.mark.phase) - isIntent(a.mark.phase))
    await this.#dropEntries(new Set(done.flatMap(({ mark }) => mark.packs)))
    await removeMarks(this.#context, done)
  }

  /** An index file may still name what an interrupted run has removed. */
  async #dropEntries(gone: ReadonlySet<FileName>): Promise<void> {
    if (gone.size === 0) return
    const { repository, operation } = this.#context
    const { inventory } = this.#plan.view
    await inventory.loadIndex()
    await replaceIndex({ repository, files: inventory.files, gone, operation })
  }
}

function itemOf({ claim, wanted }: PackUsage): RepackItem[] {
  return claim === undefined ? [] : [{ claim, wanted }]
}
