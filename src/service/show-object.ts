/** `cat`: finds an object of the repository and gives it out. */

import { equalBytes, toHex } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { type FileName, isFileName, shortId } from '../base/ids.ts'
import { createSha256 } from '../crypto/sha256.ts'
import type { SnapshotFilter } from '../engine/snapshot-filter.ts'
import { decodeBeat } from '../format/session.ts'
import { decodeSlot } from '../format/slot.ts'
import type { TreeEntry } from '../format/tree.ts'
import type { LoadedObject, Repository } from '../repository/repository.ts'
import { listSessions } from '../repository/sessions.ts'
import { readDirectory } from '../repository/tree-reader.ts'
import type { RepositoryAccess } from './access.ts'
import { directoryAt, withBlobs } from './list-tree.ts'
import {
  configValue,
  keyValue,
  packValue,
  sessionValue,
  type ShownValue,
  treeRow,
} from './object-values.ts'
import { findSnapshot } from './select-snapshots.ts'
import { listSnapshots, type ShownSnapshot } from './snapshots.ts'

export type ShownKind =
  | 'masterkey'
  | 'config'
  | 'pack'
  | 'blob'
  | 'snapshot'
  | 'index'
  | 'key'
  | 'lock'
  | 'tree'

/** Where the parts of an object go. */
export interface ObjectOutput {
  value(value: ShownValue): void
  snapshot(snapshot: ShownSnapshot): void
  /** `{"<name>": [row, row, …]}`, however many rows there are. */
  rows(name: string, rows: AsyncIterable<ShownValue>): Promise<void>
  bytes(bytes: Uint8Array): Promise<void>
}

export interface ShowRequest {
  readonly kind: ShownKind
  /** The beginning of an id that is unique, or a reference to a snapshot. */
  readonly id: string
  readonly filter: SnapshotFilter
  readonly output: ObjectOutput
}

const PACK_READ_BYTES = 8 << 20

function requirePrefix(id: string): string {
  const prefix = id.toLowerCase()
  if (/^[0-9a-f]{1,64}$/.test(prefix)) return prefix
  throw new CairnError('CAIRN_USAGE', `'${id}' is not the beginning of an id: write hex digits`)
}

function requireOne(found: readonly string[], what: string, prefix: string): string {
  const [only, second] = found
  if (only === undefined) throw new CairnError('CAIRN_FAILED', `there is no ${what} '${prefix}'`)
  if (second === undefined) return only
  throw new CairnError(
    'CAIRN_FAILED',
    `'${prefix}' is the beginning of ${found.length} ids: ${found.slice(0, 8).map(shortId).join(', ')}`,
  )
}

type Folder = 'packs' | 'index' | 'keys' | 'sessions'

/** The one file of a folder whose name begins with `id`. */
async function findFile(
  { backend, signal }: RepositoryAccess,
  folder: Folder,
  what: string,
  id: string,
): Promise<{ readonly name: FileName; readonly byteCount: number }> {
  const prefix = requirePrefix(id)
  const files = (await backend.list(folder, { signal })).filter(({ name }) =>
    name.startsWith(prefix),
  )
  const name = requireOne(files.map((file) => file.name).toSorted(), what, prefix)
  const file = files.find((one) => one.name === name)
  return { name: name as FileName, byteCount: file?.byteCount ?? 0 }
}

function gone(what: string, name: FileName): CairnError {
  return new CairnError('CAIRN_FAILED', `${what} ${shortId(name)} was removed meanwhile`)
}

async function loadKey(
  access: RepositoryAccess,
  repository: Repository,
  id: string,
): Promise<ShownValue> {
  const { name } = await findFile(access, 'keys', 'key', id)
  const bytes = await access.backend.load({ kind: 'keys', name }, undefined, {
    signal: access.signal,
  })
  if (bytes === undefined) throw gone('key', name)
  return keyValue(repository, name, decodeSlot(bytes))
}

async function loadSession(
  access: RepositoryAccess,
  repository: Repository,
  id: string,
): Promise<ShownValue> {
  const { name } = await findFile(access, 'sessions', 'session', id)
  const object = await repository.loadObject('sessions', name, access.signal)
  if (object === undefined) throw gone('session', name)
  const beat = decodeBeat(object.body)
  const seen = await listSessions(repository, access.signal)
  const isAlive = seen.some((one) => one.isAlive && equalBytes(one.beat.sessionId, beat.sessionId))
  return sessionValue(beat, object.author.id, isAlive)
}

