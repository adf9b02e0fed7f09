/**
 * Tells of what readers of a mount or a server met, each thing once in a while: a program that tries
 * again a thousand times a second fills no log.
 */

import { errorChain, isCairnError, messageOf } from '../../base/errors.ts'
import type { Clock } from '../../base/seams.ts'

const AGAIN_AFTER_MS = 60_000
/** Different messages that are remembered. */
const KEPT_MAX = 1_000

export class ErrorLog {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #warn: (message: string) => void
  /** When it was told last; the oldest first. */
  readonly #toldAtMs = new Map<string, number>()

  constructor(clock: Pick<Clock, 'monotonicMs'>, warn: (message: string) => void) {
    this.#clock = clock
    this.#warn = warn
  }

  report(error: unknown): void {
    const kind = kindOf(error)
    const nowMs = this.#clock.monotonicMs()
    const toldAtMs = this.#toldAtMs.get(kind)
    if (toldAtMs !== undefined && nowMs - toldAtMs < AGAIN_AFTER_MS) return
    this.#toldAtMs.delete(kind)
    const [oldest] = this.#toldAtMs.keys()
    if (oldest !== undefined && this.#toldAtMs.size >= KEPT_MAX) this.#toldAtMs.delete(oldest)
    this.#toldAtMs.set(kind, nowMs)
    this.#warn(`error: ${errorChain(error)}`)
  }
}

/** Damage is told for every file; a storage that does not answer, once for all of them. */
function kindOf(error: unknown): string {
  if (isCairnError(error, 'CAIRN_CORRUPT')) return errorChain(error)
  let innermost = error
  while (innermost instanceof Error && innermost.cause !== undefined) innermost = innermost.cause
  return messageOf(innermost)
}
