/**
 * `recover`: a snapshot of every tree that no other tree and no snapshot refers to: what is left of
 * snapshots that are lost. What was forgotten is for `undelete`.
 */

import { byteStringOf, toHex } from '../base/bytes.ts'
import { CairnError, isCairnError, throwIfAborted } from '../base/errors.ts'
import { shortId } from '../base/ids.ts'
import { BLOB_TYPE } from '../format/constants.ts'
import type { SnapshotContent, SnapshotStatistics } from '../format/snapshot.ts'
import { STATISTIC_KEYS } from '../format/snapshot.ts'
import { decodeInner, decodeLeaf, ENTRY_TYPE, type NodeRoot } from '../format/tree.ts'
import { BlobReader } from '../repository/blob-reader.ts'
import { requireReader } from '../repository/keyring.ts'
import type { History, Repository } from '../repository/repository.ts'
import { decodeForgotten, saveSnapshot, type Snapshot } from '../repository/snapshots.ts'
import { timeOf } from '../repository/time.ts'
import { forgottenSnapshots, wholeTombstones } from '../repository/tombstones.ts'
import { IdTable } from './id-table.ts'
import { FindingList } from './check/finding.ts'
import { loadClaims, type PackClaims } from './check/pack-claims.ts'
import { TreeWalk } from './check/tree-walk.ts'
import { TreeStore } from './tree-store.ts'
import {
  asWriter,
  doomedPacks,
  lookAround,
  lostUnprotected,
  seenStateOf,
  type WriterState,
  type WriterView,
} from './writer-run.ts'

const SEGMENT_CACHE_BYTES = 64 << 20
const TAG = 'recovered'
const PATH = '/recover'
const DIRECTORY_MODE = 0o755

export interface RecoverOptions {
  readonly program: string
  readonly onFound?: (count: number) => void
  readonly signal?: AbortSignal | undefined
}

export interface RecoverReport {
  readonly rootCount: number
  /** Absent if nothing was found. */
  readonly snapshot?: Snapshot
  /** Blobs that the recovered trees lack. */
  readonly lostCount: number
}

/** Throws CAIRN_CONFLICT if a prune is removing what was found. */
export async function recover(
  repository: Repository,
  options: RecoverOptions,
): Promise<RecoverReport> {
  const { signal } = options
  requireReader(repository.keyring, 'recover trees')
  return await asWriter(repository, signal, async (state) => {
    const view = await lookAround(repository, signal)
    const claims = await loadClaims(quietContext(repository, signal))
    const roots = await unreferencedRoots(repository, view.history, claims, signal)
    options.onFound?.(roots.length)
    if (roots.length === 0) return { rootCount: 0, lostCount: 0 }
    const root = await writeRoot(repository, roots, signal)
    return await publish(repository, view, { root, rootCount: roots.length }, state, options)
  })
}

/** What is damaged elsewhere is for `check` to say. */
function quietContext(repository: Repository, signal: AbortSignal | undefined) {
  return { repository, findings: new FindingList(undefined), transient: { count: 0 }, signal }
}

/** A tree node, or undefined for a node of a chunk list. */
interface TreeNode {
  readonly height: number
  readonly children: readonly Uint8Array[]
}

function decodeNode(bytes: Uint8Array, isLeaf: boolean): TreeNode | undefined {
  if (isLeaf) {
    const children: Uint8Array[] = []
    decodeLeaf(
      bytes,
      ({ type, subtree }) => {
        if (type === ENTRY_TYPE.directory && subtree !== undefined) children.push(subtree.id)
      },
      () => {},
    )
    return { height: 0, children }
  }
  const height = bytes[1] ?? 0
  const rows = decodeInner(bytes, height)
  // Rows of chunk lists have no names (FORMAT.md 12).
  if (rows.some(({ lastName }) => lastName === '')) return undefined
  return { height, children: rows.map(({ id }) => id) }
}

/** Memory: about 40 bytes for each tree node. */
async function unreferencedRoots(
  repository: Repository,
  history: History,
  { claims, index }: PackClaims,
  signal: AbortSignal | undefined,
): Promise<NodeRoot[]> {
  const blobs = new BlobReader(repository, index, SEGMENT_CACHE_BYTES)
  const referenced = await knownRoots(repository, history, signal)
  const nodes = new IdTable()
  const heights: number[] = []
  for (const { directory } of [...claims.values()].flat()) {
    for (let i = 0; i < directory.blobCount; i++) {
      const type = directory.type(i)
      if (type !== BLOB_TYPE.leaf && type !== BLOB_TYPE.inner) continue
      const id = directory.id(i)
      if (nodes.has(id)) continue
      throwIfAborted(signal)
      const node = await readNode(blobs, id, type, signal)
      if (node === undefined) continue
      heights[nodes.add(id)] = node.height
      for (const child of node.children) referenced.add(child)
    }
  }
  const roots: NodeRoot[] = []
  for (const [number, height] of heights.entries()) {
    const id = nodes.at(number)
    if (!referenced.has(id)) roots.push({ id: Uint8Array.from(id), height })
  }
  return roots
}

