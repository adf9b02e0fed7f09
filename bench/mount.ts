/**
 * How fast is `cairn mount` to read from, beside `restic mount`? Both mount a backup of the same data,
 * in turn, anew for every measurement, and the same ordinary programs read. Prints a table.
 * `npm run bench:mount -- --help` has the options. Only the folders it makes itself are written to.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createCipheriv } from 'node:crypto'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { readAll, seeded } from './compare/data.ts'
import { settleMemory } from './compare/memory.ts'
import { summarise } from './compare/report.ts'
import { projectFolder } from './compare/settings.ts'

const USAGE = `npm run bench:mount -- [options]

  --rounds N     measurements of each kind (3)
  --work FOLDER  where data and repositories go (the folder for temporary files)
  --large MB     size of the file that is read in order (600)
  --random MB    size of the file that is read at random (4096)
  --entries N    entries that are listed (50000)
  --small N      small files that are archived (5000)
  --json FILE    also write all measurements there
  --tiny         a run of seconds, to see that it works
  --help
`

interface Scale {
  readonly largeBytes: number
  readonly randomBytes: number
  readonly entryCount: number
  readonly smallCount: number
  readonly readCount: number
}

interface Settings {
  readonly rounds: number
  readonly work: string
  readonly scale: Scale
  readonly json: string | undefined
}

/** Seconds, or for the last two seconds of one read. */
const ROWS = {
  ls: 'first ls -l after mounting',
  find: 'find -ls over all entries',
  tar: 'tar of the small files',
  read: 'large file in order, first time',
  p50: '4 KiB at random: median',
  p99: '4 KiB at random: 99 of 100 within',
} as const
type Row = keyof typeof ROWS

interface Sample {
  readonly row: Row
  readonly tool: string
  readonly seconds: number
  /** What the mount itself computed meanwhile: on a machine that does other things this varies less. */
  readonly cpuSeconds: number
}

interface Mounter {
  readonly name: string
  readonly environment: Readonly<Record<string, string>>
  /** Words of the command, with what it should do behind them. */
  command(repository: string): readonly string[]
}

function readSettings(): Settings | undefined {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const { values } = parseArgs({
    options: {
      rounds: text,
      work: text,
      large: text,
      random: text,
      entries: text,
      small: text,
      json: text,
      tiny: flag,
      help: flag,
    },
  })
  if (values.help === true) return undefined
  const isTiny = values.tiny === true
  const number = (value: string | undefined, tiny: number, usual: number) =>
    value === undefined ? (isTiny ? tiny : usual) : Number(value)
  return {
    rounds: number(values.rounds, 1, 3),
    work: resolve(values.work ?? tmpdir()),
    scale: {
      largeBytes: number(values.large, 8, 600) * 1e6,
      randomBytes: number(values.random, 8, 4_096) * 1e6,
      entryCount: number(values.entries, 300, 50_000),
      smallCount: number(values.small, 100, 5_000),
      readCount: isTiny ? 50 : 1_000,
    },
    json: values.json,
  }
}

function mounters(): Mounter[] {
  const entry = join(projectFolder(), 'bin/cairn.js')
  const all: Mounter[] = [
    {
      name: 'cairn',
      environment: { CAIRN_PASSWORD: 'bench-password' },
      command: (repository) => [process.execPath, entry, '-r', repository],
    },
    {
      name: 'restic',
      environment: { RESTIC_PASSWORD: 'bench-password' },
      command: (repository) => ['restic', '-r', repository],
    },
  ]
  const hasRestic = spawnSync('restic', ['version']).status === 0
  return hasRestic ? all : all.slice(0, 1)
}

/** Half noise and half text, so that it compresses like the files that people have. */
function writeMixed(path: string, byteCount: number, seed: number): void {
  const random = seeded(seed)
  const file = openSync(path, 'wx')
  const block = Buffer.alloc(1 << 20)
  // A stream cipher makes gigabytes of noise in seconds, the same at every run.
  const noise = createCipheriv('chacha20', Buffer.alloc(32, seed), Buffer.alloc(16))
  const zeros = Buffer.alloc(block.length / 2)
  for (let at = 0; at < byteCount; at += block.length) {
    noise.update(zeros).copy(block)
    block.fill(`line ${random(1e9)} of a text that repeats itself\n`, block.length / 2)
    writeSync(file, block, 0, Math.min(block.length, byteCount - at))
  }
  closeSync(file)
}

