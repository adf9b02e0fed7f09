/**
 * `npm run simulate -- [--profile P] [--seed N] [--runs N] [--minutes N] [--jobs N] [--state FILE]
 * [--plan FILE] [--trace] [--no-shrink]`: runs seeds in as many processes, and prints for each that
 * fails what is violated, the least plan that still violates it, and its trace. Commands then die
 * wherever chance has let none die yet. Ends with the tables. Exit code 1 if anything failed. With
 * `--state`, what has been done is noted there every few seconds, and the same call goes on from it.
 * `--plan` plays one plan from a file. With `--crash-points` every command dies at each of its calls
 * instead.
 */

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { coverCrashPoints, type Failure, invariantOf, runAlone, warmUp } from './campaign.ts'
import { runCrashPoints } from './crash-points.ts'
import { runFleet, serveFleet } from './fleet.ts'
import { memoizeKeys } from './memoized-keys.ts'
import { drawPlan, type Plan } from './plan.ts'
import { PROFILES, profileNamed } from './profiles.ts'
import { shareNatives } from './shared-natives.ts'
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
    jobs: { type: 'string', default: '1' },
    state: { type: 'string' },
    plan: { type: 'string' },
    worker: { type: 'boolean', default: false },
    'crash-points': { type: 'boolean', default: false },
  },
  allowNegative: true,
})

function tell({ plan, violations }: Failure): void {
  console.log(`\nVIOLATION: npm run simulate -- --profile ${plan.profile} --seed ${plan.seed}`)
  for (const violation of new Set(violations)) console.log(`  ${violation}`)
}

/** No seed draws such a plan: it is told in full, for `--plan`. */
function tellSteered({ plan, violations }: Failure): void {
  console.log(`\nVIOLATION of a steered run: ${JSON.stringify(plan)}`)
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
  const { failures: found, tables } = await runCrashPoints()
  const failures = [...found]
  await coverCrashPoints(tables, (failure) => failures.push(failure))
  for (const { plan, violations } of failures) {
    console.log(`\nVIOLATION\n${planText(plan)}`)
    for (const violation of new Set(violations)) console.log(`  ${violation}`)
  }
  console.log(`\n${tables.text()}`)
  console.log(`violating runs             ${failures.length}`)
  process.exitCode = failures.length === 0 ? 0 : 1
}

let isInterrupted = false

async function playPlan(plan: Plan): Promise<void> {
  const { trace } = await runPlan(plan, { keepTrace: true })
  console.log(`${planText(plan)}\n\n${trace.join('\n')}`)
  const { result, unhandled } = await runAlone(plan)
  const violations = [...result.violations, ...unhandled]
  for (const violation of new Set(violations)) console.log(`  ${violation}`)
  if (values.shrink && violations.length > 0) await explain({ plan, violations })
  process.exitCode = violations.length === 0 ? 0 : 1
}

async function campaign(): Promise<void> {
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
  const { tables, failures, ...done } = await runFleet({
    profiles,
    firstSeed,
    runs,
    ...(minutes === undefined ? {} : { cpuMsMax: minutes * 60_000 }),
    failuresMax: Number(values.failures),
    onFailure: tell,
    isInterrupted: () => isInterrupted,
    jobs: Number(values.jobs),
    stateFile: values.state,
  })
  const all = [...failures]
  const onSteered = (failure: Failure) => {
    tellSteered(failure)
    all.push(failure)
  }
  const isMeant = !isOne && failures.length === 0
  const steered = isMeant ? await coverCrashPoints(tables, onSteered) : 0
  if (values.shrink) for (const failure of all) await explain(failure)
  const seconds = (performance.now() - begin) / 1000
  console.log(`\nseeds from ${firstSeed}; ${done.repeated} of them twice, to compare traces`)
  console.log(`${done.runs} runs and ${steered} steered ones in ${seconds.toFixed(1)} s`)
  console.log(tables.text())
  console.log(`violating runs             ${all.length}`)
  process.exitCode = all.length === 0 ? 0 : 1
}

async function main(): Promise<void> {
  memoizeKeys()
  shareNatives()
  if (values.worker) return serveFleet()
  // The tables of what was done are shown all the same.
  process.once('SIGINT', () => {
    isInterrupted = true
  })
  await warmUp()
  if (values['crash-points']) return await crashPoints()
  if (values.plan !== undefined) {
    return await playPlan(JSON.parse(readFileSync(values.plan, 'utf8')) as Plan)
  }
  await campaign()
}

await main()
