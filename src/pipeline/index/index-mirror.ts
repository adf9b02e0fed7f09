/**
 * The local mirror of a repository's index files, for several processes at once.
 *
 * LevelDB lets one process in and has no read-only mode, and two cairn processes on one repository
 * are normal. So there is a base, which is only ever filled, and each process looks up in a view of
 * its own: the base's tables by hard links, the few other files copied (level-files.ts). A view
 * costs milliseconds, needs no lock, and nothing that is written to it reaches the base.
 *
 *   <directory>/base/                 see mirror-base.ts
 *   <directory>/view-<pid>-<random>/  one process's own; removed at its end, or by a later process
 *
 * It is a cache, and trouble with it never stops a run: a view that does not hold all index files
 * has the base brought up to date, a base that cannot be trusted is deleted and made anew once, and
 * after that the caller goes without.
 */

import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  statSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { toHex } from '../../base/bytes.ts'
import type { FileName } from '../../base/ids.ts'
import { makeDirectories } from '../../base/make-directories.ts'
import { nodeClock, nodeProcess, nodeRandomness } from '../../base/node-seams.ts'
import { type Clock, type Process, type Randomness, wallMs } from '../../base/seams.ts'
import type { IndexedPack } from '../../format/index-file.ts'
import { isLocked, openLevel } from './level-database.ts'
import { linkDatabase } from './level-files.ts'
import { IndexDamagedError, LevelIndex } from './level-index.ts'
import {
  addToBase,
  basePath,
  discardBase,
  LoadFailure,
  type LoadIndexFile,
  loadFilter,
  updateBase,
} from './mirror-base.ts'

/** A view whose process is gone is left alone so long: it may run where its pid does not show. */
const DEAD_VIEW_AGE_MS = 10 * 60_000
/** After this long the pid of a view may be somebody else's. */
const ANY_VIEW_AGE_MS = 24 * 3600_000
/** Taking a view fails if the base is changed at that moment. */
const VIEW_TRIES = 3

export interface MirrorSeams {
  readonly clock?: Clock
  readonly randomness?: Randomness
  readonly process?: Process
}

export interface IndexMirrorOptions extends MirrorSeams {
  /** An absolute path: a folder for this repository alone. It is made if it is not there. */
  readonly directory: string
  readonly repositoryId: Uint8Array
  /** The current listing. */
  readonly indexFiles: readonly FileName[]
  /** Undefined: the file cannot be read, and is left out. What it throws is passed on. */
  readonly load: LoadIndexFile
}

export interface IndexMirror {
  readonly index: LevelIndex
  /** How many index files were new. */
  readonly applied: number
  /** Closes the index and removes the view; may be called after `index.close()`. */
  dispose(): Promise<void>
}

interface Mirror extends Required<MirrorSeams> {
  readonly directory: string
  readonly repositoryId: Uint8Array
}

function withSeams(options: MirrorSeams & Omit<Mirror, keyof MirrorSeams>): Mirror {
  const { directory, repositoryId } = options
  return {
    directory,
    repositoryId,
    clock: options.clock ?? nodeClock(),
    randomness: options.randomness ?? nodeRandomness(),
    process: options.process ?? nodeProcess(),
  }
}

/**
 * Opens this process's view of all index files, having applied those that were not. Returns
 * undefined if there is no trustworthy one to be had now: locked for long, full or read-only disk.
 */
export async function openIndexMirror(
  options: IndexMirrorOptions,
): Promise<IndexMirror | undefined> {
  const mirror = withSeams(options)
  try {
    claimDirectory(mirror)
    await removeStaleViews(mirror)
    return (await openOnce(mirror, options)) ?? (await openAfresh(mirror, options))
  } catch (error) {
    if (error instanceof LoadFailure) throw error.cause
    return undefined
  }
}

/**
 * The same if it is ready: where an index file is new, or anything is wrong, this returns undefined
 * and changes nothing, so that it can be called on suspicion.
 */
export async function openReadyMirror(
  options: Omit<IndexMirrorOptions, 'load'>,
): Promise<IndexMirror | undefined> {
  const mirror = withSeams(options)
  if (!existsSync(basePath(mirror.directory))) return undefined
  try {
    claimDirectory(mirror)
    const view = await openView(mirror, options.indexFiles)
    return view && toMirror(mirror, view, 0)
  } catch {
    return undefined
  }
}

async function openAfresh(
  mirror: Mirror,
  options: IndexMirrorOptions,
): Promise<IndexMirror | undefined> {
  await discardBase(mirror.directory, mirror.randomness)
  return await openOnce(mirror, options)
}

/** Throws if somebody else is filling the base for long; undefined means that it is no good. */
async function openOnce(
  mirror: Mirror,
  options: IndexMirrorOptions,
): Promise<IndexMirror | undefined> {
  const { indexFiles, load } = options
  const ready = await openView(mirror, indexFiles)
  if (ready !== undefined) return toMirror(mirror, ready, 0)
  let update: Awaited<ReturnType<typeof updateBase>>
  try {
    update = await updateBase(mirror, indexFiles, load)
  } catch (error) {
    if (error instanceof IndexDamagedError || isLevelError(error)) return undefined
    throw error
  }
  if (update === undefined) throw new Error('the base is locked')
  const readable = indexFiles.filter((name) => update.files.has(name))
  for (let i = 0; i < VIEW_TRIES; i++) {
    const view = await openView(mirror, readable)
    if (view !== undefined) return toMirror(mirror, view, update.applied)
  }
  return undefined
}

