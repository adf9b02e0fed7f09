/** What a restore does where the C library cannot be called: the same, to the microsecond. */

import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { nodeRandomness } from '../../src/base/node-seams.ts'
import { nodeTargetFiles } from '../../src/source/node-target-files.ts'
import type { Target } from '../../src/source/target-files.ts'

vi.mock(import('../../src/source/libc.ts'), () => ({ libc: () => undefined }))

let root: string
let target: Target
beforeAll(() => {
  root = fs.mkdtempSync(join(tmpdir(), 'cairn-bare-'))
  target = nodeTargetFiles({ randomness: nodeRandomness() }).openTarget(root)
})
afterAll(() => {
  target.close()
  execFileSync('rm', ['-rf', '--', root])
})

test.each([
  [0n, 0n],
  [1_000n, 1_000n],
  [-1n, -1_000n],
  [-1_000n, -1_000n],
  [-1_750_000_000n, -1_750_000_000n],
  [-999_999_000n, -999_999_000n],
  [-2_147_483_648_000_000_000n, -2_147_483_648_000_000_000n],
  [-2_147_483_646_999_999_000n, -2_147_483_646_999_999_000n],
  [1_700_000_000_123_456_789n, 1_700_000_000_123_456_000n],
  [1_700_000_000_999_999_999n, 1_700_000_000_999_999_000n],
  [4_294_967_296_000_001_000n, 4_294_967_296_000_001_000n],
])('the time %i ns becomes %i, never the present (E19)', (mtimeNs, expected) => {
  const metadata = { mtimeNs, atimeNs: 5_000n }
  expect(target.writeWholeFile('file', new Uint8Array(), metadata, { overwrite: true })).toEqual([])
  expect(target.lstat('file')).toMatchObject({ mtimeNs: expected, atimeNs: 5_000n })
  target.makeSymlink('link', Buffer.from('file'), { overwrite: true })
  expect(target.setMetadata('link', 'symlink', { mtimeNs })).toEqual([])
  expect(target.lstat('link')?.mtimeNs).toBe(expected)
  expect(target.lstat('file')?.mtimeNs).toBe(expected)
})

test('every microsecond of a second arrives as it was', () => {
  const file = target.createFile('times')
  for (let us = -1_000_000n; us < 1_000_000n; us += 7_919n) {
    for (const second of [0n, 1_700_000_000n, -1_700_000_000n]) {
      const mtimeNs = second * 1_000_000_000n + us * 1_000n
      expect(file.setMetadata({ mtimeNs })).toEqual([])
    }
  }
  for (const us of [1n, 999_999n, 123_457n, 500_000n, 333_333n]) {
    const mtimeNs = -1_700_000_000_000_000_000n + us * 1_000n
    file.setMetadata({ mtimeNs })
    const [temporary = ''] = target.readDirectory('').filter((name) => name.startsWith('.'))
    expect(target.lstat(temporary)?.mtimeNs).toBe(mtimeNs)
  }
  file.discard()
})

test('a time left out stays as it is', () => {
  target.writeWholeFile(
    'kept',
    new Uint8Array(),
    { mtimeNs: -7_000n, atimeNs: 3_000n },
    { overwrite: true },
  )
  const file = target.openExisting('kept')
  expect(file.adopt({ atimeNs: -9_000n })).toEqual([])
  expect(file.statNow()).toMatchObject({ mtimeNs: -7_000n, atimeNs: -9_000n })
  file.close()
})

test('without overwrite nothing is replaced', () => {
  const write = (content: string) =>
    target.writeWholeFile('once', Buffer.from(content), {}, { overwrite: false })
  write('first')
  expect(() => write('second')).toThrow(expect.objectContaining({ code: 'EEXIST' }))
  expect(fs.readFileSync(join(root, 'once'), 'utf8')).toBe('first')
  expect(target.readDirectory('').filter((name) => name.startsWith('.'))).toEqual([])
})

test('makeSpecial() says that there is no way', () => {
  expect(() => target.makeSpecial('fifo', 'fifo', 0n, { overwrite: false })).toThrow(
    expect.objectContaining({ code: 'ENOSYS' }),
  )
})
