/** `find`: from the arguments to the engine. */

import { byteStringOf, type ByteString } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { isFileName } from '../base/ids.ts'
import { type FoundObject, objectGoal, WantedIds } from '../engine/find/find-objects.ts'
import { nameGoal } from '../engine/find/find-names.ts'
import { type SearchGoal, TreeSearch } from '../engine/find/tree-search.ts'
import type { SnapshotFilter } from '../engine/snapshot-filter.ts'
import type { AtMode } from '../engine/snapshot-reference.ts'
import { parseTimeReference } from '../engine/time-reference.ts'
import { BLOB_TYPE } from '../format/constants.ts'
import type { SnapshotContent } from '../format/snapshot.ts'
import type { BlobReader } from '../repository/blob-reader.ts'
import type { OpenedIndex } from '../repository/open-index.ts'
import type { Repository } from '../repository/repository.ts'
import type { RepositoryAccess } from './access.ts'
import { type ShownEntry, shownEntry, withBlobs } from './list-tree.ts'
import { eachIndexedPack } from './list-objects.ts'
import { selectSnapshots } from './select-snapshots.ts'
import { type ShownSnapshot, shownSnapshot } from './snapshots.ts'

export type { FoundObject }

export type FindKind = 'name' | 'blob' | 'tree' | 'pack'

/** Where a blob is. */
export interface ObjectPlace {
  readonly id: string
  /** Undefined if no index file has the blob. */
  readonly pack: string | undefined
  readonly offset: number
  readonly length: number
}

/** By name, where the snapshot has the names. */
export interface EntryOwner {
  readonly user: string | undefined
  readonly group: string | undefined
}

export interface FindListener {
  /** What is found in it follows, until `onSnapshotEnd`. */
  onSnapshot(snapshot: ShownSnapshot): void
  onEntry(entry: ShownEntry, owner: EntryOwner): void
  onObject(object: FoundObject, rawPath: ByteString): void
  onSnapshotEnd(): void
  /** With `showPackId`, for each object that was found, at the end. */
  onPlace(place: ObjectPlace): void
  onProgress(snapshotsDone: number, snapshotsTotal: number): void
  onDamage(path: string, error: unknown): void
  drain(): Promise<void>
}

export interface FindRequest {
  readonly kind: FindKind
  /** Patterns of names, or the beginnings of ids. */
  readonly wanted: readonly string[]
  readonly ignoreCase: boolean
  readonly oldest: string | undefined
  readonly newest: string | undefined
  readonly showPackId: boolean
  /** All that the filter lets through if there are none and no `at`. */
  readonly references: readonly string[]
  readonly at: string | undefined
  readonly atMode: AtMode | undefined
  readonly filter: SnapshotFilter
  readonly oldestFirst: boolean
  readonly listener: FindListener
}

const ID_PREFIX_MIN = 4

/**
 * The directories of a snapshot lie in the packs of all runs that changed one of them: with less, a
 * segment is gone before its next directory comes. Measured on 50 snapshots with 200 MB of trees:
 * 2.1 times as many segments are read with 16 MiB as there are, 1.25 times with this. It is less than
 * the derivation of a key has taken before.
 */
const TREE_CACHE_BYTES = 48 << 20

function addPrefix(ids: WantedIds, text: string): void {
  const hex = text.toLowerCase()
  if (!/^[0-9a-f]{1,64}$/.test(hex) || hex.length < ID_PREFIX_MIN) {
    throw new CairnError(
      'CAIRN_USAGE',
      `'${text}' is not the beginning of an id: write at least ${ID_PREFIX_MIN} hex digits`,
    )
  }
  if (isFileName(hex)) ids.add(new Uint8Array(Buffer.from(hex, 'hex')))
  else ids.addPrefix(hex)
}

interface WantedObjects {
  readonly blobs: WantedIds
  readonly trees: WantedIds
}

function wantedObjects({ kind, wanted }: FindRequest): WantedObjects {
  const objects = { blobs: new WantedIds(), trees: new WantedIds() }
  for (const text of wanted) addPrefix(kind === 'tree' ? objects.trees : objects.blobs, text)
  return objects
}

