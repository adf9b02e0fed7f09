/**
 * Progress of a long command: live lines on a terminal, JSON lines with --json, a line at SIGUSR1
 * otherwise. The command gives its state when it is asked; how often that is, is settled here.
 */

import type { CommandContext } from '../command.ts'
import { type JsonValue, writeJsonLine } from './json-lines.ts'

const UPDATES_PER_SECOND = 10
const UPDATES_PER_SECOND_MAX = 60

/**
 * Milliseconds between updates; 0 for none but at SIGUSR1. CAIRN_PROGRESS_FPS counts even with
 * --quiet and without a terminal, as in restic.
 */
export function progressIntervalMs(
  context: Pick<CommandContext, 'environment' | 'quiet' | 'json' | 'isTerminal'>,
): number {
  const wanted = Number(context.environment.CAIRN_PROGRESS_FPS)
  if (Number.isFinite(wanted) && wanted > 0) return 1000 / Math.min(wanted, UPDATES_PER_SECOND_MAX)
  if (context.quiet || !(context.json || context.isTerminal)) return 0
  return 1000 / UPDATES_PER_SECOND
}

/** What a command shows of its state, computed when it is asked for. */
export interface ProgressView {
  /** The first line says it all; the others are shown on a terminal only. */
  lines(): readonly string[]
  /** Absent for commands whose progress is not part of their JSON. */
  json?(): JsonValue
}

export interface Progress {
  /** Shows the state now. */
  update(): void
  /** Ends it and leaves nothing of it on the terminal. */
  stop(): void
}

/** As `Clock.every`. */
export type Every = (periodMs: number, action: () => void) => () => void

/** Shows `view` from now on, until `stop` is called, also when the command fails. */
export function startProgress(
  context: CommandContext,
  view: ProgressView,
  every: Every = everyReal,
): Progress {
  const update = () => {
    if (context.json) {
      if (view.json !== undefined) writeJsonLine(context.stdout, view.json())
    } else if (context.isTerminal) context.status.set(view.lines())
    else context.stderr.write(`${view.lines()[0] ?? ''}\n`)
  }
  const intervalMs = progressIntervalMs(context)
  const endTimer = intervalMs > 0 ? every(intervalMs, update) : () => {}
  const endSignal = context.onProgressSignal(update)
  return {
    update,
    stop: () => {
      endTimer()
      endSignal()
      context.status.clear()
    },
  }
}

function everyReal(periodMs: number, action: () => void): () => void {
  const timer = setInterval(action, periodMs)
  timer.unref()
  return () => clearInterval(timer)
}

const RATE_WINDOW_MS = 30_000
const RATE_STEP_MS = 500
/** Slower than this, an estimate of the time left would be years. */
const ESTIMABLE_BYTES_PER_SECOND = 1024

/** The speed of the last half minute, and the time left at that speed. */
export class RateEstimator {
  /** Oldest first, at least `RATE_STEP_MS` apart. */
  readonly #samples: { readonly atMs: number; readonly bytes: number }[] = []
  #latest = { atMs: 0, bytes: 0 }

  /** `bytesDone` of all so far, at `nowMs` of a clock that does not go back. */
  record(nowMs: number, bytesDone: number): void {
    this.#latest = { atMs: nowMs, bytes: bytesDone }
    const last = this.#samples.at(-1)
    if (last === undefined || nowMs - last.atMs >= RATE_STEP_MS) this.#samples.push(this.#latest)
    while (this.#samples.length > 2 && (this.#samples[1]?.atMs ?? 0) <= nowMs - RATE_WINDOW_MS) {
      this.#samples.shift()
    }
  }

  /** Undefined before there are two samples. */
  bytesPerSecond(): number | undefined {
    const [first] = this.#samples
    if (first === undefined || this.#latest.atMs <= first.atMs) return undefined
    return (1000 * (this.#latest.bytes - first.bytes)) / (this.#latest.atMs - first.atMs)
  }

  /** 0 while unknown. */
  secondsRemaining(bytesLeft: number): number {
    const rate = this.bytesPerSecond() ?? 0
    return rate <= ESTIMABLE_BYTES_PER_SECOND ? 0 : Math.max(0, bytesLeft) / rate
  }
}
