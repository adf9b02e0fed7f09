/**
 * Virtual time. Everything asynchronous in a simulation is an event here: at its time, and in the
 * order of scheduling where times are equal, it runs, and then all promises that it has settled,
 * before the next one. So one seed gives one run.
 */

import { createHash } from 'node:crypto'

export const SECOND_MS = 1000
export const MINUTE_MS = 60 * SECOND_MS
export const HOUR_MS = 60 * MINUTE_MS
export const DAY_MS = 24 * HOUR_MS

/** What events belong to: a running process. Its events wait while it sleeps and die with it. */
export interface Owner {
  readonly isDead: boolean
  /** Nothing of it happens before this time. */
  readonly asleepUntilMs: number
}

interface Event {
  readonly atMs: number
  readonly order: number
  readonly owner: Owner | undefined
  readonly action: () => void
}

/** Time or steps ran out: the simulated programs do not come to an end. */
export class StuckError extends Error {
  override readonly name = 'StuckError'
}

export class Kernel {
  readonly #queue: Event[] = []
  readonly #lines: string[] | undefined
  readonly #digest = createHash('sha256')
  readonly #stepsMax: number
  #nowMs = 0
  #order = 0
  #steps = 0

  constructor(options: { readonly keepTrace: boolean; readonly stepsMax: number }) {
    this.#lines = options.keepTrace ? [] : undefined
    this.#stepsMax = options.stepsMax
  }

  /** Milliseconds of true time since the simulation began. */
  get nowMs(): number {
    return this.#nowMs
  }

  get steps(): number {
    return this.#steps
  }

  /** The lines of the trace, if they are kept. */
  get lines(): readonly string[] {
    return this.#lines ?? []
  }

  /** Adds to the trace what has just happened. */
  trace(line: string): void {
    this.#digest.update(`${this.#nowMs} ${line}\n`)
    this.#lines?.push(`${timeText(this.#nowMs)}  ${line}`)
  }

  /** A digest of the whole trace so far. */
  traceDigest(): string {
    return this.#digest.copy().digest('hex')
  }

  schedule(delayMs: number, owner: Owner | undefined, action: () => void): void {
    push(this.#queue, { atMs: this.#nowMs + delayMs, order: this.#order++, owner, action })
  }

  /** Runs events until `isDone`. Throws a StuckError if there are none left before, or too many. */
  async run(isDone: () => boolean): Promise<void> {
    await settle()
    while (!isDone()) {
      if (this.#isPause()) await turn()
      const event = pop(this.#queue)
      if (event === undefined) {
        if (await this.#isStuck(isDone)) {
          throw new StuckError('nothing is left to happen, and somebody still waits')
        }
        continue
      }
      if (event.owner?.isDead === true) continue
      if (event.owner !== undefined && event.owner.asleepUntilMs > event.atMs) {
        push(this.#queue, { ...event, atMs: event.owner.asleepUntilMs, order: this.#order++ })
        continue
      }
      this.#nowMs = Math.max(this.#nowMs, event.atMs)
      if (++this.#steps > this.#stepsMax) throw new StuckError('too many steps')
      event.action()
      await settle()
    }
  }

  /** Whether nothing happens for so long that only what is real may still be under way. */
  #isPause(): boolean {
    const [next] = this.#queue
    return next !== undefined && next.atMs > this.#nowMs + SECOND_MS
  }

  /** Nothing real is ever awaited, save a module that is loaded at its first use. */
  async #isStuck(isDone: () => boolean): Promise<boolean> {
    for (let turn = 0; turn < 200; turn++) {
      if (isDone() || this.#queue.length > 0) return false
      await new Promise((resolve) => setTimeout(resolve, turn < 20 ? 0 : 5))
    }
    return true
  }

  /** Lets the world stand still for the clients, and time pass. */
  async pass(delayMs: number): Promise<void> {
    let isOver = false
    this.schedule(delayMs, undefined, () => {
      isOver = true
    })
    await this.run(() => isOver)
  }
}

/** Lets the real world have a turn: a module that somebody waits for is loaded. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Resolves when every settled promise has been followed as far as it goes. */
function settle(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve))
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}

function push(heap: Event[], event: Event): void {
  let at = heap.length
  heap.push(event)
  while (at > 0) {
    const parentAt = (at - 1) >> 1
    const parent = heap[parentAt]
    if (parent === undefined || isBefore(parent, event)) break
    heap[at] = parent
    at = parentAt
  }
  heap[at] = event
}

function pop(heap: Event[]): Event | undefined {
  const first = heap[0]
  const last = heap.pop()
  if (first === undefined || last === undefined || heap.length === 0) return first
  let at = 0
  for (;;) {
    const left = heap[2 * at + 1]
    if (left === undefined) break
    const right = heap[2 * at + 2]
    const isRight = right !== undefined && isBefore(right, left)
    const child = isRight ? right : left
    if (isBefore(last, child)) break
    heap[at] = child
    at = 2 * at + (isRight ? 2 : 1)
  }
  heap[at] = last
  return first
}

/** As in `2d 03:04:05.678`. */
function timeText(timeMs: number): string {
  const days = Math.floor(timeMs / DAY_MS)
  return `${days}d ${new Date(timeMs % DAY_MS).toISOString().slice(11, 23)}`
}
