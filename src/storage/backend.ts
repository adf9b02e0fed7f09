/**
 * The contract of a place that keeps files. `test/contract/backend.ts` holds every promise made
 * here as a test that each implementation and each decorator must pass.
 */

import type { FileName } from '../base/ids.ts'

/** FORMAT.md "Layout": the folders of a repository. `packs` is sharded by the first byte. */
export const FILE_KINDS = [
  'config',
  'keys',
  'packs',
  'index',
  'snapshots',
  'retired',
  'marks',
  'sessions',
] as const

export type FileKind = (typeof FILE_KINDS)[number]

export interface FileRef {
  readonly kind: FileKind
  readonly name: FileName
}

export interface FileInfo {
  readonly name: FileName
  readonly byteCount: number
  /** The storage's own time of the file in milliseconds since 1970, where it has one. */
  readonly mtimeMs?: number
}

export interface ByteRange {
  readonly offset: number
  readonly byteCount: number
}

export interface OpOptions {
  readonly signal?: AbortSignal | undefined
}

/** A name found in a listing that is not one of cairn's: reported, never touched. */
export interface ForeignFile {
  readonly kind: FileKind
  readonly path: string
}

/** A place that keeps whole, immutable files. Knows nothing of packs' contents, keys or snapshots. */
export interface Backend {
  /** Where this is, for messages: a path or a URL without secrets. */
  readonly location: string

  /**
   * Whether a listing shows every file whose save has returned, to any client (format.md 2.13's
   * condition). Ask once the place is known to be there; where that cannot be told it is false.
   */
  readonly listsConsistently: boolean

  /**
   * Prepares an empty place (folders, README.txt, the reserve file), durably. Repeating it is
   * harmless, and completes what an interrupted one has begun. Rejects with CAIRN_STORAGE_REFUSED if
   * the place is something else, as a file.
   */
  create(options?: OpOptions): Promise<void>

  /**
   * Stores `bytes` as one file. All or nothing: no reader ever sees part of it, and once this
   * resolves and `flush` has, the file survives a power cut. If a file of that name and length is
   * already there that is success, so that a retry is harmless; with another length it rejects
   * with CAIRN_CORRUPT. Nothing is overwritten. `bytes` must stay as they are until this has settled,
   * and may be reused then. If it rejects, the file is there whole or not at all.
   */
  save(file: FileRef, bytes: Uint8Array, options?: OpOptions): Promise<void>

  /**
   * Returns once every save and remove that resolved before this call survives a power cut,
   * including the directory entries; and so does, but for packs, what this backend has listed: a run
   * that died may have left it without a flush of its own. Nothing may refer to a file before that,
   * and nothing be removed on account of it (FORMAT.md "Order of writes"). If it rejects, none of
   * them may be relied on until a later flush has succeeded.
   */
  flush(options?: OpOptions): Promise<void>

  /**
   * Reads a file, or exactly `range` of it, into a buffer of its own. A range that ends, or begins,
   * beyond the end of the file is an error (CAIRN_CORRUPT, with `file`, `offset`, `expected` and
   * `found` in its details), never a short result. A file that is not there is undefined; any other
   * failure rejects. If the place itself is gone, as with an unmounted disk, that is
   * CAIRN_STORAGE_DOWN: nothing is called absent that was only not seen.
   */
  load(file: FileRef, range?: ByteRange, options?: OpOptions): Promise<Uint8Array | undefined>

  /**
   * Every file of `kind` once, in no order. Files saved or removed meanwhile may be absent. An error
   * while listing rejects: a listing is whole or it is not a listing. A place without that folder
   * lists nothing. If there is no place at all, a backend that can tell rejects, with
   * CAIRN_REPOSITORY_MISSING if it has never seen one and with CAIRN_STORAGE_DOWN if it is gone.
   * Names that are not cairn's go to `onForeign` and are left out.
   */
  list(
    kind: FileKind,
    options?: OpOptions & { readonly onForeign?: (file: ForeignFile) => void },
  ): Promise<FileInfo[]>

  /** Removes a file. Removing what is not there succeeds, so that a retry is harmless. */
  remove(file: FileRef, options?: OpOptions): Promise<void>

  /**
   * The path of the file if it can be read directly as a local file, for workers that read with
   * synchronous calls. Says nothing about whether the file is there.
   */
  localPath?(file: FileRef): string

  /**
   * Removes what interrupted saves left behind, if older than `olderThanMs`; returns the count. Makes
   * the reserve again where it was given up (a full disk, to save a mark or tombstone).
   */
  sweepTemporary(olderThanMs: number, options?: OpOptions): Promise<number>

  close(): Promise<void>
}