function makeData(
  folder: string,
  { largeBytes, randomBytes, entryCount, smallCount }: Scale,
): void {
  const random = seeded(3)
  mkdirSync(join(folder, 'small'), { recursive: true })
  mkdirSync(join(folder, 'entries'))
  writeMixed(join(folder, 'large'), largeBytes, 1)
  writeMixed(join(folder, 'random'), randomBytes, 2)
  for (let i = 0; i < smallCount; i++) {
    const directory = join(folder, 'small', String(i % 50))
    mkdirSync(directory, { recursive: true })
    writeFileSync(join(directory, `file-${i}.txt`), `${i} some words\n`.repeat(10 + random(400)))
  }
  for (let i = 0; i < entryCount; i++) {
    const directory = join(folder, 'entries', String(i % 20), String(i % 500))
    mkdirSync(directory, { recursive: true })
    writeFileSync(join(directory, `entry-${i}`), '')
  }
}

/** One tool with its repository. */
class Contestant {
  readonly name: string
  readonly #words: readonly string[]
  readonly #environment: NodeJS.ProcessEnv
  readonly #mountpoint: string

  constructor(mounter: Mounter, folder: string) {
    this.name = mounter.name
    this.#words = mounter.command(join(folder, 'repo'))
    this.#mountpoint = join(folder, 'mnt')
    for (const name of ['home', 'mnt']) mkdirSync(join(folder, name), { recursive: true })
    const { PATH } = process.env
    this.#environment = { PATH, HOME: join(folder, 'home'), ...mounter.environment }
  }

