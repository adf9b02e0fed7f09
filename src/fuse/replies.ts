/** Results of a file system, as they stand in replies to the kernel. */

import { constants } from 'node:os'
import type { DirectoryRow, DirectorySink, FuseFileSystem } from './file-system.ts'
import {
  directoryEntryBytes,
  ENTRY_BYTES,
  OPEN_FLAG,
  REPLY_HEAD_BYTES,
  writeAttributesReply,
  writeDirectoryEntry,
  writeEntry,
  writeNoEntry,
  writeOpen,
  writeStatfs,
} from './protocol.ts'

const BLOCK_BYTES = 4_096
const NAME_BYTES_MAX = 255

/** Writes the result of a request behind the head of a reply and returns its length. */
export type Encode<T> = (bytes: Buffer, at: number, result: T) => number

type Result<Method extends keyof FuseFileSystem> = Awaited<
  ReturnType<Extract<FuseFileSystem[Method], (...args: never[]) => unknown>>
>

/** An errno that the server itself answers with. */
export class FuseErrno extends Error {
  readonly errno: number

  constructor(errno: number) {
    super(`errno ${errno}`)
    this.errno = errno
  }
}

export const encodeLookup: Encode<Result<'lookup'>> = (bytes, at, found) => {
  if (found.node !== 0) return writeEntry(bytes, at, found as Exclude<typeof found, { node: 0 }>)
  // Some kernels take an entry that lives for no time for one that is there.
  if (found.lifetimeMs === 0) throw new FuseErrno(constants.errno.ENOENT)
  return writeNoEntry(bytes, at, found.lifetimeMs)
}

export const encodeAttributes: Encode<Result<'attributes'>> = (bytes, at, result) =>
  writeAttributesReply(bytes, at, result.attributes, result.lifetimeMs)

export const encodeBytes: Encode<Uint8Array> = (bytes, at, value) => {
  bytes.set(value, at)
  return value.length
}

export const encodeOpenedDirectory: Encode<Result<'openDirectory'>> = (bytes, at, opened) => {
  const flags = opened.isImmutable ? OPEN_FLAG.keepCache | OPEN_FLAG.cacheDirectory : 0
  return writeOpen(bytes, at, opened.handle, flags)
}

export const encodeOpenedFile: Encode<number> = (bytes, at, handle) =>
  writeOpen(bytes, at, handle, OPEN_FLAG.keepCache)

export const encodeStatfs: Encode<Result<'statfs'>> = (bytes, at, figures) =>
  writeStatfs(bytes, at, { ...figures, blockBytes: BLOCK_BYTES, nameBytesMax: NAME_BYTES_MAX })

/** Names that end with a zero byte each. */
export function joinNames(names: readonly string[]): Uint8Array {
  return Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1')
}

/** The rows of a reply to READDIR and READDIRPLUS. */
export class DirectoryRows implements DirectorySink {
  readonly #bytes: Buffer
  readonly #limit: number
  readonly #isPlus: boolean
  /** Where the next row begins. */
  end = REPLY_HEAD_BYTES
  /** Nodes that count as looked up once the kernel has the reply. */
  readonly nodes: number[] = []

  /** `limit` is where the room for rows ends in `bytes`. */
  constructor(bytes: Buffer, limit: number, isPlus: boolean) {
    this.#bytes = bytes
    this.#limit = limit
    this.#isPlus = isPlus
  }

  get isEmpty(): boolean {
    return this.end === REPLY_HEAD_BYTES
  }

  add(row: DirectoryRow): boolean {
    const byteCount = directoryEntryBytes(row.name.length, this.#isPlus)
    if (this.end + byteCount > this.#limit) return false
    let at = this.end
    if (this.#isPlus) {
      // `.` and `..` are not looked up: an entry without a node says so.
      if (row.name === '.' || row.name === '..') writeNoEntry(this.#bytes, at, 0)
      else {
        const entry = row.entry()
        this.nodes.push(entry.node)
        writeEntry(this.#bytes, at, entry)
      }
      at += ENTRY_BYTES
    }
    writeDirectoryEntry(this.#bytes, at, row)
    this.end += byteCount
    return true
  }
}
