/**
 * Answers the kernel's requests from a `FuseFileSystem`, read-only. One event loop: what can be
 * answered at once is, everything else when its promise settles; requests do not wait for each other.
 *
 * Memory: a buffer of `READ_BYTES_MAX` for each read under way, at most `BACKGROUND_MAX` and what
 * processes ask for directly.
 */

import { constants } from 'node:os'
import { orElse, thenAnswer } from '../base/answer.ts'
import type { RequestDevice } from './device.ts'
import type { FuseFileSystem } from './file-system.ts'
import {
  CHANGING_OPCODES,
  INIT_FLAG,
  MAJOR,
  MINOR_MIN,
  OPCODE,
  readInit,
  REPLY_HEAD_BYTES,
  Request,
  writeInit,
  writeOffset,
  writeXattrSize,
} from './protocol.ts'
import { Replier, type ReplierOptions } from './replier.ts'
import {
  DirectoryRows,
  type Encode,
  encodeAttributes,
  encodeBytes,
  encodeLookup,
  encodeOpenedDirectory,
  encodeOpenedFile,
  encodeStatfs,
  FuseErrno,
  joinNames,
} from './replies.ts'

const { EINVAL, EIO, ENODATA, ENOSYS, EPROTO, ERANGE, EROFS } = constants.errno

const PAGE_BYTES = 4_096
/** The most that a kernel asks for at once: 256 pages. */
export const READ_BYTES_MAX = 1 << 20
/** Nothing is written, but the kernel wants room for this much and a head in the read buffer. */
const WRITE_BYTES_MAX = PAGE_BYTES
const REQUEST_BUFFER_BYTES = 64 * 1024
/** Reads ahead that the kernel may have under way. */
const BACKGROUND_MAX = 64
/** Requests answered in a row before promises and signals get their turn. */
const ROW_MAX = 32
const SEEK_DATA = 3
const SEEK_HOLE = 4

const WANTED_FLAGS =
  INIT_FLAG.asyncRead |
  INIT_FLAG.doReaddirplus |
  INIT_FLAG.readdirplusAuto |
  INIT_FLAG.noOpenSupport |
  INIT_FLAG.parallelDirectories |
  INIT_FLAG.abortError |
  INIT_FLAG.maxPages |
  INIT_FLAG.cacheSymlinks

export interface FuseServerOptions extends ReplierOptions {
  /** The kernel has what it needs: the mount may be used. */
  readonly onReady?: () => void
  /** The kernel is to check modes and ACLs: `default_permissions`. */
  readonly checksAccess: boolean
  /** Lets everything else have a turn of the event loop. */
  readonly yield: () => Promise<void>
  /** Calls `action` every `ms` until the function that it returns is called. */
  readonly every: (ms: number, action: () => void) => () => void
}

export class FuseServer {
  readonly #device: RequestDevice
  readonly #files: FuseFileSystem
  readonly #options: FuseServerOptions
  readonly #input = Buffer.allocUnsafeSlow(REQUEST_BUFFER_BYTES)
  readonly #replier: Replier
  #isOpenSupportLeftOut = false
  #isDestroyed = false

  constructor(device: RequestDevice, files: FuseFileSystem, options: FuseServerOptions) {
    this.#device = device
    this.#files = files
    this.#options = options
    this.#replier = new Replier(device, READ_BYTES_MAX, options)
  }

  /** Answers until the file system is unmounted. Rejects if the device fails. */
  async run(): Promise<void> {
    const stop = this.#options.every(1_000, () => this.#replier.expire())
    try {
      for (let row = 0; !this.#isDestroyed; ) {
        const byteCount = this.#readNext()
        if (byteCount === undefined) return
        if (byteCount > 0) {
          this.#take(new Request(this.#input, byteCount))
          if (++row < ROW_MAX) continue
          await this.#options.yield()
        } else {
          await this.#device.wait()
        }
        row = 0
      }
    } finally {
      stop()
    }
  }

