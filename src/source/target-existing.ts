/** Changes to what is in a target already: checked by its descriptor, so that it is the same file. */

import { type BigIntStats, closeSync, constants, fstatSync, openSync } from 'node:fs'
import type { ByteString } from '../base/bytes.ts'
import { setFlags } from './inode-flags.ts'
import { libcSet } from './libc-set.ts'
import type { NativePath } from './native-path.ts'
import { type OpenRegularFile, openRegularFile, sourceStat } from './node-source-files.ts'
import type { EntryType, SourceStat } from './source-files.ts'
import { systemError } from './system-error.ts'
import type { ExistingFile, MetadataFailure, TargetMetadata } from './target-files.ts'
import { attempted, setByDescriptor, type SetOptions } from './target-metadata.ts'

const BIGINT = { bigint: true } as const

/** Undefined, and nothing done, if what is there is no directory that we may open. */
export function setOfDirectory(
  at: NativePath,
  metadata: TargetMetadata,
  options: SetOptions,
): readonly MetadataFailure[] | undefined {
  let descriptor: number
  try {
    descriptor = openSync(at, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  } catch {
    return undefined // By a path it may work; if not, that says why.
  }
  try {
    return setByDescriptor(descriptor, metadata, options)
  } finally {
    closeSync(descriptor)
  }
}

export function requireType(stats: BigIntStats, expected: EntryType, path: ByteString): void {
  const { type } = sourceStat(stats)
  if (type !== expected) {
    throw systemError('EINVAL', 'open', path, `is a ${type}, not a ${expected}`)
  }
}

/** A regular file, open for reading. */
export function openExistingFile(native: NativePath, path: ByteString): ExistingFile {
  const file = openRegularFile(native, path)
  return {
    stat: file.stat,
    statNow: () => file.statNow(),
    read: (into, offset, length, position) => file.read(into, offset, length, position),
    nextData: (position) => {
      const c = libcSet()
      return c === undefined ? position : c.nextData(file.descriptor, position, path)
    },
    close: () => file.close(),
    adopt: (metadata) => adopt(file, metadata, path),
  }
}

/** For `Target.setFlags`. */
export function setFlagsOfFile(
  native: NativePath,
  expected: Pick<SourceStat, 'size' | 'mtimeNs'>,
  { flags, path }: { readonly flags: number; readonly path: ByteString },
): readonly MetadataFailure[] {
  return attempted('flags', path, () => {
    const file = openRegularFile(native, path)
    try {
      const { size, mtimeNs } = file.stat
      if (size !== expected.size || mtimeNs !== expected.mtimeNs) {
        throw systemError('EINVAL', 'ioctl', path, 'is no longer the file that was restored')
      }
      setFlags(file.descriptor, flags, path)
    } finally {
      file.close()
    }
  })
}

function adopt(
  file: OpenRegularFile,
  metadata: TargetMetadata,
  path: ByteString,
): readonly MetadataFailure[] | undefined {
  const { linkCount, uid } = sourceStat(fstatSync(file.descriptor, BIGINT))
  const isOurs = uid === process.geteuid?.() || uid === metadata.uid
  const gainsRights =
    ((metadata.mode ?? 0) & 0o6000) !== 0 ||
    metadata.xattrs?.list.some(([name]) => name === 'security.capability') === true
  if (linkCount !== 1 || !isOurs || gainsRights) return undefined
  return setByDescriptor(file.descriptor, metadata, { shown: path, origin: 'existing' })
}
