/** One run: a plan, played on virtual time, and what the oracle says of it. */

import { errorChain, isCairnError } from '../../src/base/errors.ts'
import type { SnapshotId } from '../../src/base/ids.ts'
import type { BackupReport } from '../../src/engine/backup/backup-options.ts'
import type { Replaced } from '../../src/engine/replace-snapshots.ts'
import type { Undeleted } from '../../src/engine/undelete.ts'
import type { Snapshot } from '../../src/repository/snapshots.ts'
import type { FaultRates } from './faults.ts'
import { DAY_MS, HOUR_MS, Kernel, SECOND_MS, StuckError } from './kernel.ts'
import { SourceChanges } from './mutate-source.ts'
import { type Claim, Oracle } from './oracle.ts'
import type { Operation, Plan, Round, Step } from './plan.ts'
import { type Profile, profileNamed } from './profiles.ts'
import * as programs from './programs.ts'
import type { Program } from './programs.ts'
import { SeededRandom } from './seeded-random.ts'
import { SimMachine } from './sim-machine.ts'
import { SimPlace } from './sim-place.ts'
import { type Interruption, SimProcess } from './sim-process.ts'
import { SimStorage } from './sim-storage.ts'
import { SourceRecord } from './source-record.ts'
import { Tables } from './tables.ts'

const STEPS_MAX = 25_000
/** After so many nothing fails any more. */
const INITS_MAX = 5
const LAST = Number.NEGATIVE_INFINITY

export interface RunResult {
  readonly violations: readonly string[]
  /** Equal for equal runs. */
  readonly digest: string
  readonly trace: readonly string[]
  readonly tables: Tables
}

export interface RunOptions {
  readonly keepTrace?: boolean
}

export async function runPlan(plan: Plan, options: RunOptions = {}): Promise<RunResult> {
  return await new Simulation(plan, options).run()
}

type Outcome<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'died' }

interface Launch<T> {
  readonly machine: SimMachine
  readonly operation: string
  readonly random: SeededRandom
  readonly interruption?: Interruption | undefined
  /** Of the plan; 0 and less: an attempt to create the repository; LAST: what every plan ends with. */
  readonly stepId: number
  readonly run: (program: Program) => Promise<T>
}

class Simulation {
  readonly #plan: Plan
  readonly #profile: Profile
  readonly #kernel: Kernel
  readonly #place: SimPlace
  readonly #machines: SimMachine[]
  readonly #oracle: Oracle
  readonly #changes: SourceChanges
  readonly #tables = new Tables()
  /** Backups under way, by machine: what they may find. */
  readonly #records = new Map<string, Set<SourceRecord>>()
  #rates: FaultRates = {}
  #calls = 0
  /** Whether what somebody has last set out to bring back may rightly not be there. */
  #mayLackData = false

  constructor(plan: Plan, { keepTrace = false }: RunOptions) {
    this.#plan = plan
    this.#profile = profileNamed(plan.profile)
    const kernel = new Kernel({ keepTrace, stepsMax: STEPS_MAX })
    this.#kernel = kernel
    const { traits } = this.#profile
    this.#place = new SimPlace({ traits, now: () => kernel.nowMs, seed: String(plan.seed) })
    this.#machines = plan.skewsMs.map((skewMs, at) => this.#newMachine(`client-${at}`, skewMs))
    this.#oracle = new Oracle(this.#place, this.#judgesEnvironment())
    this.#changes = new SourceChanges(plan.seed, (name) => this.#random(name))
  }

  #random(...parts: (string | number)[]): SeededRandom {
    return SeededRandom.of(this.#plan.seed, ...parts)
  }