  /** What is being answered later needs the event loop: then there is no waiting here. */
  #readNext(): number | undefined {
    const isFree = this.#replier.pendingCount === 0
    return isFree ? this.#device.readSoon(this.#input) : this.#device.read(this.#input)
  }

  #take(request: Request): void {
    const { opcode, unique } = request
    if (request.declaredLength !== request.length) return this.#replier.fail(unique, EIO)
    switch (opcode) {
      case OPCODE.init:
        return this.#init(request)
      case OPCODE.destroy:
        this.#isDestroyed = true
        return this.#replier.succeed(unique)
      case OPCODE.forget:
        return this.#files.forget(request.node, request.u64(0))
      case OPCODE.batchForget:
        return this.#batchForget(request)
      case OPCODE.interrupt:
        return this.#replier.interrupt(request.u64(0))
      case OPCODE.read:
        return this.#read(request)
      default:
        return this.#answerOther(request)
    }
  }

  #answerOther(request: Request): void {
    const { opcode, unique, node } = request
    const files = this.#files
    switch (opcode) {
      case OPCODE.lookup:
        return this.#lookup(unique, node, request.name())
      case OPCODE.getattr:
        return this.#replier.answer({
          unique,
          ask: () => files.attributes(node),
          encode: encodeAttributes,
        })
      case OPCODE.readlink:
        return this.#replier.answer({
          unique,
          ask: () => files.readLink(node),
          encode: encodeBytes,
        })
      case OPCODE.open:
        return this.#open(unique)
      case OPCODE.release:
        return this.#replier.succeed(unique)
      case OPCODE.opendir:
        return this.#replier.answer({
          unique,
          ask: () => files.openDirectory(node),
          encode: encodeOpenedDirectory,
          undo: ({ handle }) => files.releaseDirectory(handle),
        })
      case OPCODE.readdir:
      case OPCODE.readdirplus:
        return this.#readDirectory(request, opcode === OPCODE.readdirplus)
      case OPCODE.releasedir:
        files.releaseDirectory(request.u64(0))
        return this.#replier.succeed(unique)
      case OPCODE.statfs:
        return this.#replier.answer({ unique, ask: () => files.statfs(), encode: encodeStatfs })
      case OPCODE.getxattr:
      case OPCODE.listxattr:
        return this.#xattr(request)
      case OPCODE.lseek:
        return this.#seek(request)
      default:
        return this.#replier.fail(unique, CHANGING_OPCODES.includes(opcode) ? EROFS : ENOSYS)
    }
  }

  #init(request: Request): void {
    const { major, minor, readAheadBytesMax, flags } = readInit(request)
    if (major !== MAJOR || minor < MINOR_MIN) return this.#replier.fail(request.unique, EPROTO)
    this.#isOpenSupportLeftOut = (flags & INIT_FLAG.noOpenSupport) !== 0
    const reply = {
      readAheadBytesMax: Math.max(readAheadBytesMax, READ_BYTES_MAX),
      // A kernel that is to read ACLs checks modes too, asked to or not.
      flags: flags & (WANTED_FLAGS | (this.#options.checksAccess ? INIT_FLAG.posixAcl : 0)),
      backgroundMax: BACKGROUND_MAX,
      writeBytesMax: WRITE_BYTES_MAX,
      pagesMax: READ_BYTES_MAX / PAGE_BYTES,
    }
    this.#replier.answer({ unique: request.unique, ask: () => reply, encode: writeInit })
    this.#options.onReady?.()
  }

  /** The kernel then opens files by itself, and keeps what it has read of them. */
  #open(unique: number): void {
    if (this.#isOpenSupportLeftOut) this.#replier.fail(unique, ENOSYS)
    else this.#replier.answer({ unique, ask: () => 0, encode: encodeOpenedFile })
  }

  #lookup(unique: number, parent: number, name: string): void {
    this.#replier.answer({
      unique,
      ask: () => this.#files.lookup(parent, name),
      encode: encodeLookup,
      undo: ({ node }) => {
        if (node !== 0) this.#files.forget(node, 1)
      },
    })
  }

  #batchForget(request: Request): void {
    const count = request.u32(0)
    // struct fuse_forget_one: a node and how many lookups of it.
    for (let i = 0; i < count; i++) {
      this.#files.forget(request.u64(8 + i * 16), request.u64(16 + i * 16))
    }
  }

  #read(request: Request): void {
    const { unique, node } = request
    const offset = request.u64(8)
    const byteCount = Math.min(request.u32(16), READ_BYTES_MAX)
    this.#replier.answerInPieces(unique, (send) => this.#files.read(node, offset, byteCount, send))
  }

  #readDirectory(request: Request, isPlus: boolean): void {
    const { unique } = request
    const [handle, offset] = [request.u64(0), request.u64(8)]
    const byteCount = Math.min(request.u32(16), READ_BYTES_MAX)
    const buffer = this.#replier.takeBuffer()
    const rows = new DirectoryRows(buffer, REPLY_HEAD_BYTES + byteCount, isPlus)
    this.#replier.answer({
      unique,
      // What was found before an error is shown; the kernel asks on and gets the error then.
      ask: () =>
        orElse(
          () => this.#files.readDirectory(handle, offset, rows),
          (error) => {
            if (rows.isEmpty) throw error
          },
        ),
      encode: () => rows.end - REPLY_HEAD_BYTES,
      buffer,
      undo: () => {
        for (const node of rows.nodes) this.#files.forget(node, 1)
      },
    })
  }

  #xattr(request: Request): void {
    const { unique, node } = request
    const sizeAsked = request.u32(0)
    const { opcode } = request
    const name = opcode === OPCODE.getxattr ? request.name(8) : ''
    const ask = () =>
      opcode === OPCODE.listxattr
        ? thenAnswer(this.#files.xattrNames(node), joinNames)
        : thenAnswer(this.#files.xattr(node, name), (bytes) => {
            if (bytes === undefined) throw new FuseErrno(ENODATA)
            return bytes
          })
    const encode: Encode<Uint8Array> = (bytes, at, result) => {
      if (sizeAsked === 0) return writeXattrSize(bytes, at, result.length)
      if (result.length > sizeAsked) throw new FuseErrno(ERANGE)
      return encodeBytes(bytes, at, result)
    }
    this.#replier.answer({ unique, ask, encode })
  }

  #seek(request: Request): void {
    const { unique, node } = request
    const whence = request.u32(16)
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return this.#replier.fail(unique, EINVAL)
    const what = whence === SEEK_DATA ? 'data' : 'hole'
    const offset = request.u64(8)
    this.#replier.answer({
      unique,
      ask: () => this.#files.seek(node, offset, what),
      encode: writeOffset,
    })
  }
}
