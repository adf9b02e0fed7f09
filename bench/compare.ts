/**
 * How does cairn compare with restic, borg, `tar | zstd` and `cp -a`? Runs all of them in turn, on
 * the same data, in one run, checks that what they restore is what was backed up, and prints a table.
 * `npm run bench -- --help` has the options. Only the folders it makes itself are written to.
 */

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { changeFiles, type DataSize, makeTinyTree, readAll, sizeOf } from './compare/data.ts'
import { settleMemory } from './compare/memory.ts'
import {
  type Command,
  FailedCommand,
  hasGnuTime,
  runMeasured,
  runPlain,
} from './compare/measure.ts'
import { markdown, type RowName, ROWS, type Sample } from './compare/report.ts'
import { firstDifference } from './compare/same-tree.ts'
import {
  describeRun,
  projectFolder,
  readSettings,
  type Settings,
  USAGE,
  UsageError,
} from './compare/settings.ts'
import { copyCommand, findTools, PACKAGES, type Tool } from './compare/tools.ts'

const CHANGED_SHARE = 0.01
/** Repositories and copies of all tools together, in times the data. */
const WORK_SPACE_FACTOR = 4.5
const RESTORE_SPACE_FACTOR = 1.3
/** Memory used before each measurement, in times the data (memory.ts). */
const TOUCHED_FACTOR = 3

class Interrupted extends Error {}

function removeTree(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true })
  } catch {
    // Restored directories that their owner may not write to.
    spawnSync('chmod', ['-R', 'u+rwx', path])
    rmSync(path, { recursive: true, force: true })
  }
}

function requireSpace(path: string, byteCount: number, what: string): void {
  const { bavail, bsize } = statfsSync(path)
  if (bavail * bsize >= byteCount) return
  const wanted = (byteCount / 1e9).toFixed(1)
  throw new UsageError(`'${path}' has too little space for ${what}: about ${wanted} GB are needed`)
}

/** One tool in one round: its own folder, home and cache. */
interface Contestant {
  readonly tool: Tool
  readonly folder: string
  /** Of the newest backup. */
  label: string
  /** Whether there is a first backup for the other rows to work with. */
  isReady: boolean
}

interface Measurement {
  readonly invocation: Omit<Command, 'environment'>
  /** Files and folders that it reads. */
  readonly reads: readonly string[]
  readonly repositoryBytes?: () => number
}

class Comparison {
  readonly samples: Sample[] = []
  changedFileCount: number | undefined
  readonly #settings: Settings
  readonly #tools: readonly Tool[]
  readonly #sources: readonly string[]
  readonly #work: string
  readonly #restored: string
  readonly #withGnuTime: boolean
  readonly #touchBytes: number
  readonly #verified = new Set<string>()
  isInterrupted = false

  constructor(options: {
    readonly settings: Settings
    readonly tools: readonly Tool[]
    readonly sources: readonly string[]
    readonly work: string
    readonly restored: string
    readonly size: DataSize
    readonly withGnuTime: boolean
  }) {
    this.#settings = options.settings
    this.#tools = options.tools
    this.#sources = options.sources
    this.#work = options.work
    this.#restored = options.restored
    this.#withGnuTime = options.withGnuTime
    this.#touchBytes = options.size.byteCount * TOUCHED_FACTOR
  }

