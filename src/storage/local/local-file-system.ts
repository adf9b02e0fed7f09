/**
 * The system calls of the local backend, as a seam: tests fail each of them in turn, or record them
 * and cut the power in between. Rejections are Node's own errors, with `code` as ENOENT.
 *
 * Callbacks with plain descriptors, not `fs.promises`: with 32 lstat calls under way, a file costs
 * 1.3-3 µs of a listing instead of 3-5 µs (20,000 files on ext4, Node 20, 2 cores), which is what
 * lstatSync costs, and a storage that hangs does not stop the process.
 */

import * as fs from 'node:fs'

export interface LocalStat {
  readonly type: 'file' | 'directory' | 'other'
  readonly byteCount: number
  readonly mtimeMs: number
}

export interface LocalFileSystem {
  /** Mode 0700. Rejects with EEXIST if anything of that name is there. */
  makeDirectory(path: string): Promise<void>
  /** Creates a file for writing: O_EXCL, mode 0600. */
  createFile(path: string): Promise<number>
  /**
   * Opens a file for writing past the page cache (O_DIRECT): whole blocks to multiples of a block, from
   * memory that begins at one, else `write` fails with EINVAL. Undefined where the system or the file
   * system knows no such thing.
   */
  openDirect(path: string): Promise<number | undefined>
  /** Opens for reading; never follows a link in the last component, never blocks on a FIFO. */
  openFile(path: string): Promise<number>
  /** Opens a directory, to `fsync` it. */
  openDirectory(path: string): Promise<number>
  fstat(descriptor: number): Promise<LocalStat>
  /** Reads into `into` from its byte `at` on, up to its end. Returns the count; 0 is the end. */
  read(descriptor: number, into: Uint8Array, at: number, position: number): Promise<number>
  /**
   * Writes up to `byteCount` of `bytes` from its byte `at` on, to the same place of the file; returns
   * how many it took.
   */
  write(
    descriptor: number,
    bytes: Uint8Array,
    slice: { readonly at: number; readonly byteCount: number },
  ): Promise<number>
  fsync(descriptor: number): Promise<void>
  /** The descriptor is gone afterwards, also if this rejects. */
  close(descriptor: number): Promise<void>
  link(from: string, to: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  /** Follows links: for the repository and its folders, which people do replace by links. */
  stat(path: string): Promise<LocalStat>
  lstat(path: string): Promise<LocalStat>
  readDirectory(path: string): Promise<string[]>
  /** The `f_type` of statfs(2), or undefined if it cannot be had. Synchronous: asked once. */
  fileSystemType(path: string): number | undefined
}

/** One libuv read or write takes at most 2 GiB; this also bounds how long an abort waits. */
const IO_BYTES_MAX = 64 * 1024 * 1024

type Callback<T> = (error: NodeJS.ErrnoException | null, value: T) => void

function call<T>(start: (done: Callback<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => {
      if (error) reject(error)
      else resolve(value)
    })
  })
}

function localStat(stats: fs.Stats): LocalStat {
  const type = stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other'
  return { type, byteCount: stats.size, mtimeMs: stats.mtimeMs }
}

const CREATE_FLAGS = fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_EXCL
// O_NOFOLLOW and O_NONBLOCK are missing on Windows.
const READ_FLAGS =
  fs.constants.O_RDONLY | (fs.constants.O_NOFOLLOW ?? 0) | (fs.constants.O_NONBLOCK ?? 0)
const DIRECTORY_FLAGS = fs.constants.O_RDONLY | (fs.constants.O_DIRECTORY ?? 0)

// Missing everywhere but on Linux, whatever the types say.
const O_DIRECT = fs.constants.O_DIRECT as number | undefined

async function openDirect(path: string): Promise<number | undefined> {
  if (O_DIRECT === undefined) return undefined
  const flags = fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW | O_DIRECT
  try {
    return await call<number>((done) => fs.open(path, flags, done))
  } catch (error) {
    if (errnoOf(error) === 'EINVAL') return undefined
    throw error
  }
}

export function nodeFileSystem(): LocalFileSystem {
  return {
    makeDirectory: (path) => call<void>((done) => fs.mkdir(path, { mode: 0o700 }, done)),
    createFile: (path) => call<number>((done) => fs.open(path, CREATE_FLAGS, 0o600, done)),
    openDirect,
    openFile: (path) => call<number>((done) => fs.open(path, READ_FLAGS, done)),
    openDirectory: (path) => call<number>((done) => fs.open(path, DIRECTORY_FLAGS, done)),
    fstat: async (descriptor) =>
      localStat(await call<fs.Stats>((done) => fs.fstat(descriptor, done))),
    read: (descriptor, into, at, position) =>
      call<number>((done) =>
        fs.read(descriptor, into, at, Math.min(into.byteLength - at, IO_BYTES_MAX), position, done),
      ),
    write: (descriptor, bytes, { at, byteCount }) =>
      call<number>((done) =>
        fs.write(descriptor, bytes, at, Math.min(byteCount, IO_BYTES_MAX), at, done),
      ),
    fsync: (descriptor) => call<void>((done) => fs.fsync(descriptor, done)),
    close: (descriptor) => call<void>((done) => fs.close(descriptor, done)),
    link: (from, to) => call<void>((done) => fs.link(from, to, done)),
    rename: (from, to) => call<void>((done) => fs.rename(from, to, done)),
    unlink: (path) => call<void>((done) => fs.unlink(path, done)),
    stat: async (path) => localStat(await call<fs.Stats>((done) => fs.stat(path, done))),
    lstat: async (path) => localStat(await call<fs.Stats>((done) => fs.lstat(path, done))),
    readDirectory: (path) => call<string[]>((done) => fs.readdir(path, done)),
    fileSystemType: (path) => {
      try {
        return fs.statfsSync(path).type
      } catch {
        return undefined // Not there, or a system without it.
      }
    },
  }
}

