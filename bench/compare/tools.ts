/**
 * What is compared, and with which settings. Each tool gets its own home and cache, its password by
 * environment, and nothing else of the caller's environment.
 */

import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import type { Command } from './measure.ts'

export const TOOL_NAMES = ['cairn', 'restic', 'borg', 'tar', 'cp'] as const
export type ToolName = (typeof TOOL_NAMES)[number]

/** Debian's packages, for `--install`. */
export const PACKAGES = ['restic', 'borgbackup', 'zstd', 'time']

type Invocation = Pick<Command, 'program' | 'args' | 'workingDirectory'>

export interface Tool {
  readonly name: ToolName
  readonly settings: string
  readonly version: string
  /** Finer differences of modification times are the tool's design, not damage. */
  readonly mtimeUnitNs: bigint
  /** Whether it keeps several states; the others have no rows for what follows a first backup. */
  readonly keepsHistory: boolean
  readonly environment: Readonly<Record<string, string>>
  /** What is measured for size: the repository, the archive, the copy. */
  repository(folder: string): string
  /** Before the first backup, not measured. */
  prepare?(folder: string): Invocation
  /** `label` is new for each backup. `sources` are absolute. */
  backup(folder: string, sources: readonly string[], label: string): Invocation
  /** The backup made last, whose label is `label`, to `target/<absolute path of the source>`. */
  restore(folder: string, target: string, label: string): Invocation
  list?(folder: string): Invocation
  check?(folder: string): Invocation
}

const PASSWORD = 'bench-password'
const EXACT = 1n
const WHOLE_SECONDS = 1_000_000_000n

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

function pipeline(script: string): Invocation {
  return { program: 'bash', args: ['-o', 'pipefail', '-c', script] }
}

function relativeToRoot(sources: readonly string[]): string {
  return sources.map((source) => quoted(source.replace(/^\/+/, ''))).join(' ')
}

/** Copies each source to `folder/<its absolute path>`. (`cp --parents` fails for some absolute paths.) */
export function copyCommand(sources: readonly string[], folder: string): Invocation {
  const parents = [...new Set(sources.map((source) => dirname(source)))]
  const steps = parents.flatMap((parent) => {
    const target = quoted(join(folder, parent))
    const own = sources.filter((source) => dirname(source) === parent).map(quoted)
    return [`mkdir -p ${target}`, `cp -a -- ${own.join(' ')} ${target}`]
  })
  return pipeline(steps.join(' && '))
}

/** What the command prints about its version, or undefined if there is no such command. */
function versionOf(program: string, args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8' })
  return status === 0 ? (stdout.split('\n')[0] ?? '').trim() : undefined
}

function cairn(entry: string): Tool | undefined {
  const node = process.execPath
  const version = versionOf(node, [entry, 'version'])
  if (version === undefined) return undefined
  const repository = (folder: string) => join(folder, 'repo')
  const run = (folder: string, args: readonly string[]): Invocation => ({
    program: node,
    args: [entry, '-r', repository(folder), ...args],
  })
  return {
    name: 'cairn',
    version,
    settings:
      'defaults: zstd level 3 in smaller tables (--compression auto), ChaCha20-Poly1305, scrypt; its size has 1 MiB of reserve',
    mtimeUnitNs: EXACT,
    keepsHistory: true,
    environment: { CAIRN_PASSWORD: PASSWORD },
    repository,
    prepare: (folder) => run(folder, ['init']),
    backup: (folder, sources) => run(folder, ['backup', ...sources]),
    restore: (folder, target) => run(folder, ['restore', 'latest', '--target', target]),
    list: (folder) => run(folder, ['snapshots']),
    check: (folder) => run(folder, ['check', '--read-data']),
  }
}

