import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { changeFiles, makeTinyTree, sizeOf } from '../../bench/compare/data.ts'
import { hasGnuTime } from '../../bench/compare/measure.ts'
import { markdown, ROWS, type Sample, summarise } from '../../bench/compare/report.ts'
import { type LifeRow, ROW_TITLES } from '../../bench/life/table.ts'
import { firstDifference } from '../../bench/compare/same-tree.ts'
import { findTools, TOOL_NAMES } from '../../bench/compare/tools.ts'

const project = resolve(import.meta.dirname, '../..')
let scratch = ''

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'cairn-bench-test-'))
})

afterAll(() => {
  rmSync(scratch, { recursive: true, force: true })
})

function compile(config: string, outputFolder: string): void {
  const compiler = join(project, 'node_modules/.bin/tsc')
  const args = ['-p', join(project, config), '--outDir', outputFolder, '--noCheck']
  const { status, stdout } = spawnSync(compiler, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`cannot compile ${config}: ${stdout}`)
}

/** cairn and the benchmarks as `npm run bench` has them, from the sources of this moment. */
function buildProject(): string {
  const folder = join(scratch, 'project')
  mkdirSync(join(folder, 'bin'), { recursive: true })
  copyFileSync(join(project, 'package.json'), join(folder, 'package.json'))
  copyFileSync(join(project, 'bin/cairn.js'), join(folder, 'bin/cairn.js'))
  symlinkSync(join(project, 'node_modules'), join(folder, 'node_modules'))
  compile('tsconfig.json', join(folder, 'dist'))
  compile('bench/tsconfig.json', join(folder, 'dist/bench-build'))
  return folder
}

const HISTORY_TOOLS = ['cairn', 'restic', 'borg']

/** Row and tool of every line of the table that is to be expected. */
function expectedLines(installed: readonly string[]): string[] {
  return Object.entries(ROWS).flatMap(([row, title]) =>
    installed
      .filter((tool) => row === 'first' || row === 'restore' || HISTORY_TOOLS.includes(tool))
      .map((tool) => `${title}: ${tool}`),
  )
}

function readTable(text: string): { name: string; cells: string[] }[] {
  const lines = text.split('\n').filter((line) => line.startsWith('|'))
  let title = ''
  return lines.slice(2).map((line) => {
    const cells = line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim())
    title = cells[0] || title
    return { name: `${title}: ${cells[1]}`, cells }
  })
}

describe('npm run bench', () => {
  test('--tiny prints every row for cairn and whatever else is installed', () => {
    const folder = buildProject()
    const jsonFile = join(scratch, 'bench.json')
    const program = join(folder, 'dist/bench-build/bench/compare.js')
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      [program, '--tiny', '--work', scratch, '--restore-to', scratch, '--json', jsonFile],
      { encoding: 'utf8', cwd: folder },
    )
    expect(stdout, stderr).not.toContain('failed')
    expect(status).toBe(0)

    const tools = findTools(new Set(TOOL_NAMES), join(folder, 'bin/cairn.js'))
    const table = readTable(stdout)
    expect(table.map(({ name }) => name)).toEqual(
      expectedLines(tools.map(({ name }): string => name)),
    )
    for (const { name, cells } of table) {
      expect(cells[2], name).toMatch(/^\d+\.\d+ \(\d+\.\d+–\d+\.\d+\)$/)
      if (hasGnuTime()) expect(Number(cells[4]), name).toBeGreaterThan(0)
      if (name.includes('backup')) expect(Number(cells[5]), name).toBeGreaterThan(0)
    }
    for (const { version } of tools) expect(stdout).toContain(version)

    const { samples } = JSON.parse(readFileSync(jsonFile, 'utf8')) as { samples: Sample[] }
    expect(samples).toHaveLength(table.length)
    for (const sample of samples) {
      if (sample.kind === 'failed') throw new Error(sample.message)
      expect(sample.wallSeconds).toBeGreaterThan(0)
      expect(sample.wallSeconds).toBeLessThan(120)
    }
  })
})

describe('npm run bench:life', () => {
  test('--tiny prints every row, for cairn and for restic if it is installed', () => {
    const folder = join(scratch, 'project')
    const program = join(folder, 'dist/bench-build/bench/life.js')
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      [program, '--tiny', '--work', scratch],
      { encoding: 'utf8', cwd: folder },
    )
    expect(status, stderr).toBe(0)
    const hasRestic = findTools(new Set(['restic']), '').length > 0
    const expected = (Object.keys(ROW_TITLES) as LifeRow[]).flatMap((row) => [
      `${ROW_TITLES[row]}: cairn`,
      ...(hasRestic && row !== 'before' && row !== 'after' ? [`${ROW_TITLES[row]}: restic`] : []),
    ])
    const table = readTable(stdout)
    expect(table.map(({ name }) => name)).toEqual(expected)
    for (const { name, cells } of table) {
      expect(Number(cells[2]), name).toBeGreaterThan(0)
      if (hasGnuTime()) expect(Number(cells[4]), name).toBeGreaterThan(0)
      expect(Number(cells[5]), name).toBeGreaterThan(0)
    }
    const sizeAt = (title: string) =>
      Number(table.find(({ name }) => name === `${title}: cairn`)?.cells[5])
    expect(sizeAt(ROW_TITLES.prune)).toBeLessThan(sizeAt(ROW_TITLES.open))
    expect(sizeAt(ROW_TITLES.after)).toBeGreaterThan(sizeAt(ROW_TITLES.before))
  })
})

