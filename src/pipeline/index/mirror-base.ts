/**
 * The base of an index mirror: the one LevelDB directory that all processes of this machine fill
 * together, one at a time, under LevelDB's own lock. Nobody looks up in it (see index-mirror.ts).
 *
 *   <directory>/base/            the database, and filter-<stamp> for the state it was left in
 *   <directory>/trash-<random>/  what is being deleted
 */

import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { toHex } from '../../base/bytes.ts'
import type { FileName } from '../../base/ids.ts'
import type { Clock, Randomness } from '../../base/seams.ts'
import type { IndexFile, IndexedPack } from '../../format/index-file.ts'
import { BloomFilter } from './bloom-filter.ts'
import { isLocked } from './level-database.ts'
import { IndexDamagedError, LevelIndex } from './level-index.ts'

const LOCK_WAIT_MS = 3000
const LOCK_POLL_MS = 50
/** LevelDB merges tables once it has 4 at the lowest level. */
const UNMERGED_TABLES_MAX = 3
const MERGE_WAIT_MS = 10_000
/** So many files are loaded at once while others are applied. */
const LOADS_MAX = 4
/** After more new blobs than this, everything is merged at once. */
const MANY_BLOBS = 50_000

export interface BaseOptions {
  readonly directory: string
  readonly repositoryId: Uint8Array
  readonly clock: Clock
  readonly randomness: Randomness
}

export type LoadIndexFile = (name: FileName) => Promise<IndexFile | undefined>

/** What `load` threw: no trouble of the cache, and not to be swallowed with it. */
export class LoadFailure extends Error {}

export function basePath(directory: string): string {
  return join(directory, 'base')
}

export function filterName(stamp: Uint8Array): string {
  return `filter-${toHex(stamp)}`
}

/** The filter that was saved in `directory` for a state of its database. */
export function loadFilter(directory: string, stamp: Uint8Array): BloomFilter | undefined {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(join(directory, filterName(stamp)))
  } catch {
    return undefined
  }
  const filter = BloomFilter.decode(bytes)
  return filter?.hasStamp(stamp) ? filter : undefined
}

/**
 * Opens the base, waiting up to `waitMs` for its lock, and makes it if it is not there. Returns
 * undefined if it stays locked; throws if it is damaged or cannot be made.
 */
async function openBase(options: BaseOptions, waitMs: number): Promise<LevelIndex | undefined> {
  const { clock } = options
  const deadlineMs = clock.monotonicMs() + waitMs
  for (;;) {
    const base = await tryOpenBase(options)
    if (base !== undefined) return base
    if (clock.monotonicMs() >= deadlineMs) return undefined
    await clock.sleep(LOCK_POLL_MS)
  }
}

/**
 * The bases that this process has open. LevelDB must not be asked: it opens and closes the lock file
 * before it answers that the process has it already, and closing any descriptor of a file drops the
 * locks of the process on it.
 */
const openHere = new Set<string>()

async function tryOpenBase(options: BaseOptions): Promise<LevelIndex | undefined> {
  const { repositoryId, randomness } = options
  const directory = basePath(options.directory)
  if (openHere.has(directory)) return undefined
  openHere.add(directory)
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    return await LevelIndex.open({
      directory,
      repositoryId,
      randomness,
      isShared: false,
      loadFilter: (stamp) => loadFilter(directory, stamp),
    })
  } catch (error) {
    openHere.delete(directory)
    if (isLocked(error)) return undefined
    throw error
  }
}

async function closeBase(base: LevelIndex): Promise<void> {
  await base.close()
  openHere.delete(base.directory)
}

export interface BaseUpdate {
  /** The files that are in the base now, and how many of them are new there. */
  readonly files: ReadonlySet<FileName>
  readonly applied: number
}

/** Applies the index files that the base lacks. Returns undefined if it is locked. */
export async function updateBase(
  options: BaseOptions,
  names: readonly FileName[],
  load: LoadIndexFile,
): Promise<BaseUpdate | undefined> {
  const base = await openBase(options, LOCK_WAIT_MS)
  if (base === undefined) return undefined
  try {
    const missing = names.filter((name) => !base.files.has(name))
    const blobCountBefore = base.blobCount
    let applied = 0
    for await (const [name, file] of loadAhead(missing, load)) {
      if (file === undefined) continue
      await base.addFile(name, file.packs)
      applied++
    }
    const isLarge = base.blobCount - blobCountBefore > MANY_BLOBS
    await leave(base, options.clock, { isLarge, isChanged: applied > 0 })
    return { files: base.files, applied }
  } finally {
    await closeBase(base)
  }
}

/** Adds one index file if nobody else has the base open. */
export async function addToBase(
  options: BaseOptions,
  name: FileName,
  packs: readonly IndexedPack[],
): Promise<boolean> {
  const base = await openBase(options, 0)
  if (base === undefined) return false
  try {
    await base.addFile(name, packs)
    await leave(base, options.clock, { isLarge: false, isChanged: true })
    return true
  } finally {
    await closeBase(base)
  }
}

/** Loads files in order, a few of them at once. */
async function* loadAhead(
  names: readonly FileName[],
  load: LoadIndexFile,
): AsyncGenerator<[FileName, IndexFile | undefined]> {
  const loads: { name: FileName; file: Promise<IndexFile | undefined> }[] = []
  let next = 0
  const refill = () => {
    for (; loads.length < LOADS_MAX; next++) {
      const name = names[next]
      if (name === undefined) return
      const file = load(name)
      file.catch(() => {}) // It is awaited below, or another has failed before it.
      loads.push({ name, file })
    }
  }
  refill()
  for (let first = loads.shift(); first !== undefined; first = loads.shift()) {
    refill()
    const file = await first.file.catch((error: unknown) => {
      throw new LoadFailure('cannot load index file', { cause: error })
    })
    yield [first.name, file]
  }
}

/**
 * Leaves the base such that opening a copy of it is quick: no log to replay, nothing to merge (else
 * every copy would do it again), and the filter beside it.
 */
async function leave(
  base: LevelIndex,
  clock: Clock,
  options: { readonly isLarge: boolean; readonly isChanged: boolean },
): Promise<void> {
  const filter = filterName(base.stamp)
  const isSaved = loadFilter(base.directory, base.stamp) !== undefined
  if (isSaved && !options.isChanged) return
  await base.settle()
  if (options.isLarge) await base.compact()
  const deadlineMs = clock.monotonicMs() + MERGE_WAIT_MS
  while (base.unmergedTableCount > UNMERGED_TABLES_MAX && clock.monotonicMs() < deadlineMs) {
    await clock.sleep(5)
  }
  const path = join(base.directory, filter)
  writeFileSync(`${path}.new`, base.encodeFilter(), { mode: 0o600 })
  renameSync(`${path}.new`, path)
  for (const file of readdirSync(base.directory)) {
    if (file.startsWith('filter-') && file !== filter) {
      rmSync(join(base.directory, file), { force: true })
    }
  }
}

/**
 * Deletes the base. Whoever has it open goes on in a directory without a name, and what he wanted
 * to keep is made anew by the next.
 */
export async function discardBase(directory: string, randomness: Randomness): Promise<void> {
  const trash = join(directory, `trash-${toHex(randomness.bytes(8))}`)
  try {
    renameSync(basePath(directory), trash)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw new IndexDamagedError('it cannot be deleted', error)
  }
  await rm(trash, { recursive: true, force: true })
}
