/**
 * The lines at the bottom of a terminal that are drawn over and over. Loaded only where there is a
 * terminal: measuring text costs 3 ms of start-up.
 */

import type { StatusArea } from '../output.ts'
import { truncateToWidth } from './width.ts'

export interface TerminalSink {
  write(text: string): void
  columns(): number
  rows(): number
}

const ERASE_BELOW = '\x1b[J'

/** Draws on a terminal that understands "up n lines" and "erase below", which all in use do. */
export class TerminalStatus implements StatusArea {
  readonly #sink: TerminalSink
  #lines: readonly string[] = []
  #drawnLines = 0
  #interruptDepth = 0

  constructor(sink: TerminalSink) {
    this.#sink = sink
  }

  set(lines: readonly string[]): void {
    this.#lines = lines
    if (this.#interruptDepth === 0) this.#sink.write(this.#erase() + this.#draw())
  }

  clear(): void {
    this.#lines = []
    const text = this.#erase()
    if (text !== '') this.#sink.write(text)
  }

  interrupt(write: () => void): void {
    const resume = this.suspend()
    try {
      write()
    } finally {
      resume()
    }
  }

  suspend(): () => void {
    this.#interruptDepth++
    const erase = this.#erase()
    if (erase !== '') this.#sink.write(erase)
    return () => {
      this.#interruptDepth--
      if (this.#interruptDepth === 0 && this.#lines.length > 0) this.#sink.write(this.#draw())
    }
  }

  #erase(): string {
    if (this.#drawnLines === 0) return ''
    const up = this.#drawnLines > 1 ? `\x1b[${this.#drawnLines - 1}A` : ''
    this.#drawnLines = 0
    return `\r${up}${ERASE_BELOW}`
  }

  /** One column and one row stay free, so that the terminal neither wraps nor scrolls. */
  #draw(): string {
    const lines = this.#lines.slice(0, Math.max(1, this.#sink.rows() - 1))
    this.#drawnLines = lines.length
    const width = Math.max(1, this.#sink.columns() - 1)
    return lines.map((line) => truncateToWidth(line, width)).join('\n')
  }
}
