/**
 * What a repository's later life costs: forgetting half of many snapshots and freeing their space,
 * finding a name in all of them, comparing two, and opening one that has forgotten a lot. cairn and
 * restic in turn, on the same data. `npm run bench:life -- --help` has the options.
 */

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { changeFiles, makeTinyTree, sizeOf } from './compare/data.ts'
import { FailedCommand, hasGnuTime, runMeasured, runPlain } from './compare/measure.ts'
import { projectFolder, UsageError } from './compare/settings.ts'
import { copyCommand, findTools, type Tool } from './compare/tools.ts'
import { plantTombstones } from './life/tombstones.ts'
import { type LifeRow, type LifeSample, lifeTable, ROW_TITLES } from './life/table.ts'

const USAGE = `npm run bench:life -- [options]

  --data DIR       what to back up (repeatable; default: /usr/share /usr/include /usr/bin)
  --snapshots N    how many snapshots to make, at least 2 (default: 50; with --tiny 4)
  --forgotten N    how many more to have forgotten before 'snapshots' (default: 100000; with --tiny 200)
  --rounds N       repetitions of what changes nothing (default: 3; with --tiny 1)
  --tiny           a few dozen generated files instead, to see that it works
  --work DIR       where the copy and the repositories go (default: the temporary folder)
`
const CHANGED_SHARE = 0.01
/** A name that is in the changed tree and in few of its directories. */
const WANTED_NAME = { tiny: 'noise.bin', full: 'stdio.h' }

interface Settings {
  readonly data: readonly string[]
  readonly snapshots: number
  readonly forgotten: number
  readonly rounds: number
  readonly tiny: boolean
  readonly work: string
}

function positive(text: string | undefined, fallback: number, least: number): number {
  const value = Number(text ?? fallback)
  if (Number.isInteger(value) && value >= least) return value
  throw new UsageError(`'${text}' is not a whole number of at least ${least}`)
}

function parsed(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        data: { type: 'string', multiple: true },
        snapshots: { type: 'string' },
        forgotten: { type: 'string' },
        rounds: { type: 'string' },
        tiny: { type: 'boolean', default: false },
        work: { type: 'string', default: tmpdir() },
        help: { type: 'boolean', default: false, short: 'h' },
      },
    }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function settingsOf(values: ReturnType<typeof parsed>): Settings {
  const { tiny, work } = values
  const data = values.data ?? ['/usr/share', '/usr/include', '/usr/bin']
  return {
    tiny,
    data: tiny ? [] : data.map((path) => realpathSync(path)),
    snapshots: positive(values.snapshots, tiny ? 4 : 50, 2),
    forgotten: positive(values.forgotten, tiny ? 200 : 100_000, 0),
    rounds: positive(values.rounds, tiny ? 1 : 3, 1),
    work: realpathSync(work),
  }
}

/** One tool with a repository of its own. */
interface Contestant {
  readonly tool: Tool
  readonly folder: string
  /** Global arguments, which name the repository. */
  readonly words: readonly string[]
}

class Life {
  readonly samples: LifeSample[] = []
  readonly #settings: Settings
  readonly #contestants: readonly Contestant[]
  readonly #copy: string
  readonly #withGnuTime = hasGnuTime()

  constructor(settings: Settings, contestants: readonly Contestant[], copy: string) {
    this.#settings = settings
    this.#contestants = contestants
    this.#copy = copy
  }

