/**
 * A decorator under which the power goes at the n-th call that changes something. Whoever runs under
 * it for n = 0, 1, 2, … until the work finishes has been interrupted at every moment.
 */

import type {
  Backend,
  ByteRange,
  FileInfo,
  FileKind,
  FileRef,
  ForeignFile,
  OpOptions,
} from '../../src/storage/backend.ts'
import { seeded } from './seeded.ts'

/** What every call rejects with from the cut on. Not a CairnError: nobody may handle it. */
export class PowerCut extends Error {
  override readonly name = 'PowerCut'

  constructor() {
    super('the power is off')
  }
}

/** Whether `error` is a power cut, or was caused by one. */
export function isPowerCut(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 16; depth++) {
    if (at instanceof PowerCut) return true
    if (at instanceof AggregateError) return at.errors.some(isPowerCut)
    at = at.cause
  }
  return false
}

export interface PowerCutOptions {
  /** The number of the call at which the power goes; the first changing call is number 0. */
  readonly cutAt: number
  /**
   * `before` and `after`: the process dies, and the call has had no effect or all of it. `torn`: the
   * machine dies too. The call has had its effect or not, a half-written temporary file is left, and
   * of everything since the last flush some is lost. That takes an inner backend with `powerCut`
   * and `leaveTemporary`, as MemoryBackend; under another one `torn` is `after`.
   */
  readonly mode: 'before' | 'after' | 'torn'
  /** Chooses what is lost in a torn cut. */
  readonly seed?: number
}

/** A backend that can model what a power cut loses. */
interface LosesPower {
  powerCut(keep: () => boolean): void
  leaveTemporary(name: string, bytes: Uint8Array): void
}

function losesPower(backend: object): backend is LosesPower {
  return 'powerCut' in backend && 'leaveTemporary' in backend
}

export class PowerCutBackend implements Backend {
  readonly #inner: Backend
  readonly #cutAt: number
  readonly #mode: PowerCutOptions['mode']
  readonly #random: () => number
  #calls = 0
  #isCut = false

  constructor(inner: Backend, options: PowerCutOptions) {
    this.#inner = inner
    this.#cutAt = options.cutAt
    this.#mode = options.mode
    this.#random = seeded((options.seed ?? 0) * 65_537 + options.cutAt)
    if (inner.localPath) this.localPath = (file) => inner.localPath?.(file) ?? ''
  }

  localPath?: (file: FileRef) => string

  /** How many changing calls have been begun: create, save, flush and remove. */
  get calls(): number {
    return this.#calls
  }

  get isCut(): boolean {
    return this.#isCut
  }

  get location(): string {
    return this.#inner.location
  }

  get listsConsistently(): boolean {
    return this.#inner.listsConsistently
  }

  create(options?: OpOptions): Promise<void> {
    return this.#change(() => this.#inner.create(options))
  }

  save(file: FileRef, bytes: Uint8Array, options?: OpOptions): Promise<void> {
    return this.#change(() => this.#inner.save(file, bytes, options), { file, bytes })
  }

  flush(options?: OpOptions): Promise<void> {
    return this.#change(() => this.#inner.flush(options), 'flush')
  }

  remove(file: FileRef, options?: OpOptions): Promise<void> {
    return this.#change(() => this.#inner.remove(file, options))
  }

  load(file: FileRef, range?: ByteRange, options?: OpOptions): Promise<Uint8Array | undefined> {
    return this.#whilePowered(() => this.#inner.load(file, range, options))
  }

  list(
    kind: FileKind,
    options?: OpOptions & { readonly onForeign?: (file: ForeignFile) => void },
  ): Promise<FileInfo[]> {
    return this.#whilePowered(() => this.#inner.list(kind, options))
  }

  sweepTemporary(olderThanMs: number, options?: OpOptions): Promise<number> {
    return this.#whilePowered(() => this.#inner.sweepTemporary(olderThanMs, options))
  }

  /** Works without power, so that clean-up after a failure can run. */
  close(): Promise<void> {
    return this.#inner.close()
  }

  async #change(
    effect: () => Promise<void>,
    what?: 'flush' | { readonly file: FileRef; readonly bytes: Uint8Array },
  ): Promise<void> {
    if (this.#isCut) throw new PowerCut()
    if (this.#calls++ !== this.#cutAt) return this.#whilePowered(effect)
    this.#isCut = true
    await this.#cut(effect, what)
    throw new PowerCut()
  }

  async #cut(
    effect: () => Promise<void>,
    what: 'flush' | { readonly file: FileRef; readonly bytes: Uint8Array } | undefined,
  ): Promise<void> {
    if (this.#mode === 'before') return
    const inner: object = this.#inner
    if (this.#mode === 'after' || !losesPower(inner)) return effect().catch(() => {})
    // A flush that the cut interrupts has made some of it durable: that is the choice below.
    if (what !== 'flush') await effect().catch(() => {})
    if (typeof what === 'object') inner.leaveTemporary(`${what.file.name}-torn`, this.#torn(what))
    inner.powerCut(() => this.#random() < 0.5)
  }

  /** A prefix of the bytes with one page of zeros, as pages that never reached the disk. */
  #torn({ bytes }: { readonly bytes: Uint8Array }): Uint8Array {
    const torn = bytes.slice(0, Math.floor(this.#random() * bytes.byteLength))
    const hole = Math.floor((this.#random() * torn.byteLength) / 4096) * 4096
    return torn.fill(0, hole, Math.min(hole + 4096, torn.byteLength))
  }

  /** The answer to what was under way at the cut is lost with the power. */
  async #whilePowered<T>(action: () => Promise<T>): Promise<T> {
    if (this.#isCut) throw new PowerCut()
    try {
      return await action()
    } finally {
      // oxlint-disable-next-line no-unsafe-finally -- whatever the result was, nobody learns it
      if (this.#isCut) throw new PowerCut()
    }
  }
}
