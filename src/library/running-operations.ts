/** The operations of one opening: each with a session and a signal of its own, ended by `close`. */

import { CairnError } from '../base/errors.ts'
import type { Access } from '../service/access.ts'
import { operationAccess } from '../service/operation-access.ts'
import { ItemQueue } from './item-queue.ts'
import type { OperationOptions } from './operations.ts'

export class Operations {
  readonly #access: Access
  readonly #warn: (message: string) => void
  readonly #closing = new AbortController()
  readonly #running = new Set<Promise<unknown>>()

  constructor(access: Access, warn: (message: string) => void) {
    this.#access = access
    this.#warn = warn
  }

  /** Throws CAIRN_USAGE after `close`. */
  async run<T>({ signal }: OperationOptions, body: (access: Access) => Promise<T>): Promise<T> {
    const ended = this.#closing.signal
    if (ended.aborted) throw new CairnError('CAIRN_USAGE', 'the repository has been closed')
    const either = signal === undefined ? ended : AbortSignal.any([signal, ended])
    const running = body(operationAccess(this.#access, { signal: either, warn: this.#warn }))
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
    }
  }

  /** Gives what `body` pushes; ends `body` when nobody takes any more. */
  async *stream<T>(
    { signal }: OperationOptions,
    itemsMax: number,
    body: (access: Access, queue: ItemQueue<T>) => Promise<void>,
  ): AsyncGenerator<T, void> {
    const queue = new ItemQueue<T>(itemsMax)
    const ending = new AbortController()
    const either = signal === undefined ? ending.signal : AbortSignal.any([signal, ending.signal])
    // An operation that is closed or aborted must not wait for somebody to take its items.
    const abandon = () => queue.abandon()
    const signals = [either, this.#closing.signal]
    for (const one of signals) one.addEventListener('abort', abandon, { once: true })
    const running = this.run({ signal: either }, (access) => body(access, queue))
    running.then(
      () => queue.end(),
      (error: unknown) => queue.end(error),
    )
    try {
      yield* queue.items()
    } finally {
      ending.abort()
      for (const one of signals) one.removeEventListener('abort', abandon)
      await running.catch(() => {})
    }
  }

  /** Ends what is under way and lets go of everything. A second call does nothing. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.#closing.abort()
    await Promise.allSettled(this.#running)
    await this.#access.close()
  }
}
