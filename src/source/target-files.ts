/**
 * The file system that a restore writes to: everything below one root directory, and nothing else.
 *
 * The names come out of a repository and the target may hold what an attacker planted, who may even
 * be swapping directories for links meanwhile. So no call here ever follows a link below the root,
 * opens a planted FIFO or writes into an existing file: a file is written under a temporary name of
 * its own, which then takes the place of whatever had the final one.
 *
 * Paths are relative to the root, without a leading or trailing `/`, '' for the root itself; each of
 * their components has passed `validateComponent`. All calls are synchronous. Errors are Node's own.
 */

import type { ByteString } from '../base/bytes.ts'
import type { EntryType, OpenSource, SourceStat } from './source-files.ts'

/** What a restore sets. What is left out stays as it is. */
export interface TargetMetadata {
  /** The 12 permission bits. */
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly mtimeNs?: bigint
  readonly atimeNs?: bigint
  readonly xattrs?: WantedXattrs
  /** Inode flags as Linux numbers them; those that no backup has stay as they are. */
  readonly flags?: number
}

/** The extended attributes that a file is to have. */
export interface WantedXattrs {
  readonly list: readonly Xattr[]
  /** Others are left alone, be they in `list` or at the file. */
  readonly selects: (name: ByteString) => boolean
}

export type Xattr = readonly [name: ByteString, value: Uint8Array]

/** One kind of metadata that could not be set as asked; the rest was. */
export interface MetadataFailure {
  readonly what: 'owner' | 'mode' | 'times' | 'xattrs' | 'flags'
  readonly error: Error
  /** It takes rights that an ordinary user does not have, and this is one. */
  readonly isRefused?: boolean
}

export interface CommitOptions {
  /**
   * Whether to replace what has the final name: a file or link, never a directory (EISDIR). Without
   * it, anything there is EEXIST and stays.
   */
  readonly overwrite: boolean
}

export interface HardLinkOptions extends CommitOptions {
  /** Of what is linked; a regular file if left out. */
  readonly type?: Exclude<EntryType, 'directory' | 'other'>
}

/** A new file under a temporary name, mode 0600, which has not got its final name yet. */
export interface TargetFile {
  /**
   * For `Target.writeShared` in any thread. Neither `commit` nor `discard` may come before the last
   * of those calls has returned: the number may be that of another file then.
   */
  readonly shared: number
  /** Writes all of `length` bytes of `bytes` from `offset`, at `position` of the file. */
  write(bytes: Uint8Array, offset: number, length: number, position: number): void
  /** Cuts or extends the file; what has not been written reads as zeros and takes no space. */
  truncate(byteCount: number): void
  /** After the last write, or the times change again. Flags wait for `commit`. */
  setMetadata(metadata: TargetMetadata): readonly MetadataFailure[]
  /**
   * Closes the file and gives it its name, then its flags: what it is to have may forbid just that.
   * If it throws, it can be repeated, or discarded.
   */
  commit(options: CommitOptions): readonly MetadataFailure[]
  /** Closes and removes the file. Harmless after `commit`. */
  discard(): void
}

/** A regular file that was in the target before, open for reading. */
export interface ExistingFile extends OpenSource {
  /** The first position from `position` on that may have data; undefined if it is all a hole. */
  nextData(position: number): number | undefined
  /**
   * Sets metadata on this file instead of writing it anew. Undefined, and nothing done, if that
   * could hand somebody else's file more than its content: it has other links, belongs to neither
   * us nor `metadata.uid`, or would become setuid or setgid. Write it anew then.
   */
  adopt(metadata: TargetMetadata): readonly MetadataFailure[] | undefined
}

