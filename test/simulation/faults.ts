/** What can go wrong with a call to the storage, and how often. */

import type { SeededRandom } from './seeded-random.ts'
import { HOUR_MS, MINUTE_MS, SECOND_MS } from './kernel.ts'

export const VERBS = ['save', 'flush', 'load', 'list', 'remove'] as const
export type Verb = (typeof VERBS)[number] | 'create' | 'sweepTemporary'

export const FAULTS = [
  /** The call fails and has no effect. */
  'refused',
  /** The call has its effect, and fails. */
  'lost-reply',
  /** The call fails, and its effect comes later. */
  'late',
  /** The call takes from seconds to an hour. */
  'slow',
] as const
export type Fault = (typeof FAULTS)[number]

export type FaultRates = Readonly<Partial<Record<Fault, number>>>

export function drawFault(rates: FaultRates, random: SeededRandom): Fault | undefined {
  // One draw a kind, so that switching one off leaves the others as they are.
  let drawn: Fault | undefined
  for (const fault of FAULTS) {
    const strikes = random.chance(rates[fault] ?? 0)
    if (strikes) drawn ??= fault
  }
  return drawn
}

/** How long a call takes, one way. */
export function drawDelayMs(
  random: SeededRandom,
  fault: Fault | undefined,
  usualMsMax = 60,
): number {
  const usualMs = random.spread(0.5, usualMsMax)
  const slowMs = random.spread(10 * SECOND_MS, HOUR_MS)
  return Math.round((fault === 'slow' ? slowMs : usualMs) * 1000) / 1000
}

/** How long after a failure, or after its client has died, an effect still comes. */
export function drawLatenessMs(random: SeededRandom): number {
  return Math.round(random.spread(SECOND_MS / 10, 10 * MINUTE_MS))
}
