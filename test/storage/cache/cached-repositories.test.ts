import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { nodeProcess, nodeRandomness } from '../../../src/base/node-seams.ts'
import {
  cacheBytes,
  listCachedRepositories,
  removeCachedRepository,
} from '../../../src/storage/cache/cached-repositories.ts'

const scratch = mkdtempSync(join(tmpdir(), 'cairn-caches-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

const DAY_MS = 24 * 3600 * 1000
const NOW_MS = Date.parse('2026-11-21T12:00:00Z')
const alive = { ...nodeProcess(), isAlive: (pid: number) => pid === 7 }

let roots = 0
function newRoot(): string {
  const root = join(scratch, String(roots++))
  mkdirSync(root)
  return root
}

/** A cache of 1,000 bytes that was last used `ageDays` ago. */
function plant(root: string, digit: string, ageDays: number, view?: string): string {
  const path = join(root, digit.repeat(32))
  mkdirSync(join(path, 'index', 'base'), { recursive: true })
  writeFileSync(join(path, 'scan-1'), Buffer.alloc(600))
  writeFileSync(join(path, 'index', 'base', 'table'), Buffer.alloc(400))
  if (view !== undefined) {
    mkdirSync(join(path, 'index', view))
    linkSync(join(path, 'index', 'base', 'table'), join(path, 'index', view, 'table'))
  }
  const seconds = (NOW_MS - ageDays * DAY_MS) / 1000
  for (const name of ['scan-1', 'index', '.']) utimesSync(join(path, name), seconds, seconds)
  return path
}

test('lists caches by their last use, and says which are in use', () => {
  const root = newRoot()
  plant(root, 'a', 1)
  plant(root, 'b', 40, 'view-7-x')
  plant(root, 'c', 40.5, 'view-8-x')
  plant(root, 'd', 0.001, 'view-8-x')
  // None of these is a cache of cairn.
  writeFileSync(join(root, 'CACHEDIR.TAG'), '')
  mkdirSync(join(root, 'photos'))
  symlinkSync('/', join(root, 'e'.repeat(32)))
  const found = listCachedRepositories(root, NOW_MS, alive)
  expect(found.map(({ repositoryId, isInUse }) => [repositoryId[0], isInUse])).toEqual([
    ['c', false],
    ['b', true],
    ['a', false],
    ['d', true],
  ])
  expect(found.map(({ usedMs }) => (NOW_MS - usedMs) / DAY_MS)[2]).toBeCloseTo(1)
  expect(found.map(cacheBytes)).toEqual([1000, 1000, 1000, 1000])
})

test('finds nothing where there is nothing', () => {
  expect(listCachedRepositories(join(scratch, 'missing'), NOW_MS, alive)).toEqual([])
})

test('removes one cache, and what a removal that was cut short has left', () => {
  const root = newRoot()
  const kept = plant(root, 'a', 1)
  plant(root, 'b', 1)
  mkdirSync(join(root, '.removed-1'))
  const [victim] = listCachedRepositories(root, NOW_MS, alive).filter(({ path }) => path !== kept)
  if (victim === undefined) throw new Error('no cache')
  removeCachedRepository(root, victim, nodeRandomness())
  expect(existsSync(victim.path)).toBe(false)
  expect(existsSync(join(root, '.removed-1'))).toBe(false)
  expect(listCachedRepositories(root, NOW_MS, alive).map(({ path }) => path)).toEqual([kept])
})
