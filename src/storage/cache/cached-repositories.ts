/** All caches below one root: which there are, and which have not been used for long. */

import * as fs from 'node:fs'
import { join } from 'node:path'
import { toHex } from '../../base/bytes.ts'
import type { Process, Randomness } from '../../base/seams.ts'

export interface CachedRepository {
  readonly repositoryId: string
  readonly path: string
  /** When anything in it last changed, in milliseconds since 1970. */
  readonly usedMs: number
  /** Whether a process works with it, as far as can be told from here. */
  readonly isInUse: boolean
}

const REMOVED_PREFIX = '.removed-'
const VIEW_NAME = /^view-(\d+)-/
/** Of the processes of another host that shares the folder, only their files can be seen. */
const UNSEEN_PROCESS_MS = 10 * 60_000

/** The caches below `root`, the one used longest ago first; none where there is no such folder. */
export function listCachedRepositories(
  root: string,
  nowMs: number,
  process: Process,
): CachedRepository[] {
  const found: CachedRepository[] = []
  for (const entry of entriesOf(root)) {
    if (!entry.isDirectory() || !/^[0-9a-f]{32}$/.test(entry.name)) continue
    const path = join(root, entry.name)
    const views = entriesOf(join(path, 'index')).map(({ name }) => VIEW_NAME.exec(name))
    const usedMs = lastChange(path)
    found.push({
      repositoryId: entry.name,
      path,
      usedMs,
      isInUse: views.some(
        (view) =>
          view !== null && (process.isAlive(Number(view[1])) || nowMs - usedMs < UNSEEN_PROCESS_MS),
      ),
    })
  }
  return found.sort((a, b) => a.usedMs - b.usedMs)
}

/** Bytes of the files in a cache, each counted once however many links it has. */
export function cacheBytes({ path }: CachedRepository): number {
  const seen = new Set<string>()
  let total = 0
  const add = (directory: string) => {
    for (const entry of entriesOf(directory)) {
      const below = join(directory, entry.name)
      if (entry.isDirectory()) add(below)
      const stat = entry.isFile()
        ? fs.lstatSync(below, { bigint: true, throwIfNoEntry: false })
        : undefined
      const key = `${stat?.dev} ${stat?.ino}`
      if (stat === undefined || seen.has(key)) continue
      seen.add(key)
      total += Number(stat.size)
    }
  }
  add(path)
  return total
}

/**
 * Removes a cache, by renaming it first: nobody finds half of one. Who has it open works on with
 * what he has, or without a cache.
 */
export function removeCachedRepository(
  root: string,
  { path }: CachedRepository,
  random: Randomness,
): void {
  const removed = join(root, `${REMOVED_PREFIX}${toHex(random.bytes(8))}`)
  fs.renameSync(path, removed)
  for (const { name } of entriesOf(root)) {
    // With it, what an earlier removal has left that was cut short.
    if (name.startsWith(REMOVED_PREFIX)) {
      fs.rmSync(join(root, name), { recursive: true, force: true })
    }
  }
}

function entriesOf(path: string): fs.Dirent[] {
  try {
    return fs.readdirSync(path, { withFileTypes: true })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}

/** Files are replaced and views come and go: that changes the two folders, or what is in them. */
function lastChange(path: string): number {
  const paths = [path, join(path, 'index'), ...entriesOf(path).map(({ name }) => join(path, name))]
  return Math.max(...paths.map((one) => fs.lstatSync(one, { throwIfNoEntry: false })?.mtimeMs ?? 0))
}
