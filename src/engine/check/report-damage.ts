/** From what was read and walked to findings: first the packs, then who needs what they held. */

import { type FileName, ID_BYTES, shortId } from '../../base/ids.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import type { Snapshot } from '../../repository/snapshots.ts'
import { AffectedWalk } from './affected-paths.ts'
import { type CheckContext } from './check-context.ts'
import { IdTable } from '../id-table.ts'
import type { PackClaims } from './pack-claims.ts'
import type { PackVerdict } from './pack-reading.ts'
import type { TreeWalk } from './tree-walk.ts'

const PROBLEMS_MAX = 5

/** Reports damaged packs. A pack that is missing or of another length has been told. */
export function reportPacks(
  { findings }: CheckContext,
  verdicts: readonly PackVerdict[],
  walk: TreeWalk,
): void {
  const report = (name: PackVerdict['pack']['name'], problems: readonly string[]) => {
    if (findings.brokenPacks.has(name)) return
    findings.brokenPacks.add(name)
    const shown = problems.slice(0, PROBLEMS_MAX).join('; ')
    const more = problems.length > PROBLEMS_MAX ? `; ${problems.length - PROBLEMS_MAX} more` : ''
    findings.error(
      { kind: 'packs', name },
      `pack ${shortId(name)} is damaged: ${shown}${more}`,
      "run 'cairn repair packs', then back up again",
    )
  }
  for (const { pack, problems, differsFromIndex } of verdicts) {
    if (differsFromIndex) findings.suggestRepairIndex = true
    report(pack.name, problems)
  }
  for (const [name, problem] of walk.packProblems) report(name, [problem])
}

/**
 * Reports packs that index files name and that are gone. Where everything was looked at and nothing
 * is lost nobody needs them: a prune has removed them while a run took them in.
 */
export function reportMissing(
  { findings }: CheckContext,
  missing: readonly FileName[],
  isHarmless: boolean,
): void {
  for (const name of missing) {
    const object = { kind: 'packs' as const, name }
    const what = `pack ${shortId(name)} is missing: an index file names it`
    if (isHarmless) {
      findings.suggestPrune = true
      findings.note(object, `${what}, and nothing needs it`, "'cairn prune' removes the entry")
    } else {
      findings.suggestRepairIndex = true
      findings.brokenPacks.add(name)
      findings.error(object, what, PACK_GONE_STEP)
    }
  }
}

const PACK_GONE_STEP =
  "restore it from a copy of the repository, or run 'cairn repair index' and back up again"

/** Adds the blobs of which every copy is damaged to `lost`. */
export function addDamagedBlobs(
  lost: IdTable,
  { index, claims }: PackClaims,
  verdicts: readonly PackVerdict[],
): void {
  const damaged = new IdTable()
  const counts: number[] = []
  for (const { pack, damagedIds } of verdicts) {
    if (!claims.has(pack.name)) continue // What no index file names is no copy that counts.
    for (const ids of damagedIds) {
      for (let at = 0; at < ids.length; at += ID_BYTES) {
        const number = damaged.add(ids.subarray(at, at + ID_BYTES))
        counts[number] = (counts[number] ?? 0) + 1
      }
    }
  }
  for (const [number, count] of counts.entries()) {
    const id = damaged.at(number)
    if (count >= index.find(id).length) lost.add(id)
  }
}

/**
 * Reports which paths of which snapshots need what is lost, and what to do next. Returns the ids of the snapshots that
 * need none of it.
 */
export async function reportAffected(
  context: CheckContext,
  blobs: BlobReader,
  { lost, step }: { readonly lost: IdTable; readonly step: string },
  snapshots: readonly Snapshot[],
): Promise<Set<string>> {
  const sound = new Set<string>(snapshots.map(({ id }) => id))
  if (lost.size === 0) return sound
  const { repository, findings, signal } = context
  const files = await repository.backend.list('snapshots', { signal })
  const names = new Set(files.map(({ name }) => name))
  const walk = new AffectedWalk(blobs, lost, signal)
  for (const snapshot of snapshots) {
    if (!names.has(snapshot.name)) continue // Forgotten meanwhile, and its data with it.
    const { paths, count } = await walk.of(snapshot)
    if (count === 0) continue
    sound.delete(snapshot.id)
    const what = count === 1 ? 'a path' : `${count} paths`
    findings.error(
      { kind: 'snapshots', name: snapshot.id },
      `snapshot ${shortId(snapshot.id)}: data of ${what} is damaged or missing`,
      step,
      { paths, morePathCount: count - paths.length },
    )
  }
  return sound
}