async function readNode(
  blobs: BlobReader,
  id: Uint8Array,
  type: typeof BLOB_TYPE.leaf | typeof BLOB_TYPE.inner,
  signal: AbortSignal | undefined,
): Promise<TreeNode | undefined> {
  try {
    return decodeNode(await blobs.load(id, type, signal), type === BLOB_TYPE.leaf)
  } catch (error) {
    if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
    return undefined // Gone, or damaged: there is nothing to recover from it.
  }
}

/** The roots of snapshots, also of those that were forgotten. */
async function knownRoots(
  repository: Repository,
  { snapshots, tombstones }: History,
  signal: AbortSignal | undefined,
): Promise<IdTable> {
  const known = new IdTable()
  for (const { content } of snapshots) if (content !== undefined) known.add(content.root.id)
  const operation = { signal }
  const whole = await wholeTombstones(repository, tombstones, operation)
  for (const forgotten of forgottenSnapshots(whole).values()) {
    try {
      const content = decodeForgotten(repository, forgotten)?.content
      if (content !== undefined) known.add(content.root.id)
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
    }
  }
  return known
}

/** A directory with one entry for each root. */
async function writeRoot(
  repository: Repository,
  roots: readonly NodeRoot[],
  signal: AbortSignal | undefined,
): Promise<NodeRoot> {
  const doomed = await doomedPacks(repository, signal)
  const store = await TreeStore.open({
    repository,
    doomed,
    cacheDirectory: undefined,
    dryRun: false,
    signal,
  })
  try {
    const tree = await store.newTree()
    const mtime = timeOf(repository.clock.wallNs())
    const named = roots.map((root) => ({ root, name: toHex(root.id) }))
    const short = named.map(({ name }) => shortId(name))
    const isUnique = new Set(short).size === short.length
    for (const { root, name } of named.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      tree.add({
        name: isUnique ? shortId(name) : name,
        type: ENTRY_TYPE.directory,
        mode: DIRECTORY_MODE,
        uid: repository.process.uid,
        gid: repository.process.gid,
        mtime,
        size: 0,
        subtree: root,
      })
    }
    const root = tree.finish()
    await store.finish()
    return root
  } finally {
    await store.close()
  }
}

function contentOf(repository: Repository, root: NodeRoot, program: string): SnapshotContent {
  const { process } = repository
  const now = timeOf(repository.clock.wallNs())
  const zeros = Object.fromEntries(STATISTIC_KEYS.map((name) => [name, 0]))
  return {
    root,
    paths: [byteStringOf(PATH)],
    hostname: process.hostname,
    username: process.username,
    tags: [TAG],
    start: now,
    end: now,
    program,
    excludes: [],
    statistics: zeros as SnapshotStatistics,
    userNames: new Map(),
    groupNames: new Map(),
    uid: process.uid,
    gid: process.gid,
    system: [process.system, process.architecture],
  }
}

/** Nothing protected the trees until the snapshot was there: what prunes take is looked at after. */
async function publish(
  repository: Repository,
  view: WriterView,
  found: { readonly root: NodeRoot; readonly rootCount: number },
  state: WriterState,
  { program, signal }: RecoverOptions,
): Promise<RecoverReport> {
  const operation = { signal }
  const content = contentOf(repository, found.root, program)
  await state.renewSession()
  state.hasUnconfirmed = true
  const snapshot = await saveSnapshot(
    repository,
    content.start,
    content,
    seenStateOf(view),
    operation,
  )
  await repository.backend.flush(operation)
  const context = quietContext(repository, signal)
  const { index } = await loadClaims(context)
  const walk = new TreeWalk(context, index, new BlobReader(repository, index, SEGMENT_CACHE_BYTES))
  await walk.walk(snapshot)
  const lost = await lostUnprotected(repository, walk.usedPacks, signal)
  if (lost.length > 0) {
    // Nobody was told of it.
    await state.takeBack(snapshot)
    state.hasUnconfirmed = false
    throw new CairnError(
      'CAIRN_CONFLICT',
      'cannot recover trees: a prune is removing them; run it again when it is done',
    )
  }
  state.hasUnconfirmed = false
  return { rootCount: found.rootCount, snapshot, lostCount: walk.lost.size }
}
