import { describe, expect, test } from 'vitest'
import { isCairnError } from '../../src/base/errors.ts'
import type { CommandDefinition } from '../../src/cli/command.ts'
import type { OptionTable } from '../../src/cli/option.ts'
import { filterOf } from '../../src/cli/options.ts'
import { BACKUP } from '../../src/cli/options/backup.ts'
import { CAT, catOperands } from '../../src/cli/options/cat.ts'
import { CHECK } from '../../src/cli/options/check.ts'
import { INIT } from '../../src/cli/options/init.ts'
import { LS } from '../../src/cli/options/ls.ts'
import { RESTORE } from '../../src/cli/options/restore.ts'
import { SNAPSHOTS } from '../../src/cli/options/snapshots.ts'
import { VERSION } from '../../src/cli/options/version.ts'
import { findCommand, parseArguments } from '../../src/cli/parse-arguments.ts'
import { closestWord, editDistance } from '../../src/cli/suggest.ts'

function usageMessage(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (isCairnError(error, 'CAIRN_USAGE')) return error.message
    throw error
  }
  throw new Error('no usage error')
}

function refusal<T extends OptionTable>(
  definition: CommandDefinition<T>,
  argv: readonly string[],
  environment: Record<string, string> = {},
): string {
  return usageMessage(() => parseArguments(argv, definition, environment))
}

const backup = (...argv: string[]) => parseArguments(argv, BACKUP, {})

describe('parseArguments()', () => {
  test('reads values as the parser of restic does', () => {
    expect(backup('-Hlaptop', 'x').host).toBe('laptop')
    expect(backup('-H=laptop', 'x').host).toBe('laptop')
    expect(backup('--host=', 'x', '--host', 'b').host).toBe('b')
    expect(backup('-nfxH', 'a', 'x')).toMatchObject({
      dryRun: true,
      force: true,
      oneFileSystem: true,
      host: 'a',
    })
    expect(backup('-e', '-n', '--exclude', '--json', 'x')).toMatchObject({
      exclude: ['-n', '--json'],
      dryRun: false,
      json: false,
    })
    expect(backup('x', '-n', 'y', '--', '-n', '--json').operands).toEqual([
      'x',
      'y',
      '-n',
      '--json',
    ])
    expect(backup('--files-from', '-').filesFrom).toEqual(['-'])
    expect(backup('--hostname', 'old', 'x').host).toBe('old')
    expect(backup('--json=false', '--force=true', 'x')).toMatchObject({ json: false, force: true })
    expect(backup('-r/srv/repo', 'x').repo).toBe('/srv/repo')
  })

  test('counts -v up to two', () => {
    for (const [argv, level] of [
      [[], 0],
      [['-v'], 1],
      [['-vv'], 2],
      [['-vvv'], 2],
      [['--verbose=2'], 2],
      [['-v', '--verbose'], 2],
    ] as const) {
      expect(backup(...argv, 'x').verbose).toBe(level)
    }
    expect(refusal(BACKUP, ['--verbose=much', 'x'])).toContain('much')
    expect(refusal(BACKUP, ['-q', '-v', 'x'])).toContain('--quiet')
  })

  test('prefers the command line to the environment', () => {
    const environment = {
      CAIRN_HOST: 'env',
      CAIRN_PACK_SIZE: '32',
      CAIRN_COMPRESSION: 'max',
      CAIRN_IGNORE_CTIME: 'true',
      CAIRN_READ_CONCURRENCY: '',
      CAIRN_KEY_HINT: 'k',
    }
    expect(parseArguments(['x'], BACKUP, environment)).toMatchObject({
      host: 'env',
      packSize: 32,
      compression: 'max',
      ignoreCtime: true,
      ignoreInode: false,
      readConcurrency: undefined,
      keyHint: 'k',
    })
    expect(
      parseArguments(['-H', 'cli', '--compression', 'off', 'x'], BACKUP, environment),
    ).toMatchObject({ host: 'cli', compression: 'off' })
    expect(refusal(BACKUP, ['x'], { CAIRN_PACK_SIZE: 'big' })).toContain('CAIRN_PACK_SIZE')
    expect(
      parseArguments(['--pack-size', '16', 'x'], BACKUP, { CAIRN_PACK_SIZE: 'big' }).packSize,
    ).toBe(16)
    expect(refusal(BACKUP, ['--compression', 'zip', 'x'])).toContain('fastest')
  })

  test('names unknown options and proposes known ones', () => {
    expect(refusal(BACKUP, ['--exclud', 'y', 'x'])).toContain("did you mean '--exclude'")
    expect(refusal(BACKUP, ['--dryrun', 'x'])).toContain("'--dry-run'")
    expect(refusal(BACKUP, ['-Z', 'x'])).toContain("'-Z'")
    expect(refusal(BACKUP, ['x', '--exclude'])).toContain('needs a value')
    expect(refusal(BACKUP, ['x', '--repo', ''])).toContain('--repo')
  })

  test('reads durations and sizes', () => {
    const args = backup('--retry-lock', '5m', '--exclude-larger-than', '10M', 'x')
    expect(args).toMatchObject({ retryLock: 300_000, excludeLargerThan: 10 * 2 ** 20 })
  })

  test('lets --help through whatever is missing', () => {
    expect(parseArguments(['-h'], RESTORE, {}).help).toBe(true)
  })
})

