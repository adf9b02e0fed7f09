/** Files that come from a disk are begun before they are needed; those in the cache are left alone. */

import { expect, test } from 'vitest'
import type { Clock } from '../../src/base/seams.ts'
import { ReadAhead } from '../../src/pipeline/read-ahead.ts'
import type { SourceFiles } from '../../src/source/source-files.ts'

const MIB = 1 << 20

/** Reads batches of `fileCount` files; `take` gives the time and bytes of each first read. */
function reader(hasReadAhead = true) {
  let nowMs = 0
  let looks = 0
  const begun: string[] = []
  const clock = {
    monotonicMs: () => {
      looks++
      return nowMs
    },
  } as unknown as Clock
  const source = (hasReadAhead
    ? { readAhead: (path: string) => begun.push(path) }
    : {}) as unknown as SourceFiles
  const ahead = new ReadAhead(source, clock)
  return {
    begun,
    looks: () => looks,
    batch: (fileCount: number, take: (file: number) => { ms: number; byteCount?: number }) => {
      begun.length = 0
      ahead.begin(Array.from({ length: fileCount }, (_, file) => `f${file}`))
      for (let file = 0; file < fileCount; file++) {
        ahead.next(file)
        // Never later than it is needed, never far ahead.
        for (const path of begun) expect(Number(path.slice(1))).toBeLessThanOrEqual(file + 16)
        const { ms, byteCount = 1000 } = take(file)
        ahead.readBegins()
        nowMs += ms
        ahead.readEnded(byteCount)
      }
      return [...begun]
    },
  }
}

const paths = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `f${from + i}`)

test('what the cache has is not opened twice, however large it is', () => {
  const at = reader()
  for (let i = 0; i < 20; i++) expect(at.batch(64, () => ({ ms: 0.02 }))).toEqual([])
  expect(at.batch(8, () => ({ ms: 0.6, byteCount: MIB }))).toEqual([])
})

test('one slow read may be chance; two of the first four are a disk', () => {
  const at = reader()
  expect(at.batch(64, (file) => ({ ms: file === 1 ? 5 : 0.02 }))).toEqual([])
  expect(at.batch(64, (file) => ({ ms: file < 4 ? 0.02 : 5 }))).toEqual([])
  // The first two are past, and the third is about to be read.
  expect(at.batch(64, () => ({ ms: 0.3 }))).toEqual(paths(3, 64))
})

test('the next batches rely on it, each file begun once; then there is another trial', () => {
  const at = reader()
  at.batch(64, () => ({ ms: 0.3 }))
  for (let i = 0; i < 8; i++) expect(at.batch(40, () => ({ ms: 0.02 }))).toEqual(paths(1, 40))
  expect(at.batch(40, () => ({ ms: 0.02 }))).toEqual([])
  expect(at.batch(1, () => ({ ms: 9 }))).toEqual([])
})

test('where the system cannot, nobody asks the clock', () => {
  const at = reader(false)
  expect(at.batch(64, () => ({ ms: 5 }))).toEqual([])
  expect(at.looks()).toBe(0)
})
