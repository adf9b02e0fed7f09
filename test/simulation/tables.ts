/** What a set of runs has been through: the figures that say how much a clean result is worth. */

import type { Fault, Verb } from './faults.ts'
import { FAULTS } from './faults.ts'
import type { Plan } from './plan.ts'
import type { CallPoint, Interruption } from './sim-process.ts'

export const CRASHES = ['crash-before', 'crash-after'] as const

/** Where in a plan a kind of call is made: a death there is sure to happen. */
export interface Example {
  readonly plan: Plan
  /** 0 and less: the attempts to create the repository. */
  readonly stepId: number
  readonly atCall: number
}

/** A moment at which a command can die. */
export interface CrashPoint {
  readonly kind: (typeof CRASHES)[number]
  /** The command and the call. */
  readonly point: string
}

/** What a process tells another. */
export interface TablesRecord {
  readonly callsOfRuns: readonly number[]
  readonly virtualMs: number
  readonly counts: readonly (readonly [string, number])[]
  readonly examples: readonly (readonly [string, Example])[]
}

export class Tables {
  /** Storage calls of each run. */
  readonly callsOfRuns: number[] = []
  readonly #counts = new Map<string, number>()
  readonly #examples = new Map<string, Example>()
  virtualMs = 0

  static from(record: TablesRecord): Tables {
    const tables = new Tables()
    tables.callsOfRuns.push(...record.callsOfRuns)
    tables.virtualMs = record.virtualMs
    for (const [key, count] of record.counts) tables.#counts.set(key, count)
    for (const [point, example] of record.examples) tables.#examples.set(point, example)
    return tables
  }

  record(): TablesRecord {
    const { callsOfRuns, virtualMs } = this
    return { callsOfRuns, virtualMs, counts: [...this.#counts], examples: [...this.#examples] }
  }

  add(key: string, count = 1): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + count)
  }

  /** `example`, where the plan can be made to end the command there. */
  call(operation: string, call: CallPoint, example?: Example): void {
    const point = `${operation} ${pointText(call)}`
    this.add(`point ${point}`)
    if (example !== undefined && !this.#examples.has(point)) this.#examples.set(point, example)
  }

  run(profile: string, isViolating: boolean): void {
    this.add(`runs ${profile}`)
    this.add(`violating ${profile}`, isViolating ? 1 : 0)
  }

  example({ point }: CrashPoint): Example | undefined {
    return this.#examples.get(point)
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
    for (const [point, example] of other.#examples) {
      if (!this.#examples.has(point)) this.#examples.set(point, example)
    }
  }

  #keys(prefix: string): string[] {
    const found = [...this.#counts.keys()].filter((key) => key.startsWith(`${prefix} `))
    return found.map((key) => key.slice(prefix.length + 1)).sort()
  }

  /** Of all moments at which a command can die (each kind of call, before and after), how many did. */
  crashPoints(): {
    readonly hit: number
    readonly all: number
    readonly missed: readonly CrashPoint[]
  } {
    const points = this.#keys('point')
    const missed: CrashPoint[] = []
    for (const kind of CRASHES) {
      const hit = new Set(this.#keys(kind))
      for (const point of points) if (!hit.has(point)) missed.push({ kind, point })
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
    const missedCrashes = crashes.missed.map(({ kind, point }) => `${kind} ${point}`)
    const profiles = this.#keys('runs').map((name) => {
      const runs = String(this.#counts.get(`runs ${name}`)).padStart(9)
      return `${runs}  ${name}, ${this.#counts.get(`violating ${name}`)} of them violating`
    })
    return [
      `runs                       ${calls.length}`,
      ...profiles,
      `virtual time               ${(this.virtualMs / 86_400_000 / 365).toFixed(1)} years`,
      `storage calls per run      ${calls[Math.floor(calls.length / 2)] ?? 0} (median), ` +
        `${calls.at(-1) ?? 0} (most)`,
      `crash points exercised     ${crashes.hit} of ${crashes.all}${listText(missedCrashes)}`,
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
