/** `tag`: the same snapshots with other tags. */

import type { Repository } from '../repository/repository.ts'
import { chooseSettled, type SnapshotChoosing } from './choose-settled.ts'
import { resolveInterrupted } from './interrupted-runs.ts'
import { originalOf } from './original.ts'
import { type Replaced, replaceSnapshots } from './replace-snapshots.ts'
import { asWriter } from './writer-run.ts'

export interface TagChange {
  /** In place of what is there; then nothing is added and removed. */
  readonly set?: readonly string[]
  readonly add: readonly string[]
  readonly remove: readonly string[]
}

/** Each tag once, in the order in which they came. */
export function changedTags(tags: readonly string[], change: TagChange): string[] {
  if (change.set !== undefined) return [...new Set(change.set)]
  const removed = new Set(change.remove)
  return [...new Set([...tags, ...change.add])].filter((tag) => !removed.has(tag))
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((tag, i) => tag === b[i])
}

export interface TagOptions extends SnapshotChoosing {
  readonly change: TagChange
  readonly signal?: AbortSignal | undefined
}

/**
 * Returns what was written in place of which. Needs an admin key: the old ones are forgotten. Throws
 * CAIRN_CONFLICT if one that was named is not confirmed, or forgotten meanwhile.
 */
export async function changeTags(
  repository: Repository,
  { change, signal, ...choosing }: TagOptions,
): Promise<readonly Replaced[]> {
  const operation = { signal }
  return await asWriter(repository, signal, async (state) => {
    const view = await resolveInterrupted(repository, operation)
    const replacements = chooseSettled(repository, view, choosing).flatMap((old) => {
      const { content, envelope } = old
      if (content === undefined) return []
      const tags = changedTags(content.tags, change)
      if (isSame(tags, content.tags)) return []
      return [
        { old, content: { ...content, tags, original: originalOf(old) }, time: envelope.time },
      ]
    })
    if (replacements.length === 0) return []
    // The trees are those of the old snapshots, which keep them until the new ones are there.
    const options = { keepOld: false, relied: [], ...operation }
    return (await replaceSnapshots(repository, view, replacements, state, options)) ?? []
  })
}
