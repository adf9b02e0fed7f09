/** Runs many seeds, some of them twice, and gathers what they found. */

import { errorChain } from '../../src/base/errors.ts'
import { loadBody } from '../../src/pipeline/bodies.ts'
import { drawPlan, OPERATIONS, type Plan } from './plan.ts'
import { profileNamed } from './profiles.ts'
import { type RunResult, runPlan } from './simulation.ts'
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
  readonly firstSeed: number
  readonly runs: number
  /** Stops beginning new runs after this much processor time. */
  readonly cpuMsMax?: number
  readonly failuresMax?: number
  readonly onFailure?: (failure: Failure) => void
  /** Asked before each run. */
  readonly isInterrupted?: () => boolean
}

/** One run in this many is repeated. */
const REPEAT_EVERY = 20

export async function runCampaign(options: CampaignOptions): Promise<Campaign> {
  const { profiles, firstSeed, failuresMax = 5 } = options
  const tables = new Tables()
  const failures: Failure[] = []
  await warmUp()
  const begin = process.cpuUsage()
  let runs = 0
  let repeated = 0
  for (let at = 0; at < options.runs && failures.length < failuresMax; at++) {
    if (options.isInterrupted?.() === true) break
    if (cpuMsSince(begin) > (options.cpuMsMax ?? Number.POSITIVE_INFINITY)) break
    const profile = profiles[at % profiles.length] ?? ''
    const plan = drawPlan(firstSeed + Math.floor(at / profiles.length), profileNamed(profile))
    const { result, unhandled } = await runAlone(plan)
    const violations = [...result.violations, ...unhandled]
    tables.merge(result.tables)
    runs++
    if (at % REPEAT_EVERY === 0) {
      repeated++
      const again = await runPlan(plan)
      if (again.digest !== result.digest) violations.push('determinism: two runs differ')
    }
    if (violations.length === 0) continue
    failures.push({ plan, violations })
    options.onFailure?.({ plan, violations })
  }
  return { failures, tables, runs, repeated }
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