describe('the commands', () => {
  test('backup', () => {
    expect(backup('--tag', 'a, b', '--tag', 'c,,a', 'x').tag).toEqual(['a', 'b', 'c'])
    expect(backup('-g', 'host,tags', 'x').groupBy).toEqual({ host: true, paths: false, tags: true })
    expect(backup('-g', '', 'x').groupBy).toEqual({ host: false, paths: false, tags: false })
    expect(backup('--stdin-from-command', '--', 'dump', '--host', 'h').operands).toEqual([
      'dump',
      '--host',
      'h',
    ])
    for (const argv of [
      [],
      ['--stdin', 'x'],
      ['--stdin', '--files-from', 'y'],
      ['--stdin-from-command'],
      ['--stdin', '--stdin-from-command', 'x'],
      ['-g', 'size', 'x'],
      ['--files-from', '-', '--files-from-raw', '-'],
    ]) {
      refusal(BACKUP, argv)
    }
  })

  test('restore', () => {
    const restore = (...argv: string[]) => parseArguments(argv, RESTORE, {})
    expect(restore('latest', '-t', 'out', '-i', 'a', '--overwrite', 'keep-both')).toMatchObject({
      target: 'out',
      include: ['a'],
      overwrite: 'keep-both',
      operands: ['latest'],
    })
    expect(restore('--at', '3h', '--at-mode', 'nearest', '-t', 'x')).toMatchObject({
      at: '3h',
      atMode: 'nearest',
    })
    restore('a', '-t', '/', '--delete', '-i', '/etc')
    for (const argv of [
      [],
      ['latest'],
      ['a', 'b', '-t', 'x'],
      ['a', '--at', '3h', '-t', 'x'],
      ['a', '-t', 'x', '-i', 'y', '-e', 'z'],
      ['a', '-t', 'x', '--dry-run', '--verify'],
      ['a', '-t', '//', '--delete'],
      ['a', '-t', 'x', '--overwrite', 'sometimes'],
      ['a', '-t', 'x', '-n'],
    ]) {
      refusal(RESTORE, argv)
    }
  })

  test('snapshots', () => {
    const args = parseArguments(
      ['--host', '', '--path', '/a/', '--tag', 'x,y', '--tag', '', '--latest', '2', 'abcd'],
      SNAPSHOTS,
      { CAIRN_HOST: 'env' },
    )
    expect(filterOf(args)).toEqual({ hosts: [], paths: ['/a'], tags: [['x', 'y'], ['']] })
    expect(args).toMatchObject({ latest: 2, operands: ['abcd'] })
    expect(parseArguments([], SNAPSHOTS, { CAIRN_HOST: 'env' }).host).toEqual(['env'])
    refusal(SNAPSHOTS, ['--latest', '0'])
  })

  test('ls', () => {
    expect(parseArguments(['latest', '/a', '-l', '-s', 'time'], LS, {})).toMatchObject({
      long: true,
      sort: 'time',
    })
    parseArguments(['--at', '3h', '/a'], LS, {})
    for (const argv of [
      [],
      ['latest', 'a'],
      ['--at', '3h', 'latest'],
      ['x', '--ncdu', '--json'],
      ['x', '--ncdu', '--sort', 'size'],
    ])
      refusal(LS, argv)
  })

  test('check', () => {
    const subset = (text: string) =>
      parseArguments(['--read-data-subset', text], CHECK, {}).readDataSubset
    expect(subset('2/7')).toEqual({ kind: 'part', part: 2, parts: 7 })
    expect(subset('2.5%')).toEqual({ kind: 'percent', percent: 2.5 })
    expect(subset('50M')).toEqual({ kind: 'bytes', byteCount: 50 * 2 ** 20 })
    for (const text of ['0/7', '8/7', '1/300', '0%', '101%', '0', 'x'])
      refusal(CHECK, ['--read-data-subset', text])
    refusal(CHECK, ['--read-data', '--read-data-subset', '1/2'])
  })

  test('cat, init, version', () => {
    expect(catOperands(parseArguments(['tree', 'latest:/a'], CAT, {}))).toEqual({
      kind: 'tree',
      id: 'latest:/a',
    })
    for (const argv of [[], ['nothing'], ['pack'], ['pack', 'a', 'b']]) refusal(CAT, argv)
    expect(parseArguments(['--chunk-size', '256k'], INIT, {}).chunkSize).toBe(2 ** 18)
    for (const argv of [['x'], ['--chunk-size'], ['--cipher', 'rot13']]) refusal(INIT, argv)
    expect(refusal(VERSION, ['x'])).toContain('no arguments')
  })
})

