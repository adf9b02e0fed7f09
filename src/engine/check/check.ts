/**
 * Checks a repository: that all that is there is as it was written, and that all that snapshots
 * need is there. It finds and tells; it repairs nothing but an unconfirmed snapshot's state.
 *
 * Damage is a finding, never an exception, and ends nothing. A storage that fails is an exception,
 * never a finding. Memory: about 90 bytes a blob for the index and 40 for each tree node, and what
 * reading packs takes (pack-reading.ts).
 */

import { isDamage } from '../../base/errors.ts'
import { shortId } from '../../base/ids.ts'
import type { Mark } from '../../format/session.ts'
import { BlobReader } from '../../repository/blob-reader.ts'
import { requireReader } from '../../repository/keyring.ts'
import type { Repository } from '../../repository/repository.ts'
import { listSessions, type SeenSession } from '../../repository/sessions.ts'
import { replacedSnapshots } from '../../repository/partial-snapshots.ts'
import type { Snapshot } from '../../repository/snapshots.ts'
import type { CheckContext } from './check-context.ts'
import { checkConfigAndKeys } from './check-keys.ts'
import { type CheckedObjects, checkMarks, checkObjects } from './check-objects.ts'
import type { CheckOptions, CheckPhase, CheckReport } from './check-options.ts'
import { FindingList } from './finding.ts'
import { checkHistory } from './history.ts'
import { knownClaims } from './known-claims.ts'
import { loadClaims, type PackClaims } from './pack-claims.ts'
import { PackReading } from './pack-reading.ts'
import { addDamagedBlobs, reportAffected, reportMissing, reportPacks } from './report-damage.ts'
import { choosePacks, type PackFileInfo } from './subset.ts'
import { TreeWalk } from './tree-walk.ts'
import { resolveUnconfirmed } from './unconfirmed.ts'

const SEGMENT_CACHE_BYTES = 64 << 20

/**
 * Throws what opening throws, CAIRN_WRONG_SECRET for a key that may not read, CAIRN_ABORTED, and
 * what the storage throws. No thread is left when it has returned.
 */
export async function checkRepository(options: CheckOptions): Promise<CheckReport> {
  return await new Check(options).run()
}

class Check {
  readonly #options: CheckOptions
  readonly #findings: FindingList
  readonly #transient = { count: 0 }
  #reading: PackReading | undefined
  #snapshotsDone = 0
  #snapshotsTotal = 0

  constructor(options: CheckOptions) {
    this.#options = options
    this.#findings = new FindingList(options.onFinding)
  }

  async run(): Promise<CheckReport> {
    const { opening } = this.#options
    opening.catch(() => {}) // Awaited below, after what may fail first.
    try {
      await this.#readEarly()
      const repository = await opening
      requireReader(repository.keyring, 'check the repository')
      return await this.#check(repository)
    } finally {
      await this.#reading?.close()
    }
  }

