/**
 * How bytes become a file under its final name, all or nothing:
 *
 *     create tmp/<name>-<random>   exclusive, so never somebody else's
 *     write past the page cache    packs, as far as they are whole blocks, where that can be
 *     write, fsync, close          an error of any of them is final for this temporary file
 *     link to the final name       fails if anything is there: nothing is ever overwritten
 *     unlink tmp/<name>-<random>
 *
 * What is left for durability is the directory entry, which the caller hands to the next flush. A
 * failed fsync is never repeated: the kernel may have dropped the pages and would report success.
 */

import { PAGE_BYTES } from '../../base/bytes.ts'
import { throwIfAborted } from '../../base/errors.ts'
import { errnoOf, type LocalFileSystem } from './local-file-system.ts'

/** How much is written between two looks at the abort signal. */
const SLICE_BYTES_MAX = 8 * 1024 * 1024

/** What link(2) says where there are no hard links, as on FAT and some network file systems. */
const NO_LINKS: ReadonlySet<string | undefined> = new Set([
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EMLINK',
])

export interface WriteOptions {
  /** Whether to write past the page cache, as far as that can be done. */
  readonly isDirect: boolean
  readonly signal: AbortSignal | undefined
}

/** Writes and syncs `bytes` as a new file at `path`. If it rejects, the file is gone again. */
export async function writeTemporary(
  fs: LocalFileSystem,
  path: string,
  bytes: Uint8Array,
  { isDirect, signal }: WriteOptions,
): Promise<void> {
  const descriptor = await fs.createFile(path)
  let isOpen = true
  try {
    const end = bytes.byteLength
    let start = isDirect ? await writeDirect(fs, path, bytes, signal) : 0
    while (start < end) start += await writeSlice(fs, descriptor, bytes, { start, end, signal })
    throwIfAborted(signal)
    await fs.fsync(descriptor)
    isOpen = false
    await fs.close(descriptor)
    throwIfAborted(signal)
  } catch (error) {
    if (isOpen) await fs.close(descriptor).catch(() => {}) // The first failure is the one to tell.
    await removeTemporary(fs, path)
    throw error
  }
}

/**
 * Writes whole blocks of `bytes` past the page cache, as far as the file system and the place of the
 * bytes in memory allow. Returns where it ended: at 0 if they do not.
 */
async function writeDirect(
  fs: LocalFileSystem,
  path: string,
  bytes: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<number> {
  const descriptor = await fs.openDirect(path)
  if (descriptor === undefined) return 0
  const end = bytes.byteLength - (bytes.byteLength % PAGE_BYTES)
  let at = 0
  try {
    // What was cut short between two blocks is finished in the other way.
    while (at < end && at % PAGE_BYTES === 0) {
      at += await writeSlice(fs, descriptor, bytes, { start: at, end, signal })
    }
  } catch (error) {
    if (errnoOf(error) !== 'EINVAL') {
      await fs.close(descriptor).catch(() => {}) // The first failure is the one to tell.
      throw error
    }
  }
  await fs.close(descriptor)
  return at
}

interface WriteRange {
  readonly start: number
  readonly end: number
  readonly signal: AbortSignal | undefined
}

/** Returns how many bytes were written: some. */
async function writeSlice(
  fs: LocalFileSystem,
  descriptor: number,
  bytes: Uint8Array,
  { start, end, signal }: WriteRange,
): Promise<number> {
  throwIfAborted(signal)
  const byteCount = Math.min(end - start, SLICE_BYTES_MAX)
  const written = await fs.write(descriptor, bytes, { at: start, byteCount })
  if (written <= 0 || written > byteCount) {
    throw Object.assign(new Error(`write took ${written} bytes of ${byteCount}`), { code: 'EIO' })
  }
  return written
}

/**
 * Gives the file at `temporary` its final name. Returns false, with nothing changed, if that name
 * is taken. Afterwards, and if it rejects, `temporary` is gone.
 */
export async function publish(
  fs: LocalFileSystem,
  temporary: string,
  final: string,
): Promise<boolean> {
  let isPublished: boolean
  try {
    isPublished = await linkOrRename(fs, temporary, final)
  } catch (error) {
    await removeTemporary(fs, temporary)
    throw error
  }
  await removeTemporary(fs, temporary)
  return isPublished
}

async function linkOrRename(
  fs: LocalFileSystem,
  temporary: string,
  final: string,
): Promise<boolean> {
  try {
    await fs.link(temporary, final)
    return true
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'EEXIST') return false
    if (!NO_LINKS.has(errno)) throw error
  }
  // Without links there is no portable rename that refuses to replace. Between the look and the
  // rename another process may save the same name, which means the same bytes.
  try {
    await fs.lstat(final)
    return false
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
  await fs.rename(temporary, final)
  return true
}

/**
 * Never rejects: what cannot be removed takes some space until `sweepTemporary`. Tried twice,
 * because a passing error should not leave a second name to a published file.
 */
async function removeTemporary(fs: LocalFileSystem, path: string): Promise<void> {
  for (let tries = 0; tries < 2; tries++) {
    try {
      return await fs.unlink(path)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return
    }
  }
}