async function* indexRows(
  repository: Repository,
  object: LoadedObject,
): AsyncGenerator<ShownValue> {
  for (const pack of repository.decodeIndex(object).packs) yield packValue(pack)
}

async function showIndex(
  access: RepositoryAccess,
  repository: Repository,
  { id, output }: ShowRequest,
): Promise<void> {
  const { name } = await findFile(access, 'index', 'index', id)
  const object = await repository.loadObject('index', name, access.signal)
  if (object === undefined) throw gone('index', name)
  await output.rows('packs', indexRows(repository, object))
}

/** The bytes as they are stored, and whether they have their name once they have gone out. */
async function showPack(access: RepositoryAccess, { id, output }: ShowRequest): Promise<void> {
  const { name, byteCount } = await findFile(access, 'packs', 'pack', id)
  const hash = createSha256()
  for (let offset = 0; offset < byteCount; offset += PACK_READ_BYTES) {
    const range = { offset, byteCount: Math.min(PACK_READ_BYTES, byteCount - offset) }
    const bytes = await access.backend.load({ kind: 'packs', name }, range, {
      signal: access.signal,
    })
    if (bytes === undefined) throw gone('pack', name)
    hash.update(bytes)
    await output.bytes(bytes)
  }
  if (toHex(hash.digest()) === name) return
  throw new CairnError(
    'CAIRN_CORRUPT',
    `pack ${shortId(name)} is damaged: its bytes do not have its name`,
  )
}

/** Looks through all index files for the ids of blobs that begin with `prefix`. */
async function blobsByPrefix(
  access: RepositoryAccess,
  repository: Repository,
  prefix: string,
): Promise<string[]> {
  const found = new Set<string>()
  for (const { name } of await access.backend.list('index', { signal: access.signal })) {
    const file = await repository.loadIndexFile(name, access.signal)
    for (const { directory } of file?.packs ?? []) {
      for (let at = 0; at < directory.blobCount; at++) {
        const id = toHex(directory.id(at))
        if (id.startsWith(prefix)) found.add(id)
      }
    }
  }
  return [...found].toSorted()
}

async function showBlob(
  access: RepositoryAccess,
  repository: Repository,
  { id, output }: ShowRequest,
): Promise<void> {
  let name = requirePrefix(id)
  if (!isFileName(name))
    name = requireOne(await blobsByPrefix(access, repository, name), 'blob', name)
  const bytes = new Uint8Array(Buffer.from(name, 'hex'))
  await withBlobs(access, repository, async (blobs, index) => {
    const [location] = index.find(bytes)
    if (location === undefined) throw new CairnError('CAIRN_FAILED', `there is no blob '${name}'`)
    await output.bytes(await blobs.load(bytes, location.type, access.signal))
  })
}

async function* treeRows(leaves: AsyncIterable<readonly TreeEntry[]>): AsyncGenerator<ShownValue> {
  for await (const entries of leaves) for (const entry of entries) yield treeRow(entry)
}

async function showTree(
  access: RepositoryAccess,
  repository: Repository,
  { id, filter, output }: ShowRequest,
): Promise<void> {
  const { signal } = access
  const found = await findSnapshot(repository, id, { filter, signal })
  await withBlobs(access, repository, async (blobs) => {
    const root = await directoryAt(blobs, found, signal)
    await output.rows('nodes', treeRows(readDirectory(blobs, root, { signal })))
  })
}

async function showSnapshot(
  { signal }: RepositoryAccess,
  repository: Repository,
  { id, filter, output }: ShowRequest,
): Promise<void> {
  const [shown] = await listSnapshots(repository, { filter, references: [id], signal })
  if (shown !== undefined) output.snapshot(shown)
}

export async function showObject(access: RepositoryAccess, request: ShowRequest): Promise<void> {
  const { kind, id, output } = request
  if (kind === 'masterkey') {
    throw new CairnError(
      'CAIRN_USAGE',
      'cairn prints no key: whoever has it could read and forge everything, whatever passwords change later',
    )
  }
  const repository = await access.open()
  switch (kind) {
    case 'config':
      return output.value(configValue(repository))
    case 'key':
      return output.value(await loadKey(access, repository, id))
    case 'lock':
      return output.value(await loadSession(access, repository, id))
    case 'snapshot':
      return await showSnapshot(access, repository, request)
    case 'index':
      return await showIndex(access, repository, request)
    case 'pack':
      return await showPack(access, request)
    case 'blob':
      return await showBlob(access, repository, request)
    default:
      return await showTree(access, repository, request)
  }
}
