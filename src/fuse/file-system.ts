/**
 * What a read-only file system has to answer. It knows nodes by numbers of its own choice (1 is the
 * root) and never sees a path. Names are strings with a character for each byte.
 *
 * Every method may answer at once or by a promise; what is answered at once costs no turn of the event
 * loop. A method that throws a `FuseError` is answered with its errno, any other error with EIO, and
 * the server's `onError` hears of it.
 */

import { constants } from 'node:os'
import type { Answer } from '../base/answer.ts'

export type Errno = keyof typeof constants.errno

/** The errno that a caller of the mounted file system gets. */
export class FuseError extends Error {
  readonly errno: number

  constructor(code: Errno, options?: { readonly cause?: unknown }) {
    super(code, options)
    this.errno = constants.errno[code]
  }
}

/** Since 1970; seconds may be negative, nanoseconds are 0 to 999,999,999. */
export interface FileTime {
  readonly seconds: number
  readonly nanoseconds: number
}

export interface Attributes {
  /** What `stat` shows, up to 2^53; names of one file share it. */
  readonly inode: number
  readonly byteCount: number
  /** Of 512 bytes. */
  readonly blockCount: number
  readonly atime: FileTime
  readonly mtime: FileTime
  readonly ctime: FileTime
  /** Type and permissions. */
  readonly mode: number
  readonly linkCount: number
  readonly uid: number
  readonly gid: number
  /** Of a device node, as the kernel packs major and minor into 32 bits. */
  readonly device: number
  readonly blockBytes: number
}

export interface Entry {
  readonly node: number
  readonly attributes: Attributes
  /** How long the kernel may keep it without asking; Infinity for what never changes. */
  readonly lifetimeMs: number
}

/** No such name, and for how long the kernel may remember that. */
export interface NoEntry {
  readonly node: 0
  readonly lifetimeMs: number
}

export interface OpenedDirectory {
  /** Given back to `readDirectory` and `releaseDirectory`. */
  readonly handle: number
  /** The kernel may keep the listing. */
  readonly isImmutable: boolean
}

export interface DirectoryRow {
  readonly name: string
  readonly inode: number
  /** Of it, only the type is used unless `entry` is asked for. */
  readonly mode: number
  /** Where a later read goes on behind this row: any number but 0, of the file system's choice. */
  readonly next: number
  /** Called only by a listing with attributes; counts as a lookup of the node it returns. */
  entry(): Entry
}

export interface DirectorySink {
  /** Returns false if there was no room for it: then the listing ends, and this row comes again. */
  add(row: DirectoryRow): boolean
}

export interface StatfsFigures {
  readonly byteCount: number
  readonly fileCount: number
}

export interface FuseFileSystem {
  /** Looks a name up. Each answer but `NoEntry` counts once for `forget`. */
  lookup(parent: number, name: string): Answer<Entry | NoEntry>
  /** The kernel has dropped `count` of the lookups of a node; with the last one it is unknown. */
  forget(node: number, count: number): void
  attributes(node: number): Answer<Pick<Entry, 'attributes' | 'lifetimeMs'>>
  readLink(node: number): Answer<Uint8Array>
  openDirectory(node: number): Answer<OpenedDirectory>
  /** Adds rows from `offset`, 0 or a row's `next`, until the sink is full or there are no more. */
  readDirectory(handle: number, offset: number, sink: DirectorySink): Answer<void>
  releaseDirectory(handle: number): void
  /**
   * Calls `send` once, at once or later, with up to `byteCount` bytes from `offset` of the file, in
   * pieces: fewer only at its end. They are looked at until it returns, and not later.
   */
  read(
    node: number,
    offset: number,
    byteCount: number,
    send: (pieces: readonly Uint8Array[]) => void,
  ): Answer<void>
  /** The next data or hole at or behind `offset`; ENXIO where there is none. */
  seek(node: number, offset: number, what: 'data' | 'hole'): Answer<number>
  /** Undefined if the node has no such attribute. */
  xattr(node: number, name: string): Answer<Uint8Array | undefined>
  xattrNames(node: number): Answer<readonly string[]>
  statfs(): Answer<StatfsFigures>
}
