/** Excludes by the real restic, on a small tree, against cairn's matcher. Skipped without restic. */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { byteStringOf, type ByteString, textOf } from '../../src/base/bytes.ts'
import { nodeSourceFiles } from '../../src/source/node-source-files.ts'
import { compilePatterns } from '../../src/source/patterns.ts'

const RESTIC = '/usr/bin/restic'
const DIRECTORIES = ['a', 'b', 'ab', 'é', 'A']
const FILES = ['a.txt', 'b.TXT', 'a*b', 'x y', '[z]', 'é.c', 'ab']
const PARTS = [
  'a',
  'b',
  'ab',
  '*',
  '?',
  '**',
  'a*',
  '*b',
  '[a-c]',
  '[^a]*',
  '?.c',
  '*.txt',
  '**',
  'x y',
]

/** A small generator with a seed: the same patterns every time, so that a failure can be repeated. */
function generator(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

function pick<T>(random: (below: number) => number, from: readonly T[]): T {
  return from[random(from.length)] as T
}

function randomPattern(random: (below: number) => number): string {
  const parts = Array.from({ length: 1 + random(3) }, () => pick(random, PARTS))
  // A pattern that matches everything would leave nothing to compare.
  const text = parts.every((part) => part.includes('*') && part.length < 3)
    ? 'a*/?b'
    : parts.join('/')
  return `${random(4) === 0 ? '!' : ''}${text}${random(8) === 0 ? '/' : ''}`
}

function makeTree(root: string, depth: number): void {
  mkdirSync(root)
  for (const name of FILES) writeFileSync(join(root, name === 'ab' && depth > 0 ? 'ab2' : name), '')
  if (depth > 0) for (const name of DIRECTORIES) makeTree(join(root, name), depth - 1)
}

const hasRestic = existsSync(RESTIC)

describe.skipIf(!hasRestic)(
  'compilePatterns() against restic (skipped where it is not installed)',
  () => {
    let base: string
    let environment: NodeJS.ProcessEnv

    beforeAll(() => {
      base = mkdtempSync(join(tmpdir(), 'cairn-restic-'))
      environment = { ...process.env, RESTIC_REPOSITORY: join(base, 'repo'), RESTIC_PASSWORD: 'x' }
      makeTree(join(base, 'tree'), 3)
      expect(spawnSync(RESTIC, ['init'], { env: environment }).status).toBe(0)
    })
    afterAll(() => rmSync(base, { recursive: true, force: true }))

    function byRestic(flag: string, patterns: readonly string[]): string[] {
      const excludes = patterns.flatMap((pattern) => [flag, pattern])
      const options = ['backup', '--dry-run', '--no-cache', '-vv', ...excludes, join(base, 'tree')]
      const { stdout, status } = spawnSync(RESTIC, options, { env: environment, encoding: 'utf8' })
      expect(status).toBe(0)
      return stdout
        .split('\n')
        .map((line) => /^new\s+(\/.*?)\/?, saved in/.exec(line)?.[1])
        .filter((path) => path?.startsWith(`${base}/tree/`))
        .map((path) => path as string)
        .sort()
    }

    function byCairn(patterns: readonly string[], caseInsensitive: boolean): string[] {
      const matcher = compilePatterns(patterns.map(byteStringOf), { caseInsensitive })
      const files = nodeSourceFiles()
      const found: string[] = []
      const walk = (directory: ByteString): void => {
        if (matcher.matches(directory)) return
        for (const name of files.readDirectory(directory)) {
          const path = `${directory}/${name}`
          if (matcher.matches(path)) continue
          found.push(textOf(path))
          if (files.lstat(path)?.type === 'directory') walk(path)
        }
      }
      walk(byteStringOf(join(base, 'tree')))
      return found.sort()
    }

    test.each([1, 2, 3, 4, 5, 6, 7, 8])('excludes the same with random patterns %i', (seed) => {
      const random = generator(seed)
      const patterns = Array.from({ length: 2 + random(3) }, () => randomPattern(random))
      expect({ patterns, paths: byCairn(patterns, false) }).toEqual({
        patterns,
        paths: byRestic('--exclude', patterns),
      })
    })

    test.each([
      [['a*', '!ab', 'ab/a*', '!a.txt', 'A/**/?.c', '!é/é.c']],
      [['*', '!tree', '!A', '!A/b', '!A/b/**', 'x y', '**/b/b']],
    ])('excludes the same with %j', (patterns) => {
      const paths = byCairn(patterns, false)
      expect(paths.length).toBeGreaterThan(5)
      expect(paths).toEqual(byRestic('--exclude', patterns))
    })

    test('excludes the same with 60 random patterns from the root', () => {
      const random = generator(99)
      const patterns = Array.from({ length: 60 }, () => {
        const parts = Array.from({ length: 2 }, () => pick(random, PARTS))
        return `${base}/tree/${pick(random, DIRECTORIES)}/${parts.join('/')}`
      }).filter((pattern) => !pattern.endsWith('/*') && !pattern.endsWith('/**'))
      expect(byCairn(patterns, false).length).toBeGreaterThan(20)
      expect(byCairn(patterns, false)).toEqual(byRestic('--exclude', patterns))
    })

    test.each([11, 12])('excludes the same without regard to case, random patterns %i', (seed) => {
      const random = generator(seed)
      const patterns = Array.from({ length: 3 }, () => randomPattern(random))
      expect({ patterns, paths: byCairn(patterns, true) }).toEqual({
        patterns,
        paths: byRestic('--iexclude', patterns),
      })
    })
  },
)
