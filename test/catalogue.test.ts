/** The fault catalogue is whole, and what it names is there. test/run.mjs holds it against results. */

import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  type Catalogue,
  catalogueReport,
  type FileResult,
  hasTitle,
  judge,
  parseEvidence,
  readCatalogue,
} from './catalogue.mjs'

/** How many faults each group has: they are numbered without gaps. */
const COUNTS = { A: 18, B: 34, C: 22, D: 10, E: 26, M: 18, R: 13, T: 6, X: 40 }

const catalogue = readCatalogue()
const faults = Object.entries(catalogue.faults)

/** The literals of a test file that begin a call, as titles do. */
function titlesIn(file: string): string[] {
  const text = readFileSync(new URL(file, import.meta.url), 'utf8')
  const strings = text.matchAll(/[([]\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1\s*,/gs)
  return [...strings].map(([, , title = '']) => title)
}

describe('test/catalogue.json', () => {
  test('has every fault of every group, and no others', () => {
    const expected = Object.entries(COUNTS).flatMap(([group, count]) =>
      Array.from({ length: count }, (_, i) => `${group}${i + 1}`),
    )
    expect(faults.map(([id]) => id)).toEqual(expected)
    expect(Object.keys(catalogue.groups)).toEqual(Object.keys(COUNTS))
  })

  test('has for each fault tests, or else the reason why there are none', () => {
    for (const [id, { fault, tests, limits, notRun }] of faults) {
      expect(fault, id).not.toBe('')
      const hasTests = tests !== undefined && tests.length > 0
      expect(hasTests, id).toBe(notRun === undefined)
      if (!hasTests) expect([limits, notRun?.length], id).toEqual([undefined, expect.any(Number)])
      expect(new Set(tests).size, id).toBe(tests?.length ?? 0)
    }
  })

  test('names tests that exist', () => {
    const titles = new Map<string, string[]>()
    const missing = faults.flatMap(([, { tests = [] }]) =>
      tests.filter((text) => {
        const { file, title } = parseEvidence(text)
        const known = titles.get(file) ?? titlesIn(file)
        titles.set(file, known)
        return title.length < 8 || !known.some((one) => one.includes(title))
      }),
    )
    expect(missing).toEqual([])
  })

  test('calls nothing untested that the title of a test names', () => {
    const root = new URL('.', import.meta.url)
    const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
    const untested: string[] = []
    for (const file of files.filter((name) => name.endsWith('.test.ts'))) {
      for (const title of titlesIn(file)) {
        const [, ids = ''] = /^((?:[A-EMRX]\d+ )*[A-EMRX]\d+)(?: P\d)*: /.exec(title) ?? []
        for (const id of ids.split(' ')) {
          if (catalogue.faults[id]?.notRun !== undefined) untested.push(`${id}: ${file}`)
        }
      }
    }
    expect(untested).toEqual([])
  })
})

describe('judge()', () => {
  const small: Catalogue = {
    groups: { A: 'first' },
    faults: {
      A1: { fault: 'x', tests: ['a.test.ts: some title'] },
      A2: { fault: 'x', tests: ['a.test.ts: other %s title', 'a.test.ts: some title'] },
      A3: { fault: 'x', notRun: 'no time' },
      A4: { fault: 'x', tests: ['a.test.ts: needs root'] },
      A5: { fault: 'x', tests: ['b.test.ts: some title'] },
      A6: { fault: 'x', tests: ['a.test.ts: needs root', 'a.test.ts: some title'] },
    },
  }
  const results: FileResult[] = [
    {
      name: '/somewhere/test/a.test.ts',
      assertionResults: [
        { fullName: 'group some title (1)', status: 'passed' },
        { fullName: 'group other big title', status: 'failed' },
        { fullName: 'needs root', status: 'skipped' },
      ],
    },
  ]

  test('tells what passed, failed and was not run, with reasons', () => {
    const verdicts = judge(small, results)
    expect(verdicts.map(({ id, verdict }) => `${id} ${verdict}`)).toEqual([
      'A1 passed',
      'A2 failed',
      'A3 not run',
      'A4 not run',
      'A5 failed',
      'A6 passed',
    ])
    const lines = catalogueReport(small, verdicts)
    expect(lines[1]?.trim().split(/\s+/)).toEqual(['A', 'first', '2', '2', '2'])
    expect(lines.join('\n')).toContain("A5   no test 'b.test.ts: some title'")
    expect(lines.join('\n')).toContain('A3   no time')
  })

  test('takes a title for what it is, not for a pattern', () => {
    expect(hasTitle('a (b) [c] 100 %', '(b) [c]')).toBe(true)
    expect(hasTitle('anything', '.*')).toBe(false)
    expect(hasTitle('power cut, torn the call', 'power cut, %s the call')).toBe(true)
  })
})