export interface Target {
  /** Opens the same target in another thread of this process, by `TargetFiles.attachTarget`. */
  readonly rootFd: number
  readonly rootPath: ByteString
  /** What is at `path` itself. Undefined if nothing is, or a directory on the way is absent. */
  lstat(path: ByteString): SourceStat | undefined
  /** Flags of directories that `makeDirectory` has taken away, by path. */
  readonly liftedFlags: ReadonlyMap<ByteString, number>
  readDirectory(path: ByteString): ByteString[]
  readLink(path: ByteString): Uint8Array
  /**
   * Makes a directory of mode 0700. A real directory that is there is fine, and made usable if its
   * owner is us and its mode does not let us work in it, or if its flags do not; anything else
   * there is EEXIST.
   */
  makeDirectory(path: ByteString): 'created' | 'existing'
  createFile(path: ByteString): TargetFile
  /** `write` for a file that another thread has created, by its number there. */
  writeShared(
    shared: number,
    bytes: Uint8Array,
    range: { readonly offset: number; readonly length: number; readonly position: number },
  ): void
  /** `createFile`, `write`, `setMetadata` and `commit` in one, for files that fit in memory. */
  writeWholeFile(
    path: ByteString,
    bytes: Uint8Array,
    metadata: TargetMetadata,
    options: CommitOptions,
  ): readonly MetadataFailure[]
  openExisting(path: ByteString): ExistingFile
  makeSymlink(path: ByteString, target: Uint8Array, options: CommitOptions): void
  /**
   * Another name for what is at `existing`, itself where that is a symlink. EINVAL, and nothing
   * made, if that is not of the type expected.
   */
  makeHardLink(path: ByteString, existing: ByteString, options: HardLinkOptions): void
  /** A FIFO, socket or device of mode 0600. ENOSYS where the system offers no way. */
  makeSpecial(path: ByteString, type: EntryType, device: bigint, options: CommitOptions): void
  /**
   * Sets metadata of what is at `path` and is no regular file: those have it set through their
   * descriptor. EINVAL, and nothing done, if what is there is not of type `expected`. The mode of
   * a symlink is not set: Linux has none. `isNew` if it was made by this target and had none set.
   */
  setMetadata(
    path: ByteString,
    expected: Exclude<EntryType, 'file' | 'other'>,
    metadata: TargetMetadata,
    options?: { readonly isNew: boolean },
  ): readonly MetadataFailure[]
  /**
   * Sets the flags of a regular file with these times and owner: one that somebody has put in its
   * place meanwhile is EINVAL.
   */
  setFlags(
    path: ByteString,
    expected: Pick<SourceStat, 'size' | 'mtimeNs'>,
    flags: number,
  ): readonly MetadataFailure[]
  /** Looks anew at directories that it knew: their metadata have changed. */
  refresh(): void
  /**
   * Removes a file, a link or a whole directory, never through a link and never into another file
   * system (EXDEV). What is not there is fine.
   */
  remove(path: ByteString): void
  /** Closes every descriptor; the root's too, unless the target was attached. */
  close(): void
}

export interface TargetFiles {
  /** Opens a directory to restore into, and makes it (mode 0700, parents too) if it is missing. */
  openTarget(root: ByteString): Target
  /** The target of another thread. It must stay open there as long as this one is used. */
  attachTarget(rootFd: number, rootPath: ByteString): Target
}

/** FORMAT.md: the longest name of a tree entry. File systems allow less and say so themselves. */
const COMPONENT_BYTES_MAX = 4_095

/** Why a name from a repository must not become part of a path, or undefined if it may. */
export function validateComponent(name: ByteString): string | undefined {
  if (name === '') return 'the name is empty'
  if (name === '.' || name === '..') return `the name '${name}' means another directory`
  if (name.includes('/')) return "the name contains '/'"
  if (name.includes('\0')) return 'the name contains a zero byte'
  if (name.length > COMPONENT_BYTES_MAX) {
    return `the name has ${name.length} bytes, more than ${COMPONENT_BYTES_MAX}`
  }
  return undefined
}

const TEMPORARY_NAME = /^\.cairn-restore-[0-9a-f]{16}-[0-9a-z]+$/

/** A name for a file that is being written, which nobody can guess: `token` is 8 random bytes. */
export function temporaryName(token: string, count: number): ByteString {
  return `.cairn-restore-${token}-${count.toString(36)}`
}

/** Whether a name is one that a restore which was killed may have left behind. */
export function isTemporaryName(name: ByteString): boolean {
  return TEMPORARY_NAME.test(name)
}
