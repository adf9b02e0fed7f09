/**
 * An open `/dev/fuse`: requests are read from it and replies written to it, whole ones only.
 *
 * Requests follow each other at once as a rule: a reader asks again when it has its answer. So the
 * thread waits for the next one for a moment before it hands the wait to another thread, which costs
 * several times as much (perf: 5 µs against 30 µs a request). While the reader is that quick, it asks
 * again and again meanwhile: to be woken from sleep takes longer than most answers, on virtual
 * machines above all (tar of 5,000 small files: 0.76 of the time, with no more CPU).
 */

import { closeSync, writeSync, writevSync } from 'node:fs'
import { availableParallelism, constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { CairnError } from '../base/errors.ts'
import { type FuseLibc, fuseLibc } from './libc.ts'

const { EAGAIN, EINTR, ENODEV, ENOENT } = constants.errno
const F_GETFL = 3
const F_SETFL = 4
const O_NONBLOCK = 0o4000
const POLLIN = 1
/** How long the thread itself waits for the next request; as many tries take about as long. */
const WAIT_NS = 100_000
const TRIES = 100
/** How long another thread waits before it asks whether the device is still wanted. */
const WAIT_MS = 1_000
/** A system call takes 1,024. */
const PIECES_MAX = 256

export interface RequestDevice {
  /** Bytes of a request, 0 if there is none at the moment, undefined once it is unmounted. */
  read(into: Buffer): number | undefined
  /**
   * Writes a reply, which lies in pieces. Returns false if nobody waits for it any more: then it is
   * dropped.
   */
  write(reply: readonly Uint8Array[]): boolean
  /** As `read`, but if there is none, it waits a moment for one; blocks this thread meanwhile. */
  readSoon(into: Buffer): number | undefined
  /** Resolves when there may be a request, or after a second at most. */
  wait(): Promise<void>
  close(): void
}

export class FuseDevice implements RequestDevice {
  readonly #descriptor: number
  readonly #libc: FuseLibc
  /** struct pollfd. */
  readonly #poll = Buffer.alloc(8)
  /** struct timespec. */
  readonly #moment = Buffer.alloc(16)
  /** The reader can run while this thread does. */
  readonly #maySpin = availableParallelism() > 1
  #wasSoon = false
  #isClosed = false

  /** Takes over a descriptor of `/dev/fuse`. */
  constructor(descriptor: number) {
    this.#descriptor = descriptor
    this.#libc = fuseLibc()
    const flags = this.#libc.fcntl(descriptor, F_GETFL, 0)
    this.#libc.fcntl(descriptor, F_SETFL, flags | O_NONBLOCK)
    this.#poll.writeInt32LE(descriptor, 0)
    this.#poll.writeInt16LE(POLLIN, 4)
    this.#moment.writeUInt32LE(WAIT_NS, 8)
  }

  read(into: Buffer): number | undefined {
    if (this.#isClosed) return undefined
    const byteCount = this.#libc.read(this.#descriptor, into, into.length)
    if (byteCount > 0) return byteCount
    const errno = this.#libc.errno()
    // ENOENT: the request was interrupted before it was read.
    if (errno === EAGAIN || errno === EINTR || errno === ENOENT) return 0
    if (errno === ENODEV) return undefined
    throw new CairnError('CAIRN_FAILED', `cannot read /dev/fuse: ${getSystemErrorName(-errno)}`)
  }

  write(reply: readonly Uint8Array[]): boolean {
    if (this.#isClosed) return false
    const [first] = reply
    try {
      if (reply.length === 1 && first !== undefined) writeSync(this.#descriptor, first)
      else writevSync(this.#descriptor, reply.length > PIECES_MAX ? [Buffer.concat(reply)] : reply)
      return true
    } catch (error) {
      const { errno } = error as NodeJS.ErrnoException
      if (errno !== -ENOENT && errno !== -ENODEV) throw error
      return false
    }
  }

  readSoon(into: Buffer): number | undefined {
    let byteCount = this.read(into)
    if (byteCount !== 0) return byteCount
    for (let i = this.#wasSoon ? TRIES : 0; i > 0 && byteCount === 0; i--) {
      byteCount = this.read(into)
    }
    if (byteCount !== 0) return byteCount
    const isThere = this.#libc.ppoll(this.#poll, 1, this.#moment) > 0
    this.#wasSoon = isThere && this.#maySpin
    return isThere ? this.read(into) : 0
  }

  async wait(): Promise<void> {
    await this.#libc.pollLater(this.#poll, 1, WAIT_MS)
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    closeSync(this.#descriptor)
  }
}
