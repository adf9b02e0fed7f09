/**
 * What a file has that is made in a directory, looked at once per directory. It is only relied on
 * where nobody else can change it meanwhile: in a directory that is ours and that others cannot
 * write to. Elsewhere its owner could hand every new file to a group or an ACL of his choice.
 */

import { fstatSync, readFileSync } from 'node:fs'
import type { Directory, NewFileTraits } from './directory-handles.ts'
import { libc } from './libc.ts'
import { libcSet } from './libc-set.ts'
import { errorCode } from './system-error.ts'
import type { TargetMetadata } from './target-files.ts'
import { DEFAULT_ACL, isUnsupported } from './target-xattrs.ts'

/**
 * File systems that are known to have files without a name, and that report a failed write by
 * `write`: the name comes before the file is closed, so closing must have nothing more to say.
 */
const FILE_SYSTEMS: ReadonlySet<number> = new Set([
  0x0102_1994, // tmpfs
  0xef53, // ext2, ext3, ext4
  0x5846_5342, // xfs
  0x9123_683e, // btrfs
])

const GUARDED: NewFileTraits = {
  canBeUnnamed: false,
  origin: 'inheriting',
  given: undefined,
}

export function newFileTraits(directory: Directory): NewFileTraits {
  directory.traits ??= look(directory)
  return directory.traits
}

function look(directory: Directory): NewFileTraits {
  const { descriptor } = directory
  if (descriptor < 0) return GUARDED
  const fileSystem = libc()?.fileSystem(descriptor)
  const canBeUnnamed = fileSystem !== undefined && FILE_SYSTEMS.has(fileSystem)
  const { uid, gid, mode } = fstatSync(descriptor)
  const isOurs = uid === process.geteuid?.() && (mode & 0o022) === 0
  if (!isOurs || hasDefaultAcl(directory)) return { ...GUARDED, canBeUnnamed }
  // In a directory of our own group, setgid or not, a file is of that group.
  const isOfOurGroup = gid === process.getegid?.()
  const given = isOfOurGroup && canBeUnnamed ? { uid, gid, umask: umask() } : undefined
  return { canBeUnnamed, origin: 'new', given }
}

let ownUmask: number | undefined

/** Node's own way to ask sets it for a moment, for all threads. What is not known takes every bit. */
function umask(): number {
  if (ownUmask === undefined) {
    const line = /^Umask:\s*([0-7]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))
    ownUmask = Number.parseInt(line?.[1] ?? '777', 8)
  }
  return ownUmask
}

function hasDefaultAcl(directory: Directory): boolean {
  const c = libcSet()
  if (c === undefined) return false
  try {
    return c.byPath.has(`${directory.prefix}.`, DEFAULT_ACL, '')
  } catch (error) {
    if (isUnsupported(error)) return false
    if (errorCode(error) === undefined) throw error
    return true
  }
}

/** Whether what is made in the directory belongs to whom it should. */
export function hasOwner({ uid, gid }: TargetMetadata, given: NewFileTraits['given']): boolean {
  if (given === undefined) return false
  return (uid === undefined || uid === given.uid) && (gid === undefined || gid === given.gid)
}
