/**
 * What a prune sees of a repository, in the order that FORMAT.md 17 prescribes: sessions, tombstones,
 * snapshots, index, marks, packs. Whatever cannot be told ends the prune before it removes anything:
 * an error is never read as "nothing there".
 */

import { CairnError, errorChain } from '../../base/errors.ts'
import { type FileName, shortId, type SnapshotId, snapshotIdOf } from '../../base/ids.ts'
import { SESSION_ROLE } from '../../format/session.ts'
import { decodeEnvelope, type SnapshotEnvelope } from '../../format/snapshot.ts'
import { BlobReader } from '../../repository/blob-reader.ts'
import { doomedBy, listMarks, type StoredMark } from '../../repository/marks.ts'
import type { DamagedFile, SeenSnapshot } from '../../repository/loaded-objects.ts'
import { replacedForGood, replacedSnapshots } from '../../repository/partial-snapshots.ts'
import { type IsSettled, listSettling, type SeenSession } from '../../repository/sessions.ts'
import { type Snapshot, snapshotsNamedBy } from '../../repository/snapshots.ts'
import { PackInventory } from './pack-inventory.ts'
import type { PruneContext } from './prune-options.ts'
import { UsedBlobs } from './used-blobs.ts'

const TREE_CACHE_BYTES = 32 << 20

export interface NeededSnapshots {
  readonly snapshots: readonly Snapshot[]
  /** Files of all that the listing had. */
  readonly listed: ReadonlySet<FileName>
  /** Files of all that were there, needed or not. */
  readonly files: ReadonlySet<FileName>
  /** Whether a partial snapshot that was there before may have been removed: another is in its place. */
  readonly replaces: (partial: Snapshot) => boolean
  readonly forgotten: ReadonlySet<SnapshotId>
}

export interface PruneView {
  readonly inventory: PackInventory
  readonly used: UsedBlobs
  /** Every session but this one. */
  readonly sessions: readonly SeenSession[]
  readonly needed: NeededSnapshots
  /** Snapshots that their runs have not confirmed: a run may still take its own back. */
  readonly unconfirmed: ReadonlySet<SnapshotId>
  readonly marks: readonly StoredMark[]
}

function stop(problem: string): CairnError {
  return new CairnError('CAIRN_CORRUPT', `${problem}; nothing was removed`)
}

/** Tombstones, then snapshots (FORMAT.md 17). Throws if any snapshot is damaged or withheld. */
async function loadHistory({ repository, operation }: PruneContext) {
  const damaged: DamagedFile[] = []
  const onDamage = (file: DamagedFile) => {
    if (file.kind === 'snapshots') damaged.push(file)
    else repository.warn(`${file.kind}/${shortId(file.name)} is damaged: ${errorChain(file.error)}`)
  }
  const onWithheld = ({ kind, name }: Pick<DamagedFile, 'kind' | 'name'>) => {
    throw new CairnError(
      'CAIRN_STORAGE_DOWN',
      `the storage lists ${kind}/${shortId(name)} but does not give it, so nothing was removed; ` +
        "run this again later, and 'cairn check' if it stays so",
    )
  }
  const history = await repository.history({ ...operation, onDamage, onWithheld })
  // Listed once more: what vanished from between the two listings was forgotten meanwhile.
  const tombstones = await repository.tombstones({ ...operation, onWithheld })
  const [bad] = damaged
  if (bad !== undefined) {
    throw stop(
      `cannot tell what snapshot file ${shortId(bad.name)} needs: ${errorChain(bad.error)}; ` +
        'restore it from a copy of the repository, or move it out of the repository',
    )
  }
  return { history, tombstones: tombstones.map(({ tombstone }) => tombstone) }
}

/**
 * Snapshots that are not forgotten. `isSettled` must have been made before: a partial snapshot is
 * needed until one that no run can take back is in its place. Throws CAIRN_CORRUPT in any doubt.
 */
export async function loadNeeded(
  context: PruneContext,
  isSettled: IsSettled,
): Promise<NeededSnapshots> {
  const { history, tombstones } = await loadHistory(context)
  const ignored = new Set(replacedForGood(history, tombstones, isSettled))
  const all = [...history.snapshots, ...history.replaced]
  const snapshots = all.filter((one) => !ignored.has(one))
  const gone = tombstones.flatMap((tombstone) => tombstone.forgotten)
  const forgotten = new Set(gone.map(({ snapshot }) => snapshotIdOf(snapshot)))
  const bodies = gone.map(({ body }) => body)
  const envelopes = [
    ...all.map(({ envelope }) => envelope),
    ...bodies.filter(({ length }) => length > 0).map((body) => decodeEnvelope(body)),
  ]
  requireHistory(envelopes, new Set([...all.map(({ id }) => id), ...forgotten]))
  if (all.length === 0 && forgotten.size === 0) await requireEmpty(context)
  const replaces = (partial: Snapshot) =>
    replacedSnapshots([...all, partial], tombstones).has(partial.id)
  const files = new Set(all.map(({ name }) => name))
  const { without } = context
  const listed = history.files
  if (without === undefined) return { snapshots, listed, files, forgotten, replaces }
  return {
    listed,
    files,
    replaces,
    snapshots: snapshots.filter(({ id }) => !without.has(id)),
    forgotten: new Set([...forgotten, ...without]),
  }
}

