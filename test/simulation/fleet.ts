/**
 * A campaign spread over processes. Which runs there are and what each of them does depends on the
 * seeds alone, not on who runs what when; only what is printed first does.
 */

import { fork } from 'node:child_process'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { type Campaign, type CampaignOptions, type Failure, runCampaign } from './campaign.ts'
import { Tables, type TablesRecord } from './tables.ts'

/** So many runs a worker gets at once: a few seconds. */
const BATCH_RUNS = 25
const REPORT_MS = 10_000
/**
 * Every backup takes some megabytes for its buffers and leaves them to the collector, which a small
 * heap calls several times a run.
 */
const HEAP_FLAGS = [
  '--initial-heap-size=1024',
  '--min-semi-space-size=32',
  '--max-semi-space-size=32',
]

export interface FleetOptions extends Omit<CampaignOptions, 'from'> {
  readonly jobs: number
  /** Where to note what has been done, and to go on from. */
  readonly stateFile: string | undefined
  /** Asked before each batch. */
  readonly isInterrupted: () => boolean
}

type Order = Pick<CampaignOptions, 'profiles' | 'firstSeed' | 'failuresMax'> & {
  readonly from: number
  readonly runs: number
}

interface Report {
  readonly from: number
  readonly tables: TablesRecord
  readonly failures: readonly Failure[]
  readonly runs: number
  readonly repeated: number
  readonly cpuMs: number
}

/** What a state file has: it is of one campaign only. */
interface State {
  readonly campaign: string
  readonly done: readonly number[]
  readonly tables: TablesRecord
  readonly failures: readonly Failure[]
  readonly repeated: number
}

class Fleet {
  readonly #options: FleetOptions
  readonly #campaign: string
  readonly #begunMs = performance.now()
  readonly #done = new Set<number>()
  #tables = new Tables()
  #failures: Failure[] = []
  #repeated = 0
  #next = 0
  #runs = 0
  #runsHere = 0
  #cpuMs = 0
  #reportedMs = performance.now()

  constructor(options: FleetOptions) {
    this.#options = options
    const { profiles, firstSeed, runs } = options
    this.#campaign = JSON.stringify({ profiles, firstSeed, runs, batch: BATCH_RUNS })
    this.#resume()
  }

  #resume(): void {
    const { stateFile } = this.#options
    const text = stateFile === undefined ? undefined : textOf(stateFile)
    if (text === undefined) return
    const state = JSON.parse(text) as State
    if (state.campaign !== this.#campaign) {
      throw new Error(`'${stateFile}' is of other runs: ${state.campaign}`)
    }
    for (const from of state.done) this.#done.add(from)
    this.#tables = Tables.from(state.tables)
    this.#failures = [...state.failures]
    this.#repeated = state.repeated
    this.#runs = this.#tables.callsOfRuns.length
    process.stderr.write(`goes on after ${this.#runs} runs\n`)
  }

  async run(): Promise<Campaign> {
    const batches = Math.ceil(this.#options.runs / BATCH_RUNS)
    const jobs = Math.max(1, Math.min(this.#options.jobs, batches))
    await Promise.all(Array.from({ length: jobs }, () => this.#work()))
    this.#note()
    const [failures, tables, repeated] = [this.#failures, this.#tables, this.#repeated]
    return { failures, tables, runs: this.#runs, repeated }
  }

  /** Undefined if there is nothing more to begin. */
  #nextOrder(): Order | undefined {
    const { profiles, firstSeed, runs, cpuMsMax, jobs, failuresMax = 5 } = this.#options
    if (this.#options.isInterrupted() || this.#failures.length >= failuresMax) return undefined
    if (this.#cpuMs > (cpuMsMax ?? Number.POSITIVE_INFINITY) * jobs) return undefined
    while (this.#done.has(this.#next)) this.#next += BATCH_RUNS
    const from = this.#next
    if (from >= runs) return undefined
    this.#next += BATCH_RUNS
    return { profiles, firstSeed, failuresMax, from, runs: Math.min(BATCH_RUNS, runs - from) }
  }

  #work(): Promise<void> {
    return new Promise((resolve, reject) => {
      const worker = fork(process.argv[1] ?? '', ['--worker'], { execArgv: HEAP_FLAGS })
      const proceed = () => {
        const order = this.#nextOrder()
        if (order === undefined) worker.disconnect()
        else worker.send(order)
      }
      worker.on('message', (report: Report) => {
        this.#take(report)
        proceed()
      })
      worker.once('error', reject)
      worker.once('exit', (code, signal) => {
        if (code === 0) resolve()
        else reject(new Error(`a process of the simulation has ended with ${signal ?? code}`))
      })
      proceed()
    })
  }

  #take(report: Report): void {
    this.#done.add(report.from)
    this.#tables.merge(Tables.from(report.tables))
    this.#runs += report.runs
    this.#runsHere += report.runs
    this.#repeated += report.repeated
    this.#cpuMs += report.cpuMs
    for (const failure of report.failures) {
      this.#failures.push(failure)
      this.#options.onFailure?.(failure)
    }
    if (performance.now() - this.#reportedMs < REPORT_MS) return
    this.#reportedMs = performance.now()
    this.#note()
    process.stderr.write(`${this.#progressText()}\n`)
  }

  #progressText(): string {
    const { runs: all, cpuMsMax } = this.#options
    const perMs = this.#runsHere / (performance.now() - this.#begunMs)
    const leftMin = Math.ceil((all - this.#runs) / perMs / 60_000)
    const of = cpuMsMax === undefined ? ` of ${all}` : ''
    const left = cpuMsMax === undefined ? `, about ${leftMin} min left` : ''
    const cpuMs = Math.round(this.#cpuMs / Math.max(1, this.#runsHere))
    return (
      `${this.#runs}${of} runs, ${(perMs * 1000).toFixed(1)} a second, ${cpuMs} ms of processor ` +
      `time each, ${this.#failures.length} violating${left}`
    )
  }

  #note(): void {
    const { stateFile } = this.#options
    if (stateFile === undefined) return
    const state: State = {
      campaign: this.#campaign,
      done: [...this.#done],
      tables: this.#tables.record(),
      failures: this.#failures,
      repeated: this.#repeated,
    }
    writeFileSync(`${stateFile}.new`, JSON.stringify(state))
    renameSync(`${stateFile}.new`, stateFile)
  }
}

export async function runFleet(options: FleetOptions): Promise<Campaign> {
  return await new Fleet(options).run()
}

/** The other end: does what it is sent, until nobody is there to send any more. */
export function serveFleet(): void {
  // Whoever has started it decides what an interrupt means.
  process.on('SIGINT', () => {})
  process.on('message', (order: Order) => {
    const begin = process.cpuUsage()
    void runCampaign(order).then(({ tables, ...campaign }) => {
      const { user, system } = process.cpuUsage(begin)
      const cpuMs = (user + system) / 1000
      process.send?.({ ...campaign, from: order.from, tables: tables.record(), cpuMs })
    })
  })
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
