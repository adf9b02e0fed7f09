/** A decorator whose chosen calls fail or wait, and that tells which it has made fail. */

import { CairnError } from '../../src/base/errors.ts'
import type {
  Backend,
  ByteRange,
  FileInfo,
  FileKind,
  FileRef,
  ForeignFile,
  OpOptions,
} from '../../src/storage/backend.ts'

export type Verb = 'create' | 'save' | 'flush' | 'load' | 'list' | 'remove' | 'sweepTemporary'

export interface Fault {
  readonly verb: Verb
  /** Calls for other kinds of files do not count. Without it all calls of the verb do. */
  readonly kind?: FileKind
  /** The first call that it strikes, among those that count; the first is 0. */
  readonly nth?: number
  /** How many calls in a row it strikes: 1 unless told otherwise; Infinity is for ever. */
  readonly times?: number
  /** Awaited before anything else, so that a test can hold a call or let a fake clock run. */
  readonly delay?: () => Promise<void>
  /** What the call rejects with. Without `error` and `delay`, CAIRN_STORAGE_DOWN. */
  readonly error?: CairnError
  /** `after`: the call has its effect, and only its answer is lost. `before` is the default. */
  readonly effect?: 'before' | 'after'
}

/** A call that a fault has struck. */
export interface Injection {
  readonly verb: Verb
  readonly kind?: FileKind
  readonly name?: string
  readonly what: 'failed' | 'delayed'
}

interface Rule {
  readonly fault: Fault
  callCount: number
}

export class FaultyBackend implements Backend {
  readonly #inner: Backend
  readonly #rules: Rule[] = []
  /** Everything injected, in order. */
  readonly log: Injection[] = []

  constructor(inner: Backend, faults: readonly Fault[] = []) {
    this.#inner = inner
    for (const fault of faults) this.inject(fault)
    if (inner.localPath) this.localPath = (file) => inner.localPath?.(file) ?? ''
  }

  localPath?: (file: FileRef) => string

  /** Adds a fault; it counts calls from now on. */
  inject(fault: Fault): void {
    this.#rules.push({ fault, callCount: 0 })
  }

  /** Forgets all faults: the storage works again. The log stays. */
  heal(): void {
    this.#rules.length = 0
  }

  get location(): string {
    return this.#inner.location
  }

  get listsConsistently(): boolean {
    return this.#inner.listsConsistently
  }

  create(options?: OpOptions): Promise<void> {
    return this.#call({ verb: 'create' }, () => this.#inner.create(options))
  }

  save(file: FileRef, bytes: Uint8Array, options?: OpOptions): Promise<void> {
    return this.#call({ verb: 'save', ...file }, () => this.#inner.save(file, bytes, options))
  }

  flush(options?: OpOptions): Promise<void> {
    return this.#call({ verb: 'flush' }, () => this.#inner.flush(options))
  }

  load(file: FileRef, range?: ByteRange, options?: OpOptions): Promise<Uint8Array | undefined> {
    return this.#call({ verb: 'load', ...file }, () => this.#inner.load(file, range, options))
  }

  list(
    kind: FileKind,
    options?: OpOptions & { readonly onForeign?: (file: ForeignFile) => void },
  ): Promise<FileInfo[]> {
    return this.#call({ verb: 'list', kind }, () => this.#inner.list(kind, options))
  }

  remove(file: FileRef, options?: OpOptions): Promise<void> {
    return this.#call({ verb: 'remove', ...file }, () => this.#inner.remove(file, options))
  }

  sweepTemporary(olderThanMs: number, options?: OpOptions): Promise<number> {
    return this.#call({ verb: 'sweepTemporary' }, () =>
      this.#inner.sweepTemporary(olderThanMs, options),
    )
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  async #call<T>(call: Omit<Injection, 'what'>, action: () => Promise<T>): Promise<T> {
    const struck = this.#rules.filter((rule) => strikes(rule, call)).map(({ fault }) => fault)
    for (const { delay } of struck) {
      if (delay === undefined) continue
      this.log.push({ ...call, what: 'delayed' })
      await delay()
    }
    const failing = struck.find(({ delay, error }) => error !== undefined || delay === undefined)
    if (failing === undefined) return action()
    this.log.push({ ...call, what: 'failed' })
    if (failing.effect === 'after') await action()
    throw failing.error ?? new CairnError('CAIRN_STORAGE_DOWN', `injected failure of ${call.verb}`)
  }
}

/** Counts the call if it is one of the rule's, and tells whether the rule strikes it. */
function strikes(rule: Rule, call: Omit<Injection, 'what'>): boolean {
  const { verb, kind, nth = 0, times = 1 } = rule.fault
  if (verb !== call.verb || (kind !== undefined && kind !== call.kind)) return false
  const number = rule.callCount++
  return number >= nth && number < nth + times
}
