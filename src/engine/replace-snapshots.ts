/**
 * Snapshots in the place of others: the new ones are durable before the tombstone of the old ones is
 * written (FORMAT.md 17), so that at every moment one of each is there. What the old one keeps from a
 * prune, the new one may rest on.
 */

import { fromHex, toHex } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { type FileName, idBytes, shortId } from '../base/ids.ts'
import type { SnapshotContent } from '../format/snapshot.ts'
import type { Time } from '../format/tree.ts'
import type { Repository } from '../repository/repository.ts'
import { type FilelessSnapshot, saveSnapshots, type Snapshot } from '../repository/snapshots.ts'
import {
  forgetSnapshots,
  forgottenSnapshots,
  requireForgetting,
  tidyTombstones,
  wholeTombstones,
} from '../repository/tombstones.ts'
import {
  lookAround,
  lostPacks,
  seenStateOf,
  type WriterState,
  type WriterView,
} from './writer-run.ts'

export interface Replacement {
  readonly old: Snapshot
  readonly content: SnapshotContent
  readonly time: Time
}

export interface Replaced {
  readonly old: Snapshot
  readonly snapshot: Snapshot
}

export interface ReplaceOptions {
  /** Whether the old ones stay as well. */
  readonly keepOld: boolean
  /** Packs with new tree nodes, or with old ones that the old snapshots do not need. */
  readonly relied: Iterable<FileName>
  readonly signal?: AbortSignal
}

/** The first of a line of re-tagged or rewritten snapshots. */
export function originalOf(snapshot: FilelessSnapshot): NonNullable<SnapshotContent['original']> {
  const author = fromHex(snapshot.author) ?? new Uint8Array()
  return snapshot.content?.original ?? { id: idBytes(snapshot.id), author }
}

/**
 * Writes all, or none that anybody is told of. Returns undefined if a prune takes what they rest on:
 * then nothing has changed. Throws CAIRN_CONFLICT if an old one was forgotten meanwhile.
 */
export async function replaceSnapshots(
  repository: Repository,
  view: WriterView,
  replacements: readonly Replacement[],
  state: WriterState,
  options: ReplaceOptions,
): Promise<Replaced[] | undefined> {
  const { signal, keepOld } = options
  const operation = signal === undefined ? {} : { signal }
  await state.renewSession()
  state.hasUnconfirmed = replacements.length > 0
  const items = replacements.map((one) => ({ ...one, partial: one.old.envelope.partial }))
  const saved = await saveSnapshots(repository, items, seenStateOf(view), operation)
  const done = replacements.flatMap(({ old }, i): Replaced[] => {
    const snapshot = saved[i]
    return snapshot === undefined ? [] : [{ old, snapshot }]
  })
  const lost = await lostPacks(repository, options.relied, { signal })
  // An old one that somebody else has forgotten kept nothing from a prune since then.
  const forgotten = forgottenSnapshots(await repository.tombstones(operation))
  const gone = done.find(({ old }) => forgotten.has(old.id))
  if (lost.length > 0 || gone !== undefined) {
    const withdrawn = done.map(({ snapshot }) => ({ snapshot }))
    await forgetSnapshots(repository, withdrawn, operation)
    state.hasUnconfirmed = false
    if (gone === undefined) return undefined
    throw new CairnError(
      'CAIRN_CONFLICT',
      `snapshot ${shortId(gone.old.id)} was forgotten meanwhile: nothing is changed; run it again`,
    )
  }
  if (!keepOld) {
    const replaced = done.map(({ old, snapshot }) => ({ snapshot: old, replacement: snapshot.id }))
    await forgetSnapshots(repository, replaced, operation)
  }
  state.hasUnconfirmed = false
  return done
}

/**
 * Resolves what runs of this author left that were cut off while they wrote snapshots in the place of
 * others: one that a tombstone names as replacement stays; any other is withdrawn, for nobody was
 * told of it. Returns what is there then.
 */
export async function resolveInterrupted(
  repository: Repository,
  options: { readonly signal?: AbortSignal } = {},
): Promise<WriterView> {
  requireForgetting(repository)
  await tidyTombstones(repository, options)
  const view = await lookAround(repository, options.signal)
  const { history, sessions } = view
  const whole = await wholeTombstones(repository, history.tombstones, options)
  const forgotten = [...forgottenSnapshots(whole).values()]
  const replacing = new Set(forgotten.map(({ replacement }) => toHex(replacement)))
  const self = toHex(repository.keyring.authorId)
  const withdrawn = new Set<Snapshot>()
  const ended: FileName[] = []
  for (const session of sessions) {
    if (session.isAlive || session.author !== self) continue
    const sessionId = toHex(session.beat.sessionId)
    const written = history.snapshots.filter((one) => toHex(one.envelope.sessionId) === sessionId)
    // What a backup has left is for the next backup, or a check, to look at.
    if (written.some(({ content }) => content?.original === undefined)) continue
    for (const one of written) if (!replacing.has(one.id)) withdrawn.add(one)
    ended.push(...session.files)
  }
  const items = [...withdrawn].map((snapshot) => ({ snapshot }))
  await forgetSnapshots(repository, items, options)
  for (const name of ended) await repository.backend.remove({ kind: 'sessions', name })
  return withdrawn.size === 0 ? view : await lookAround(repository, options.signal)
}
