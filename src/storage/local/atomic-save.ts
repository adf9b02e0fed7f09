/**
 * How bytes become a file under its final name, all or nothing:
 *
 *     create tmp/<name>-<random>   exclusive, so never somebody else's
 *     write, fsync, close          an error of any of them is final for this temporary file
 *     link to the final name       fails if anything is there: nothing is ever overwritten
 *     unlink tmp/<name>-<random>
 *
 * What is left for durability is the directory entry, which the caller hands to the next flush. A
 * failed fsync is never repeated: the kernel may have dropped the pages and would report success.
 */

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

/** Writes and syncs `bytes` as a new file at `path`. If it rejects, the file is gone again. */
export async function writeTemporary(
  fs: LocalFileSystem,
  path: string,
  bytes: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  const descriptor = await fs.createFile(path)
  let isOpen = true
  try {
    await writeWhole(fs, descriptor, bytes, signal)
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

async function writeWhole(
  fs: LocalFileSystem,
  descriptor: number,
  bytes: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  let at = 0
  while (at < bytes.byteLength) {
    throwIfAborted(signal)
    const byteCount = Math.min(bytes.byteLength - at, SLICE_BYTES_MAX)
    const written = await fs.write(descriptor, bytes, { at, byteCount })
    if (written <= 0 || written > byteCount) {
      throw Object.assign(new Error(`write took ${written} bytes of ${byteCount}`), { code: 'EIO' })
    }
    at += written
  }
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
