/** Runs many seeds, some of them twice, and gathers what they found. */

import { errorChain } from '../../src/base/errors.ts'
import { loadBody } from '../../src/pipeline/bodies.ts'
import { drawPlan, OPERATIONS, type Plan } from './plan.ts'
import { profileNamed } from './profiles.ts'
import type { Interruption } from './sim-process.ts'
import { type RunResult, runPlan } from './simulation.ts'
import { recycleMemories } from './shared-natives.ts'
import { Tables } from './tables.ts'

export interface Failure {
  readonly plan: Plan
  readonly violations: readonly string[]
}

export interface Campaign {
  readonly failures: readonly Failure[]
  readonly tables: Tables
  readonly runs: number
  /** Seeds that were run twice, and gave the same trace. */
  readonly repeated: number
}

export interface CampaignOptions {
  readonly profiles: readonly string[]
  /** Each seed is run with every profile. */
  readonly firstSeed: number
  /** The first run, counted from that of the first seed. */
  readonly from?: number
  readonly runs: number
  /** Stops beginning new runs after this much processor time. */
  readonly cpuMsMax?: number
  readonly failuresMax?: number
  readonly onFailure?: (failure: Failure) => void
}

/** One run in this many is repeated: with every profile in turn. */
const REPEAT_EVERY = 21

export async function runCampaign(options: CampaignOptions): Promise<Campaign> {
  const { profiles, firstSeed, from = 0, failuresMax = 5 } = options
  const tables = new Tables()
  const failures: Failure[] = []
  await warmUp()
  const begin = process.cpuUsage()
  let runs = 0
  let repeated = 0
  for (let at = from; at < from + options.runs && failures.length < failuresMax; at++) {
    if (cpuMsSince(begin) > (options.cpuMsMax ?? Number.POSITIVE_INFINITY)) break
    const profile = profiles[at % profiles.length] ?? ''
    const plan = drawPlan(firstSeed + Math.floor(at / profiles.length), profileNamed(profile))
    const { result, unhandled } = await runAlone(plan)
    const violations = [...result.violations, ...unhandled]
    tables.merge(result.tables)
    runs++
    if (at % REPEAT_EVERY === 0) {
      repeated++
      const again = await runAlone(plan)
      if (again.result.digest !== result.digest) violations.push('determinism: two runs differ')
    }
    tables.run(profile, violations.length > 0)
    if (violations.length === 0) continue
    failures.push({ plan, violations })
    options.onFailure?.({ plan, violations })
  }
  return { failures, tables, runs, repeated }
}

/**
 * Where chance has let no command die before or after a kind of call that it makes, a run that makes
 * that call is played again, and the command dies there. Adds to `tables`; returns how many.
 */
export async function coverCrashPoints(
  tables: Tables,
  onFailure: (failure: Failure) => void,
): Promise<number> {
  let count = 0
  // What died may have to be done again by a command that makes calls which none made before.
  const tried = new Set<string>()
  for (;;) {
    const point = tables.crashPoints().missed.find((one) => !tried.has(`${one.kind} ${one.point}`))
    if (point === undefined) return count
    tried.add(`${point.kind} ${point.point}`)
    const example = tables.example(point)
    if (example === undefined) continue
    const { plan: played, stepId, atCall } = example
    const plan = withInterruption(played, stepId, { atCall, kind: point.kind, forMs: 0 })
    const { result, unhandled } = await runAlone(plan)
    const violations = [...result.violations, ...unhandled]
    tables.merge(result.tables)
    tables.run('steered', violations.length > 0)
    count++
    if (violations.length > 0) onFailure({ plan, violations })
  }
}

function withInterruption(plan: Plan, stepId: number, interruption: Interruption): Plan {
  if (stepId <= 0) {
    const before = plan.initInterruptions ?? []
    const initInterruptions = Array.from({ length: 1 - stepId }, (_, at) =>
      at === -stepId ? interruption : (before[at] ?? null),
    )
    return { ...plan, initInterruptions }
  }
  const rounds = plan.rounds.map((round) => ({
    ...round,
    steps: round.steps.map((step) => (step.id === stepId ? { ...step, interruption } : step)),
  }))
  return { ...plan, rounds }
}

/** Runs a plan, and tells which rejections nobody has handled. */
export async function runAlone(
  plan: Plan,
): Promise<{ readonly result: RunResult; readonly unhandled: readonly string[] }> {
  const unhandled: string[] = []
  const note = (error: unknown) => {
    unhandled.push(`outcome: a rejection that nobody handles: ${errorChain(error)}`)
  }
  process.on('unhandledRejection', note)
  try {
    const result = await runPlan(plan)
    await new Promise((resolve) => setImmediate(resolve))
    return { result, unhandled }
  } finally {
    process.off('unhandledRejection', note)
    recycleMemories()
  }
}

let isWarm = false

/** Loads every module that a run loads at its first use: no later run waits for one. */
export async function warmUp(): Promise<void> {
  if (isWarm) return
  isWarm = true
  for (const purpose of ['backup', 'restore', 'pack', 'repack'] as const) await loadBody(purpose)
  const whats = ['backup', 'restore', 'check', ...OPERATIONS] as const
  const steps = whats.map((what, id) => ({ id, client: 0, gapMs: 1, what }))
  const rounds = [{ steps, endsIn: 'rest' as const }]
  await runPlan({ seed: 0, profile: 'calm', clients: 1, skewsMs: [0], rates: {}, rounds })
}

function cpuMsSince(begin: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(begin)
  return (user + system) / 1000
}

/** What a violation is about: before its colon. */
export function invariantOf(violation: string): string {
  return violation.slice(0, violation.indexOf(':'))
}