  #newMachine(name: string, skewMs: number): SimMachine {
    const random = this.#random('machine', name)
    return new SimMachine({ kernel: this.#kernel, name, skewMs, random })
  }

  #judgesEnvironment() {
    const judge = { operation: 'judge', random: this.#random('judge'), stepId: LAST }
    const process = this.#newProcess({ ...judge, machine: this.#newMachine('judge', 0) })
    const environment = this.#newMachine('judge', 0).environment(process)
    // It works while time stands still.
    return { ...environment, yield: () => Promise.resolve() }
  }

  async run(): Promise<RunResult> {
    try {
      await this.#begin()
      this.#rates = this.#plan.rates
      for (const [at, round] of this.#plan.rounds.entries()) await this.#round(round, at)
      await this.#liveness()
    } catch (error) {
      if (!(error instanceof StuckError)) throw error
      this.#oracle.violated('progress', error.message)
    }
    this.#tables.callsOfRuns.push(this.#calls)
    this.#tables.virtualMs = this.#kernel.nowMs
    return {
      violations: this.#oracle.violations,
      digest: this.#kernel.traceDigest(),
      trace: this.#kernel.lines,
      tables: this.#tables,
    }
  }

  async #begin(): Promise<void> {
    for (const machine of this.#machines) {
      this.#changes.fill(machine.files, this.#random('files', machine.name))
    }
    const machine = this.#machines[0]
    if (machine === undefined) return
    await this.#create(machine)
    await this.#oracle.repository()
    // Whoever has just created a repository waits until others can see it.
    await this.#kernel.pass(2 * this.#profile.traits.listingLagMs)
  }

  /** Somebody tries until it is done. */
  async #create(machine: SimMachine): Promise<void> {
    const run = (program: Program) => programs.createSimRepository(program)
    const random = this.#random('init')
    this.#rates = this.#plan.rates
    for (let at = 0; at <= INITS_MAX; at++) {
      if (at === INITS_MAX) this.#rates = {}
      const interruption = this.#plan.initInterruptions?.[at] ?? undefined
      const launch = { machine, operation: 'init', random, run, interruption, stepId: 0 - at }
      const { kind } = await this.#inTime(this.#launch(launch))
      if (kind === 'done') return
      await this.#kernel.pass(Math.round(random.spread(2 * SECOND_MS, DAY_MS)))
    }
  }

