/** Opens every small file there is: its bytes have its name, it is signed, and it decodes. */

import { toHex } from '../../base/bytes.ts'
import { CairnError, errorChain, isDamage } from '../../base/errors.ts'
import { type FileName, shortId, type SnapshotId, snapshotIdOf } from '../../base/ids.ts'
import {
  decodeBeat,
  decodeMark,
  decodeTombstone,
  type Mark,
  type SessionBeat,
  type Tombstone,
} from '../../format/session.ts'
import type { LoadedObject, ObjectFolder } from '../../repository/repository.ts'
import { decodeSnapshot, type Snapshot } from '../../repository/snapshots.ts'
import { type CheckContext, readTwice } from './check-context.ts'
import type { FileKind } from './check-options.ts'

const LOADS_AT_ONCE = 16

/** What `file` is called in messages. */
export function fileLabel(kind: FileKind, name: FileName): string {
  return `${kind}/${shortId(name)}`
}

/** The names in a folder; what is not cairn's there is noted. */
export async function listFolder(
  { repository, findings, signal }: CheckContext,
  kind: FileKind,
): Promise<FileName[]> {
  const files = await repository.backend.list(kind, {
    signal,
    onForeign: ({ path }) =>
      findings.note(
        { kind, name: path },
        `'${path}' is not a file of cairn's and is ignored`,
        'remove it if nothing else needs it',
      ),
  })
  return files.map(({ name }) => name).sort()
}

const DAMAGED_STEP: Partial<Record<FileKind, string>> = {
  config: 'restore it from a copy of the repository, or remove it if a newer revision is good',
  keys: 'restore it from a copy of the repository, or make a new key',
  index: "run 'cairn repair index'",
  snapshots: 'restore it from a copy of the repository; if there is none, remove the file',
  retired: 'restore it from a copy of the repository; if there is none, remove the file',
}

/** Whether a newer version of cairn may find nothing wrong with it. */
function isNewer(error: unknown): boolean {
  for (let at = error; at instanceof CairnError; at = at.cause) {
    if (at.code === 'CAIRN_FORMAT_TOO_NEW') return true
  }
  return false
}

export function reportDamage(
  { findings }: CheckContext,
  kind: FileKind,
  name: FileName,
  error: unknown,
): void {
  if (kind === 'index') findings.suggestRepairIndex = true
  // A config of a later format that an admin has signed ends the command: this one is junk.
  if (kind !== 'config' && isNewer(error)) {
    findings.error(
      { kind, name },
      `${fileLabel(kind, name)} cannot be used: ${errorChain(error)}`,
      'update cairn',
    )
    return
  }
  const nextStep = DAMAGED_STEP[kind] ?? 'remove the file'
  findings.error(
    { kind, name },
    `${fileLabel(kind, name)} is damaged: ${errorChain(error)}`,
    nextStep,
  )
}

/**
 * Loads every file of a folder with `load`, twice if need be, and reports what stays damaged. A file
 * that is gone since the listing has been removed; one that is listed still cannot be read.
 */
export async function loadFolder<T>(
  context: CheckContext,
  kind: FileKind,
  load: (name: FileName) => Promise<T | undefined>,
): Promise<T[]> {
  const names = await listFolder(context, kind)
  const loaded: T[] = []
  for (let at = 0; at < names.length; at += LOADS_AT_ONCE) {
    const batch = names.slice(at, at + LOADS_AT_ONCE)
    const results = await Promise.all(
      batch.map((name) => readTwice(context, async () => await load(name))),
    )
    for (const [i, result] of results.entries()) {
      const name = batch[i]
      if (name === undefined) continue
      if (result instanceof CairnError) reportDamage(context, kind, name, result)
      else if (result === undefined) await reportVanished(context, kind, name)
      else loaded.push(result)
    }
  }
  return loaded
}

async function reportVanished(context: CheckContext, kind: FileKind, name: FileName) {
  const { repository, signal } = context
  const files = await repository.backend.list(kind, { signal })
  if (!files.some((file) => file.name === name)) return
  reportDamage(context, kind, name, new Error('it is listed and is not there'))
}

/** Loads the objects of a folder and decodes their bodies. */
async function loadObjects<T>(
  context: CheckContext,
  folder: ObjectFolder,
  decode: (object: LoadedObject) => T,
): Promise<T[]> {
  const { repository, signal } = context
  return await loadFolder(context, folder, async (name) => {
    const object = await repository.loadObject(folder, name, signal)
    return object === undefined ? undefined : decode(object)
  })
}

export interface CheckedObjects {
  /** One of each, whether it is forgotten or not. */
  readonly snapshots: readonly Snapshot[]
  readonly forgotten: ReadonlySet<SnapshotId>
  /** By logical id in hex. */
  readonly tombstones: ReadonlyMap<string, Tombstone>
  readonly beats: readonly { readonly beat: SessionBeat; readonly name: FileName }[]
}

/** Sessions first, marks not yet: FORMAT.md 17 has them listed after the snapshots. */
export async function checkObjects(context: CheckContext): Promise<CheckedObjects> {
  const { keyring } = context.repository
  const beats = await loadObjects(context, 'sessions', ({ body, name }) => ({
    beat: decodeBeat(body),
    name,
  }))
  const tombstones = new Map(
    await loadObjects(context, 'retired', ({ body, logicalId }) => {
      return [toHex(logicalId), decodeTombstone(body)] as const
    }),
  )
  const forgotten = new Set(
    [...tombstones.values()].flatMap((tombstone) =>
      tombstone.forgotten.map(({ snapshot }) => snapshotIdOf(snapshot)),
    ),
  )
  const byId = new Map<SnapshotId, Snapshot>()
  const decode = (object: LoadedObject) => decodeSnapshot(object, keyring)
  for (const snapshot of await loadObjects(context, 'snapshots', decode)) {
    byId.set(snapshot.id, snapshot)
  }
  return { snapshots: [...byId.values()], forgotten, tombstones, beats }
}

export async function checkMarks(context: CheckContext): Promise<Mark[]> {
  return await loadObjects(context, 'marks', ({ body }) => decodeMark(body))
}

/** Decodes something whose failure is a finding of its own. */
export function decoded<T>(decode: () => T): T | CairnError {
  try {
    return decode()
  } catch (error) {
    if (isDamage(error)) return error
    throw error
  }
}
