/** `list`: the ids of the objects of a repository. */

import { toHex } from '../base/bytes.ts'
import type { FileKind } from '../storage/backend.ts'
import { ReachableBlobs } from '../engine/stats/reachable-blobs.ts'
import type { SnapshotFilter } from '../engine/snapshot-filter.ts'
import { BLOB_TYPE } from '../format/constants.ts'
import type { IndexedPack } from '../format/index-file.ts'
import { loadIndexFile } from '../repository/open-index.ts'
import type { Repository } from '../repository/repository.ts'
import type { RepositoryAccess } from './access.ts'
import { withBlobs } from './list-tree.ts'
import { selectSnapshots } from './select-snapshots.ts'

export type ListKind = 'blobs' | 'packs' | 'index' | 'snapshots' | 'keys' | 'locks' | 'sessions'

export interface ListedObject {
  readonly id: string
  /** Of blobs: restic's words. */
  readonly type?: 'data' | 'tree'
  /** Of files. */
  readonly byteCount?: number
}

export interface ListObjectsRequest {
  readonly kind: ListKind
  /** With `packs`: only those that these snapshots need. */
  readonly references: readonly string[]
  readonly filter: SnapshotFilter
  onObject(object: ListedObject): void
  drain(): Promise<void>
}

const FOLDERS: Readonly<Partial<Record<ListKind, FileKind>>> = {
  packs: 'packs',
  index: 'index',
  keys: 'keys',
  locks: 'sessions',
  sessions: 'sessions',
}

/** What index files say of each pack, once; one index file is in memory at a time. */
export async function* eachIndexedPack(
  access: RepositoryAccess,
  repository: Repository,
): AsyncGenerator<IndexedPack> {
  const { backend, signal } = access
  const told = new Set<string>()
  for (const { name } of await backend.list('index', { signal })) {
    const file = await loadIndexFile(repository, name, signal)
    for (const pack of file?.packs ?? []) {
      if (told.has(pack.name)) continue
      told.add(pack.name)
      yield pack
    }
  }
}

async function listBlobs(access: RepositoryAccess, request: ListObjectsRequest): Promise<void> {
  const repository = await access.open()
  for await (const { directory } of eachIndexedPack(access, repository)) {
    for (let at = 0; at < directory.blobCount; at++) {
      const type = directory.type(at)
      const isData = type === BLOB_TYPE.data || type === BLOB_TYPE.aux
      request.onObject({ id: toHex(directory.id(at)), type: isData ? 'data' : 'tree' })
    }
    await request.drain()
  }
}

async function listSnapshotPacks(
  access: RepositoryAccess,
  request: ListObjectsRequest,
): Promise<void> {
  const { references, filter, onObject } = request
  const { signal } = access
  const repository = await access.open()
  const { snapshots } = await selectSnapshots(repository, { references, filter, signal })
  await withBlobs(access, repository, async (blobs, index) => {
    const packs = new Map<string, number>()
    const reachable = new ReachableBlobs(blobs, signal, (id) => {
      const [location] = index.find(id)
      if (location === undefined) return
      const { name, byteCount } = index.pack(location.packNumber)
      packs.set(name, byteCount)
    })
    for (const snapshot of snapshots) await reachable.add(snapshot.content.root)
    for (const [id, byteCount] of packs) onObject({ id, byteCount })
  })
}

export async function listObjects(
  access: RepositoryAccess,
  request: ListObjectsRequest,
): Promise<void> {
  const { kind, references, filter, onObject } = request
  const { backend, signal } = access
  if (kind === 'blobs') return await listBlobs(access, request)
  if (references.length > 0) return await listSnapshotPacks(access, request)
  // Whoever lists has to be somebody who may open the repository.
  const repository = await access.open()
  if (kind === 'snapshots') {
    const { snapshots } = await selectSnapshots(repository, { references, filter, signal })
    for (const { id } of snapshots) onObject({ id })
    return
  }
  const files = await backend.list(FOLDERS[kind] ?? 'packs', { signal })
  files.sort((a, b) => (a.name < b.name ? -1 : 1))
  for (const { name, byteCount } of files) onObject({ id: name, byteCount })
  await request.drain()
}