/** What a snapshot names as seen before it is there, or was forgotten: else the listing is short. */
function requireHistory(
  envelopes: readonly SnapshotEnvelope[],
  known: ReadonlySet<SnapshotId>,
): void {
  for (const envelope of envelopes) {
    for (const id of snapshotsNamedBy(envelope)) {
      if (known.has(id)) continue
      throw stop(
        `snapshot ${shortId(id)} is missing: another one names it and no tombstone does; restore ` +
          "its file from a copy of the repository, or run 'cairn check' to see what else is missing",
      )
    }
  }
}

async function requireEmpty({ repository, operation }: PruneContext): Promise<void> {
  const packs = await repository.backend.list('packs', operation)
  if (packs.length === 0) return
  throw stop(
    'the storage lists packs but no snapshot, and none was ever forgotten; check that all of the ' +
      'repository is there, or make a backup first',
  )
}

/** Everything that a plan is made from. */
export async function loadView(context: PruneContext): Promise<PruneView> {
  const { repository, operation, listener, environment } = context
  listener.onPhase?.('load')
  const { sessions, before, isSettled } = await listSettling(repository, operation.signal)
  requireNoOtherPruner(sessions)
  const needed = await loadNeeded(context, isSettled)
  requireStillListed(before, needed, repository.seenSnapshots)
  const inventory = new PackInventory(repository, operation)
  await inventory.loadIndex()
  const marks = await listMarks(repository, operation.signal)
  await inventory.listPacks(doomedBy(marks))
  const used = new UsedBlobs({
    index: inventory.index,
    blobs: new BlobReader(repository, inventory.index, TREE_CACHE_BYTES),
    yield: () => environment.yield(),
    ...operation,
    consequence: 'nothing was removed',
    onMissing: (_snapshot, message) => listener.onNotice?.(message),
  })
  listener.onPhase?.('snapshots')
  const unconfirmed = unconfirmedOf(needed, isSettled)
  await used.walk(needed.snapshots, unconfirmed)
  return { inventory, used, sessions, needed, unconfirmed, marks }
}

/**
 * Whatever went between two listings was forgotten, taken back or withheld. What this opening has seen
 * before and a tombstone names, or another one replaces, has rightly gone. Of anything else the next
 * attempt would not know that it had ever been there, so this one ends the prune: CAIRN_CONFLICT with
 * `details.vanished`.
 */
function requireStillListed(
  before: ReadonlySet<FileName>,
  { listed, forgotten, replaces }: NeededSnapshots,
  seen: ReadonlyMap<FileName, SeenSnapshot>,
): void {
  for (const name of before) {
    if (listed.has(name)) continue
    const { id, partial } = seen.get(name) ?? {}
    if (id !== undefined && forgotten.has(id)) continue
    if (partial !== undefined && replaces(partial)) continue
    throw new CairnError(
      'CAIRN_CONFLICT',
      `snapshot file ${shortId(name)} is not listed any more: somebody removes snapshots, so nothing ` +
        'was removed; run prune again',
      { details: { vanished: name } },
    )
  }
}

/** Snapshots whose run may not have had its last look. */
export function unconfirmedOf(
  { snapshots }: Pick<NeededSnapshots, 'snapshots'>,
  isSettled: IsSettled,
): Set<SnapshotId> {
  return new Set(snapshots.filter((one) => !isSettled(one)).map(({ id }) => id))
}

/** Throws CAIRN_CONFLICT if another prune is at work: then both stop and try again (FORMAT.md 17). */
export function requireNoOtherPruner(sessions: readonly SeenSession[]): void {
  const other = sessions.find(({ isAlive, beat }) => isAlive && beat.role === SESSION_ROLE.pruner)
  if (other === undefined) return
  const { pid, hostname } = other.beat
  throw prunersMet(`process ${pid} on '${hostname}'`)
}

export function prunersMet(who: string): CairnError {
  return new CairnError(
    'CAIRN_CONFLICT',
    `another prune is at work (${who}); run this again when it is done`,
  )
}