function restic(): Tool | undefined {
  const version = versionOf('restic', ['version'])
  if (version === undefined) return undefined
  const repository = (folder: string) => join(folder, 'repo')
  const run = (folder: string, args: readonly string[]): Invocation => ({
    program: 'restic',
    args: ['-r', repository(folder), ...args],
  })
  return {
    name: 'restic',
    version,
    settings: '--compression auto, encrypted as always',
    mtimeUnitNs: EXACT,
    keepsHistory: true,
    environment: { RESTIC_PASSWORD: PASSWORD },
    repository,
    prepare: (folder) => run(folder, ['init']),
    backup: (folder, sources) => run(folder, ['backup', '--compression', 'auto', ...sources]),
    restore: (folder, target) => run(folder, ['restore', 'latest', '--target', target]),
    list: (folder) => run(folder, ['snapshots']),
    check: (folder) => run(folder, ['check', '--read-data']),
  }
}

function borg(): Tool | undefined {
  const version = versionOf('borg', ['--version'])
  if (version === undefined) return undefined
  const repository = (folder: string) => join(folder, 'repo')
  const run = (args: readonly string[]): Invocation => ({ program: 'borg', args })
  return {
    name: 'borg',
    version,
    settings: '--compression zstd,3, --encryption repokey-blake2',
    mtimeUnitNs: EXACT,
    keepsHistory: true,
    environment: { BORG_PASSPHRASE: PASSWORD },
    repository,
    prepare: (folder) => run(['init', '--encryption', 'repokey-blake2', repository(folder)]),
    backup: (folder, sources, label) =>
      run(['create', '--compression', 'zstd,3', `${repository(folder)}::${label}`, ...sources]),
    restore: (folder, target, label) => ({
      ...run(['extract', '--numeric-ids', `${repository(folder)}::${label}`]),
      workingDirectory: target,
    }),
    list: (folder) => run(['list', repository(folder)]),
    check: (folder) => run(['check', '--verify-data', repository(folder)]),
  }
}

function tar(): Tool | undefined {
  const tarVersion = versionOf('tar', ['--version'])
  const zstdVersion = versionOf('zstd', ['--version'])
  if (tarVersion === undefined || zstdVersion === undefined) return undefined
  const archive = (folder: string) => join(folder, 'archive.tar.zst')
  return {
    name: 'tar',
    version: `${tarVersion}, ${zstdVersion.replace(/^\W+|\W+$/g, '')}`,
    settings: 'tar | zstd -3 -T2, not encrypted, keeps whole seconds',
    mtimeUnitNs: WHOLE_SECONDS,
    keepsHistory: false,
    environment: {},
    repository: archive,
    backup: (folder, sources) =>
      pipeline(
        `tar -C / -cf - -- ${relativeToRoot(sources)} | zstd -q -3 -T2 -o ${quoted(archive(folder))}`,
      ),
    restore: (folder, target) =>
      pipeline(`zstd -q -dc ${quoted(archive(folder))} | tar -C ${quoted(target)} -xpf -`),
  }
}

function cp(): Tool | undefined {
  const version = versionOf('cp', ['--version'])
  if (version === undefined) return undefined
  const copy = (folder: string) => join(folder, 'copy')
  return {
    name: 'cp',
    version,
    settings: 'cp -a, neither compressed nor encrypted',
    mtimeUnitNs: EXACT,
    keepsHistory: false,
    environment: {},
    repository: copy,
    backup: (folder, sources) => copyCommand(sources, copy(folder)),
    restore: (folder, target) => ({ program: 'cp', args: ['-a', `${copy(folder)}/.`, target] }),
  }
}

/** Those of `names` that are there, in the order of TOOL_NAMES. `entry` is cairn's bin/cairn.js. */
export function findTools(names: ReadonlySet<string>, entry: string): Tool[] {
  const makers: Record<ToolName, () => Tool | undefined> = {
    cairn: () => cairn(entry),
    restic,
    borg,
    tar,
    cp,
  }
  return TOOL_NAMES.filter((name) => names.has(name)).flatMap((name) => makers[name]() ?? [])
}
