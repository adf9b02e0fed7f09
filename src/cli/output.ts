/** The two streams a command writes to. */

/** The live lines at the bottom of the terminal (render/terminal-status.ts). */
export interface StatusArea {
  /** Replaces what is shown. The lines must be printable (`printable`). */
  set(lines: readonly string[]): void
  /** Erases it for good, until `set` is called again. */
  clear(): void
  /** Erases it while `write` writes other lines above, then draws it again. */
  interrupt(write: () => void): void
  /** Erases it until the function that is returned is called: somebody else has the terminal. */
  suspend(): () => void
}

export const NO_STATUS_AREA: StatusArea = {
  set: () => {},
  clear: () => {},
  interrupt: (write) => write(),
  suspend: () => () => {},
}

/** A stream of the process, or a test's. */
export interface OutputSink {
  write(content: string | Uint8Array): void
  readonly isTerminal: boolean
  /** Resolves when what was written has been taken. */
  drain(): Promise<void>
}

export interface OutputWriter {
  /** Text with its line ends. It is on its way by the next turn of the event loop. */
  write(text: string): void
  /**
   * Bytes as they are, behind all text before them. Resolves when more may come; `bytes` must stay
   * as they are until the process ends or they have been written.
   */
  writeBytes(bytes: Uint8Array): Promise<void>
  /** To be awaited now and then by who writes a lot, so that memory does not fill up. */
  drain(): Promise<void>
  /** Writes out what is held back. */
  flush(): void
  readonly isTerminal: boolean
}

const HELD_CHARACTERS_MAX = 65_536

/**
 * Collects the many small writes of one turn of the event loop into one. `status` is the live area
 * of the terminal, which must be out of the way while lines appear above it.
 */
export class CollectingWriter implements OutputWriter {
  readonly isTerminal: boolean
  readonly #sink: OutputSink
  readonly #status: StatusArea
  #held = ''
  #isScheduled = false

  constructor(sink: OutputSink, status: StatusArea = NO_STATUS_AREA) {
    this.#sink = sink
    this.#status = status
    this.isTerminal = sink.isTerminal
  }

  write(text: string): void {
    this.#held += text
    if (this.#held.length >= HELD_CHARACTERS_MAX) this.flush()
    else if (!this.#isScheduled) {
      this.#isScheduled = true
      setImmediate(() => {
        this.#isScheduled = false
        this.flush()
      })
    }
  }

  flush(): void {
    if (this.#held === '') return
    const text = this.#held
    this.#held = ''
    if (this.isTerminal) this.#status.interrupt(() => this.#sink.write(text))
    else this.#sink.write(text)
  }

  async writeBytes(bytes: Uint8Array): Promise<void> {
    this.flush()
    if (this.isTerminal) this.#status.interrupt(() => this.#sink.write(bytes))
    else this.#sink.write(bytes)
    await this.#sink.drain()
  }

  async drain(): Promise<void> {
    this.flush()
    await this.#sink.drain()
  }
}

/** Writes at once, after `before` has written what it holds: errors stay in order with output. */
export class ImmediateWriter implements OutputWriter {
  readonly isTerminal: boolean
  readonly #sink: OutputSink
  readonly #status: StatusArea
  readonly #before: OutputWriter

  constructor(sink: OutputSink, before: OutputWriter, status: StatusArea = NO_STATUS_AREA) {
    this.#sink = sink
    this.#before = before
    this.#status = status
    this.isTerminal = sink.isTerminal
  }

  write(text: string): void {
    this.#before.flush()
    if (this.isTerminal) this.#status.interrupt(() => this.#sink.write(text))
    else this.#sink.write(text)
  }

  async writeBytes(bytes: Uint8Array): Promise<void> {
    this.#before.flush()
    this.#sink.write(bytes)
    await this.#sink.drain()
  }

  flush(): void {}

  drain(): Promise<void> {
    return this.#sink.drain()
  }
}