/** All that the packs with these ids hold, as index files say: a pack may be lost. */
async function objectsInPacks(
  access: RepositoryAccess,
  repository: Repository,
  { wanted }: FindRequest,
): Promise<WantedObjects> {
  const packs = new WantedIds()
  for (const text of wanted) addPrefix(packs, text)
  const objects = { blobs: new WantedIds(), trees: new WantedIds() }
  let packCount = 0
  for await (const { name, directory } of eachIndexedPack(access, repository)) {
    if (!packs.has(new Uint8Array(Buffer.from(name, 'hex')))) continue
    packCount++
    for (let at = 0; at < directory.blobCount; at++) {
      const type = directory.type(at)
      const isBlob = type === BLOB_TYPE.data || type === BLOB_TYPE.aux
      const ids = isBlob ? objects.blobs : objects.trees
      ids.add(directory.id(at))
    }
  }
  if (packCount > 0) return objects
  throw new CairnError('CAIRN_FAILED', `no index file names a pack '${wanted.join("', '")}'`)
}

function timeNs(text: string | undefined, end: 'startNs' | 'endNs', nowNs: bigint) {
  return text === undefined ? undefined : parseTimeReference(text, nowNs)[end]
}

export interface FindReport {
  /** How much could not be searched. */
  readonly damageCount: number
}

interface Search<Hit> {
  readonly goal: SearchGoal<Hit>
  onHit(hit: Hit, path: ByteString, snapshot: SnapshotContent): void
  /** What `showPackId` looks up. */
  idOf(hit: Hit): string | undefined
}

/** Throws CAIRN_USAGE for what is no pattern, id or time. */
export async function runFind(access: RepositoryAccess, request: FindRequest): Promise<FindReport> {
  const { kind, listener, wanted, ignoreCase, oldest, newest } = request
  access.prepareIndex()
  if (kind === 'name') {
    const nowNs = (await access.open()).clock.wallNs()
    const goal = nameGoal({
      patterns: wanted.map(byteStringOf),
      ignoreCase,
      oldestNs: timeNs(oldest, 'startNs', nowNs),
      newestNs: timeNs(newest, 'endNs', nowNs),
    })
    return await searchAll(access, request, async () => ({
      goal,
      onHit: (entry, path, { userNames, groupNames }) =>
        listener.onEntry(shownEntry(entry, path), {
          user: userNames.get(entry.uid),
          group: groupNames.get(entry.gid),
        }),
      idOf: () => undefined,
    }))
  }
  const objects = wantedObjects(request)
  return await searchAll<FoundObject>(access, request, async (blobs, repository) => ({
    goal: objectGoal(
      blobs,
      kind === 'pack' ? await objectsInPacks(access, repository, request) : objects,
      access.signal,
    ),
    onHit: (object, path) => listener.onObject(object, path),
    idOf: ({ id }) => id,
  }))
}

async function searchAll<Hit>(
  access: RepositoryAccess,
  request: FindRequest,
  open: (blobs: BlobReader, repository: Repository) => Promise<Search<Hit>>,
): Promise<FindReport> {
  const { listener, at, atMode, filter, oldestFirst } = request
  const { signal } = access
  const repository = await access.open()
  const references = at === undefined ? request.references : [`@${at}`]
  const selected = await selectSnapshots(repository, { references, atMode, filter, signal })
  const { snapshots } = selected
  const searchIn = async (blobs: BlobReader, index: OpenedIndex['index']) => {
    const { goal, onHit, idOf } = await open(blobs, repository)
    const found = new Set<string>()
    let content: SnapshotContent | undefined
    const search = new TreeSearch({
      blobs,
      goal,
      signal,
      onHit: (hit, path) => {
        const id = idOf(hit)
        if (request.showPackId && id !== undefined) found.add(id)
        if (content !== undefined) onHit(hit, path, content)
      },
      onDamage: listener.onDamage,
      drain: listener.drain,
    })
    const ordered = oldestFirst ? snapshots : snapshots.toReversed()
    for (const [done, snapshot] of ordered.entries()) {
      listener.onProgress(done, ordered.length)
      listener.onSnapshot(shownSnapshot(snapshot, new Set()))
      content = snapshot.content
      await search.run(content.root)
      listener.onSnapshotEnd()
    }
    for (const id of found) {
      const [location] = index.find(new Uint8Array(Buffer.from(id, 'hex')))
      const pack = location === undefined ? undefined : index.pack(location.packNumber).name
      const { offset = 0 } = location?.segment ?? {}
      listener.onPlace({ id, pack, offset, length: location?.length ?? 0 })
    }
    return { damageCount: search.damageCount + selected.damageCount }
  }
  return await withBlobs(access, repository, searchIn, TREE_CACHE_BYTES)
}