  #spawn(args: readonly string[]): ChildProcess {
    const [program = '', ...rest] = [...this.#words, ...args]
    const child = spawn(program, rest, {
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stdout?.resume()
    child.stderr?.resume()
    return child
  }

  async run(...args: readonly string[]): Promise<void> {
    const code = await ended(this.#spawn(args))
    if (code !== 0) throw new Error(`${this.name} ${args.join(' ')} ended with ${code}`)
  }

  /**
   * Calls `measure` with the newest snapshot, as it is mounted for that. Returns its result, and how
   * much the mount computed meanwhile.
   */
  async mounted<T>(
    measure: (snapshot: string) => Promise<T>,
  ): Promise<{ readonly result: T; readonly cpuSeconds: number }> {
    const child = this.#spawn(['mount', this.#mountpoint])
    const end = ended(child)
    try {
      while (spawnSync('mountpoint', ['-q', this.#mountpoint]).status !== 0) {
        if (child.exitCode !== null) throw new Error(`${this.name} mount ended`)
        await new Promise((wake) => setTimeout(wake, 20))
      }
      const before = cpuSecondsOf(child)
      const result = await measure(join(this.#mountpoint, 'snapshots/latest'))
      return { result, cpuSeconds: cpuSecondsOf(child) - before }
    } finally {
      child.kill('SIGINT')
      const limit = setTimeout(() => spawnSync('umount', ['-l', this.#mountpoint]), 20_000)
      await end
      clearTimeout(limit)
    }
  }
}

const TICKS_PER_SECOND = 100

/** In user mode and in the kernel: fields 14 and 15 of proc(5)'s stat, behind a name in brackets. */
function cpuSecondsOf({ pid }: ChildProcess): number {
  const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')
  const [user = '0', system = '0'] = fields.split(' ').slice(11)
  return (Number(user) + Number(system)) / TICKS_PER_SECOND
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((done, reject) => {
    child.on('error', reject)
    child.on('exit', done)
  })
}

/** Seconds that a script takes; its first argument is `path`. */
async function seconds(script: string, path: string): Promise<number> {
  const start = performance.now()
  const code = await ended(spawn('sh', ['-c', script, 'sh', path], { stdio: 'ignore' }))
  if (code !== 0) throw new Error(`'${script}' ended with ${code}`)
  return (performance.now() - start) / 1000
}

const SCRIPTS = {
  ls: ['ls -l "$1"', ''],
  find: ['find "$1" -ls', 'entries'],
  // tar knows /dev/null, and would not read for it.
  tar: ['tar -C "$1" -cf - . | cat', 'small'],
  read: ['cat "$1" | cat', 'large'],
} as const

/** Prints the nanoseconds that reads at random places took, one a line. */
const READER = `
const [path, count, limit] = process.argv.slice(1)
const { openSync, readSync, writeSync } = require('node:fs')
const file = openSync(path, 'r'), buffer = Buffer.alloc(4096)
let state = 12345, out = ''
for (let i = 0; i < Number(count); i++) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  const at = Math.floor((state / 2 ** 32) * (Number(limit) - 4096))
  const start = process.hrtime.bigint()
  readSync(file, buffer, 0, 4096, at)
  out += (process.hrtime.bigint() - start) + '\\n'
}
writeSync(1, out)
`

async function randomReads(path: string, { readCount, randomBytes }: Scale): Promise<number[]> {
  const args = ['-e', READER, path, String(readCount), String(randomBytes)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part
  })
  const closed = new Promise((done) => child.on('close', done))
  const code = await ended(child)
  await closed
  if (code !== 0) throw new Error(`reading at random ended with ${code}`)
  return text
    .trim()
    .split('\n')
    .map(Number)
    .toSorted((a, b) => a - b)
}

async function measureAll(
  contestants: readonly Contestant[],
  { rounds, scale }: Settings,
  source: string,
): Promise<Sample[]> {
  const samples: Sample[] = []
  for (let round = 0; round < rounds; round++) {
    for (const [row, [script, name]] of Object.entries(SCRIPTS)) {
      for (const one of contestants) {
        const take = async (snapshot: string) => {
          // Who looks first does not wait, and needs hardly any.
          if (row !== 'ls') await settleMemory(3 * scale.largeBytes)
          return seconds(script, join(snapshot, source, name))
        }
        const { result, cpuSeconds } = await one.mounted(take)
        samples.push({ row: row as Row, tool: one.name, seconds: result, cpuSeconds })
      }
    }
    for (const one of contestants) {
      const take = (snapshot: string) => randomReads(join(snapshot, source, 'random'), scale)
      const { result: times, cpuSeconds } = await one.mounted(take)
      const at = (share: number) => (times[Math.floor(times.length * share)] ?? 0) / 1e9
      samples.push({ row: 'p50', tool: one.name, seconds: at(0.5), cpuSeconds })
      samples.push({ row: 'p99', tool: one.name, seconds: at(0.99), cpuSeconds })
    }
  }
  return samples
}

function table(samples: readonly Sample[]): string {
  const lines = [
    '| | cairn (s) | restic (s) | cairn / restic | CPU of cairn (s) | CPU of restic (s) |',
    '|---|---|---|---|---|---|',
  ]
  for (const [row, title] of Object.entries(ROWS)) {
    const of = (tool: string, figure: 'seconds' | 'cpuSeconds') =>
      summarise(
        samples.filter((one) => one.row === row && one.tool === tool).map((one) => one[figure]),
      )
    const [cairn, restic] = [of('cairn', 'seconds'), of('restic', 'seconds')]
    const shown = (figure: typeof cairn) =>
      figure === undefined
        ? ''
        : `${figure.median.toPrecision(3)} (${figure.min.toPrecision(2)}–${figure.max.toPrecision(2)})`
    const ratio =
      cairn === undefined || restic === undefined ? '' : (cairn.median / restic.median).toFixed(2)
    const cpu = ['cairn', 'restic'].map((tool) => of(tool, 'cpuSeconds')?.median.toFixed(2) ?? '')
    lines.push(`| ${[title, shown(cairn), shown(restic), ratio, ...cpu].join(' | ')} |`)
  }
  return lines.join('\n')
}

async function main(): Promise<void> {
  const settings = readSettings()
  if (settings === undefined) {
    process.stdout.write(USAGE)
    return
  }
  const work = mkdtempSync(join(settings.work, 'cairn-bench-mount-'))
  try {
    const source = join(work, 'data')
    makeData(source, settings.scale)
    const contestants = mounters().map(
      (mounter) => new Contestant(mounter, join(work, mounter.name)),
    )
    for (const one of contestants) {
      await one.run('init')
      await one.run('backup', source)
      // Repositories come from the page cache for everybody.
      readAll([join(work, one.name, 'repo')])
    }
    const samples = await measureAll(contestants, settings, source)
    const { entryCount, largeBytes, randomBytes, smallCount } = settings.scale
    process.stdout.write(
      `${settings.rounds} rounds, medians (least–most); large file ${largeBytes / 1e6} MB, ` +
        `file read at random ${randomBytes / 1e6} MB, ${smallCount} small files, ` +
        `${entryCount} entries; Linux ${readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim()}, ` +
        `load ${loadavg()[0]?.toFixed(1)}\n\n${table(samples)}\n`,
    )
    if (settings.json !== undefined) writeFileSync(settings.json, JSON.stringify(samples))
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

await main()
