/** The packs that hold all that snapshots need, where nothing has protected these meanwhile. */

import type { FileName } from '../base/ids.ts'
import { BlobReader } from '../repository/blob-reader.ts'
import type { Repository } from '../repository/repository.ts'
import type { FilelessSnapshot } from '../repository/snapshots.ts'
import type { CheckContext } from './check/check-context.ts'
import { FindingList, findingText } from './check/finding.ts'
import { loadClaims, type PackClaims } from './check/pack-claims.ts'
import { TreeWalk } from './check/tree-walk.ts'

const SEGMENT_CACHE_BYTES = 64 << 20

export interface RequiredPacks {
  readonly packs: ReadonlySet<FileName>
  /** The first snapshot that lacks something, and what. */
  readonly lacking?: { readonly snapshot: FilelessSnapshot; readonly what: string }
}

export async function requiredPacks(
  repository: Repository,
  snapshots: readonly FilelessSnapshot[],
  signal: AbortSignal | undefined,
): Promise<RequiredPacks> {
  const findings = new FindingList(undefined)
  const context: CheckContext = { repository, findings, transient: { count: 0 }, signal }
  const claims: PackClaims = await loadClaims({ ...context, findings: new FindingList(undefined) })
  const blobs = new BlobReader(repository, claims.index, SEGMENT_CACHE_BYTES)
  const walk = new TreeWalk(context, claims.index, blobs)
  for (const snapshot of snapshots) {
    await walk.walk(snapshot)
    if (walk.lost.size === 0 && walk.problemCount === 0) continue
    const [finding] = findings.all
    const told = finding === undefined ? 'a tree is damaged' : findingText(finding)
    const what = walk.lost.size > 0 ? `${walk.lost.size} blobs are gone` : told
    return { packs: walk.usedPacks, lacking: { snapshot, what } }
  }
  return { packs: walk.usedPacks }
}
