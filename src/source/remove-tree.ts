/** Removes what is at a path of a target, never through a link and never into a mounted file system. */

import { lstatSync, readFileSync, rmdirSync, unlinkSync } from 'node:fs'
import type { ByteString } from '../base/bytes.ts'
import { assertComponent, parentOf } from './directory-handles.ts'
import type { Directory, DirectoryAccess } from './directory-handles.ts'
import type { NativePath } from './native-path.ts'
import { liftFlags } from './inode-flags.ts'
import { listNames } from './node-source-files.ts'
import { about, errorAbout, errorCode, systemError } from './system-error.ts'

/** A directory on the way down, and the names in it that are still there. */
interface Frame {
  readonly path: ByteString
  readonly names: ByteString[]
}

/** The stack is a list of paths, not of descriptors, so that depth costs neither. */
export function removeTree(access: DirectoryAccess, path: ByteString): void {
  if (removeEntry(access, path)) return
  const mount = mountOf(access.reach(parentOf(path)))
  const stack: Frame[] = [openFrame(access, path, mount)]
  for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
    const name = frame.names.pop()
    if (name === undefined) {
      stack.pop()
      removeEmptyDirectory(access, frame.path)
    } else {
      const child = `${frame.path}/${name}`
      if (!removeEntry(access, child)) stack.push(openFrame(access, child, mount))
    }
  }
}

/** True once nothing is at `path`; false if a directory is. */
function removeEntry(access: DirectoryAccess, path: ByteString): boolean {
  try {
    unlinkSync(entryPath(access, path))
    return true
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOENT') return true // Also if a directory on the way to it is absent.
    // EISDIR is Linux's answer for a directory, EPERM that of POSIX.
    if (code === 'EISDIR') return false
    if (code === 'EPERM' && isDirectory(entryPath(access, path))) return false
    const isLifted = code === 'EPERM' && liftFlags(entryPath(access, path), path) !== 0
    if (!isLifted) throw errorAbout(path, error)
    about(path, () => unlinkSync(entryPath(access, path)))
    return true
  }
}

function isDirectory(path: NativePath): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}

function openFrame(access: DirectoryAccess, path: ByteString, mount: string): Frame {
  const directory = access.reach(path)
  try {
    if (mountOf(directory) !== mount) {
      throw systemError('EXDEV', 'unlink', path, 'is another file system')
    }
    liftFlags(directory.path('.'), path)
    return { path, names: listNames(directory.path('')) }
  } catch (error) {
    throw errorAbout(path, error)
  }
}

/** What tells a mount from others: by its device alone, a directory mounted twice is one. */
function mountOf(directory: Directory): string {
  const { dev } = lstatSync(directory.path('.'), { bigint: true })
  return `${dev} ${mountId(directory) ?? ''}`
}

/** Undefined where the kernel does not tell. */
function mountId({ descriptor }: Directory): string | undefined {
  if (descriptor < 0) return undefined
  try {
    const about = readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1')
    return /^mnt_id:\s*(\d+)$/m.exec(about)?.[1]
  } catch {
    return undefined
  }
}

function removeEmptyDirectory(access: DirectoryAccess, path: ByteString): void {
  access.forget(path)
  try {
    rmdirSync(entryPath(access, path))
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw errorAbout(path, error)
  }
}

function entryPath(access: DirectoryAccess, path: ByteString): NativePath {
  const name = path.slice(path.lastIndexOf('/') + 1)
  assertComponent(name)
  return access.reach(parentOf(path)).path(name)
}
