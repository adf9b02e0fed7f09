/** Every command dies once before and once after each of its calls to the storage. */

import { type Failure, runAlone, warmUp } from './campaign.ts'
import { OPERATIONS, type Operation, type Plan, type Step } from './plan.ts'
import { Tables } from './tables.ts'

const SCENARIO_PROFILE = 'calm'
const CALLS_MAX = 400

export interface CrashCampaign {
  readonly failures: readonly Failure[]
  readonly tables: Tables
}

/** `stride`: only every so-many-th call, from a different one for each command. */
export async function runCrashPoints(stride = 1): Promise<CrashCampaign> {
  await warmUp()
  const tables = new Tables()
  const failures: Failure[] = []
  for (const [at, operation] of (['init', ...OPERATIONS] as const).entries()) {
    for (const kind of ['crash-before', 'crash-after'] as const) {
      for (let atCall = at % stride; atCall < CALLS_MAX; atCall += stride) {
        const plan = crashPlan(operation, kind, atCall)
        const { result, unhandled } = await runAlone(plan)
        tables.merge(result.tables)
        const violations = [...result.violations, ...unhandled]
        if (violations.length > 0) failures.push({ plan, violations })
        if (!result.tables.hasDied(operation)) break
      }
    }
  }
  return { failures, tables }
}

/** Two clients, something to prune, the command that dies, and another client that goes on. */
function crashPlan(
  operation: Operation | 'init',
  kind: 'crash-before' | 'crash-after',
  atCall: number,
): Plan {
  let id = 0
  const step = (client: number, what: Step['what'], more: Partial<Step> = {}): Step => ({
    id: ++id,
    client,
    what,
    gapMs: 1000,
    ...more,
  })
  const interruption = { atCall, kind, forMs: 0 }
  const rounds: Plan['rounds'] = [
    {
      steps: [step(0, 'backup'), step(0, 'mutate'), step(0, 'backup'), step(1, 'backup')],
      endsIn: 'rest',
    },
    { steps: [step(1, 'forget')], endsIn: 'rest' },
    {
      steps: [
        ...(operation === 'init' ? [] : [step(0, operation, { interruption })]),
        step(1, 'backup'),
      ],
      endsIn: 'rest',
    },
    { steps: [step(1, 'prune')], endsIn: 'rest' },
  ]
  // The same seed for all, so that one command makes the same calls until it dies.
  return {
    seed: 11,
    profile: SCENARIO_PROFILE,
    clients: 2,
    skewsMs: [0, 0],
    rates: {},
    ...(operation === 'init' ? { initInterruptions: [interruption] } : {}),
    rounds,
  }
}
