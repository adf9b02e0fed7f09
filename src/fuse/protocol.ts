/**
 * The kernel's FUSE protocol, version 7.31 and later, as `include/uapi/linux/fuse.h` of Linux declares
 * it: the numbers, and the layout of what goes over `/dev/fuse`. Little-endian, as every machine that
 * Node runs on here.
 *
 * A request is a head of 40 bytes and its arguments, a reply a head of 16 bytes and its result.
 */

import type { Attributes, Entry } from './file-system.ts'

export const MAJOR = 7
/** The newest minor version whose structures are used here: readdirplus, max_pages, cached links. */
export const MINOR = 31
export const MINOR_MIN = 31

export const OPCODE = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  readlink: 5,
  open: 14,
  read: 15,
  statfs: 17,
  release: 18,
  getxattr: 22,
  listxattr: 23,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  readdirplus: 44,
  lseek: 46,
} as const

/** What would change the tree: refused, in case a kernel lets it through a read-only mount. */
export const CHANGING_OPCODES: readonly number[] = [
  4, 6, 8, 9, 10, 11, 12, 13, 16, 21, 24, 35, 43, 45, 47, 51,
]

/** Bits of `flags` in INIT. */
export const INIT_FLAG = {
  asyncRead: 1 << 0,
  doReaddirplus: 1 << 13,
  readdirplusAuto: 1 << 14,
  noOpenSupport: 1 << 17,
  parallelDirectories: 1 << 18,
  posixAcl: 1 << 20,
  abortError: 1 << 21,
  maxPages: 1 << 22,
  cacheSymlinks: 1 << 23,
} as const

/** Bits of `open_flags` in the answer to OPEN and OPENDIR. */
export const OPEN_FLAG = { keepCache: 1 << 1, cacheDirectory: 1 << 3 } as const

export const REQUEST_HEAD_BYTES = 40
export const REPLY_HEAD_BYTES = 16
const INIT_REPLY_BYTES = 64
export const ENTRY_BYTES = 128
const ATTRIBUTES_BYTES = 88
const ATTRIBUTES_REPLY_BYTES = 16 + ATTRIBUTES_BYTES
const DIRECTORY_ENTRY_HEAD_BYTES = 24
const STATFS_BYTES = 80
const TWO_POW_32 = 0x1_0000_0000
/** Long enough for "for ever", short enough that the kernel's sum with its clock stays in range. */
const FOR_EVER_SECONDS = 0x7fff_ffff

/** struct fuse_in_header, with its arguments. A view: valid until the buffer is read into again. */
export class Request {
  readonly #bytes: Buffer
  readonly length: number

  constructor(bytes: Buffer, length: number) {
    this.#bytes = bytes
    this.length = length
  }

