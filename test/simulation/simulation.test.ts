/**
 * Runs of the whole engine on virtual time. What fails here is told by its seed:
 * `npm run simulate -- --profile P --seed N` shows it again, and the least of it.
 */

import { beforeAll, describe, expect, test } from 'vitest'
import { type Campaign, runCampaign } from './campaign.ts'
import { runCrashPoints } from './crash-points.ts'
import { memoizeKeys } from './memoized-keys.ts'
import { drawPlan, type Plan } from './plan.ts'
import { PROFILES, profileNamed } from './profiles.ts'
import recorded from './regressions.json' with { type: 'json' }
import { shareNatives } from './shared-natives.ts'
import { shrink } from './shrink.ts'
import { runPlan } from './simulation.ts'

/** Fixed, so that a commit does not fail by chance; `npm run soak` covers new ground. */
const FIRST_SEED = 1_000
/** Of processor time, for all profiles together. */
const BUDGET_MS = 45_000
const RUNS_MAX = 100

/** In full, since what a seed draws changes with the kinds of steps. A plan never leaves that file. */
const regressions = recorded as unknown as readonly { readonly why: string; readonly plan: Plan }[]

const names = PROFILES.map(({ name }) => name)

function failuresOf({ failures }: Campaign): string[] {
  return failures.map(
    ({ plan, violations }) =>
      `npm run simulate -- --profile ${plan.profile} --seed ${plan.seed}\n${violations.join('\n')}`,
  )
}

beforeAll(() => {
  memoizeKeys()
  shareNatives()
})

describe('the simulation', () => {
  test.each(names)(
    'finds nothing wrong with profile %s, and one seed gives one trace',
    async (profile) => {
      const campaign = await runCampaign({
        profiles: [profile],
        firstSeed: FIRST_SEED,
        runs: RUNS_MAX,
        cpuMsMax: BUDGET_MS / names.length,
      })
      expect(failuresOf(campaign)).toEqual([])
      expect(campaign.repeated).toBeGreaterThan(0)
    },
    600_000,
  )

  test('finds nothing wrong where commands die at every ninth of their calls', async () => {
    const { failures, tables } = await runCrashPoints(9)
    expect(failures.flatMap(({ violations }) => violations)).toEqual([])
    expect(tables.crashPoints().hit).toBeGreaterThan(15)
  }, 600_000)

  test.each(regressions)('what once failed: $why', async ({ plan }) => {
    expect((await runPlan(plan)).violations).toEqual([])
  })

  test('other seeds give other traces', async () => {
    const digests = await Promise.all(
      [1, 2].map(async (seed) => (await runPlan(drawPlan(seed, profileNamed('calm')))).digest),
    )
    expect(digests[0]).not.toBe(digests[1])
  })

  test('shrinking takes away what a failure does not need, and nothing else', async () => {
    const plan = drawPlan(7, profileNamed('cloud'))
    const steps = plan.rounds.flatMap((round) => round.steps)
    const needed = new Set([steps[1]?.id, steps.at(-1)?.id])
    const least = await shrink(plan, async (candidate) => {
      const left = new Set(candidate.rounds.flatMap((round) => round.steps.map(({ id }) => id)))
      return [...needed].every((id) => id !== undefined && left.has(id))
    })
    const left = least.rounds.flatMap((round) => round.steps)
    expect(new Set(left.map(({ id }) => id))).toEqual(needed)
    expect(left.every(({ interruption }) => interruption === undefined)).toBe(true)
    expect(least.rates).toEqual({})
  })
})