describe('firstDifference()', () => {
  /** A source, and a restored tree to spoil. */
  function pair(): { source: string; target: string; restored: string } {
    const folder = mkdtempSync(join(scratch, 'pair-'))
    const source = join(folder, 'source')
    mkdirSync(source)
    makeTinyTree(source)
    const target = join(folder, 'target')
    const restored = join(target, source)
    mkdirSync(join(restored, '..'), { recursive: true })
    spawnSync('cp', ['-a', source, restored])
    return { source, target, restored }
  }

  const exact = { mtimeUnitNs: 1n }

  test('finds none in a faithful copy', () => {
    const { source, target } = pair()
    expect(firstDifference([source], target, exact)).toBeUndefined()
  })

  const deepFile = 'folder 1/deep/deeper/text-3.txt'
  const spoilers: readonly [string, (restored: string) => void][] = [
    ['is missing', (root) => unlinkSync(join(root, 'empty'))],
    ['was never there', (root) => writeFileSync(join(root, 'surplus'), '')],
    ['has another mode', (root) => chmodSync(join(root, deepFile), 0o640)],
    ['has another mtime', (root) => utimesSync(join(root, deepFile), 1, 1)],
    ['has another type', (root) => replace(join(root, 'empty'), (path) => mkdirSync(path))],
    ['points elsewhere', (root) => replace(join(root, 'link'), (path) => symlinkSync('x', path))],
    [
      'is a link to another file',
      (root) => replace(join(root, 'second name of large.bin'), (path) => copyOf(root, path)),
    ],
    [
      'has 3145728 bytes instead of 0',
      (root) => replace(join(root, 'empty'), (path) => linkSync(join(root, 'large.bin'), path)),
    ],
  ]

  function replace(path: string, make: (path: string) => void): void {
    rmSync(path)
    make(path)
  }

  function copyOf(root: string, path: string): void {
    cpSync(join(root, 'large.bin'), path)
  }

  /** As if the spoiler had not touched them. */
  function restoreTimes(source: string, restored: string): void {
    const script = 'find . -depth -exec touch -h -r "$1/{}" "$2/{}" \\;'
    spawnSync('sh', ['-c', script, 'sh', source, restored], { cwd: source })
  }

  test.each(spoilers)('%s', (difference, spoil) => {
    const { source, target, restored } = pair()
    spoil(restored)
    if (!difference.includes('mtime')) restoreTimes(source, restored)
    expect(firstDifference([source], target, exact)).toContain(difference)
  })

  test('has other contents, with the same size and times', () => {
    const { source, target, restored } = pair()
    const path = join(restored, deepFile)
    const bytes = readFileSync(path)
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
    writeFileSync(path, bytes)
    restoreTimes(source, restored)
    expect(firstDifference([source], target, exact)).toBe(
      `'${join(source, deepFile)}' has other contents`,
    )
  })
})

describe('changeFiles()', () => {
  test('changes the share that was asked for, and leaves the number of files', () => {
    const root = mkdtempSync(join(scratch, 'change-'))
    makeTinyTree(root)
    const before = sizeOf([root])
    const changed = changeFiles(root, 0.25, 1)
    const after = sizeOf([root])
    expect(changed).toBe(10)
    expect(after.fileCount).toBe(before.fileCount)
    expect(after.byteCount).toBeGreaterThan(before.byteCount)
  })
})

describe('report', () => {
  test('summarise() gives median, least and most', () => {
    expect(summarise([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 })
    expect(summarise([4, 1, undefined, 2, 3])).toEqual({ median: 2.5, min: 1, max: 4 })
    expect(summarise([undefined])).toBeUndefined()
  })

  test('markdown() shows a failure of one round instead of figures of the others', () => {
    const samples: Sample[] = [
      { ...measured(2), tool: 'cairn', round: 1 },
      { ...measured(4), tool: 'restic', round: 1 },
      { ...measured(4), tool: 'borg', round: 1 },
      { kind: 'failed', row: 'first', tool: 'borg', round: 2, message: 'exit 2: a | b' },
    ]
    expect(readTable(markdown(['fact'], samples)).map(({ cells }) => cells.slice(1, 7))).toEqual([
      ['cairn', '2.00 (2.00–2.00)', '2.00', '1', '5.00', ''],
      ['restic', '4.00 (4.00–4.00)', '4.00', '1', '5.00', '0.50'],
      ['borg', 'failed: exit 2: a \\', 'b', '4.00', '1', '5.00'],
    ])
  })

  function measured(seconds: number) {
    const figures = { wallSeconds: seconds, cpuSeconds: seconds, peakBytes: 1 << 20 }
    return { kind: 'measured', row: 'first', repositoryBytes: 5e6, ...figures } as const
  }
})