  get opcode(): number {
    return this.#bytes.readUInt32LE(4)
  }
  /** What the reply is matched by. The kernel counts up from 2, so that it fits a number. */
  get unique(): number {
    return read64(this.#bytes, 8)
  }
  get node(): number {
    return read64(this.#bytes, 16)
  }
  get declaredLength(): number {
    return this.#bytes.readUInt32LE(0)
  }

  /** An argument of 32 bits, `at` bytes behind the head. */
  u32(at: number): number {
    return this.#bytes.readUInt32LE(REQUEST_HEAD_BYTES + at)
  }
  u64(at: number): number {
    return read64(this.#bytes, REQUEST_HEAD_BYTES + at)
  }
  /** A name that ends with a zero byte, one character for each byte. */
  name(at = 0): string {
    const start = REQUEST_HEAD_BYTES + at
    const end = this.#bytes.indexOf(0, start)
    return this.#bytes.toString('latin1', start, end < 0 || end > this.length ? this.length : end)
  }
}

export function read64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * TWO_POW_32
}

/** Also negative numbers, as two's complement. */
export function write64(bytes: Buffer, at: number, value: number): void {
  const high = Math.floor(value / TWO_POW_32)
  bytes.writeUInt32LE(value - high * TWO_POW_32, at)
  bytes.writeInt32LE(high | 0, at + 4)
}

/** struct fuse_out_header. `errno` is positive; 0 is success. */
export function writeReplyHead(
  bytes: Buffer,
  head: { readonly length: number; readonly errno: number; readonly unique: number },
): void {
  bytes.writeUInt32LE(head.length, 0)
  bytes.writeInt32LE(-head.errno, 4)
  write64(bytes, 8, head.unique)
}

/** struct fuse_init_in. */
export interface InitRequest {
  readonly major: number
  readonly minor: number
  readonly readAheadBytesMax: number
  readonly flags: number
}

export function readInit(request: Request): InitRequest {
  return {
    major: request.u32(0),
    minor: request.u32(4),
    readAheadBytesMax: request.u32(8),
    flags: request.u32(12),
  }
}

export interface InitReply {
  readonly readAheadBytesMax: number
  readonly flags: number
  readonly backgroundMax: number
  readonly writeBytesMax: number
  readonly pagesMax: number
}

/** struct fuse_init_out. Returns its length. */
export function writeInit(bytes: Buffer, at: number, reply: InitReply): number {
  bytes.fill(0, at, at + INIT_REPLY_BYTES)
  bytes.writeUInt32LE(MAJOR, at)
  bytes.writeUInt32LE(MINOR, at + 4)
  bytes.writeUInt32LE(reply.readAheadBytesMax, at + 8)
  bytes.writeUInt32LE(reply.flags >>> 0, at + 12)
  bytes.writeUInt16LE(reply.backgroundMax, at + 16)
  bytes.writeUInt16LE(Math.floor((reply.backgroundMax * 3) / 4), at + 18)
  bytes.writeUInt32LE(reply.writeBytesMax, at + 20)
  bytes.writeUInt32LE(1, at + 24) // Times are exact to the nanosecond.
  bytes.writeUInt16LE(reply.pagesMax, at + 28)
  return INIT_REPLY_BYTES
}

/** struct fuse_attr. */
function writeAttributes(bytes: Buffer, at: number, node: Attributes): void {
  write64(bytes, at, node.inode)
  write64(bytes, at + 8, node.byteCount)
  write64(bytes, at + 16, node.blockCount)
  write64(bytes, at + 24, node.atime.seconds)
  write64(bytes, at + 32, node.mtime.seconds)
  write64(bytes, at + 40, node.ctime.seconds)
  bytes.writeUInt32LE(node.atime.nanoseconds, at + 48)
  bytes.writeUInt32LE(node.mtime.nanoseconds, at + 52)
  bytes.writeUInt32LE(node.ctime.nanoseconds, at + 56)
  bytes.writeUInt32LE(node.mode, at + 60)
  bytes.writeUInt32LE(node.linkCount, at + 64)
  bytes.writeUInt32LE(node.uid, at + 68)
  bytes.writeUInt32LE(node.gid, at + 72)
  bytes.writeUInt32LE(node.device, at + 76)
  bytes.writeUInt32LE(node.blockBytes, at + 80)
  bytes.writeUInt32LE(0, at + 84)
}

function writeLifetime(bytes: Buffer, secondsAt: number, nanosecondsAt: number, ms: number): void {
  const isForEver = ms === Number.POSITIVE_INFINITY
  const seconds = isForEver ? FOR_EVER_SECONDS : Math.floor(ms / 1000)
  write64(bytes, secondsAt, seconds)
  bytes.writeUInt32LE(isForEver ? 0 : Math.round((ms - seconds * 1000) * 1e6), nanosecondsAt)
}

/** struct fuse_entry_out. */
export function writeEntry(bytes: Buffer, at: number, entry: Entry): number {
  write64(bytes, at, entry.node)
  write64(bytes, at + 8, 0)
  writeLifetime(bytes, at + 16, at + 32, entry.lifetimeMs)
  writeLifetime(bytes, at + 24, at + 36, entry.lifetimeMs)
  writeAttributes(bytes, at + 40, entry.attributes)
  return ENTRY_BYTES
}

/** An entry that says that there is none, for as long as it lives. */
export function writeNoEntry(bytes: Buffer, at: number, lifetimeMs: number): number {
  bytes.fill(0, at, at + ENTRY_BYTES)
  writeLifetime(bytes, at + 16, at + 32, lifetimeMs)
  return ENTRY_BYTES
}

/** struct fuse_attr_out. */
export function writeAttributesReply(
  bytes: Buffer,
  at: number,
  attributes: Attributes,
  lifetimeMs: number,
): number {
  writeLifetime(bytes, at, at + 8, lifetimeMs)
  bytes.writeUInt32LE(0, at + 12)
  writeAttributes(bytes, at + 16, attributes)
  return ATTRIBUTES_REPLY_BYTES
}

/** struct fuse_open_out. */
export function writeOpen(bytes: Buffer, at: number, handle: number, flags: number): number {
  write64(bytes, at, handle)
  bytes.writeUInt32LE(flags, at + 8)
  bytes.writeUInt32LE(0, at + 12)
  return 16
}

/** Bytes that struct fuse_dirent, or fuse_direntplus, takes for a name: a multiple of 8. */
export function directoryEntryBytes(nameBytes: number, isPlus: boolean): number {
  const head = DIRECTORY_ENTRY_HEAD_BYTES + (isPlus ? ENTRY_BYTES : 0)
  return (head + nameBytes + 7) & ~7
}

/** struct fuse_dirent. `next` is where a later read goes on. */
export function writeDirectoryEntry(
  bytes: Buffer,
  at: number,
  entry: {
    readonly inode: number
    readonly next: number
    readonly mode: number
    readonly name: string
  },
): void {
  write64(bytes, at, entry.inode)
  write64(bytes, at + 8, entry.next)
  bytes.writeUInt32LE(entry.name.length, at + 16)
  bytes.writeUInt32LE((entry.mode >>> 12) & 0xf, at + 20) // DT_DIR and the like.
  const end = at + DIRECTORY_ENTRY_HEAD_BYTES + bytes.write(entry.name, at + 24, 'latin1')
  bytes.fill(0, end, (end + 7) & ~7)
}

export interface FileSystemFigures {
  readonly byteCount: number
  readonly fileCount: number
  readonly blockBytes: number
  readonly nameBytesMax: number
}

/** struct fuse_statfs_out: full, since nothing can be added. */
export function writeStatfs(bytes: Buffer, at: number, figures: FileSystemFigures): number {
  bytes.fill(0, at, at + STATFS_BYTES)
  write64(bytes, at, Math.ceil(figures.byteCount / figures.blockBytes))
  write64(bytes, at + 24, figures.fileCount)
  bytes.writeUInt32LE(figures.blockBytes, at + 40)
  bytes.writeUInt32LE(figures.nameBytesMax, at + 44)
  bytes.writeUInt32LE(figures.blockBytes, at + 48)
  return STATFS_BYTES
}

/** struct fuse_getxattr_out: how much a value, or a list of names, would take. */
export function writeXattrSize(bytes: Buffer, at: number, byteCount: number): number {
  bytes.writeUInt32LE(byteCount, at)
  bytes.writeUInt32LE(0, at + 4)
  return 8
}

/** struct fuse_lseek_out. */
export function writeOffset(bytes: Buffer, at: number, offset: number): number {
  write64(bytes, at, offset)
  return 8
}
