/** Directories to mount on: what must hold for them, and what a killed program has left there. */

import { realpathSync, statSync } from 'node:fs'
import { CairnError, isCairnError } from '../base/errors.ts'
import { isWithin } from '../base/paths.ts'
import { unmountAt } from './mount.ts'
import { findMount } from './mount-table.ts'

/** A mount whose server is gone: whoever touches it gets ENOTCONN. */
function isStale(path: string): boolean {
  try {
    statSync(path)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOTCONN'
  }
}

async function removeStale(path: string, type: string): Promise<boolean> {
  if (findMount(path)?.type !== type) return false
  await unmountAt(path)
  return !isStale(path)
}

export interface MountpointOptions {
  /** Of the file system: a mount of this type whose program was killed is taken away. */
  readonly type: string
  /** A directory that may neither hold the mountpoint nor lie in it. */
  readonly apartFrom: string
}

/**
 * The path without symbolic links of an existing directory to mount on. Throws CAIRN_FAILED with
 * what is wrong with it.
 */
export async function prepareMountpoint(path: string, options: MountpointOptions): Promise<string> {
  if (isStale(path) && !(await removeStale(path, options.type))) {
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot mount on '${path}': a mount whose program has ended is still there; ` +
        `run 'fusermount3 -uz ${path}', or as root 'umount -l ${path}'`,
    )
  }
  const mountpoint = realDirectory(path)
  let other = options.apartFrom
  try {
    other = realpathSync(other)
  } catch {
    // What is not there is found out where it is needed.
  }
  if (isWithin(other, mountpoint) || isWithin(mountpoint, other)) {
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot mount on '${path}': it overlaps the repository '${other}'; choose another directory`,
    )
  }
  return mountpoint
}

function realDirectory(path: string): string {
  try {
    const mountpoint = realpathSync(path)
    if (statSync(mountpoint).isDirectory()) return mountpoint
    throw new CairnError('CAIRN_FAILED', `cannot mount on '${path}': it is no directory`)
  } catch (error) {
    if (isCairnError(error)) throw error
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new CairnError(
        'CAIRN_FAILED',
        `cannot mount on '${path}': there is no such directory; make it first`,
      )
    }
    throw new CairnError('CAIRN_FAILED', `cannot mount on '${path}'`, { cause: error })
  }
}
