/** The snapshots of a repository as they come and go while it is mounted. */

import { CairnError, errorChain } from '../../base/errors.ts'
import { matchesFilter, type SnapshotFilter } from '../../engine/snapshot-filter.ts'
import type { Repository } from '../../repository/repository.ts'
import { type Candidate, candidateOf } from '../select-snapshots.ts'

/** New snapshots appear within this time, if somebody looks. */
const REFRESH_MS = 5_000

export interface CatalogOptions {
  readonly repository: Repository
  readonly filter: SnapshotFilter
  readonly signal: AbortSignal
  /** Called before snapshots are shown that were not there the last time. */
  readonly onNew: () => Promise<void>
}

export class SnapshotCatalog {
  readonly #options: CatalogOptions
  #shown: readonly Candidate[] = []
  #known = new Set<string>()
  #readAtMs = Number.NEGATIVE_INFINITY
  #reading: Promise<readonly Candidate[]> | undefined

  constructor(options: CatalogOptions) {
    this.#options = options
  }

  /** Oldest first. While the storage fails, what was seen last stays. */
  snapshots(): readonly Candidate[] | Promise<readonly Candidate[]> {
    const nowMs = this.#options.repository.clock.monotonicMs()
    if (nowMs - this.#readAtMs < REFRESH_MS) return this.#shown
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #read(): Promise<readonly Candidate[]> {
    const { repository, filter, signal, onNew } = this.#options
    try {
      const snapshots = await repository.snapshots({
        signal,
        onDamage: (file) => {
          if (this.#known.has(file.name)) return
          this.#known.add(file.name)
          repository.warnDamage(file)
        },
      })
      const shown = snapshots
        .map(candidateOf)
        .filter((one) => one.snapshot.content !== undefined && matchesFilter(one, filter))
        .toSorted((a, b) => (a.timeNs < b.timeNs ? -1 : a.timeNs > b.timeNs ? 1 : 0))
      if (shown.some(({ id }) => !this.#known.has(id))) await onNew()
      for (const { id } of shown) this.#known.add(id)
      if (!isSame(shown, this.#shown)) this.#shown = shown
    } catch (error) {
      if (signal.aborted || !(error instanceof CairnError)) throw error
      repository.warn(`cannot look for new snapshots: ${errorChain(error)}`)
    }
    this.#readAtMs = repository.clock.monotonicMs()
    return this.#shown
  }
}

/** The same list stays the same object, so that what was made of it is kept. */
function isSame(a: readonly Candidate[], b: readonly Candidate[]): boolean {
  return a.length === b.length && a.every(({ id }, i) => id === b[i]?.id)
}