  /** Lets virtual time pass until `work` is done. */
  async #inTime<T>(work: Promise<T>): Promise<T> {
    let isOver = false
    const end = () => {
      isOver = true
    }
    work.then(end, end)
    await this.#kernel.run(() => isOver)
    return await work
  }

  // Rounds

  async #round(round: Round, at: number): Promise<void> {
    if (round.spareBytes !== undefined) {
      this.#kernel.trace(`the disk takes ${round.spareBytes} bytes more`)
      this.#place.limit(this.#place.byteCount + round.spareBytes)
    }
    const clients = this.#machines.map((machine, client) => {
      const steps = round.steps.filter((step) => step.client === client)
      return this.#runSteps(machine, steps)
    })
    const all = Promise.all(clients)
    const random = this.#random('round', at)
    if (round.endsIn === 'power-cut') await this.#cutPower(all, random)
    else await this.#inTime(all)
    this.#place.limit(Number.POSITIVE_INFINITY)
    await this.#oracle.judge(random.chance(0.25) ? 'with check' : 'without check')
    await this.#kernel.pass(Math.round(random.spread(SECOND_MS, 3 * DAY_MS)))
  }

  async #runSteps(machine: SimMachine, steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      await new Promise<void>((resolve) => this.#kernel.schedule(step.gapMs, undefined, resolve))
      if (this.#isPowerOff) return
      await this.#step(machine, step)
    }
  }

  #isPowerOff = false
  #onPowerOff: (() => void)[] = []

  /** At some moment of the round the storage's machine loses power, and all clients with it. */
  async #cutPower(work: Promise<unknown>, random: SeededRandom): Promise<void> {
    let isDone = false
    const end = () => {
      isDone = true
    }
    work.then(end, end)
    const stepsBefore = this.#kernel.steps + Math.round(random.spread(20, 1500))
    await this.#kernel.run(() => isDone || this.#kernel.steps >= stepsBefore)
    const lost = this.#place.powerCut(random)
    this.#kernel.trace(`the power goes; ${lost} changes are lost`)
    this.#tables.add('power cut')
    this.#isPowerOff = true
    for (const machine of this.#machines) {
      machine.killAll()
      machine.reboot()
    }
    for (const wake of this.#onPowerOff.splice(0)) wake()
    await this.#inTime(work)
    this.#isPowerOff = false
  }

  async #step(machine: SimMachine, step: Step): Promise<void> {
    const random = this.#random('step', step.id)
    if (step.what === 'mutate') return this.#mutate(machine, random)
    if (step.what === 'reboot') {
      this.#kernel.trace(`${machine.name} boots anew`)
      return machine.reboot()
    }
    if (step.what === 'clone') return this.#clone(machine, random)
    for (let left = step.mutations ?? 0; left > 0; left--) {
      const delayMs = Math.round(random.spread(1, 3000))
      this.#kernel.schedule(delayMs, undefined, () => this.#mutate(machine, random))
    }
    if (step.what === 'backup') this.#mutate(machine, random)
    await this.#operate(machine, step.what, random, step)
  }

  #mutate(machine: SimMachine, random: SeededRandom): void {
    this.#changes.change(machine.files, random)
    for (const record of this.#records.get(machine.name) ?? []) record.update(machine.files)
  }

  #clone(machine: SimMachine, random: SeededRandom): void {
    const others = this.#machines.filter((other) => other !== machine)
    const original = random.pick(others)
    machine.becomeCloneOf(original)
    this.#kernel.trace(`${machine.name} becomes a clone of ${original.name}`)
    for (const record of this.#records.get(machine.name) ?? []) record.update(machine.files)
  }

  // Programs

  async #operate(
    machine: SimMachine,
    operation: Operation,
    random: SeededRandom,
    step: Pick<Step, 'id' | 'interruption'>,
  ): Promise<boolean> {
    const { interruption } = step
    const launch = { machine, operation, random, interruption, stepId: step.id }
    switch (operation) {
      case 'backup':
        return await this.#backup(launch)
      case 'stream':
        return await this.#stream(launch)
      case 'restore':
        return await this.#restore(launch, step.id)
      case 'forget':
        return await this.#forget(launch, programs.runForget)
      case 'keep':
        return await this.#forget(launch, programs.runKeep)
      case 'tag':
        return await this.#tag(launch)
      case 'undelete':
        return await this.#undelete(launch)
      case 'prune': {
        const isFinal = step.id === LAST
        const run = (program: Program) => programs.runPrune(program, isFinal)
        const outcome = await this.#launch({ ...launch, run })
        return outcome.kind === 'done'
      }
      case 'check': {
        const outcome = await this.#launch({ ...launch, run: programs.runCheck })
        return outcome.kind === 'done'
      }
    }
  }

  async #backup(launch: Omit<Launch<BackupReport>, 'run'>): Promise<boolean> {
    const { machine } = launch
    const record = SourceRecord.of(machine.files)
    const records = this.#records.get(machine.name) ?? new Set()
    this.#records.set(machine.name, records.add(record))
    const outcome = await this.#launch({ ...launch, run: programs.runBackup })
    records.delete(record)
    return await this.#acknowledge(machine, outcome, record)
  }

  async #stream(launch: Omit<Launch<BackupReport>, 'run'>): Promise<boolean> {
    const { machine, random } = launch
    const bytes = this.#changes.stream(random)
    const run = (program: Program) => programs.runStream(program, bytes)
    const outcome = await this.#launch({ ...launch, run })
    return await this.#acknowledge(machine, outcome, SourceRecord.ofStream(programs.STREAM, bytes))
  }

  async #acknowledge(
    machine: SimMachine,
    outcome: Outcome<BackupReport>,
    record: SourceRecord,
  ): Promise<boolean> {
    if (outcome.kind !== 'done') return false
    const { snapshotId, errorCount } = outcome.value
    if (snapshotId === undefined) return false
    this.#kernel.trace(`${machine.name} has snapshot ${snapshotId.slice(0, 8)} acknowledged`)
    if (errorCount === 0) await this.#oracle.acknowledge(snapshotId, record)
    return true
  }

  async #forget(
    launch: Omit<Launch<void>, 'run'>,
    forget: typeof programs.runForget,
  ): Promise<boolean> {
    let chosen: readonly Claim[] = []
    const onChosen = (snapshots: readonly Snapshot[]) => {
      chosen = this.#oracle.unwanted(snapshots)
    }
    const run = (program: Program) => forget(program, onChosen)
    const outcome = await this.#launch({ ...launch, run })
    if (outcome.kind !== 'done') return false
    for (const claim of chosen) claim.state = 'forgotten'
    return true
  }

  async #tag(launch: Omit<Launch<readonly Replaced[]>, 'run'>): Promise<boolean> {
    const onChosen = (snapshots: readonly Snapshot[]) => this.#oracle.replacing(snapshots)
    const run = (program: Program) => programs.runTag(program, onChosen)
    const outcome = await this.#launch({ ...launch, run })
    if (outcome.kind !== 'done') return false
    for (const { old, snapshot } of outcome.value) await this.#oracle.succeeds(snapshot, old.id)
    return true
  }

  async #undelete(launch: Omit<Launch<readonly Undeleted[]>, 'run'>): Promise<boolean> {
    const onChosen = (ids: readonly SnapshotId[]) => {
      // Of what nobody was told that it is safe some may have been lost with its writer.
      const isWhole = ids.every((id) => this.#oracle.claims.has(id))
      this.#mayLackData = !isWhole || this.#place.traits.listingLagMs > 0
    }
    const run = (program: Program) => programs.runUndelete(program, onChosen)
    const outcome = await this.#launch({ ...launch, run })
    if (outcome.kind !== 'done') return false
    for (const { forgotten, snapshot } of outcome.value) {
      await this.#oracle.succeeds(snapshot, forgotten.id)
    }
    return true
  }

  async #restore(
    launch: Omit<Launch<programs.RestoredFiles | undefined>, 'run'>,
    id: number,
  ): Promise<boolean> {
    const target = `/restored-${id}`
    const run = (program: Program) => programs.runRestore(program, target)
    const outcome = await this.#launch({ ...launch, run })
    if (outcome.kind !== 'done') return false
    const restored = outcome.value
    const claim = restored === undefined ? undefined : this.#oracle.claims.get(restored.id)
    if (restored?.isComplete === true) {
      this.#oracle.judgeRestored(launch.machine.files, target, claim)
    }
    launch.machine.files.deleteTree(target)
    return true
  }

  #newProcess(
    { machine, operation, random, interruption, stepId }: Omit<Launch<unknown>, 'run'>,
    onDeath: () => void = () => {},
  ): SimProcess {
    const plan = this.#plan
    return new SimProcess({
      kernel: this.#kernel,
      client: machine.name,
      pid: machine.nextPid(),
      random,
      interruption,
      onCall: (call, atCall) => {
        this.#calls++
        // What has been interrupted before is not the same without that.
        const isPlain = stepId !== LAST && atCall <= (interruption?.atCall ?? atCall)
        this.#tables.call(operation, call, isPlain ? { plan, stepId, atCall } : undefined)
      },
      onSleep: (call, forMs) => {
        this.#kernel.trace(`${machine.name} sleeps for ${(forMs / HOUR_MS).toFixed(2)} h`)
        this.#tables.interruption(operation, call, 'pause')
      },
      onDeath: (call, kind) => {
        this.#kernel.trace(`${machine.name} dies (${kind})`)
        this.#tables.interruption(operation, call, kind)
        onDeath()
      },
    })
  }

  /** Starts a program; resolves when it has ended, however. */
  #launch<T>(launch: Launch<T>): Promise<Outcome<T>> {
    const { machine, operation } = launch
    return new Promise((resolve) => {
      const end = (outcome: Outcome<T>) => {
        if (process.hasEnded) return
        process.hasEnded = true
        machine.end(process)
        this.#noteOutcome(launch, outcome, mayRefuse)
        resolve(outcome)
      }
      const died = () => end({ kind: 'died' })
      const process = this.#newProcess(launch, died)
      // Where nobody has been told of a snapshot yet, a prune rightly sees no sense in what is there.
      const mayRefuse = operation === 'prune' && this.#oracle.claims.size === 0
      this.#onPowerOff.push(died)
      this.#kernel.trace(`${machine.name} runs ${operation} as ${process.pid}`)
      machine.begin(process)
      const program = {
        backend: this.#storageFor(process),
        environment: machine.environment(process),
        machine,
        random: launch.random,
      }
      launch.run(program).then(
        (value) => end({ kind: 'done', value }),
        (error: unknown) => end({ kind: 'failed', error }),
      )
    })
  }

  #storageFor(process: SimProcess): SimStorage {
    return new SimStorage({
      place: this.#place,
      kernel: this.#kernel,
      process,
      rates: () => this.#rates,
      onFault: (fault, call) => this.#tables.fault(fault, call),
    })
  }

  #noteOutcome<T>(
    { machine, operation }: Launch<T>,
    outcome: Outcome<T>,
    mayRefuse: boolean,
  ): void {
    const { kind } = outcome
    const code = kind !== 'failed' ? kind : isCairnError(outcome.error) ? outcome.error.code : 'bug'
    this.#tables.outcome(operation, code)
    const why = kind === 'failed' ? `: ${errorChain(outcome.error)}` : ''
    this.#kernel.trace(`${machine.name} ${operation} ends (${code})${why}`)
    if (kind !== 'failed') return
    const isExpected =
      isCairnError(outcome.error) &&
      ((EXPECTED_CODES[this.#profile.name] ?? []).includes(code) ||
        // Two that meet both stop; nobody else is ever in the way where clocks are right.
        (operation === 'prune' && code === 'CAIRN_CONFLICT') ||
        // Somebody else has forgotten what is tagged.
        (operation === 'tag' && code === 'CAIRN_CONFLICT') ||
        // A prune has removed it, or is about to.
        (operation === 'undelete' &&
          (this.#mayLackData || this.#oracle.hasPruned) &&
          (code === 'CAIRN_CONFLICT' || code === 'CAIRN_FAILED')) ||
        (operation === 'prune' &&
          code === 'CAIRN_CORRUPT' &&
          // Where listings lag, it may rightly see that something is missing.
          (mayRefuse || this.#place.traits.listingLagMs > 0)))
    if (!isExpected) this.#oracle.violated('outcome', `${operation} fails (${code})${why}`)
  }

  /** Everything works again: then everything must get done, and nothing be left over. */
  async #liveness(): Promise<void> {
    this.#rates = {}
    this.#kernel.trace('from here on nothing fails')
    await this.#kernel.pass(HOUR_MS)
    for (const machine of this.#machines) {
      this.#mutate(machine, this.#random('last change', machine.name))
      await this.#lastly(machine, 'backup')
    }
    // Sessions that died with a clock that was ahead count as alive until then, and those elsewhere
    // are kept a week for what may come late of them.
    await this.#kernel.pass(2 * this.#profile.skewMsMax + 7 * DAY_MS + 4 * HOUR_MS)
    const [machine] = this.#machines
    if (machine === undefined) return
    for (let at = 0; at < PRUNES_MAX; at++) {
      // A backup confirms what dead ones have left, but only while no prune is unfinished.
      await this.#lastly(machine, 'backup', at)
      await this.#lastly(machine, 'prune', at)
      // What was not removed at once is after the grace period.
      await this.#kernel.pass(2 * this.#profile.skewMsMax + 26 * HOUR_MS)
      if (at === 0) {
        await this.#oracle.judge('without check')
        await this.#forgetHopeless(machine)
      }
      if ((await this.#oracle.leftOver()) === undefined) break
    }
    const leftOver = await this.#oracle.leftOver()
    if (leftOver !== undefined) this.#oracle.violated('left over', leftOver)
    await this.#oracle.judge('with check')
  }

  /** Nobody but a person gives up what a run that died had written too late for a prune to see. */
  async #forgetHopeless(machine: SimMachine): Promise<void> {
    const ids = new Set(this.#oracle.hopeless)
    if (ids.size === 0) return
    const run = (program: Program) => programs.runForgetNamed(program, ids)
    const random = this.#random('last', 'forget', machine.name)
    const launch = { machine, operation: 'forget', random, stepId: LAST, run }
    const { kind } = await this.#inTime(this.#launch(launch))
    if (kind !== 'done') this.#oracle.violated('liveness', 'what is hopeless is not forgotten')
  }

  async #lastly(machine: SimMachine, operation: Operation, at = 0): Promise<void> {
    const random = this.#random('last', operation, machine.name, at)
    const isDone = await this.#inTime(this.#operate(machine, operation, random, { id: LAST }))
    if (!isDone) this.#oracle.violated('liveness', `the last ${operation} of ${machine.name} fails`)
  }
}

/** So many prunes free everything, once nothing fails any more. */
const PRUNES_MAX = 4

/** What commands may end with where a profile has faults; without them nothing. */
const FAULTY = ['CAIRN_STORAGE_DOWN', 'CAIRN_CONFLICT']
const EXPECTED_CODES: Readonly<Record<string, readonly string[]>> = {
  calm: [],
  cloud: FAULTY,
  race: FAULTY,
  local: [...FAULTY, 'CAIRN_STORAGE_REFUSED'],
  weak: FAULTY,
}
