/** Takes away from a plan whatever a violation does not need. */

import type { Plan, Round, Step } from './plan.ts'

/** Tells whether a plan still shows what is looked for. */
export type StillFails = (plan: Plan) => Promise<boolean>

export async function shrink(plan: Plan, stillFails: StillFails, runsMax = 300): Promise<Plan> {
  let best = plan
  let runs = 0
  for (let isSmaller = true; isSmaller && runs < runsMax; ) {
    isSmaller = false
    for (const candidate of smallerPlans(best)) {
      if (++runs > runsMax) break
      if (!(await stillFails(candidate))) continue
      best = candidate
      isSmaller = true
      break
    }
  }
  return best
}

/** Plans with one thing less, the greatest things first. */
function* smallerPlans(plan: Plan): Generator<Plan> {
  for (const fault of Object.keys(plan.rates) as (keyof typeof plan.rates)[]) {
    const { [fault]: _, ...rates } = plan.rates
    yield { ...plan, rates }
  }
  for (const at of plan.rounds.keys()) {
    yield { ...plan, rounds: plan.rounds.toSpliced(at, 1) }
  }
  for (let client = 0; client < plan.clients; client++) {
    const isOf = (step: Step) => step.client === client
    if (!plan.rounds.some(({ steps }) => steps.some(isOf))) continue
    yield withSteps(plan, (steps) => steps.filter((step) => !isOf(step)))
  }
  for (const { id } of plan.rounds.flatMap(({ steps }) => steps)) {
    yield withSteps(plan, (steps) => steps.filter((step) => step.id !== id))
  }
  yield* calmerPlans(plan)
}

/** As many steps, but less happens to them. */
function* calmerPlans(plan: Plan): Generator<Plan> {
  for (const [at, round] of plan.rounds.entries()) {
    const { spareBytes, ...roomy } = round
    if (spareBytes !== undefined) yield withRound(plan, at, roomy)
    if (round.endsIn === 'power-cut') yield withRound(plan, at, { ...round, endsIn: 'rest' })
  }
  for (const step of plan.rounds.flatMap(({ steps }) => steps)) {
    const { interruption, mutations, ...plain } = step
    const replaced = (by: Step) =>
      withSteps(plan, (steps) => steps.map((each) => (each.id === step.id ? by : each)))
    if (interruption !== undefined) yield replaced(plain)
    if (mutations !== undefined) {
      yield replaced(interruption === undefined ? plain : { ...plain, interruption })
    }
  }
  if (plan.skewsMs.some((skewMs) => skewMs !== 0)) {
    yield { ...plan, skewsMs: plan.skewsMs.map(() => 0) }
  }
}

function withRound(plan: Plan, at: number, round: Round): Plan {
  return { ...plan, rounds: plan.rounds.with(at, round) }
}

function withSteps(plan: Plan, change: (steps: readonly Step[]) => readonly Step[]): Plan {
  const rounds = plan.rounds.map((round) => ({ ...round, steps: change(round.steps) }))
  return { ...plan, rounds }
}

/** One line a step. */
export function planText(plan: Plan): string {
  const lines = [
    `profile ${plan.profile}, seed ${plan.seed}, ${plan.clients} clients, ` +
      `clocks ${plan.skewsMs.join(' ')} ms off, faults ${JSON.stringify(plan.rates)}`,
  ]
  for (const [at, { steps, endsIn, spareBytes }] of plan.rounds.entries()) {
    const disk = spareBytes === undefined ? '' : `, the disk has ${spareBytes} bytes left`
    lines.push(`round ${at}${disk}, ends in ${endsIn}`)
    for (const step of steps) lines.push(`  ${stepText(step)}`)
  }
  return lines.join('\n')
}

function stepText({ id, client, gapMs, what, interruption, mutations }: Step): string {
  const files = mutations === undefined ? '' : `, files change ${mutations} times meanwhile`
  const end =
    interruption === undefined
      ? ''
      : `, ${interruption.kind} at call ${interruption.atCall}` +
        (interruption.kind === 'pause' ? ` for ${interruption.forMs} ms` : '')
  return `#${id} client-${client}: ${what} after ${gapMs} ms${files}${end}`
}