const INTERRUPTED_TRIES_MAX = 20

/**
 * Repeats what a signal or a busy system interrupted. Not `fsync`, whose failure is final because
 * the kernel may have dropped the pages and would report success the second time; and not `close`,
 * after which the descriptor may belong to somebody else.
 */
export function repeatInterrupted(inner: LocalFileSystem): LocalFileSystem {
  return {
    makeDirectory: (path) => repeat(() => inner.makeDirectory(path)),
    createFile: (path) => repeat(() => inner.createFile(path)),
    openDirect: (path) => repeat(() => inner.openDirect(path)),
    openFile: (path) => repeat(() => inner.openFile(path)),
    openDirectory: (path) => repeat(() => inner.openDirectory(path)),
    fstat: (descriptor) => repeat(() => inner.fstat(descriptor)),
    read: (descriptor, into, at, position) =>
      repeat(() => inner.read(descriptor, into, at, position)),
    write: (descriptor, bytes, slice) => repeat(() => inner.write(descriptor, bytes, slice)),
    fsync: (descriptor) => inner.fsync(descriptor),
    close: (descriptor) => inner.close(descriptor),
    link: (from, to) => repeat(() => inner.link(from, to)),
    rename: (from, to) => repeat(() => inner.rename(from, to)),
    unlink: (path) => repeat(() => inner.unlink(path)),
    stat: (path) => repeat(() => inner.stat(path)),
    lstat: (path) => repeat(() => inner.lstat(path)),
    readDirectory: (path) => repeat(() => inner.readDirectory(path)),
    fileSystemType: (path) => inner.fileSystemType(path),
  }
}

async function repeat<T>(action: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await action()
    } catch (error) {
      const code = errnoOf(error)
      if ((code !== 'EINTR' && code !== 'EAGAIN') || tries === INTERRUPTED_TRIES_MAX) throw error
    }
  }
}

/** The name of a system error, as ENOENT, or undefined for any other error. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  const { code } = error
  if (typeof code !== 'string') return undefined
  return /^E[A-Z0-9]+$/.test(code) || code === 'UNKNOWN' ? code : undefined
}

/**
 * Linux's numbers of file systems whose directories are kept by this kernel alone, so that a listing
 * shows what any process has put there. Everything else counts as shared with other machines, also
 * what is not known here and every system whose numbers mean something else (on macOS they depend
 * on the order in which drivers were loaded): that costs a prune its grace period, while a wrong
 * "yes" may cost data.
 */
const FILE_SYSTEMS_OF_THIS_KERNEL: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x5846_5342, // XFS
  0x9123_683e, // Btrfs
  0xca45_1a4e, // bcachefs
  0x2fc1_2fc1, // ZFS
  0xf2f5_2010, // F2FS
  0x0102_1994, // tmpfs
  0x8584_58f6, // ramfs
  0x794c_7630, // overlayfs
  0x3153_464a, // JFS
  0x5265_4973, // ReiserFS
  0x3434, // NILFS
  0x2405_1905, // UBIFS
  0x4d44, // FAT
  0x2011_bab0, // exFAT
  0x7366_746e, // NTFS (ntfs3)
  0x482b, // HFS+
  0x1501_3346, // UDF
])

export function isKeptByThisKernel(
  fileSystemType: number | undefined,
  platform: NodeJS.Platform,
): boolean {
  return isOneOf(FILE_SYSTEMS_OF_THIS_KERNEL, fileSystemType, platform)
}

/**
 * Where `openDirect` is worth it: a disk of this machine, under a file system that makes nothing else
 * of the bytes on their way, and for which direct writes are an ordinary thing.
 */
const FILE_SYSTEMS_WITH_DIRECT_WRITES: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x5846_5342, // XFS
])

export function takesDirectWrites(
  fileSystemType: number | undefined,
  platform: NodeJS.Platform,
): boolean {
  return isOneOf(FILE_SYSTEMS_WITH_DIRECT_WRITES, fileSystemType, platform)
}

function isOneOf(
  types: ReadonlySet<number>,
  fileSystemType: number | undefined,
  platform: NodeJS.Platform,
): boolean {
  if (platform !== 'linux' || fileSystemType === undefined) return false
  // Some kernels and C libraries hand the number out sign-extended.
  return types.has(fileSystemType >>> 0)
}