function isLevelError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('LEVEL_')
}

/** The views of this process, to tell them from those of a dead one with the same pid. */
const viewsHere = new Set<string>()

/** A view of the base as it is, if it is good and holds all of `names`. */
async function openView(
  mirror: Mirror,
  names: readonly FileName[],
): Promise<LevelIndex | undefined> {
  const { repositoryId, randomness } = mirror
  const name = `view-${mirror.process.pid}-${toHex(randomness.bytes(8))}`
  const directory = join(mirror.directory, name)
  viewsHere.add(directory)
  mkdirSync(directory, { mode: 0o700 })
  let index: LevelIndex | undefined
  try {
    linkDatabase(basePath(mirror.directory), directory)
    index = await LevelIndex.open({
      directory,
      repositoryId,
      isShared: true,
      loadFilter: (stamp) => {
        const filter = loadFilter(directory, stamp)
        if (filter === undefined) throw new IndexDamagedError('its filter is of another state')
        return filter
      },
    })
    const { files } = index
    if (names.every((file) => files.has(file))) return index
  } catch {
    // Whatever it is, the base is looked at next, and what is wrong with it shows there.
  }
  await removeView(index, directory)
  return undefined
}

async function removeView(index: LevelIndex | undefined, directory: string): Promise<void> {
  await index?.close()
  await rm(directory, { recursive: true, force: true })
  viewsHere.delete(directory)
}

function toMirror(mirror: Mirror, index: LevelIndex, applied: number): IndexMirror {
  return {
    index,
    applied,
    dispose: async () => {
      try {
        await removeView(index, index.directory)
        if (index.isMostlyGone) await discardBase(mirror.directory, mirror.randomness)
      } catch {
        // What is left behind is removed by a later process.
      }
    },
  }
}

/** Makes the directory ours alone. Throws if others could have put something there. */
function claimDirectory(mirror: Mirror): void {
  const { directory, process } = mirror
  makeDirectories(directory, 0o700)
  const entry = lstatSync(directory) // A link would be of somebody's choosing.
  const { mode } = entry
  if (!entry.isDirectory() || entry.uid !== process.uid || (mode & 0o022) !== 0)
    throw new Error('the cache belongs to others as well')
  if ((mode & 0o077) !== 0) chmodSync(directory, 0o700)
}

async function removeStaleViews(mirror: Mirror): Promise<void> {
  for (const name of readdirSync(mirror.directory)) {
    const path = join(mirror.directory, name)
    const isStale = name.startsWith('trash-') || (await isStaleView(mirror, name, path))
    if (isStale) await rm(path, { recursive: true, force: true }).catch(() => {})
  }
}

async function isStaleView(mirror: Mirror, name: string, path: string): Promise<boolean> {
  const pid = Number(/^view-(\d+)-[0-9a-f]+$/.exec(name)?.[1])
  if (!Number.isInteger(pid) || viewsHere.has(path)) return false
  const ageMs = wallMs(mirror.clock) - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0)
  const mayLive = pid !== mirror.process.pid && mirror.process.isAlive(pid)
  const ageMsMin = mayLive ? ANY_VIEW_AGE_MS : DEAD_VIEW_AGE_MS
  return ageMs >= ageMsMin && !(await isOpenSomewhere(mirror, path))
}

/**
 * LevelDB's lock on a view tells for certain whether its process lives, whatever its pid. It is
 * tried under another name, where there is nothing that LevelDB could read: see level-files.ts.
 */
async function isOpenSomewhere(mirror: Mirror, view: string): Promise<boolean> {
  const probe = join(mirror.directory, `trash-${toHex(mirror.randomness.bytes(8))}`)
  mkdirSync(probe, { mode: 0o700 })
  try {
    linkSync(join(view, 'LOCK'), join(probe, 'LOCK'))
    await (await openLevel(probe, { createIfMissing: true, multithreading: false })).close()
    return false
  } catch (error) {
    return isLocked(error)
  } finally {
    await rm(probe, { recursive: true, force: true })
  }
}

/**
 * Adds an index file that this run has just written, so that the next run need not load it. Best
 * effort: returns whether it was done.
 */
export async function applyToBase(
  directory: string,
  repositoryId: Uint8Array,
  name: FileName,
  packs: readonly IndexedPack[],
  seams: MirrorSeams = {},
): Promise<boolean> {
  try {
    const mirror = withSeams({ directory, repositoryId, ...seams })
    claimDirectory(mirror)
    return await addToBase(mirror, name, packs)
  } catch {
    return false // The next opening finds out what is wrong.
  }
}

/**
 * For a caller who met IndexDamagedError: deletes the base, so that the next opening makes it anew.
 * The damaged view is still to be disposed of.
 */
export async function discardIndexMirror(
  directory: string,
  seams: MirrorSeams = {},
): Promise<void> {
  await discardBase(directory, seams.randomness ?? nodeRandomness()).catch(() => {})
}
