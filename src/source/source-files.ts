/**
 * The user's file system as a backup reads it. Names and paths are byte strings (latin1: one
 * character, one byte), because a name is bytes and decoding may merge two names.
 *
 * All calls are synchronous: measured, they cost a quarter of the asynchronous ones, and they run in
 * workers. Errors are Node's own (`code` ENOENT, EACCES, …); the engine decides what they mean.
 */

import type { ByteString } from '../base/bytes.ts'
import type { ExtendedMetadata } from './extended-metadata.ts'

export type EntryType =
  | 'file'
  | 'directory'
  | 'symlink'
  | 'fifo'
  | 'socket'
  | 'chardevice'
  | 'blockdevice'
  | 'other'

export interface SourceStat {
  readonly type: EntryType
  /** The 12 permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
  readonly atimeNs: bigint
  readonly birthtimeNs: bigint
  readonly dev: bigint
  readonly ino: bigint
  readonly linkCount: number
  readonly rdev: bigint
  /** Allocated 512-byte units: fewer than `size` means holes. */
  readonly blocks: number
}

export interface OpenSource {
  /** What it was when it was opened. */
  readonly stat: SourceStat
  /** What it is now: a second look, to see whether it changed while it was read. */
  statNow(): SourceStat
  /**
   * Reads up to `length` bytes into `into` at `offset`, from `position` of the file. Returns how
   * many; 0 only at the end of the file. Interrupted calls are repeated.
   */
  read(into: Uint8Array, offset: number, length: number, position: number): number
  close(): void
}

/** Bytes of a file from `start` up to `end`. */
export interface DataRun {
  readonly start: number
  readonly end: number
}

/** A file to back up. */
export interface OpenSourceFile extends OpenSource {
  /** Whether asking `nextData` is worth it. */
  readonly mayHaveHoles: boolean
  /** The next bytes at or behind `position` that are no hole; undefined if there are only holes. */
  nextData(position: number): DataRun | undefined
  /** Its extended attributes and flags; what cannot be read is told in the result. */
  extended(): ExtendedMetadata
}

/**
 * An open directory: what is looked up in it is in this directory, whatever is at its path now.
 * Errors name paths as if they had been used.
 */
export interface SourceDirectory {
  /** What it was when it was opened. */
  readonly stat: SourceStat
  /** Sorted by byte, without `.` and `..`. */
  names(): ByteString[]
  /** What is there, or with `follow` where a link there leads. Undefined if nothing is there. */
  look(name: ByteString, follow: boolean): SourceStat | undefined
  readLink(name: ByteString): Uint8Array
  /** The extended attributes of an entry that cannot be opened: a link, a pipe, a device. */
  extended(name: ByteString, stat: SourceStat): ExtendedMetadata
  /** Its own extended attributes and flags. */
  ownExtended(): ExtendedMetadata
  close(): void
}

export interface SourceFiles {
  /** What is at `path` itself; a symlink is not followed. Undefined if nothing is there. */
  lstat(path: ByteString): SourceStat | undefined
  /** The names in a directory, sorted by byte, without `.` and `..`. */
  readDirectory(path: ByteString): ByteString[]
  readLink(path: ByteString): Uint8Array
  /**
   * Opens a regular file for reading. Never follows a link in the last component, never blocks on
   * a FIFO, leaves atime alone where the system allows that. Rejects what is not a regular file.
   */
  open(path: ByteString): OpenSourceFile
  /** Has the system begin to read a file that will be read soon, if it can. Never throws. */
  readAhead?(path: ByteString): void
  /** Throws ENOTDIR if it is none, or a link that is not to be followed. */
  openDirectory(path: ByteString, follow: boolean): SourceDirectory
  /** False where extended attributes and flags cannot be read at all: there are none then. */
  readonly hasExtended: boolean
  /** A user or group name for an id, or undefined. Remembered. */
  userName(uid: number): string | undefined
  groupName(gid: number): string | undefined
}
