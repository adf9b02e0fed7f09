/**
 * Sets owner, attributes, mode and times, in that order: a change of owner clears setuid, setgid and
 * capabilities, and a mode opened to others before the owner and the ACL are right would show a
 * private file to the wrong ones. Flags come last, and only by a descriptor.
 */

import { chmodSync, chownSync, fchmodSync, fchownSync, fstatSync, futimesSync } from 'node:fs'
import { lchownSync, lutimesSync, statSync, lstatSync, utimesSync } from 'node:fs'
import type { ByteString } from '../base/bytes.ts'
import { liftFlagsOf, setFlags } from './inode-flags.ts'
import { type Libc, libc } from './libc.ts'
import type { LibcSet, XattrCalls } from './libc-set.ts'
import { nativePath } from './native-path.ts'
import { errorAbout, errorCode, systemError } from './system-error.ts'
import type { MetadataFailure, TargetMetadata, WantedXattrs } from './target-files.ts'
import { type Origin, removeInherited, setXattrs } from './target-xattrs.ts'

/** The calls for one way of naming a file: by descriptor, by path, or by path of a link itself. */
interface Calls<Subject> {
  chown(subject: Subject, uid: number, gid: number): void
  chmod(subject: Subject, mode: number): void
  stat(subject: Subject): { readonly mtimeNs: bigint; readonly atimeNs: bigint }
  /** Times in seconds as text: a negative number would silently become the present. */
  utimes(subject: Subject, atime: string, mtime: string): void
  preciseUtimes(c: Libc, subject: Subject, metadata: TargetMetadata, shown: ByteString): void
  xattrs(c: LibcSet): XattrCalls<Subject>
}

const BIGINT = { bigint: true } as const
const NONE: readonly MetadataFailure[] = Object.freeze([])

const BY_DESCRIPTOR: Calls<number> = {
  chown: fchownSync,
  chmod: fchmodSync,
  stat: (descriptor) => fstatSync(descriptor, BIGINT),
  utimes: futimesSync,
  preciseUtimes: (c, descriptor, { atimeNs, mtimeNs }, shown) =>
    c.futimens(descriptor, atimeNs ?? 'omit', mtimeNs ?? 'omit', shown),
  xattrs: (c) => c.byDescriptor,
}

const BY_PATH: Calls<ByteString> = {
  chown: (path, uid, gid) => chownSync(nativePath(path), uid, gid),
  chmod: (path, mode) => chmodSync(nativePath(path), mode),
  stat: (path) => statSync(nativePath(path), BIGINT),
  utimes: (path, atime, mtime) => utimesSync(nativePath(path), atime, mtime),
  preciseUtimes: (c, path, { atimeNs, mtimeNs }) =>
    c.utimensat(path, atimeNs ?? 'omit', mtimeNs ?? 'omit', true),
  xattrs: (c) => c.byPath,
}

const BY_LINK_PATH: Calls<ByteString> = {
  chown: (path, uid, gid) => lchownSync(nativePath(path), uid, gid),
  chmod: () => {},
  stat: (path) => lstatSync(nativePath(path), BIGINT),
  utimes: (path, atime, mtime) => lutimesSync(nativePath(path), atime, mtime),
  preciseUtimes: (c, path, { atimeNs, mtimeNs }) =>
    c.utimensat(path, atimeNs ?? 'omit', mtimeNs ?? 'omit', false),
  xattrs: (c) => c.byLinkPath,
}

/** `shown` is the path for errors. */
export interface SetOptions {
  readonly shown: ByteString
  readonly origin: Origin
  /** It has the owner, or the mode, already. */
  readonly hasOwner?: boolean
  readonly hasMode?: boolean
}

/** The descriptor must not be of O_PATH. Flags are set last. */
export function setByDescriptor(
  descriptor: number,
  metadata: TargetMetadata,
  options: SetOptions,
): readonly MetadataFailure[] {
  const { shown, origin } = options
  const { flags } = metadata
  if (flags === undefined || (flags === 0 && origin !== 'existing')) {
    return set(BY_DESCRIPTOR, descriptor, metadata, options)
  }
  const lifting = attempted('flags', shown, () => void liftFlagsOf(descriptor, shown))
  const failures = set(BY_DESCRIPTOR, descriptor, metadata, options)
  const setting = attempted('flags', shown, () => setFlags(descriptor, flags, shown))
  return [...failures, ...(lifting.length > 0 ? lifting : setting)]
}

/** Runs `action`; what the system says against it is returned. */
export function attempted(
  what: MetadataFailure['what'],
  shown: ByteString,
  action: () => void,
): readonly MetadataFailure[] {
  try {
    action()
    return NONE
  } catch (cause) {
    const error = errorAbout(shown, cause)
    if (!(error instanceof Error) || errorCode(error) === undefined) throw cause
    return [failureOf(what, error)]
  }
}

function failureOf(what: MetadataFailure['what'], error: Error): MetadataFailure {
  const code = errorCode(error)
  const isRefused = (code === 'EPERM' || code === 'EACCES') && process.geteuid?.() !== 0
  return isRefused ? { what, error, isRefused } : { what, error }
}

/** Follows a link at `path`: for `/proc/self/fd/…`, which is one to exactly the wanted file. */
export function setByPath(
  path: ByteString,
  metadata: TargetMetadata,
  options: SetOptions,
): readonly MetadataFailure[] {
  return set(BY_PATH, path, metadata, options)
}

