/**
 * `cairn` as a user has it: `bin/cairn.js` as a process of its own, with a home, cache, source and
 * repository of its own in a temporary directory that goes away with the test.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

const PROGRAM = fileURLToPath(new URL('../../bin/cairn.js', import.meta.url))
/** Nobody's: `setpriv` needs no account for it. */
const OTHER_UID = 65_534

export interface Finished {
  /** Undefined if a signal ended it. */
  readonly code: number | undefined
  readonly signal: string | undefined
  readonly stdout: string
  readonly stderr: string
}

/** A JSON object whose fields tests look into. */
// oxlint-disable-next-line typescript/no-explicit-any
export type Json = any

/** The JSON objects of `text`, one a line. Throws if there is any other line. */
export function jsonLines(text: string): Json[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Json)
}

/** The last line of a backup's stdout with --json. */
export function summaryOf(finished: Finished): Json {
  return jsonLines(finished.stdout).findLast((line) => line.message_type === 'summary')
}

export interface RunOptions {
  /** Over those of the box; undefined takes one away. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  readonly input?: string | Uint8Array
  /** Gives a pipe for stdin in which nothing ever comes. */
  readonly holdsInput?: boolean
  readonly workingDirectory?: string
  /** Another Node.js to run it with. */
  readonly runtime?: string
  /** Runs without root's rights. Only where `isRoot`. */
  readonly asOther?: boolean
}

export interface Started {
  readonly child: ChildProcess
  readonly finished: Promise<Finished>
}

/** How to start `cairn`, for those who start it themselves. The cache is below `home`. */
export function cairnCommand(
  args: readonly string[],
  {
    home,
    environment = {},
    asOther = false,
    runtime = process.execPath,
  }: RunOptions & { readonly home: string },
) {
  const words = [runtime, PROGRAM, ...args]
  if (asOther) {
    const ids = [`--reuid=${OTHER_UID}`, `--regid=${OTHER_UID}`, '--clear-groups']
    words.unshift('setpriv', ...ids, '--')
  }
  const [command = '', ...rest] = words
  const env = {
    PATH: process.env['PATH'],
    HOME: home,
    XDG_CACHE_HOME: join(home, '.cache'),
    TZ: 'UTC',
    CAIRN_PASSWORD: 'correct horse',
    ...environment,
  }
  return { command, args: rest, env }
}

function startCairn(
  words: readonly string[],
  options: RunOptions & { readonly home: string },
): Started {
  const { command, args, env } = cairnCommand(words, options)
  const { input, workingDirectory, holdsInput = false } = options
  const child = spawn(command, args, {
    cwd: workingDirectory,
    stdio: [input === undefined && !holdsInput ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    env,
  })
  // A command that fails early does not read its input.
  child.stdin?.on('error', () => {})
  if (!holdsInput) child.stdin?.end(input)
  return { child, finished: finish(child) }
}

/** Runs `cairn` without a box: for tests that have their own places. */
export function runCairn(
  args: readonly string[],
  options: RunOptions & { readonly home: string },
): Promise<Finished> {
  return startCairn(args, options).finished
}

export const isRoot = process.getuid?.() === 0

export class Box {
  /** Holds all the others. */
  readonly path: string
  readonly home: string
  readonly cache: string
  readonly repository: string
  readonly source: string
  readonly #secret: Readonly<Record<string, string | undefined>>

  constructor(path: string, withPassword: boolean) {
    this.path = path
    const keyFile = join(path, 'key')
    writeFileSync(keyFile, 'f0'.repeat(32), { mode: 0o600 })
    this.#secret = withPassword ? {} : { CAIRN_KEY_FILE: keyFile, CAIRN_PASSWORD: undefined }
    this.home = join(path, 'home')
    this.cache = join(path, 'cache')
    this.repository = join(path, 'repository')
    this.source = join(path, 'source')
    for (const directory of [this.home, this.cache, this.source]) mkdirSync(directory)
  }

  /** How to start `cairn` here, for those who start it themselves. */
  command(args: readonly string[]) {
    const environment = { CAIRN_REPOSITORY: this.repository, ...this.#secret }
    return cairnCommand(args, { home: this.home, environment })
  }

  start(args: readonly string[], options: RunOptions = {}): Started {
    const environment = {
      XDG_CACHE_HOME: this.cache,
      CAIRN_REPOSITORY: this.repository,
      ...this.#secret,
      ...options.environment,
    }
    const started = startCairn(args, {
      workingDirectory: this.path,
      ...options,
      home: this.home,
      environment,
    })
    onTestFinished(() => void started.child.kill('SIGKILL'))
    return started
  }

  run(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
    return this.start(args, options).finished
  }

  /** Runs what has to succeed. */
  async succeed(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
    const finished = await this.run(args, options)
    if (finished.code === 0) return finished
    throw new Error(`cairn ${args.join(' ')} ended with ${finished.code}: ${finished.stderr}`)
  }

  /** Writes a file below the source, and the directories above it. Returns its path. */
  write(name: string, content: string | Uint8Array = name): string {
    const path = join(this.source, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content)
    return path
  }

  /** The paths in a snapshot, without those above the source. */
  async list(reference = 'latest'): Promise<string[]> {
    const { stdout } = await this.succeed(['ls', '-q', reference])
    const prefix = `${this.source}/`
    return stdout
      .split('\n')
      .filter((line) => line.startsWith(prefix))
      .map((line) => line.slice(prefix.length))
  }

  async snapshots(): Promise<Json[]> {
    const { stdout } = await this.succeed(['snapshots', '--json'])
    return JSON.parse(stdout) as Json[]
  }

  /** Every file below `directory` of the repository, as paths relative to the repository. */
  repositoryFiles(directory = ''): string[] {
    const entries = readdirSync(join(this.repository, directory), {
      recursive: true,
      withFileTypes: true,
    })
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(this.repository.length + 1))
      .toSorted()
  }
}

function finish(child: ChildProcess): Promise<Finished> {
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) =>
      resolve({ code: code ?? undefined, signal: signal ?? undefined, ...output }),
    )
  })
}

export interface BoxOptions {
  /** Where to make it, a tmpfs for example. */
  readonly under?: string
  /** A password as users have it; otherwise a key file, which saves 0.3 s of derivation a run. */
  readonly withPassword?: boolean
}

/** To be called within a test. */
export function newBox({ under = tmpdir(), withPassword = false }: BoxOptions = {}): Box {
  const path = mkdtempSync(join(under, 'cairn-e2e-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return new Box(path, withPassword)
}

/** Waits until files that were just written are old enough to be told from later changes. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 2200))
}

/** A box with a repository in it and one small file in the source. */
export async function newRepository(options: BoxOptions = {}): Promise<Box> {
  const box = newBox(options)
  box.write('a.txt', 'alpha')
  await box.succeed(['init'])
  return box
}
