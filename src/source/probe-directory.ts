/** What a directory offers to backup and restore, found out by trying. Leaves nothing behind. */

import * as fs from 'node:fs'
import { join } from 'node:path'
import { byteStringOf } from '../base/bytes.ts'
import { libcSet } from './libc-set.ts'
import { errorCode } from './system-error.ts'

export interface DirectoryProbe {
  readonly freeBytes: number
  /** The file system's time of a file just written, in milliseconds since 1970. */
  readonly writtenMs: number
  /** Files without a name (Linux). */
  readonly hasUnnamedFiles: boolean
  /** User extended attributes; undefined where that cannot be tried. */
  readonly hasXattrs: boolean | undefined
}

const O_TMPFILE = 0o20000000 | fs.constants.O_DIRECTORY | fs.constants.O_WRONLY

/** Throws what the file system says if no file can be written there. `suffix` makes the name unique. */
export function probeDirectory(directory: string, suffix: string): DirectoryProbe {
  const path = join(directory, `.cairn-probe-${suffix}`)
  const { bavail, bsize } = fs.statfsSync(directory)
  fs.writeFileSync(path, 'cairn', { flag: 'wx', mode: 0o600 })
  try {
    return {
      freeBytes: bavail * bsize,
      writtenMs: fs.lstatSync(path).mtimeMs,
      hasUnnamedFiles: canOpenUnnamed(directory),
      hasXattrs: canSetXattr(path),
    }
  } finally {
    fs.rmSync(path, { force: true })
  }
}

function canOpenUnnamed(directory: string): boolean {
  if (process.platform !== 'linux') return false
  try {
    fs.closeSync(fs.openSync(directory, O_TMPFILE, 0o600))
    return true
  } catch {
    return false
  }
}

function canSetXattr(path: string): boolean | undefined {
  const c = libcSet()
  if (c === undefined) return undefined
  try {
    const subject = byteStringOf(path)
    c.byPath.set(subject, 'user.cairn', Buffer.from('x'), subject)
    return true
  } catch (error) {
    if (errorCode(error) === undefined) throw error
    return false
  }
}

export interface FuseProbe {
  /** `/dev/fuse` can be opened. */
  readonly hasDevice: boolean
  /** The program that mounts for users who are not root. */
  readonly hasHelper: boolean
}

export function probeFuse(searchPath: string): FuseProbe {
  const names = ['fusermount3', 'fusermount']
  const folders = searchPath.split(':').filter((folder) => folder !== '')
  return {
    hasDevice: isAccessible('/dev/fuse', fs.constants.R_OK | fs.constants.W_OK),
    hasHelper: folders.some((folder) =>
      names.some((name) => isAccessible(join(folder, name), fs.constants.X_OK)),
    ),
  }
}

function isAccessible(path: string, mode: number): boolean {
  try {
    fs.accessSync(path, mode)
    return true
  } catch {
    return false
  }
}

/** Whether a directory can be written to, or made. */
export function canMakeDirectory(path: string): boolean {
  for (let at = path; ; at = join(at, '..')) {
    if (fs.existsSync(at)) {
      return (
        fs.statSync(at).isDirectory() && isAccessible(at, fs.constants.W_OK | fs.constants.X_OK)
      )
    }
    if (at === join(at, '..')) return false
  }
}

/** The bytes of memory that the control group grants, or undefined if it sets no limit. */
export function memoryLimitBytes(): number | undefined {
  try {
    const text = fs.readFileSync('/sys/fs/cgroup/memory.max', 'utf8').trim()
    return text === 'max' ? undefined : Number(text)
  } catch {
    return undefined
  }
}

export interface FileSpeedProbe {
  /** Writes `bytes` to a new file and makes it durable. */
  write(bytes: Uint8Array): void
  /** Reads it back into `into`, which is as long. */
  read(into: Uint8Array): void
  /** Removes it. */
  close(): void
}

export function openFileSpeedProbe(directory: string, suffix: string): FileSpeedProbe {
  const path = join(directory, `.cairn-probe-${suffix}`)
  return {
    write: (bytes) => {
      const descriptor = fs.openSync(path, 'w', 0o600)
      try {
        for (let at = 0; at < bytes.byteLength; ) at += fs.writeSync(descriptor, bytes, at)
        fs.fsyncSync(descriptor)
      } finally {
        fs.closeSync(descriptor)
      }
    },
    read: (into) => {
      const descriptor = fs.openSync(path, 'r')
      try {
        for (let at = 0; at < into.byteLength; ) {
          const count = fs.readSync(descriptor, into, at, into.byteLength - at, null)
          if (count === 0) throw new Error(`'${path}' became shorter`)
          at += count
        }
      } finally {
        fs.closeSync(descriptor)
      }
    },
    close: () => fs.rmSync(path, { force: true }),
  }
}
