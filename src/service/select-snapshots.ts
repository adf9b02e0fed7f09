/** The snapshots that a command over several of them is about. */

import { CairnError, errorChain } from '../base/errors.ts'
import { shortId } from '../base/ids.ts'
import { matchesFilter, type SnapshotFilter } from '../engine/snapshot-filter.ts'
import {
  type AtMode,
  parseSnapshotReference,
  resolveSnapshotReference,
} from '../engine/snapshot-reference.ts'
import type { SnapshotContent } from '../format/snapshot.ts'
import type { Repository } from '../repository/repository.ts'
import type { Snapshot } from '../repository/snapshots.ts'
import { candidateOf } from './snapshots.ts'

export type ReadableSnapshot = Snapshot & { readonly content: SnapshotContent }

export interface SelectQuery {
  /** All that the filter lets through if empty. */
  readonly references: readonly string[]
  readonly atMode?: AtMode | undefined
  readonly filter: SnapshotFilter
  readonly signal: AbortSignal
}

export interface Selection {
  /** Each once, oldest first. */
  readonly snapshots: readonly ReadableSnapshot[]
  /** Snapshots that are damaged, so that nobody knows whether they were meant. */
  readonly damageCount: number
}

function readable(snapshot: Snapshot): ReadableSnapshot {
  const { content } = snapshot
  if (content !== undefined) return { ...snapshot, content }
  throw new CairnError(
    'CAIRN_WRONG_SECRET',
    'cannot read snapshots: this key slot may write backups but not read them',
  )
}

/** Throws CAIRN_FAILED if a reference names none. */
export async function selectSnapshots(
  repository: Repository,
  { references, atMode, filter, signal }: SelectQuery,
): Promise<Selection> {
  let damageCount = 0
  const all = await repository.snapshots({
    signal,
    onDamage: ({ name, error }) => {
      damageCount++
      repository.warn(`snapshots/${shortId(name)} is damaged and left out: ${errorChain(error)}`)
    },
  })
  const candidates = all.map(candidateOf)
  const nowNs = repository.clock.wallNs()
  const named = new Set(
    references.map((text) => {
      const reference = parseSnapshotReference(text, nowNs)
      if (reference.subpath !== undefined) {
        throw new CairnError(
          'CAIRN_USAGE',
          `'${text}' is a part of a snapshot: leave out the colon and what follows`,
        )
      }
      const options = { filter, ...(atMode === undefined ? {} : { atMode }) }
      return resolveSnapshotReference(reference, candidates, options).snapshot
    }),
  )
  const chosen = candidates.filter((one) =>
    references.length === 0 ? matchesFilter(one, filter) : named.has(one),
  )
  return { snapshots: chosen.map(({ snapshot }) => readable(snapshot)), damageCount }
}
