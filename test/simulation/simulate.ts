/**
 * `npm run simulate -- [--profile P] [--seed N] [--runs N] [--minutes N] [--trace] [--no-shrink]`: runs
 * seeds, and prints for each that fails what is violated, the least plan that still violates it, and
 * its trace. Ends with the tables. Exit code 1 if anything failed. With `--crash-points` every command
 * dies at each of its calls instead.
 */

import { parseArgs } from 'node:util'
import { type Failure, invariantOf, runCampaign, warmUp } from './campaign.ts'
import { runCrashPoints } from './crash-points.ts'
import { memoizeKeys } from './memoized-keys.ts'
import { drawPlan } from './plan.ts'
import { PROFILES, profileNamed } from './profiles.ts'
import { planText, shrink } from './shrink.ts'
import { runPlan } from './simulation.ts'

const TRACE_LINES_MAX = 400

const { values } = parseArgs({
  options: {
    profile: { type: 'string' },
    seed: { type: 'string' },
    runs: { type: 'string' },
    minutes: { type: 'string' },
    trace: { type: 'boolean', default: false },
    shrink: { type: 'boolean', default: true },
    failures: { type: 'string', default: '1' },
    'crash-points': { type: 'boolean', default: false },
  },
  allowNegative: true,
})

function tell({ plan, violations }: Failure): void {
  console.log(`\nVIOLATION: npm run simulate -- --profile ${plan.profile} --seed ${plan.seed}`)
  for (const violation of new Set(violations)) console.log(`  ${violation}`)
}

async function explain({ plan, violations }: Failure): Promise<void> {
  const invariants = new Set(violations.map(invariantOf))
  const least = await shrink(plan, async (candidate) => {
    const result = await runPlan(candidate)
    return result.violations.some((violation) => invariants.has(invariantOf(violation)))
  })
  const result = await runPlan(least, { keepTrace: true })
  console.log(`\nthe least of --profile ${plan.profile} --seed ${plan.seed}:\n${planText(least)}`)
  for (const violation of new Set(result.violations)) console.log(`  ${violation}`)
  console.log(`\n${result.trace.slice(-TRACE_LINES_MAX).join('\n')}`)
}

async function crashPoints(): Promise<void> {
  const { failures, tables } = await runCrashPoints()
  for (const { plan, violations } of failures) {
    console.log(`\nVIOLATION\n${planText(plan)}`)
    for (const violation of new Set(violations)) console.log(`  ${violation}`)
  }
  console.log(`\n${tables.text()}`)
  console.log(`violating runs             ${failures.length}`)
  process.exitCode = failures.length === 0 ? 0 : 1
}

let isInterrupted = false

async function main(): Promise<void> {
  // The tables of what was done are shown all the same.
  process.once('SIGINT', () => {
    isInterrupted = true
  })
  memoizeKeys()
  await warmUp()
  if (values['crash-points']) return await crashPoints()
  const profiles = values.profile?.split(',') ?? PROFILES.map(({ name }) => name)
  const firstSeed = Number(values.seed ?? Math.floor(Date.now() / 1000))
  const isOne = values.seed !== undefined && values.runs === undefined
  const minutes = values.minutes === undefined ? undefined : Number(values.minutes)
  const runs = Number(values.runs ?? (isOne ? profiles.length : minutes === undefined ? 100 : 1e9))
  if (values.trace && values.profile !== undefined) {
    const plan = drawPlan(firstSeed, profileNamed(values.profile))
    const { trace } = await runPlan(plan, { keepTrace: true })
    console.log(`${planText(plan)}\n\n${trace.join('\n')}`)
  }
  const begin = performance.now()
  const campaign = await runCampaign({
    profiles,
    firstSeed,
    runs,
    ...(minutes === undefined ? {} : { cpuMsMax: minutes * 60_000 }),
    failuresMax: Number(values.failures),
    onFailure: tell,
    isInterrupted: () => isInterrupted,
  })
  if (values.shrink) for (const failure of campaign.failures) await explain(failure)
  const seconds = (performance.now() - begin) / 1000
  console.log(`\nseeds from ${firstSeed}; ${campaign.repeated} of them twice, to compare traces`)
  console.log(`${campaign.runs} runs in ${seconds.toFixed(1)} s`)
  console.log(campaign.tables.text())
  console.log(`violating runs             ${campaign.failures.length}`)
  process.exitCode = campaign.failures.length === 0 ? 0 : 1
}

await main()
