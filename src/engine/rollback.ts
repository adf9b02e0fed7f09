/**
 * What the storage has lost, taken away or rolled back. Snapshots name those before them and the
 * tombstones seen (FORMAT.md 14), tombstones name each other (15), and a client remembers what it
 * saw. Whatever is named or remembered has to be there, or forgotten, or merged into another.
 */

import { fromHex, toHex } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { idBytes, shortId, type SnapshotId } from '../base/ids.ts'
import type { History, Repository, SeenTombstone } from '../repository/repository.ts'
import { type FilelessSnapshot, snapshotsNamedBy } from '../repository/snapshots.ts'
import { saveAcceptance } from '../repository/tombstones.ts'

/** What a client saw of a repository: ids as 64 hex digits. */
export interface Memory {
  readonly configRevision: number
  readonly snapshots: readonly string[]
  readonly tombstones: readonly string[]
  /** Another repository was in this place before: its id. */
  readonly otherRepository?: string
}

export interface Loss {
  readonly kind: 'snapshot' | 'tombstone' | 'config' | 'repository'
  /** By which it is accepted: 64 hex digits; `config`; the 32 hex digits of a repository. */
  readonly id: string
  /** For people. */
  readonly message: string
}

/** Which tombstones one was there with, and which it takes the place of. */
export interface TombstoneLinks {
  readonly known: readonly Uint8Array[]
  readonly merged: { has(id: Uint8Array): boolean }
}

/** What is looked at: snapshots that are there, and tombstones by logical id. */
export interface SeenHistory {
  readonly snapshots: readonly FilelessSnapshot[]
  readonly tombstones: ReadonlyMap<string, TombstoneLinks>
  readonly forgotten: { has(id: SnapshotId): boolean }
}

export function seenHistory({ snapshots, tombstones, forgotten }: History): SeenHistory {
  return {
    snapshots,
    tombstones: tombstonesById(tombstones),
    forgotten,
  }
}

export function tombstonesById(tombstones: readonly SeenTombstone[]): Map<string, TombstoneLinks> {
  return new Map(tombstones.map((one) => [toHex(one.id), one]))
}

/** Every loss once, in an order that stays. */
export function findLosses(
  repository: Repository,
  history: SeenHistory,
  memory: Memory | undefined,
): Loss[] {
  const { revision } = repository.unlocked.config
  const losses: Loss[] = []
  const other = memory?.otherRepository
  if (other !== undefined) {
    const message = `the repository is another than before, which was ${shortId(other)}`
    losses.push({ kind: 'repository', id: other, message })
  }
  if (memory !== undefined && memory.configRevision > revision) {
    const message = `the config has revision ${revision}; it had ${memory.configRevision} before`
    losses.push({ kind: 'config', id: 'config', message })
  }
  const lost = (kind: 'snapshot' | 'tombstone', missing: ReadonlyMap<string, string>) => {
    for (const [id, source] of missing) {
      losses.push({ kind, id, message: `${kind} ${shortId(id)} is missing (${source})` })
    }
  }
  lost('snapshot', missingSnapshots(history, memory?.snapshots ?? []))
  lost('tombstone', missingTombstones(history, memory?.tombstones ?? []))
  return losses
}

/** Each with how it is known. */
function missingSnapshots(
  { snapshots, forgotten }: SeenHistory,
  remembered: readonly string[],
): Map<string, string> {
  const present = new Set<string>(snapshots.map(({ id }) => id))
  const missing = new Map<string, string>()
  const look = (id: SnapshotId, source: string) => {
    if (!present.has(id) && !forgotten.has(id) && !missing.has(id)) missing.set(id, source)
  }
  for (const { id, envelope } of snapshots) {
    for (const named of snapshotsNamedBy(envelope)) look(named, `named by ${shortId(id)}`)
  }
  for (const id of remembered) look(id as SnapshotId, SEEN_BEFORE)
  return missing
}

const SEEN_BEFORE = 'it was here before'

/** Whether a tombstone is there, or another that it was merged into. */
export function isKnownTombstone(
  { tombstones }: Pick<SeenHistory, 'tombstones'>,
  id: string,
): boolean {
  if (tombstones.has(id)) return true
  const bytes = fromHex(id)
  return bytes !== undefined && [...tombstones.values()].some(({ merged }) => merged.has(bytes))
}

function missingTombstones(
  { snapshots, tombstones }: SeenHistory,
  remembered: readonly string[],
): Map<string, string> {
  const named = new Map<string, string>()
  const look = (id: string, source: string) => {
    if (!named.has(id)) named.set(id, source)
  }
  for (const [by, tombstone] of tombstones) {
    for (const id of tombstone.known) look(toHex(id), `named by ${shortId(by)}`)
  }
  for (const { id: by, envelope } of snapshots) {
    for (const id of envelope.tombstones) look(toHex(id), `named by ${shortId(by)}`)
  }
  for (const id of remembered) look(id, SEEN_BEFORE)
  return new Map([...named].filter(([id]) => !isKnownTombstone({ tombstones }, id)))
}

/** For whatever removes data: throws CAIRN_CORRUPT unless every loss has been accepted. */
export function requireNothingLost(losses: readonly Loss[], what: string): void {
  const [first] = losses
  if (first === undefined) return
  const more = losses.length === 1 ? '' : `, and ${losses.length - 1} more`
  throw new CairnError(
    'CAIRN_CORRUPT',
    `cannot ${what}: ${first.message}${more}; see what is missing with 'cairn accept', and restore it from a copy of the repository or accept the loss`,
  )
}

/**
 * Accepts losses for every client: a lost snapshot counts as forgotten from now on, a lost tombstone
 * as merged. Needs an admin key. What only this client remembers is for its memory.
 */
export async function acceptLosses(
  repository: Repository,
  losses: readonly Loss[],
  signal?: AbortSignal,
): Promise<void> {
  const idsOf = (kind: Loss['kind']) =>
    losses.filter((loss) => loss.kind === kind).map(({ id }) => idBytes(id as SnapshotId))
  const snapshots = idsOf('snapshot')
  const tombstones = idsOf('tombstone')
  if (snapshots.length + tombstones.length === 0) return
  await saveAcceptance(repository, { snapshots, tombstones }, signal)
}

/**
 * What to remember after a look: all that is there and confirmed, and what is missing and not
 * accepted.
 */
export function remembered(
  repository: Repository,
  history: SeenHistory,
  confirmed: (snapshot: FilelessSnapshot) => boolean,
  losses: readonly Loss[],
  before: Memory | undefined,
): Memory {
  const lost = (kind: Loss['kind']) =>
    losses.filter((loss) => loss.kind === kind).map(({ id }) => id)
  const { revision } = repository.unlocked.config
  const isRolledBack = losses.some(({ kind }) => kind === 'config')
  const [otherRepository] = lost('repository')
  const known = new Set(before?.snapshots)
  const present = history.snapshots.filter(
    (one) =>
      // Partial ones come and go.
      !one.envelope.partial &&
      !history.forgotten.has(one.id) &&
      (known.has(one.id) || confirmed(one)),
  )
  return {
    configRevision: isRolledBack ? (before?.configRevision ?? revision) : revision,
    snapshots: [...new Set([...present.map(({ id }) => id), ...lost('snapshot')])].sort(),
    tombstones: [...new Set([...history.tombstones.keys(), ...lost('tombstone')])].sort(),
    ...(otherRepository === undefined ? {} : { otherRepository }),
  }
}
