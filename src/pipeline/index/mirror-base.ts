/**
 * The base of an index mirror: the one LevelDB directory that all processes of this machine fill
 * together, one at a time. Nobody looks up in it (see index-mirror.ts).
 *
 *   <directory>/base/            the database; filter-<stamp> for the state it was left in;
 *                                checksums of its tables
 *   <directory>/guard/           an empty database, whose lock is held while the base is touched
 *   <directory>/trash-<random>/  what is being deleted
 */

import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { toHex } from '../../base/bytes.ts'
import type { FileName } from '../../base/ids.ts'
import { makeDirectories } from '../../base/make-directories.ts'
import type { Clock, Randomness } from '../../base/seams.ts'
import type { IndexFile, IndexedPack } from '../../format/index-file.ts'
import { BloomFilter } from './bloom-filter.ts'
import { isLocked, type LevelDatabase, openLevel } from './level-database.ts'
import { checkDatabase, hasChecksums, writeChecksums } from './level-files.ts'
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

/** Opens the base, or makes it; one that is damaged is deleted first. Under the guard only. */
async function openBase(options: BaseOptions): Promise<LevelIndex> {
  try {
    return await tryOpenBase(options)
  } catch (error) {
    if (isLocked(error)) throw error
    await discardBase(options.directory, options.randomness)
    return await tryOpenBase(options)
  }
}

async function tryOpenBase(options: BaseOptions): Promise<LevelIndex> {
  const { repositoryId, randomness } = options
  const directory = basePath(options.directory)
  if (!makeDirectories(directory, 0o700)) checkDatabase(directory)
  return await LevelIndex.open({
    directory,
    repositoryId,
    randomness,
    isShared: false,
    loadFilter: (stamp) => loadFilter(directory, stamp),
  })
}

export interface BaseUpdate {
  /** The files that are in the base now, and how many of them are new there. */
  readonly files: ReadonlySet<FileName>
  readonly applied: number
}

/** Applies the index files that the base lacks. Returns undefined if it is locked for long. */
export function updateBase(
  options: BaseOptions,
  names: readonly FileName[],
  load: LoadIndexFile,
): Promise<BaseUpdate | undefined> {
  return withGuard(options, LOCK_WAIT_MS, async () => {
    const base = await openBase(options)
    try {
      const missing = names.filter((name) => !base.files.has(name))
      const blobCountBefore = base.blobCount
      let applied = 0
      for await (const [name, file] of loadAhead(missing, load)) {
        if (file === undefined) continue
        await base.addFile(name, file.packs)
        applied++
      }
      if (base.blobCount - blobCountBefore > MANY_BLOBS) await base.compact()
      return { files: base.files, applied }
    } finally {
      await leave(base, options.clock)
    }
  })
}

/** Adds one index file if nobody else has the base open. */
export async function addToBase(
  options: BaseOptions,
  name: FileName,
  packs: readonly IndexedPack[],
): Promise<boolean> {
  const done = await withGuard(options, 0, async () => {
    const base = await openBase(options)
    try {
      await base.addFile(name, packs)
      return true
    } finally {
      await leave(base, options.clock)
    }
  })
  return done ?? false
}

/**
 * The guards that this process holds. LevelDB must not be asked: it opens and closes the lock file
 * before it answers that the process has it already, and closing any descriptor of a file drops the
 * locks of the process on it.
 */
const guardsHere = new Set<string>()

/**
 * Runs `body` while no other process touches the base. Returns undefined if that cannot be had
 * within `waitMs`. The guard is the lock of an empty database: the base's own cannot be held while
 * its tables are checked, since opening reads them.
 */
async function withGuard<Result>(
  { directory, clock }: BaseOptions,
  waitMs: number,
  body: () => Promise<Result>,
): Promise<Result | undefined> {
  const path = join(directory, 'guard')
  const deadlineMs = clock.monotonicMs() + waitMs
  for (;;) {
    const guard = guardsHere.has(path) ? undefined : await takeGuard(path)
    if (guard !== undefined) {
      try {
        return await body()
      } catch (error) {
        if (!isLocked(error)) throw error // By a process that does not know of guards.
      } finally {
        await guard.close()
        guardsHere.delete(path)
      }
    }
    if (clock.monotonicMs() >= deadlineMs) return undefined
    await clock.sleep(LOCK_POLL_MS)
  }
}

async function takeGuard(path: string): Promise<LevelDatabase | undefined> {
  const options = { createIfMissing: true, multithreading: false }
  guardsHere.add(path)
  try {
    makeDirectories(path, 0o700)
    return await openLevel(path, options).catch((error: unknown) => {
      if (isLocked(error)) throw error
      rmSync(join(path, 'CURRENT'), { recursive: true, force: true })
      return openLevel(path, options) // Nothing was ever put in: it is made anew.
    })
  } catch (error) {
    guardsHere.delete(path)
    if (isLocked(error)) return undefined
    throw error
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
 * Closes the base such that opening a copy of it is quick and safe: no log to replay, nothing to
 * merge (else every copy would do it again), its filter and the checksums of its tables beside it.
 */
async function leave(base: LevelIndex, clock: Clock): Promise<void> {
  const { directory } = base
  try {
    await base.settle()
    const deadlineMs = clock.monotonicMs() + MERGE_WAIT_MS
    while (base.unmergedTableCount > UNMERGED_TABLES_MAX && clock.monotonicMs() < deadlineMs) {
      await clock.sleep(5)
    }
    saveFilter(base)
  } finally {
    await base.close()
  }
  // Closing waits for a merge that is under way: only now it is certain which tables there are.
  if (!hasChecksums(directory)) writeChecksums(directory)
}

function saveFilter(base: LevelIndex): void {
  const { directory } = base
  const filter = filterName(base.stamp)
  if (loadFilter(directory, base.stamp) !== undefined) return
  const path = join(directory, filter)
  writeFileSync(`${path}.new`, base.encodeFilter(), { mode: 0o600 })
  renameSync(`${path}.new`, path)
  for (const file of readdirSync(directory)) {
    if (file.startsWith('filter-') && file !== filter) {
      rmSync(join(directory, file), { force: true })
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
