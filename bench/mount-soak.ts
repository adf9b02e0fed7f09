/**
 * Does `cairn mount` stay as it is? For minutes, several processes list, read and compare at random,
 * caches are dropped where that is allowed, and backups are made meanwhile. At the end, the memory and
 * the open files of the mount must be what they were after the first part, and it never takes more
 * memory than its cache and a constant. `npm run soak:mount -- --help` has the options. Only the
 * folders it makes itself are written to.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createCipheriv } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { makeTinyTree, seeded } from './compare/data.ts'
import { projectFolder } from './compare/settings.ts'

const USAGE = `npm run soak:mount -- [options]

  --minutes N    how long (60)
  --work FOLDER  where data, repository and mountpoint go (the folder for temporary files)
  --help
`

const CACHE_MIB = 64
/** Resident memory besides the cache: code, threads, and what deriving keys has left. */
const REST_BYTES_MAX = 300 << 20
/** More resident memory than after the first quarter that is still no leak. */
const GROWTH_BYTES_MAX = 64 << 20
const READERS = 4

/** Lists, stats and reads at random below a folder, until it is killed. */
const READER = `
const { readdirSync, readFileSync, lstatSync, readlinkSync, openSync, readSync, closeSync } = require('node:fs')
const [root, seed] = process.argv.slice(1)
let state = Number(seed)
const random = (limit) => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return Math.floor(state / 2 ** 32 * limit) }
const buffer = Buffer.alloc(300000)
for (;;) {
  let path = root
  for (let depth = 0; depth < 12; depth++) {
    const names = readdirSync(path)
    if (names.length === 0) break
    path += '/' + names[random(names.length)]
    const stat = lstatSync(path)
    if (stat.isSymbolicLink()) { readlinkSync(path); break }
    if (stat.isFile()) {
      const file = openSync(path, 'r')
      for (let i = 0; i < 5; i++) readSync(file, buffer, 0, random(buffer.length), random(stat.size + 1))
      closeSync(file)
    }
    if (!stat.isDirectory()) break
  }
}
`

interface State {
  readonly residentBytes: number
  readonly descriptorCount: number
}

function stateOf(pid: number): State {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const [, kilobytes = '0'] = /VmRSS:\s+(\d+)/.exec(status) ?? []
  return {
    residentBytes: Number(kilobytes) * 1024,
    descriptorCount: readdirSync(`/proc/${pid}/fd`).length,
  }
}

function makeSource(source: string): void {
  mkdirSync(source)
  makeTinyTree(source)
  const random = seeded(8)
  // More than the cache holds.
  writeFileSync(join(source, 'large'), noise(120 << 20))
  for (let i = 0; i < 3_000; i++) {
    const directory = join(source, 'many', String(i % 300))
    mkdirSync(directory, { recursive: true })
    writeFileSync(join(directory, `file ${i}`), `${i} `.repeat(random(3_000)))
  }
}

/** What no compressor makes smaller, the same at every run. */
function noise(byteCount: number): Buffer {
  const cipher = createCipheriv('chacha20', Buffer.alloc(32, 7), Buffer.alloc(16))
  return cipher.update(Buffer.alloc(byteCount))
}

function dropCaches(): void {
  try {
    writeFileSync('/proc/sys/vm/drop_caches', '2')
  } catch {
    // Not root: the kernel forgets by itself, more slowly.
  }
}

class Soak {
  readonly #folder: string
  readonly #environment: NodeJS.ProcessEnv
  readonly #words: readonly string[]
  readonly #children: ChildProcess[] = []
  readonly #mountpoint: string

  constructor(folder: string) {
    this.#folder = folder
    this.#mountpoint = join(folder, 'mnt')
    this.#words = [join(projectFolder(), 'bin/cairn.js'), '-r', join(folder, 'repo')]
    const { PATH } = process.env
    this.#environment = { PATH, HOME: join(folder, 'home'), CAIRN_PASSWORD: 'soak' }
    for (const name of ['home', 'mnt']) mkdirSync(join(folder, name))
    makeSource(join(folder, 'source'))
  }

