/**
 * One client's way to a simulated storage. Each call is two events, its effect and its reply, with
 * delays of their own; a reply may be lost, an effect may come after its failure has been told, and
 * what a client sent before it died may still arrive.
 */

import { setMaxListeners } from 'node:events'
import { CairnError, throwIfAborted } from '../../src/base/errors.ts'
import type {
  Backend,
  ByteRange,
  FileInfo,
  FileKind,
  FileRef,
  ForeignFile,
  OpOptions,
} from '../../src/storage/backend.ts'
import { checkedRange } from '../../src/storage/file-errors.ts'
import {
  drawDelayMs,
  drawFault,
  drawLatenessMs,
  type Fault,
  type FaultRates,
  type Verb,
} from './faults.ts'
import type { Kernel } from './kernel.ts'
import type { CallPoint, SimProcess } from './sim-process.ts'
import type { SimPlace } from './sim-place.ts'

export interface SimStorageOptions {
  readonly place: SimPlace
  readonly kernel: Kernel
  readonly process: SimProcess
  readonly rates: () => FaultRates
  readonly onFault: (fault: Fault, call: CallPoint) => void
}

interface Call extends CallPoint {
  readonly name: string
}

/** Whether effects that change something may still come when nobody waits for them any more. */
const CHANGING: ReadonlySet<Verb> = new Set(['save', 'remove'])

export class SimStorage implements Backend {
  readonly location = 'sim'
  readonly #options: SimStorageOptions

  constructor(options: SimStorageOptions) {
    this.#options = options
  }

  get listsConsistently(): boolean {
    return this.#options.place.traits.listingLagMs === 0
  }

  create({ signal }: OpOptions = {}): Promise<void> {
    return this.#call({ verb: 'create', kind: '-', name: '' }, () => {}, signal)
  }

  save(file: FileRef, bytes: Uint8Array, { signal }: OpOptions = {}): Promise<void> {
    // What is on its way is not the caller's buffer any more.
    const copy = Uint8Array.from(bytes)
    const { place, process } = this.#options
    const effect = () => place.save(file, copy, process.client)
    return this.#call({ verb: 'save', ...file }, effect, signal)
  }

  flush({ signal }: OpOptions = {}): Promise<void> {
    const { place, process } = this.#options
    const effect = () => place.flush(process.client)
    return this.#call({ verb: 'flush', kind: '-', name: '' }, effect, signal)
  }

  load(
    file: FileRef,
    range?: ByteRange,
    { signal }: OpOptions = {},
  ): Promise<Uint8Array | undefined> {
    const effect = () => {
      const bytes = this.#options.place.bytesOf(file)
      if (bytes === undefined) return undefined
      const { offset, byteCount } = checkedRange(file, this.location, {
        range,
        fileByteCount: bytes.length,
      })
      return bytes.slice(offset, offset + byteCount)
    }
    return this.#call({ verb: 'load', ...file }, effect, signal)
  }

  list(
    kind: FileKind,
    { signal, onForeign }: OpOptions & { readonly onForeign?: (file: ForeignFile) => void } = {},
  ): Promise<FileInfo[]> {
    const { place, process } = this.#options
    const effect = () => place.list(kind, process.client, onForeign)
    return this.#call({ verb: 'list', kind, name: '' }, effect, signal)
  }

  remove(file: FileRef, { signal }: OpOptions = {}): Promise<void> {
    const { place, process } = this.#options
    return this.#call({ verb: 'remove', ...file }, () => place.remove(file, process.client), signal)
  }

  sweepTemporary(_olderThanMs: number, { signal }: OpOptions = {}): Promise<number> {
    return this.#call({ verb: 'sweepTemporary', kind: '-', name: '' }, () => 0, signal)
  }

  async close(): Promise<void> {
    // Nothing to release.
  }

  async #call<T>(call: Call, effect: () => T, signal: AbortSignal | undefined): Promise<T> {
    throwIfAborted(signal)
    const { place, process, kernel, rates, onFault } = this.#options
    const { random } = process
    const fault = drawFault(rates(), random)
    const usualMsMax = call.verb === 'list' ? place.traits.listMsMax : undefined
    const thereMs = drawDelayMs(random, fault, usualMsMax)
    const backMs = drawDelayMs(random, undefined)
    const latenessMs = drawLatenessMs(random)
    const isWhereItGoes = random.chance(0.5)
    const text = textOf(call)
    if (fault !== undefined) onFault(fault, call)
    const end = process.beginCall(call)
    if (end === 'before' && !(isWhereItGoes && CHANGING.has(call.verb))) {
      return await new Promise<T>(() => {}) // Nobody is there any more to hear of it.
    }
    kernel.trace(`${process.client} > ${text}${fault === undefined ? '' : ` [${fault}]`}`)
    let abort = () => {}
    const ended = new Promise<T>((resolve, reject) => {
      abort = () => reject(abortedError())
      // As many calls as a command likes are under way at once.
      if (signal !== undefined) setMaxListeners(0, signal)
      signal?.addEventListener('abort', abort, { once: true })
      const isLate = fault === 'late' || end === 'before'
      const reply = (settle: () => void) => kernel.schedule(backMs, process, settle)
      if (fault === 'refused') {
        return kernel.schedule(thereMs, process, () => reply(() => reject(downError(text))))
      }
      // A program that has been put to sleep has sent its request, or does so when it wakes.
      const isSent = process.asleepUntilMs <= kernel.nowMs || isWhereItGoes
      const delayMs = end === 'after' ? 0 : thereMs + (isLate ? latenessMs : 0)
      kernel.schedule(delayMs, isSent ? undefined : process, () => {
        if (process.isDead && end === undefined && !isWhereItGoes) return
        const outcome = attempt(effect)
        kernel.trace(`${process.client} = ${text}${outcome.error === undefined ? '' : ' failed'}`)
        if (isLate) return
        if (fault === 'lost-reply') return reply(() => reject(downError(text)))
        reply(() => {
          if (outcome.error === undefined) resolve(outcome.value as T)
          else reject(outcome.error)
        })
      })
      if (isLate) reply(() => reject(downError(text)))
    })
    try {
      return await ended
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }
}

function attempt<T>(effect: () => T): { readonly value?: T; readonly error?: Error } {
  try {
    return { value: effect() }
  } catch (error) {
    return { error: error as Error }
  }
}

function textOf({ verb, kind, name }: Call): string {
  if (kind === '-') return verb
  return name === '' ? `${verb} ${kind}` : `${verb} ${kind}/${name.slice(0, 8)}`
}

function downError(text: string): CairnError {
  return new CairnError('CAIRN_STORAGE_DOWN', `cannot ${text} in 'sim': the connection was reset`)
}

function abortedError(): CairnError {
  return new CairnError('CAIRN_ABORTED', 'interrupted')
}
