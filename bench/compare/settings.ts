/** The command line of the comparison, and what has to be known about the machine and the data. */

import { spawnSync } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { availableParallelism, cpus, release, tmpdir, totalmem, type } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { DataSize } from './data.ts'
import { TOOL_NAMES, type Tool } from './tools.ts'

export const USAGE = `npm run bench -- [options]

  --data DIR         what to back up (repeatable; default: /usr/share /usr/include /usr/bin)
  --rounds N         how often (default: 3; with --tiny 1)
  --tools a,b        of cairn, restic, borg, tar, cp (default: those that are installed)
  --tiny             a few dozen generated files instead, to see that it works
  --install          install restic, borgbackup, zstd and time from Debian, as root
  --work DIR         where repositories and copies go (default: the temporary folder)
  --restore-to DIR   where restores go (default: /dev/shm)
  --json FILE        write all samples there as well
`

/** A mistake on the command line. */
export class UsageError extends Error {}

export interface Settings {
  /** Absolute; empty with `tiny`. */
  readonly data: readonly string[]
  readonly rounds: number
  readonly tools: ReadonlySet<string>
  readonly tiny: boolean
  readonly install: boolean
  readonly help: boolean
  readonly work: string
  readonly restoreTo: string
  readonly jsonFile: string | undefined
}

const DATA = ['/usr/share', '/usr/include', '/usr/bin']

function existing(path: string): string {
  if (!existsSync(path)) throw new UsageError(`'${path}' does not exist`)
  return realpathSync(path)
}

const OPTIONS = {
  data: { type: 'string', multiple: true },
  rounds: { type: 'string' },
  tools: { type: 'string', default: TOOL_NAMES.join(',') },
  tiny: { type: 'boolean', default: false },
  install: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false, short: 'h' },
  work: { type: 'string', default: tmpdir() },
  'restore-to': { type: 'string' },
  json: { type: 'string' },
} as const

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

export function readSettings(argv: readonly string[]): Settings {
  const values = parse(argv)
  const rounds = Number(values.rounds ?? (values.tiny ? 1 : 3))
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 1000) {
    throw new UsageError(`'${values.rounds}' is not a number of rounds`)
  }
  const tools = new Set(values.tools.split(',').filter((name) => name !== ''))
  const known: readonly string[] = TOOL_NAMES
  const unknown = [...tools].find((name) => !known.includes(name))
  if (unknown !== undefined) throw new UsageError(`'${unknown}' is none of ${known.join(', ')}`)
  if (values.tiny && values.data !== undefined) {
    throw new UsageError('--tiny and --data exclude each other')
  }
  const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  return {
    data: values.tiny ? [] : (values.data ?? DATA).map((path) => existing(resolve(path))),
    rounds,
    tools,
    tiny: values.tiny,
    install: values.install,
    help: values.help,
    work: existing(resolve(values.work)),
    restoreTo: existing(resolve(values['restore-to'] ?? memory)),
    jsonFile: values.json === undefined ? undefined : resolve(values.json),
  }
}

/** The folder with bin/cairn.js, wherever this file was compiled to below it. */
export function projectFolder(): string {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'bin', 'cairn.js'))) return folder
    if (folder === dirname(folder)) throw new UsageError('there is no bin/cairn.js above this file')
  }
}

export function fileSystemOf(path: string): string {
  const { status, stdout } = spawnSync('df', ['--output=fstype', path], { encoding: 'utf8' })
  return (status === 0 ? stdout.trim().split('\n').at(-1) : undefined) ?? 'unknown file system'
}

export interface Facts {
  readonly settings: Settings
  readonly sources: readonly string[]
  readonly size: DataSize
  readonly changedFileCount: number | undefined
  readonly tools: readonly Tool[]
  readonly withGnuTime: boolean
  readonly startedAt: Date
  readonly loadAtStart: number
}

/** The lines above the table. */
export function describeRun(facts: Facts): string[] {
  const { settings, sources, size, tools, withGnuTime, startedAt } = facts
  const missing = [...settings.tools].filter((name) => !tools.some((tool) => tool.name === name))
  const memory = `${(totalmem() / 2 ** 30).toFixed(0)} GiB`
  const what = settings.tiny ? 'generated files' : sources.join(' ')
  return [
    `- Machine: ${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} cores usable, ` +
      `${memory} of memory, ${type()} ${release()}; load before it ${facts.loadAtStart.toFixed(1)}`,
    `- Data: ${what}: ${size.fileCount} files in ${size.directoryCount} directories, ` +
      `${(size.byteCount / 1e6).toFixed(1)} MB, on ${fileSystemOf(sources[0] ?? '/')}; ` +
      'the changed backup takes a copy of it' +
      (facts.changedFileCount === undefined
        ? ''
        : `, number of files changed in it: ${facts.changedFileCount}`),
    `- Repositories on ${fileSystemOf(settings.work)}, restored to ${fileSystemOf(settings.restoreTo)}; ` +
      'a new home and cache for each tool and round; sync after each command, outside of its time; ' +
      'before each command what it reads is read into the cache, and several times the memory it takes is used',
    `- ${settings.rounds} round${settings.rounds === 1 ? '' : 's'}, tools in turn within each row; ` +
      'deriving keys from the password counts; restored trees compared with the source, ' +
      'once for each tool',
    withGnuTime
      ? '- CPU (user + system, all processes) and peak memory (of the largest process): GNU time'
      : '- CPU and memory were not measured: GNU time is not installed',
    ...tools.map(({ version, settings: how }) => `- ${version}; ${how}`),
    ...missing.map((name) => `- ${name}: left out, not installed`),
    `- Started ${startedAt.toISOString()}, Node.js ${process.versions.node}`,
  ]
}