  #cairn(...args: readonly string[]): void {
    const options = { env: this.#environment, encoding: 'utf8' } as const
    const { status, stderr } = spawnSync(process.execPath, [...this.#words, ...args], options)
    if (status !== 0) throw new Error(`cairn ${args.join(' ')} ended with ${status}: ${stderr}`)
  }

  #start(args: readonly string[]): ChildProcess {
    const child = spawn(process.execPath, args, { env: this.#environment, stdio: 'ignore' })
    this.#children.push(child)
    return child
  }

  async run(minutes: number): Promise<string | undefined> {
    this.#cairn('init')
    this.#cairn('backup', '-q', join(this.#folder, 'source'))
    const mount = this.#start([
      ...this.#words,
      'mount',
      '--cache-size',
      `${CACHE_MIB}M`,
      this.#mountpoint,
    ])
    while (spawnSync('mountpoint', ['-q', this.#mountpoint]).status !== 0) {
      if (mount.exitCode !== null) throw new Error('mount ended')
      await sleep(50)
    }
    const readers = Array.from({ length: READERS }, (_, i) =>
      this.#start(['-e', READER, this.#mountpoint, String(i + 1)]),
    )
    return await this.#watch(mount, readers, minutes)
  }

  /** What is wrong, or undefined. */
  async #watch(
    mount: ChildProcess,
    readers: readonly ChildProcess[],
    minutes: number,
  ): Promise<string | undefined> {
    const parts = 16
    let base: State | undefined
    for (let part = 1; part <= parts; part++) {
      await sleep((minutes * 60_000) / parts)
      if (part % 4 === 0) this.#cairn('backup', '-q', join(this.#folder, 'source'))
      dropCaches()
      if (mount.exitCode !== null) return `the mount ended with ${mount.exitCode}`
      const dead = readers.find(({ exitCode }) => exitCode !== null)
      if (dead !== undefined) return `a reader ended with ${dead.exitCode}`
      const state = stateOf(mount.pid ?? 0)
      const { residentBytes, descriptorCount } = state
      process.stdout.write(
        `${part}/${parts}: ${residentBytes >> 20} MiB, ${descriptorCount} files\n`,
      )
      if (residentBytes > (CACHE_MIB << 20) + REST_BYTES_MAX) return 'it takes too much memory'
      if (part === parts / 4) base = state
      if (part < parts || base === undefined) continue
      if (residentBytes > base.residentBytes + GROWTH_BYTES_MAX) return 'memory has grown'
      if (descriptorCount > base.descriptorCount + 4) return 'more files are open'
    }
    return undefined
  }

  async end(): Promise<void> {
    const [mount, ...readers] = this.#children
    for (const reader of readers) reader.kill('SIGKILL')
    const ended = new Promise((done) => mount?.on('exit', done))
    if (mount === undefined || mount.exitCode !== null) return
    mount.kill('SIGTERM')
    await Promise.race([ended, sleep(20_000)])
    spawnSync('umount', ['-l', this.#mountpoint], { stdio: 'ignore' })
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, ms))
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { minutes: { type: 'string' }, work: { type: 'string' }, help: { type: 'boolean' } },
  })
  if (values.help === true) {
    process.stdout.write(USAGE)
    return
  }
  const folder = mkdtempSync(join(resolve(values.work ?? tmpdir()), 'cairn-soak-mount-'))
  const soak = new Soak(folder)
  try {
    const problem = await soak.run(Number(values.minutes ?? '60'))
    process.stdout.write(problem === undefined ? 'nothing has grown\n' : `FAILED: ${problem}\n`)
    process.exitCode = problem === undefined ? 0 : 1
  } finally {
    await soak.end()
    rmSync(folder, { recursive: true, force: true })
  }
}

await main()