  #phase(phase: CheckPhase): void {
    this.#options.onPhase?.(phase)
  }

  #progress(): void {
    const { onProgress } = this.#options
    if (onProgress === undefined) return
    const reading = this.#reading
    onProgress({
      snapshotsDone: this.#snapshotsDone,
      snapshotsTotal: this.#snapshotsTotal,
      packsDone: reading?.packsDone ?? 0,
      packsTotal: reading?.packsTotal ?? 0,
      bytesDone: reading?.bytesDone ?? 0,
      bytesTotal: reading?.bytesTotal ?? 0,
    })
  }

  /** Begins with the packs while the repository is being opened, unless snapshots choose them. */
  async #readEarly(): Promise<void> {
    const { readData, select, backend, signal, opening } = this.#options
    if (readData === undefined || select !== undefined) return
    try {
      this.#reading = await this.#startReading(await backend.list('packs', { signal }))
    } catch (error) {
      await opening // Which knows better why there is nothing to list.
      throw error
    }
  }

  async #startReading(packs: readonly PackFileInfo[]): Promise<PackReading> {
    const { readData = { kind: 'all' }, environment } = this.#options
    const parts = { transient: this.#transient, onProgress: () => this.#progress() }
    const chosen = choosePacks(packs, readData, environment.random)
    return await PackReading.start(this.#options, parts, chosen)
  }

  async #check(repository: Repository): Promise<CheckReport> {
    const { signal } = this.#options
    const findings = this.#findings
    const context: CheckContext = { repository, findings, transient: this.#transient, signal }
    this.#phase('objects')
    const sessions = await seenSessions(repository, signal)
    await checkConfigAndKeys(context)
    const objects = await checkObjects(context)
    await checkHistory(context, objects, this.#options.memory?.())
    const marks = await checkMarks(context)
    this.#phase('index')
    const claims = await loadClaims(context)
    noteOrphans(findings, claims, sessions)
    this.#reading?.decode((pack) => knownClaims(context, claims, pack))
    await this.#checkContents(context, { claims, objects, sessions, marks })
    return this.#report()
  }

  async #checkContents(context: CheckContext, found: Found): Promise<void> {
    const { claims, objects, sessions, marks } = found
    const blobs = new BlobReader(context.repository, claims.index, SEGMENT_CACHE_BYTES)
    const walk = new TreeWalk(context, claims.index, blobs)
    const valid = validSnapshots(objects)
    const snapshots = this.#options.select?.(valid) ?? valid
    await this.#walk(walk, snapshots)
    await this.#readRest(context, claims, walk)
    const verdicts = this.#reading?.verdicts ?? []
    const isAllSound = walk.lost.size === 0 && walk.problemCount === 0
    reportMissing(context, claims.missing, isAllSound && this.#options.select === undefined)
    reportPacks(context, verdicts, walk)
    addDamagedBlobs(walk.lost, claims, verdicts)
    if (walk.lost.size > 0) this.#phase('paths')
    const isUnindexed = lacksIndex(walk, claims)
    if (isUnindexed) context.findings.suggestRepairIndex = true
    const mayBeFound = isUnindexed && claims.orphans.length > 0
    const step = mayBeFound ? ORPHANS_STEP : LOST_STEP
    const sound = await reportAffected(context, blobs, { lost: walk.lost, step }, snapshots)
    if (this.#options.select !== undefined) return
    if (walk.problemCount > 0) sound.clear()
    await resolveUnconfirmed(context, { sessions, snapshots, sound, marks })
  }

  async #walk(walk: TreeWalk, snapshots: readonly Snapshot[]): Promise<void> {
    this.#phase('snapshots')
    this.#snapshotsTotal = snapshots.length
    for (const snapshot of snapshots) {
      await walk.walk(snapshot)
      this.#snapshotsDone++
      this.#progress()
      await this.#options.environment.yield()
    }
  }

  /** Waits for the packs; where snapshots choose them, only now. */
  async #readRest(context: CheckContext, claims: PackClaims, walk: TreeWalk): Promise<void> {
    if (this.#options.readData === undefined) return
    this.#phase('data')
    if (this.#reading === undefined) {
      const used = walk.usedPacks
      const packs = [...claims.listed].map(([name, byteCount]) => ({ name, byteCount }))
      this.#reading = await this.#startReading(packs.filter(({ name }) => used.has(name)))
      this.#reading.decode((pack) => knownClaims(context, claims, pack))
    }
    await this.#reading.finish()
  }

  #report(): CheckReport {
    const { all, errorCount, brokenPacks, suggestRepairIndex, suggestPrune } = this.#findings
    return {
      findings: all,
      summary: {
        num_errors: errorCount,
        broken_packs: [...brokenPacks].sort(),
        suggest_repair_index: suggestRepairIndex,
        // Where something is lost nothing is to be thrown away first.
        suggest_prune: suggestPrune && errorCount === 0,
      },
      transientCount: this.#transient.count,
      snapshotCount: this.#snapshotsDone,
      packsRead: this.#reading?.packsDone ?? 0,
      bytesRead: this.#reading?.bytesDone ?? 0,
    }
  }
}

interface Found {
  readonly claims: PackClaims
  readonly objects: CheckedObjects
  readonly sessions: readonly SeenSession[]
  readonly marks: readonly Mark[]
}

/** Oldest first. */
function validSnapshots({ snapshots, forgotten, tombstones }: CheckedObjects): Snapshot[] {
  const replaced = replacedSnapshots(snapshots, [...tombstones.values()])
  const valid = snapshots.filter(({ id }) => !forgotten.has(id) && !replaced.has(id))
  return valid.sort((a, b) => (a.timeNs < b.timeNs ? -1 : a.timeNs > b.timeNs ? 1 : 0))
}

/** Beats that do not decode are reported with the other objects. */
async function seenSessions(
  repository: Repository,
  signal: AbortSignal | undefined,
): Promise<SeenSession[]> {
  try {
    return await listSessions(repository, signal)
  } catch (error) {
    if (isDamage(error)) return []
    throw error
  }
}

const LOST_STEP = "back up again what is still there; then 'cairn repair snapshots' mends the rest"
const ORPHANS_STEP =
  "run 'cairn repair index', and check again: packs that no index file names may have it"

/** Whether anything is lost without being in a pack that an index file names. */
function lacksIndex({ lost }: TreeWalk, { index }: PackClaims): boolean {
  for (let number = 0; number < lost.size; number++) {
    if (index.find(lost.at(number)).length === 0) return true
  }
  return false
}

/** While a run is alive, packs that it has not named yet are no orphans. */
function noteOrphans(
  findings: FindingList,
  { orphans }: PackClaims,
  sessions: readonly SeenSession[],
): void {
  if (sessions.some(({ isAlive }) => isAlive)) return
  if (orphans.length > 0) findings.suggestPrune = true
  for (const name of orphans) {
    findings.note(
      { kind: 'packs', name },
      `pack ${shortId(name)} is named by no index file`,
      "the next backup takes it in, and 'cairn prune' removes it if nothing needs it",
    )
  }
}
