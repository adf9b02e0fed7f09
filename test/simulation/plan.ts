/**
 * What happens in one run: steps of clients in rounds, with what befalls each of them. All of it is
 * drawn before the run, so that parts can be taken away to see what a failure needs.
 */

import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from './kernel.ts'
import type { FaultRates } from './faults.ts'
import { drawRates, type Profile } from './profiles.ts'
import type { Interruption } from './sim-process.ts'
import { SeededRandom } from './seeded-random.ts'

export const OPERATIONS = [
  'backup',
  'stream',
  'forget',
  'keep',
  'tag',
  'undelete',
  'prune',
  'check',
  'restore',
] as const
export type Operation = (typeof OPERATIONS)[number]

export interface Step {
  /** Unique; everything the step draws comes from it and the run's seed. */
  readonly id: number
  readonly client: number
  /** Since the client's last step ended. */
  readonly gapMs: number
  /** `mutate`, `reboot` and `clone` happen to the machine at once. */
  readonly what: Operation | 'mutate' | 'reboot' | 'clone'
  readonly interruption?: Interruption
  /** Files change this often while the operation is under way. */
  readonly mutations?: number
}

export interface Round {
  readonly steps: readonly Step[]
  readonly endsIn: 'rest' | 'power-cut'
  /** The disk takes this many bytes more in this round. */
  readonly spareBytes?: number
}

export interface Plan {
  readonly seed: number
  readonly profile: string
  readonly clients: number
  readonly skewsMs: readonly number[]
  readonly rates: FaultRates
  /** What befalls each attempt to create the repository. */
  readonly initInterruptions?: readonly (Interruption | null)[]
  readonly rounds: readonly Round[]
}

export function drawPlan(seed: number, profile: Profile): Plan {
  const random = SeededRandom.of(seed, profile.name, 'plan')
  const clients = random.between(2, profile.clientsMax)
  const skew = () => Math.round((random.next() * 2 - 1) * profile.skewMsMax)
  const isExact = () => !profile.isTight && random.chance(0.5)
  const skewsMs = Array.from({ length: clients }, () => (isExact() ? 0 : skew()))
  // Some seeds are about few clients and tight races, others about long histories.
  const tightness = random.next()
  const roundCount = random.between(2, 4)
  let id = 0
  const rounds: Round[] = []
  for (let at = 0; at < roundCount; at++) {
    const steps: Step[] = []
    for (let client = 0; client < clients; client++) {
      const stepCount = random.between(at === 0 ? 1 : 0, 3)
      for (let i = 0; i < stepCount; i++) {
        steps.push(drawStep(++id, client, random, { profile, tightness, isFirst: at + i === 0 }))
      }
    }
    rounds.push({
      steps,
      endsIn: profile.powerCuts && random.chance(0.4) ? 'power-cut' : 'rest',
      ...(profile.fullDisk && at > 0 && random.chance(0.3)
        ? { spareBytes: Math.round(random.spread(1, 60_000)) }
        : {}),
    })
  }
  return {
    seed,
    profile: profile.name,
    clients,
    skewsMs,
    rates: drawRates(profile, random),
    rounds,
  }
}

interface StepContext {
  readonly profile: Profile
  readonly tightness: number
  readonly isFirst: boolean
}

function drawStep(
  id: number,
  client: number,
  random: SeededRandom,
  { profile, tightness, isFirst }: StepContext,
): Step {
  const what = isFirst
    ? 'backup'
    : random.weighted<Step['what']>([
        [32, 'backup'],
        [6, 'stream'],
        [9, 'forget'],
        [6, 'keep'],
        [8, 'tag'],
        [8, 'undelete'],
        [24, 'prune'],
        [6, 'check'],
        [6, 'restore'],
        [8, 'mutate'],
        [3, 'reboot'],
        [profile.clones ? 3 : 0, 'clone'],
      ])
  const interruption = drawInterruption(random, profile)
  const isOperation = (OPERATIONS as readonly string[]).includes(what)
  return {
    id,
    client,
    gapMs: profile.isTight ? Math.round(random.spread(1, 1500)) : drawGapMs(random, tightness),
    what,
    ...(interruption !== undefined && isOperation ? { interruption } : {}),
    ...(what === 'backup' && random.chance(0.2) ? { mutations: random.between(1, 4) } : {}),
  }
}

function drawGapMs(random: SeededRandom, tightness: number): number {
  const isTight = random.chance(0.4 + 0.5 * tightness)
  const longMs = random.chance(0.5)
    ? random.spread(MINUTE_MS, 4 * HOUR_MS)
    : random.spread(4 * HOUR_MS, 5 * DAY_MS)
  const shortMs = random.spread(1, 3 * SECOND_MS)
  return Math.round(isTight ? shortMs : longMs)
}

function drawInterruption(random: SeededRandom, profile: Profile): Interruption | undefined {
  const { crash, pause } = profile.interruptions
  // Commands make 20 to 80 calls: late ones decide most.
  const atCall = random.chance(0.5) ? random.between(0, 30) : random.between(15, 90)
  const isBefore = random.chance(0.5)
  const forMs = Math.round(random.spread(SECOND_MS, profile.pauseMsMax))
  const draw = random.next()
  if (draw < crash) return { atCall, kind: isBefore ? 'crash-before' : 'crash-after', forMs: 0 }
  if (draw < crash + pause) return { atCall, kind: 'pause', forMs }
  return undefined
}