  async run(): Promise<void> {
    const copy = join(this.#work, 'changing')
    if (this.#tools.some(({ keepsHistory }) => keepsHistory)) await this.#copyTo(copy)
    for (let round = 1; round <= this.#settings.rounds; round++) await this.#round(round, copy)
  }

  /** Changes are made to a copy: the originals are only read. */
  async #copyTo(copy: string): Promise<void> {
    const environment = environmentOf(this.#work, {})
    await runPlain({ ...copyCommand(this.#sources, copy), environment })
  }

  async #round(round: number, copy: string): Promise<void> {
    const contestants = await this.#prepare(round)
    const withHistory = contestants.filter(({ tool }) => tool.keepsHistory)
    for (const one of contestants) await this.#backup('first', one, this.#sources, round)
    for (const one of withHistory) await this.#backup('unchanged', one, this.#sources, round)
    for (const one of withHistory) {
      const { list } = one.tool
      if (list !== undefined) await this.#measureReading('list', one, round, list(one.folder))
    }
    for (const one of contestants) await this.#restore(one, this.#sources, round)
    for (const one of withHistory) {
      const { check } = one.tool
      if (check !== undefined) await this.#measureReading('check', one, round, check(one.folder))
    }
    if (withHistory.length > 0) await this.#changedRow(withHistory, copy, round)
    for (const { folder } of contestants) removeTree(folder)
  }

  async #prepare(round: number): Promise<Contestant[]> {
    const contestants: Contestant[] = []
    for (const tool of this.#tools) {
      const folder = join(this.#work, `${tool.name}-${round}`)
      mkdirSync(join(folder, 'home'), { recursive: true })
      mkdirSync(join(folder, 'cache'))
      const one: Contestant = { tool, folder, label: '', isReady: true }
      contestants.push(one)
      const invocation = tool.prepare?.(folder)
      if (invocation === undefined) continue
      try {
        await runPlain({ ...invocation, environment: environmentOf(folder, tool.environment) })
      } catch (error) {
        this.#fail('first', one, round, error)
        one.isReady = false
      }
    }
    return contestants
  }

  async #backup(
    row: RowName,
    one: Contestant,
    sources: readonly string[],
    round: number,
  ): Promise<void> {
    const label = `${row}-${round}`
    const isDone = await this.#measure(row, one, round, {
      invocation: one.tool.backup(one.folder, sources, label),
      reads: sources,
      repositoryBytes: () => sizeOf([one.tool.repository(one.folder)]).byteCount,
    })
    if (isDone) one.label = label
    else if (row === 'first') one.isReady = false
  }

  async #restore(one: Contestant, sources: readonly string[], round: number): Promise<void> {
    if (!one.isReady) return
    mkdirSync(this.#restored)
    const { tool, folder, label } = one
    const invocation = tool.restore(folder, this.#restored, label)
    if (await this.#measureReading('restore', one, round, invocation)) {
      this.#verify('restore', one, sources, round)
    }
    removeTree(this.#restored)
  }

  /** Once for each tool and row: a tree that is not the source turns the row into a failure. */
  #verify(row: RowName, one: Contestant, sources: readonly string[], round: number): void {
    const key = `${row} ${one.tool.name}`
    if (this.#verified.has(key)) return
    this.#verified.add(key)
    const difference = firstDifference(sources, this.#restored, one.tool)
    if (difference === undefined) return
    this.#fail(row, one, round, new FailedCommand(`restored tree differs: ${difference}`))
  }

  /** Everybody has a backup of the copy; then it changes, for all of them in the same way. */
  async #changedRow(
    contestants: readonly Contestant[],
    copy: string,
    round: number,
  ): Promise<void> {
    for (const one of contestants) {
      if (!one.isReady) continue
      try {
        await runPlain(this.#command(one, one.tool.backup(one.folder, [copy], `copy-${round}`)))
      } catch (error) {
        this.#fail('changed', one, round, error)
        one.isReady = false
      }
    }
    this.changedFileCount = changeFiles(copy, CHANGED_SHARE, round)
    for (const one of contestants) await this.#backup('changed', one, [copy], round)
    for (const one of contestants) {
      if (!one.isReady || round > 1) continue
      mkdirSync(this.#restored)
      try {
        const { tool, folder, label } = one
        await runPlain(this.#command(one, tool.restore(folder, this.#restored, label)))
        this.#verify('changed', one, [copy], round)
      } catch (error) {
        this.#fail('changed', one, round, error)
      }
      removeTree(this.#restored)
    }
  }

  #command(one: Contestant, invocation: Omit<Command, 'environment'>): Command {
    return { ...invocation, environment: environmentOf(one.folder, one.tool.environment) }
  }

  /** As `#measure`, of a command that reads the repository. */
  async #measureReading(
    row: RowName,
    one: Contestant,
    round: number,
    invocation: Omit<Command, 'environment'>,
  ): Promise<boolean> {
    const reads = [one.tool.repository(one.folder)]
    return await this.#measure(row, one, round, { invocation, reads })
  }

  /**
   * Takes one sample, with what the command reads in the page cache. Returns whether the command did
   * what it was asked for.
   */
  async #measure(
    row: RowName,
    one: Contestant,
    round: number,
    { invocation, reads, repositoryBytes }: Measurement,
  ): Promise<boolean> {
    if (!one.isReady) return false
    const { tool, folder } = one
    if (this.isInterrupted) throw new Interrupted('interrupted')
    process.stderr.write(`round ${round}: ${ROWS[row]}: ${tool.name}\n`)
    await settleMemory(this.#touchBytes)
    readAll(reads)
    try {
      const measured = await runMeasured(this.#command(one, invocation), {
        scratch: folder,
        withGnuTime: this.#withGnuTime,
      })
      // What it left unwritten must not slow down the next.
      spawnSync('sync', ['-f', folder])
      this.samples.push({
        kind: 'measured',
        row,
        tool: tool.name,
        round,
        repositoryBytes: repositoryBytes?.(),
        ...measured,
      })
      return true
    } catch (error) {
      this.#fail(row, one, round, error)
      return false
    }
  }

  #fail(row: RowName, { tool }: Contestant, round: number, error: unknown): void {
    if (!(error instanceof FailedCommand)) throw error
    this.samples.push({ kind: 'failed', row, tool: tool.name, round, message: error.message })
  }
}

/** Nothing of the caller's settings: no certificates, no passwords, no language. */
function environmentOf(
  folder: string,
  own: Readonly<Record<string, string>>,
): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '/usr/bin:/bin',
    LANG: 'C.UTF-8',
    HOME: join(folder, 'home'),
    XDG_CACHE_HOME: join(folder, 'cache'),
    TMPDIR: folder,
    ...own,
  }
}

function installTools(): void {
  if (process.geteuid?.() !== 0) throw new UsageError('--install needs root')
  const options = {
    stdio: 'inherit',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  } as const
  for (const args of [
    ['update', '-qq'],
    ['install', '-y', '-qq', ...PACKAGES],
  ]) {
    const { status } = spawnSync('apt-get', args, options)
    if (status !== 0) throw new UsageError(`'apt-get ${args.join(' ')}' failed`)
  }
}

function prepareSources(settings: Settings, work: string): { sources: string[]; size: DataSize } {
  const sources = [...settings.data]
  for (const source of sources) {
    if (work.startsWith(`${source}/`) || settings.restoreTo.startsWith(`${source}/`)) {
      throw new UsageError(`'${source}' holds the folder that is worked in: use --work`)
    }
  }
  if (settings.tiny) {
    const made = join(work, 'data')
    mkdirSync(made)
    makeTinyTree(made)
    sources.push(made)
  }
  const size = sizeOf(sources)
  if (size.fileCount === 0) throw new UsageError('there are no files in the data')
  requireSpace(settings.work, size.byteCount * WORK_SPACE_FACTOR, 'repositories (--work)')
  requireSpace(settings.restoreTo, size.byteCount * RESTORE_SPACE_FACTOR, 'restores (--restore-to)')
  return { sources, size }
}

/** Returns the exit code: 1 if a figure is missing because something failed. */
async function compare(settings: Settings): Promise<number> {
  const startedAt = new Date()
  const loadAtStart = loadavg()[0] ?? 0
  if (settings.install) installTools()
  const tools = findTools(settings.tools, join(projectFolder(), 'bin', 'cairn.js'))
  const withGnuTime = hasGnuTime()
  const work = mkdtempSync(join(settings.work, 'cairn-bench-'))
  const restoreFolder = mkdtempSync(join(settings.restoreTo, 'cairn-bench-restore-'))
  const onSignal = () => {
    if (comparison !== undefined) comparison.isInterrupted = true
  }
  let comparison: Comparison | undefined
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  try {
    const { sources, size } = prepareSources(settings, work)
    const restored = join(restoreFolder, 'tree')
    comparison = new Comparison({ settings, tools, sources, work, restored, size, withGnuTime })
    await comparison.run()
    const { samples, changedFileCount } = comparison
    const lines = describeRun({
      settings,
      sources,
      size,
      changedFileCount,
      tools,
      withGnuTime,
      startedAt,
      loadAtStart,
    })
    process.stdout.write(`${markdown(lines, samples)}\n`)
    if (settings.jsonFile !== undefined) {
      const json = JSON.stringify({ facts: lines, size, samples }, undefined, 2)
      writeFileSync(settings.jsonFile, `${json}\n`)
    }
    return samples.some(({ kind }) => kind === 'failed') ? 1 : 0
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
    removeTree(work)
    removeTree(restoreFolder)
  }
}

async function main(): Promise<number> {
  try {
    const settings = readSettings(process.argv.slice(2))
    if (!settings.help) return await compare(settings)
    process.stdout.write(USAGE)
    return 0
  } catch (error) {
    if (error instanceof Interrupted) return 130
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`${error.message}\n\n${USAGE}`)
    return 2
  }
}

process.exitCode = await main()
