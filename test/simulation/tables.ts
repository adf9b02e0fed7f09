/** What a set of runs has been through: the figures that say how much a clean result is worth. */

import type { Fault, Verb } from './faults.ts'
import { FAULTS } from './faults.ts'
import type { CallPoint, Interruption } from './sim-process.ts'

export class Tables {
  /** Storage calls of each run. */
  readonly callsOfRuns: number[] = []
  readonly #counts = new Map<string, number>()
  virtualMs = 0

  add(key: string, count = 1): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + count)
  }

  call(operation: string, call: CallPoint): void {
    this.add(`point ${operation} ${pointText(call)}`)
  }

  fault(fault: Fault, call: CallPoint): void {
    this.add(`fault ${fault} ${pointText(call)}`)
  }

  interruption(operation: string, call: CallPoint, kind: Interruption['kind']): void {
    this.add(`${kind} ${operation} ${pointText(call)}`)
  }

  outcome(operation: string, outcome: string): void {
    this.add(`outcome ${operation} ${outcome}`)
  }

  /** Whether a command of this kind has died. */
  hasDied(operation: string): boolean {
    return this.#counts.has(`outcome ${operation} died`)
  }

  merge(other: Tables): void {
    this.callsOfRuns.push(...other.callsOfRuns)
    this.virtualMs += other.virtualMs
    for (const [key, count] of other.#counts) this.add(key, count)
  }

  #keys(prefix: string): string[] {
    const found = [...this.#counts.keys()].filter((key) => key.startsWith(`${prefix} `))
    return found.map((key) => key.slice(prefix.length + 1)).sort()
  }

  /** Of all moments at which a command can die (each kind of call, before and after), how many did. */
  crashPoints(): {
    readonly hit: number
    readonly all: number
    readonly missed: readonly string[]
  } {
    const points = this.#keys('point')
    const missed: string[] = []
    for (const when of ['crash-before', 'crash-after']) {
      const hit = new Set(this.#keys(when))
      missed.push(...points.filter((point) => !hit.has(point)).map((point) => `${when} ${point}`))
    }
    return { hit: 2 * points.length - missed.length, all: 2 * points.length, missed }
  }

  /** Of all faults at all kinds of calls, how many happened. */
  faultCells(): { readonly hit: number; readonly all: number; readonly missed: readonly string[] } {
    const calls = new Set(this.#keys('point').map((point) => point.slice(point.indexOf(' ') + 1)))
    const hit = new Set(this.#keys('fault'))
    const all = FAULTS.flatMap((fault) => [...calls].map((call) => `${fault} ${call}`))
    const missed = all.filter((cell) => !hit.has(cell))
    return { hit: all.length - missed.length, all: all.length, missed }
  }

  text(): string {
    const calls = this.callsOfRuns.toSorted((a, b) => a - b)
    const crashes = this.crashPoints()
    const faults = this.faultCells()
    const outcomes = this.#keys('outcome').map(
      (key) => `  ${String(this.#counts.get(`outcome ${key}`)).padStart(7)}  ${key}`,
    )
    return [
      `runs                       ${calls.length}`,
      `virtual time               ${(this.virtualMs / 86_400_000 / 365).toFixed(1)} years`,
      `storage calls per run      ${calls[Math.floor(calls.length / 2)] ?? 0} (median), ` +
        `${calls.at(-1) ?? 0} (most)`,
      `crash points exercised     ${crashes.hit} of ${crashes.all}${listText(crashes.missed)}`,
      `fault x kind x verb cells  ${faults.hit} of ${faults.all}${listText(faults.missed)}`,
      'outcomes of commands:',
      ...outcomes,
    ].join('\n')
  }
}

function listText(missed: readonly string[]): string {
  if (missed.length === 0) return ''
  const shown = missed.slice(0, 8).join(', ')
  return `; not: ${shown}${missed.length > 8 ? `, and ${missed.length - 8} more` : ''}`
}

function pointText({ verb, kind }: { readonly verb: Verb; readonly kind: string }): string {
  return kind === '-' ? verb : `${verb} ${kind}`
}