describe('findCommand()', () => {
  const names = ['backup', 'key add', 'key list', 'version']
  const find = (...argv: string[]) => findCommand(argv, names)

  test('looks past the options of all commands and their values', () => {
    expect(find('-r', 'backup', '--json', 'backup', '-e', 'x')).toMatchObject({
      name: 'backup',
      rest: ['-r', 'backup', '--json', '-e', 'x'],
    })
    expect(find('-vr', 'repo', 'key', '--json', 'add', 'x')).toMatchObject({
      name: 'key add',
      rest: ['-vr', 'repo', '--json', 'x'],
    })
    expect(find('--version').name).toBe('version')
    expect(find('backup', '--version').rest).toEqual(['--version'])
    expect(find('-v').name).toBeUndefined()
  })

  test('refuses the unknown', () => {
    expect(usageMessage(() => find('bckup'))).toContain("did you mean 'backup'")
    expect(usageMessage(() => find('zzz'))).toContain('cairn help')
    usageMessage(() => find('key'))
    usageMessage(() => find('key', 'ad'))
    expect(usageMessage(() => find('--tag', 'x', 'backup'))).toContain("'--tag'")
  })
})

test('closestWord() knows swaps, beginnings and when to be silent', () => {
  expect(editDistance('snapshots', 'snaphsots')).toBe(1)
  expect(editDistance('', 'abc')).toBe(3)
  expect(closestWord('snaphsots', ['snapshots', 'stats'])).toBe('snapshots')
  expect(closestWord('snap', ['stats', 'snapshots'])).toBe('snapshots')
  expect(closestWord('mount', ['snapshots', 'stats'])).toBeUndefined()
})
