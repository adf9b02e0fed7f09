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

/** How often to start anew if packs are removed meanwhile: what they hold may have been moved. */
const ATTEMPTS_MAX = 3

export async function requiredPacks(
  repository: Repository,
  snapshots: readonly FilelessSnapshot[],
  signal: AbortSignal | undefined,
): Promise<RequiredPacks> {
  for (let attempt = 1; ; attempt++) {
    const findings = new FindingList(undefined)
    const context: CheckContext = { repository, findings, transient: { count: 0 }, signal }
    const claims = await loadClaims({ ...context, findings: new FindingList(undefined) })
    const required = await resolve(context, claims, snapshots)
    if (required.lacking === undefined || attempt === ATTEMPTS_MAX) return required
    if (!(await haveGone(repository, claims, signal))) return required
  }
}

async function resolve(
  context: CheckContext,
  claims: PackClaims,
  snapshots: readonly FilelessSnapshot[],
): Promise<RequiredPacks> {
  const blobs = new BlobReader(context.repository, claims.index, SEGMENT_CACHE_BYTES)
  const walk = new TreeWalk(context, claims.index, blobs)
  for (const snapshot of snapshots) {
    await walk.walk(snapshot)
    if (walk.lost.size === 0 && walk.problemCount === 0) continue
    const [finding] = context.findings.all
    const told = finding === undefined ? 'a tree is damaged' : findingText(finding)
    const what = walk.lost.size > 0 ? `${walk.lost.size} blobs are gone` : told
    return { packs: walk.usedPacks, lacking: { snapshot, what } }
  }
  return { packs: walk.usedPacks }
}

/** Whether packs that were listed are not any more, or a listing would not tell. */
async function haveGone(
  repository: Repository,
  { listed }: PackClaims,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (!repository.backend.listsConsistently) return true
  const now = await repository.listPacks(signal)
  return [...listed.keys()].some((name) => !now.has(name))
}
