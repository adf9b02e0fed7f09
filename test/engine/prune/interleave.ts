/** Two or more clients on one storage whose calls happen in exactly the order that a test says. */

import type {
  Backend,
  ByteRange,
  FileInfo,
  FileKind,
  FileRef,
  OpOptions,
} from '../../../src/storage/backend.ts'

/** Reading a file that does not change takes no turn: its order makes no difference. */
export class Client implements Backend {
  readonly #inner: Backend
  readonly #waiting: { readonly call: string; readonly begin: () => void }[] = []
  #wake: () => void = () => {}
  #isDone = false
  #running = 0
  /** Turns taken. */
  turns = 0
  readonly location = 'memory'
  result: Promise<unknown> = Promise.resolve()

  constructor(inner: Backend) {
    this.#inner = inner
  }

  get listsConsistently(): boolean {
    return this.#inner.listsConsistently
  }

  /** Begins the work; its first call waits for a turn. */
  start(work: (backend: Backend) => Promise<unknown>): this {
    this.result = work(this)
    const end = () => {
      this.#isDone = true
      this.#wake()
    }
    this.result.then(end, end)
    return this
  }

  get isDone(): boolean {
    return this.#isDone
  }

  /** Lets one call happen; false if the work is done. */
  async turn(): Promise<boolean> {
    await this.#settled()
    const next = this.#waiting.shift()
    if (next === undefined) return false
    this.turns++
    this.#running++
    next.begin()
    await this.#settled()
    return true
  }

  /** The call that the next turn makes, as `save snapshots`; undefined if the work is done. */
  async next(): Promise<string | undefined> {
    await this.#settled()
    return this.#waiting[0]?.call
  }

  async turnsUntilDone(): Promise<void> {
    while (await this.turn());
  }

  async take(count: number): Promise<void> {
    for (let i = 0; i < count; i++) if (!(await this.turn())) return
  }

  async #settled(): Promise<void> {
    while (!this.#isDone && (this.#running > 0 || this.#waiting.length === 0)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async #gated<T>(call: string, make: () => Promise<T>): Promise<T> {
    await new Promise<void>((begin) => {
      this.#waiting.push({ call, begin })
      this.#wake()
    })
    try {
      return await make()
    } finally {
      this.#running--
      this.#wake()
    }
  }

  create(options?: OpOptions): Promise<void> {
    return this.#gated('create', () => this.#inner.create(options))
  }

  save(file: FileRef, bytes: Uint8Array, options?: OpOptions): Promise<void> {
    return this.#gated(`save ${file.kind}`, () => this.#inner.save(file, bytes, options))
  }

  flush(options?: OpOptions): Promise<void> {
    return this.#inner.flush(options)
  }

  load(file: FileRef, range?: ByteRange, options?: OpOptions): Promise<Uint8Array | undefined> {
    return this.#inner.load(file, range, options)
  }

  list(kind: FileKind, options?: Parameters<Backend['list']>[1]): Promise<FileInfo[]> {
    return this.#gated(`list ${kind}`, () => this.#inner.list(kind, options))
  }

  remove(file: FileRef, options?: OpOptions): Promise<void> {
    return this.#gated(`remove ${file.kind}`, () => this.#inner.remove(file, options))
  }

  sweepTemporary(olderThanMs: number, options?: OpOptions): Promise<number> {
    return this.#inner.sweepTemporary(olderThanMs, options)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}
