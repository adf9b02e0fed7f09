/**
 * Replies to requests: at once, or when a promise settles, once each. What takes too long is answered
 * with EIO, what the caller no longer waits for with EINTR, and its result dropped when it comes.
 */

import { constants } from 'node:os'
import type { Answer } from '../base/answer.ts'
import { CairnError } from '../base/errors.ts'
import type { RequestDevice } from './device.ts'
import { FuseError } from './file-system.ts'
import { REPLY_HEAD_BYTES, writeReplyHead } from './protocol.ts'
import { type Encode, FuseErrno } from './replies.ts'

const { EINTR, EIO } = constants.errno
/** Buffers kept for the next answers. */
const SPARE_MAX = 8

export interface ReplierOptions {
  /** An error that a caller saw as EIO. */
  readonly onError: (error: unknown) => void
  /** Milliseconds, from any start; counts only while the machine runs. */
  readonly now: () => number
  /** A request that takes longer is answered with EIO. */
  readonly requestTimeoutMs: number
}

export interface Question<T> {
  /** What the kernel knows the request by. */
  readonly unique: number
  ask(): Answer<T>
  readonly encode: Encode<T>
  /** Where the answer is to be, if `ask` writes it itself: one of `takeBuffer`. */
  readonly buffer?: Buffer
  /** Called with an answer that the kernel did not get: it will not forget what it does not know. */
  readonly undo?: (result: T) => void
}

export type SendPieces = (pieces: readonly Uint8Array[]) => void

/** A request that is not answered yet. */
interface Pending {
  readonly startedAtMs: number
  isAnswered: boolean
}

export class Replier {
  readonly #device: Pick<RequestDevice, 'write'>
  readonly #options: ReplierOptions
  readonly #bufferBytes: number
  readonly #spare: Buffer[] = []
  readonly #short = Buffer.alloc(REPLY_HEAD_BYTES)
  readonly #pending = new Map<number, Pending>()

  /** `resultBytesMax` is how long a result may be. */
  constructor(
    device: Pick<RequestDevice, 'write'>,
    resultBytesMax: number,
    options: ReplierOptions,
  ) {
    this.#device = device
    this.#bufferBytes = REPLY_HEAD_BYTES + resultBytesMax
    this.#options = options
  }

  get pendingCount(): number {
    return this.#pending.size
  }

  /** Room for a reply; it belongs to the question that it is given to. */
  takeBuffer(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(this.#bufferBytes)
  }

  #giveBack(buffer: Buffer | undefined): void {
    if (buffer !== undefined && this.#spare.length < SPARE_MAX) this.#spare.push(buffer)
  }

  /** Asks, and replies now or later. */
  answer<T>(question: Question<T>): void {
    let result: Answer<T>
    try {
      result = question.ask()
    } catch (error) {
      this.#giveBack(question.buffer)
      return this.#failWith(question.unique, error)
    }
    if (result instanceof Promise) void this.#answerLater(question, result)
    else this.#send(question, result)
  }

  /** Replies with the pieces that `ask` gives its argument, which are written before that returns. */
  answerInPieces(unique: number, ask: (send: SendPieces) => Answer<void>): void {
    const pending: Pending = { startedAtMs: this.#options.now(), isAnswered: false }
    const send: SendPieces = (pieces) => {
      if (pending.isAnswered) return
      pending.isAnswered = true
      this.#pending.delete(unique)
      this.#sendPieces(unique, pieces)
    }
    try {
      const result = ask(send)
      if (!(result instanceof Promise) || pending.isAnswered) return
      this.#pending.set(unique, pending)
      result.catch((error: unknown) => {
        if (pending.isAnswered) return
        this.#pending.delete(unique)
        this.#failWith(unique, error)
      })
    } catch (error) {
      this.#failWith(unique, error)
    }
  }

  #sendPieces(unique: number, pieces: readonly Uint8Array[]): void {
    let length = REPLY_HEAD_BYTES
    for (const piece of pieces) length += piece.length
    writeReplyHead(this.#short, { length, errno: 0, unique })
    this.#device.write([this.#short, ...pieces])
  }

  async #answerLater<T>(question: Question<T>, coming: Promise<T>): Promise<void> {
    const { unique, buffer } = question
    const pending: Pending = { startedAtMs: this.#options.now(), isAnswered: false }
    this.#pending.set(unique, pending)
    let result: T
    try {
      result = await coming
    } catch (error) {
      this.#giveBack(buffer)
      if (pending.isAnswered) return
      this.#pending.delete(unique)
      return this.#failWith(unique, error)
    }
    if (pending.isAnswered) {
      this.#giveBack(buffer)
      question.undo?.(result)
      return
    }
    this.#pending.delete(unique)
    this.#send(question, result)
  }

  #send<T>({ unique, encode, buffer, undo }: Question<T>, result: T): void {
    const reply = buffer ?? this.takeBuffer()
    let isTaken = false
    try {
      const length = REPLY_HEAD_BYTES + encode(reply, REPLY_HEAD_BYTES, result)
      writeReplyHead(reply, { length, errno: 0, unique })
      isTaken = this.#device.write([reply.subarray(0, length)])
    } catch (error) {
      this.#failWith(unique, error)
    } finally {
      this.#giveBack(reply)
    }
    if (!isTaken) undo?.(result)
  }

  /** The caller was interrupted. What is not under way has been answered, or soon will be. */
  interrupt(unique: number): void {
    const pending = this.#pending.get(unique)
    if (pending !== undefined) this.#giveUp(unique, pending, EINTR)
  }

  /** A storage that hangs must not hang whoever reads. */
  expire(): void {
    const { now, requestTimeoutMs, onError } = this.#options
    const since = now() - requestTimeoutMs
    for (const [unique, pending] of this.#pending) {
      if (pending.startedAtMs > since) continue
      const limit = `${Math.round(requestTimeoutMs / 1000)} s`
      onError(
        new CairnError('CAIRN_STORAGE_DOWN', `the storage did not answer a reader within ${limit}`),
      )
      this.#giveUp(unique, pending, EIO)
    }
  }

  #giveUp(unique: number, pending: Pending, errno: number): void {
    pending.isAnswered = true
    this.#pending.delete(unique)
    this.fail(unique, errno)
  }

  succeed(unique: number): void {
    this.fail(unique, 0)
  }

  /** 0 is success. */
  fail(unique: number, errno: number): void {
    writeReplyHead(this.#short, { length: REPLY_HEAD_BYTES, errno, unique })
    this.#device.write([this.#short])
  }

  #failWith(unique: number, error: unknown): void {
    if (error instanceof FuseErrno || error instanceof FuseError) {
      if (error.errno === EIO) this.#options.onError(error.cause ?? error)
      return this.fail(unique, error.errno)
    }
    this.#options.onError(error)
    this.fail(unique, EIO)
  }
}