  async run(): Promise<void> {
    await this.#history()
    const { rounds, tiny } = this.#settings
    const ids = new Map<Contestant, readonly string[]>()
    for (const one of this.#contestants) ids.set(one, snapshotIds(one))
    for (let round = 0; round < rounds; round++) {
      for (const one of this.#contestants) {
        const [older = '', newer = ''] = ids.get(one)?.slice(-2) ?? []
        await this.#measure('find', one, ['find', WANTED_NAME[tiny ? 'tiny' : 'full']])
        await this.#measure('diff', one, ['diff', older, newer])
        await this.#measure('open', one, ['snapshots'])
      }
    }
    const keep = Math.ceil(this.#settings.snapshots / 2)
    for (const one of this.#contestants) {
      const words = ['forget', '--keep-last', String(keep), '--group-by', '', '--prune']
      await this.#measure('prune', one, words)
    }
    await this.#manyForgotten()
  }

  /** The snapshots, of a tree in which something changes between one and the next. */
  async #history(): Promise<void> {
    for (let number = 0; number < this.#settings.snapshots; number++) {
      if (number > 0) changeFiles(this.#copy, CHANGED_SHARE, number)
      process.stderr.write(`snapshot ${number + 1} of ${this.#settings.snapshots}\n`)
      for (const one of this.#contestants) {
        await runPlain(this.#command(one, ['backup', '-q', this.#copy]))
      }
    }
  }

  /** restic keeps nothing of what it forgot: there is only cairn's own figure of before to compare with. */
  async #manyForgotten(): Promise<void> {
    const { forgotten, rounds } = this.#settings
    const cairn = this.#contestants.find(({ tool }) => tool.name === 'cairn')
    if (cairn === undefined || forgotten === 0) return
    for (let round = 0; round < rounds; round++) {
      await this.#measure('before', cairn, ['snapshots'])
    }
    process.stderr.write(`forgetting ${forgotten} more\n`)
    await plantTombstones(cairn.tool.repository(cairn.folder), cairn.tool.environment, forgotten)
    for (let round = 0; round < rounds; round++) {
      await this.#measure('after', cairn, ['snapshots'])
    }
  }

  #command({ tool, folder, words }: Contestant, args: readonly string[]) {
    const [program = '', ...rest] = words
    const environment = environmentOf(folder, tool.environment)
    return { program, args: [...rest, ...args], environment }
  }

  async #measure(row: LifeRow, one: Contestant, args: readonly string[]): Promise<void> {
    process.stderr.write(`${ROW_TITLES[row]}: ${one.tool.name}\n`)
    const measured = await runMeasured(this.#command(one, args), {
      scratch: one.folder,
      withGnuTime: this.#withGnuTime,
    })
    const repositoryBytes = sizeOf([one.tool.repository(one.folder)]).byteCount
    this.samples.push({ row, tool: one.tool.name, repositoryBytes, ...measured })
    spawnSync('sync', ['-f', one.folder])
  }
}

function environmentOf(folder: string, own: Readonly<Record<string, string>>) {
  return {
    PATH: process.env.PATH ?? '/usr/bin:/bin',
    LANG: 'C.UTF-8',
    HOME: join(folder, 'home'),
    XDG_CACHE_HOME: join(folder, 'cache'),
    TMPDIR: folder,
    ...own,
  }
}

/** Oldest first. */
function snapshotIds({ tool, folder, words }: Contestant): string[] {
  const [program = '', ...rest] = words
  const { stdout } = spawnSync(program, [...rest, 'snapshots', '--json'], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: environmentOf(folder, tool.environment),
  })
  const found = JSON.parse(stdout) as { id: string; time: string }[]
  return found.toSorted((a, b) => Date.parse(a.time) - Date.parse(b.time)).map(({ id }) => id)
}

async function prepare(tool: Tool, work: string): Promise<Contestant> {
  const folder = join(work, tool.name)
  mkdirSync(join(folder, 'home'), { recursive: true })
  mkdirSync(join(folder, 'cache'))
  const invocation = tool.prepare?.(folder)
  if (invocation === undefined) throw new UsageError(`${tool.name} keeps no history`)
  await runPlain({ ...invocation, environment: environmentOf(folder, tool.environment) })
  return { tool, folder, words: [invocation.program, ...invocation.args.slice(0, -1)] }
}

async function life(settings: Settings): Promise<void> {
  const tools = findTools(new Set(['cairn', 'restic']), join(projectFolder(), 'bin', 'cairn.js'))
  const work = mkdtempSync(join(settings.work, 'cairn-life-'))
  try {
    const copy = join(work, 'data')
    mkdirSync(copy)
    if (settings.tiny) makeTinyTree(copy)
    else {
      await runPlain({
        ...copyCommand(settings.data, copy),
        environment: environmentOf(work, {}),
      })
    }
    const contestants: Contestant[] = []
    for (const tool of tools) contestants.push(await prepare(tool, work))
    const run = new Life(settings, contestants, copy)
    await run.run()
    const { fileCount, byteCount } = sizeOf([copy])
    const about = [
      `- Data: ${fileCount} files, ${(byteCount / 1e6).toFixed(1)} MB, ${settings.snapshots} snapshots, 1 % of the files changed before each`,
      ...tools.map(({ version, settings: how }) => `- ${version}; ${how}`),
    ]
    process.stdout.write(`${about.join('\n')}\n\n${lifeTable(run.samples)}`)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

async function main(): Promise<number> {
  try {
    const values = parsed(process.argv.slice(2))
    if (values.help) process.stdout.write(USAGE)
    else await life(settingsOf(values))
    return 0
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof FailedCommand)) throw error
    process.stderr.write(`${error.message}\n`)
    return error instanceof UsageError ? 2 : 1
  }
}

process.exitCode = await main()
