/**
 * Opens the index of a repository: LevelDB where there is a cache, memory where there is none or
 * where everything is wanted at once. Either way an entry counts only with a listed pack.
 */

import { CairnError, isCairnError } from '../base/errors.ts'
import type { FileName } from '../base/ids.ts'
import type { IndexedPack, IndexFile } from '../format/index-file.ts'
import type { BlobIndex } from '../pipeline/index/blob-index.ts'
import type { IndexMirror } from '../pipeline/index/index-mirror.ts'
import { LateIndex } from '../pipeline/index/late-index.ts'
import { MemoryIndex } from '../pipeline/index/memory-index.ts'
import type { Backend } from '../storage/backend.ts'
import { forEachOrphan, readOrphan } from './orphan-packs.ts'
import type { Repository } from './repository.ts'

/** Up to this much of index files, reading them all beats LevelDB for reading everything. */
const BULK_INDEX_BYTES_MAX = 64 << 20

export interface OpenIndexOptions {
  /** A folder of this repository's cache; undefined keeps the index in memory. */
  readonly cacheDirectory: string | undefined
  /** Whether most of the repository will be asked for (check, a whole restore). */
  readonly bulk: boolean
  /**
   * Whether to read the directories of packs that no index file names, so that a damaged index file
   * loses nothing. A backup takes them in itself, after a closer look.
   */
  readonly readOrphans?: boolean
  /** What `prepareIndex` has made: it is used if it still serves, and closed if not. */
  readonly prepared?: PreparedIndex | undefined
  readonly signal?: AbortSignal | undefined
}

/** A view of the index that was taken before the keys were there. */
export type PreparedIndex = IndexMirror

/**
 * Takes a view of the index if the cache has all of it. It needs no key, so that it can be done
 * while keys are derived; `openIndex` then looks whether there is more to the index by now.
 */
export async function prepareIndex(
  backend: Backend,
  repositoryId: Uint8Array,
  options: { readonly cacheDirectory: string; readonly signal: AbortSignal },
): Promise<PreparedIndex | undefined> {
  const { cacheDirectory: directory, signal } = options
  const { openReadyMirror } = await import('../pipeline/index/index-mirror.ts')
  const indexFiles = (await backend.list('index', { signal })).map(({ name }) => name)
  return await openReadyMirror({ directory, repositoryId, indexFiles })
}

export interface OpenedIndex {
  readonly index: BlobIndex
  /** The listing of packs that the index was held against, and what was added since. */
  readonly listed: ReadonlyMap<FileName, number>
  /** Packs that are listed but that no index file names. */
  readonly orphans: readonly FileName[]
  /** Adds packs that have just been saved, or found: they are there, so they count. */
  add(packs: readonly IndexedPack[]): Promise<void>
  close(): Promise<void>
}

/** Loads one index file; one that is damaged is told and left out. */
export async function loadIndexFile(
  repository: Repository,
  name: FileName,
  signal: AbortSignal | undefined,
): Promise<IndexFile | undefined> {
  try {
    return await repository.loadIndexFile(name, signal)
  } catch (error) {
    if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
    repository.warnDamage({ kind: 'index', name, error })
    return undefined
  }
}

async function memoryIndex(
  repository: Repository,
  names: readonly FileName[],
  signal: AbortSignal | undefined,
): Promise<MemoryIndex> {
  const packs: IndexedPack[] = []
  for (const name of names) {
    const file = await loadIndexFile(repository, name, signal)
    if (file !== undefined) packs.push(...file.packs)
  }
  const blobCount = packs.reduce((sum, pack) => sum + pack.directory.blobCount, 0)
  // A random seed: ids made to collide in the table would otherwise be a way to slow it down.
  const seed = Buffer.from(repository.random.bytes(4)).readUInt32LE(0)
  const index = new MemoryIndex(blobCount, seed)
  await index.add(packs)
  return index
}

async function addOrphans(
  repository: Repository,
  index: BlobIndex,
  orphans: readonly FileName[],
  listed: ReadonlyMap<FileName, number>,
): Promise<void> {
  await forEachOrphan(repository, orphans, async (name) => {
    const pack = await readOrphan(repository, name, {
      byteCount: listed.get(name) ?? 0,
      load: async (range) => {
        const bytes = await repository.backend.load({ kind: 'packs', name }, range)
        if (bytes === undefined) throw new CairnError('CAIRN_CORRUPT', 'the pack is gone')
        return bytes
      },
    })
    await index.add([pack])
  })
}

/** What was prepared if it has all of `names`; else that is closed. */
async function readyMirror(
  names: readonly FileName[],
  { prepared }: OpenIndexOptions,
): Promise<IndexMirror | undefined> {
  const serves = (mirror: IndexMirror) => names.every((name) => mirror.index.files.has(name))
  if (prepared !== undefined && names.length > 0 && serves(prepared)) return prepared
  await prepared?.dispose()
  return undefined
}

/** The order of listings is FORMAT.md 17's: `index`, then `packs`. */
export async function openIndex(
  repository: Repository,
  options: OpenIndexOptions,
): Promise<OpenedIndex> {
  const { signal, cacheDirectory, bulk } = options
  const files = await repository.backend.list('index', { signal })
  const names = files.map(({ name }) => name)
  const byteCount = files.reduce((sum, file) => sum + file.byteCount, 0)
  const wantsMemory = cacheDirectory === undefined || (bulk && byteCount <= BULK_INDEX_BYTES_MAX)
  let dispose = () => Promise.resolve()
  const ready = await readyMirror(wantsMemory ? [] : names, options)
  const open = async (): Promise<BlobIndex> => {
    if (wantsMemory) return await memoryIndex(repository, names, signal)
    const { openIndexMirror } = await import('../pipeline/index/index-mirror.ts')
    const mirror =
      ready ??
      (await openIndexMirror({
        directory: cacheDirectory,
        repositoryId: repository.keyring.repositoryId,
        indexFiles: names,
        load: (name) => loadIndexFile(repository, name, signal),
      }))
    if (mirror === undefined) return await memoryIndex(repository, names, signal)
    dispose = () => mirror.dispose()
    return mirror.index
  }
  const index: BlobIndex = names.length === 0 ? new LateIndex(open) : await open()
  const listed = await repository.listPacks(signal)
  index.setStates(listed, new Set())
  const orphans = [...listed.keys()].filter((name) => index.packNumberOf(name) === undefined)
  if (options.readOrphans === true) await addOrphans(repository, index, orphans, listed)
  return {
    index,
    listed,
    orphans,
    add: async (packs) => {
      // The index holds on to this map: a pack counts as soon as it is in both.
      for (const { name, byteCount } of packs) listed.set(name, byteCount)
      await index.add(packs)
    },
    close: async () => {
      await index.close()
      await dispose()
    },
  }
}

/**
 * Whether an error says that the cached index is damaged: it costs time, never correctness. By name,
 * because it may have crossed threads.
 */
export function isIndexDamage(error: unknown): boolean {
  return error instanceof Error && error.name === 'IndexDamagedError'
}

/** Deletes the cached index, which the next opening builds anew. */
export async function discardIndexMirror(cacheDirectory: string): Promise<void> {
  const mirror = await import('../pipeline/index/index-mirror.ts')
  await mirror.discardIndexMirror(cacheDirectory)
}