/** Sets what is at `path` itself, but no mode. */
export function setByLinkPath(
  path: ByteString,
  metadata: TargetMetadata,
  options: SetOptions,
): readonly MetadataFailure[] {
  return set(BY_LINK_PATH, path, metadata, options)
}

function set<Subject>(
  calls: Calls<Subject>,
  subject: Subject,
  metadata: TargetMetadata,
  { shown, origin, hasOwner = false, hasMode = false }: SetOptions,
): readonly MetadataFailure[] {
  let failures: MetadataFailure[] | undefined
  function attempt(what: MetadataFailure['what'], action: () => void): void {
    try {
      action()
    } catch (cause) {
      const error = errorAbout(shown, cause)
      if (!(error instanceof Error)) throw cause
      failures ??= []
      failures.push(failureOf(what, error))
    }
  }

  const { uid, gid, mode, xattrs } = metadata
  if (!hasOwner && (uid !== undefined || gid !== undefined)) {
    attempt('owner', () => setOwner(calls, subject, uid ?? -1, gid ?? -1))
  }
  const isForeign = failures !== undefined
  if (origin === 'inheriting') {
    attempt('xattrs', () => removeInherited(calls.xattrs, subject, shown))
  }
  if (xattrs !== undefined && !(origin === 'new' && xattrs.list.length === 0)) {
    attempt('xattrs', () => {
      const settable = isForeign ? harmless(xattrs) : xattrs
      setXattrs(calls.xattrs, subject, settable, { shown, origin })
      if (settable.list.length < xattrs.list.length) {
        throw systemError('EPERM', 'setxattr', shown, 'left out capabilities of a foreign owner')
      }
    })
  }
  if (!hasMode && mode !== undefined) {
    attempt('mode', () => {
      // The right to act as the owner is not given away to a file that belongs to somebody else.
      calls.chmod(subject, isForeign ? mode & 0o1777 : mode)
      if (isForeign && (mode & 0o6000) !== 0) {
        throw systemError('EPERM', 'chmod', shown, 'left out setuid and setgid of a foreign owner')
      }
    })
  }
  if (metadata.mtimeNs !== undefined || metadata.atimeNs !== undefined) {
    attempt('times', () => setTimes(calls, subject, metadata, shown))
  }
  return failures ?? NONE
}

/** Capabilities are not given away to a file that belongs to somebody else, no more than setuid. */
function harmless({ list, selects }: WantedXattrs): WantedXattrs {
  return { list: list.filter(([name]) => name !== 'security.capability'), selects }
}

function setOwner<Subject>(
  calls: Calls<Subject>,
  subject: Subject,
  uid: number,
  gid: number,
): void {
  try {
    calls.chown(subject, uid, gid)
  } catch (error) {
    // An ordinary user cannot give files away, but may be a member of the group.
    if (errorCode(error) === 'EPERM' && uid !== -1 && gid !== -1) {
      try {
        calls.chown(subject, -1, gid)
      } catch {
        // The first error is the one to report.
      }
    }
    throw error
  }
}

/** Every file system keeps times in this range exactly, of those that keep nanoseconds at all. */
const SAFE_NS_MAX = 2_147_483_647_000_000_000n

function setTimes<Subject>(
  calls: Calls<Subject>,
  subject: Subject,
  metadata: TargetMetadata,
  shown: ByteString,
): void {
  const c = libc()
  const { mtimeNs, atimeNs } = metadata
  if (c === undefined) {
    const now = mtimeNs === undefined || atimeNs === undefined ? calls.stat(subject) : undefined
    const atime = secondsText(atimeNs ?? now?.atimeNs ?? 0n)
    calls.utimes(subject, atime, secondsText(mtimeNs ?? now?.mtimeNs ?? 0n))
  } else {
    calls.preciseUtimes(c, subject, metadata, shown)
  }
  if (isUnsafe(mtimeNs) || isUnsafe(atimeNs)) checkTimes(calls, subject, metadata, shown)
}

function isUnsafe(timeNs: bigint | undefined): boolean {
  return timeNs !== undefined && (timeNs < 0n || timeNs > SAFE_NS_MAX)
}

/** ext4 turns what it cannot keep into 1901 or 2446 without a word. */
function checkTimes<Subject>(
  calls: Calls<Subject>,
  subject: Subject,
  { mtimeNs, atimeNs }: TargetMetadata,
  shown: ByteString,
): void {
  const found = calls.stat(subject)
  if (mtimeNs !== undefined && isOff(found.mtimeNs, mtimeNs)) {
    throw systemError('ERANGE', 'utimens', shown, 'the file system cannot keep this time')
  }
  if (atimeNs !== undefined && isOff(found.atimeNs, atimeNs)) {
    throw systemError('ERANGE', 'utimens', shown, 'the file system cannot keep this access time')
  }
}

/** Coarser times are a file system's right, up to the two seconds of FAT. */
function isOff(foundNs: bigint, wantedNs: bigint): boolean {
  const offNs = foundNs - wantedNs
  return offNs > 2_000_000_000n || offNs < -2_000_000_000n
}

/**
 * Seconds for Node's utimes, which cuts them to microseconds towards zero from a double: half a
 * microsecond further from zero, so that rounding the double never costs one.
 */
function secondsText(timeNs: bigint): string {
  const floorUs = timeNs >= 0n ? timeNs / 1_000n : -((999n - timeNs) / 1_000n)
  const half = floorUs < 0n ? -0.5 : 0.5
  return String((Number(floorUs) + half) / 1e6)
}
