import { describe, expect, test } from 'vitest'
import { type CairnError, type ErrorCode, isCairnError } from '../../src/base/errors.ts'
import { matchesFilter } from '../../src/engine/snapshot-filter.ts'
import {
  type AtMode,
  describeDistance,
  parseSnapshotReference,
  type ResolveOptions,
  resolveSnapshotReference,
} from '../../src/engine/snapshot-reference.ts'

const SECOND = 1_000_000_000n
const NOW = BigInt(Date.UTC(2026, 10, 20, 14, 30)) * 1_000_000n

/** Ends five seconds after it begins. */
function snapshot(id: string, minutesAgo: number, hostname = 'a', tags: string[] = []) {
  const timeNs = NOW - BigInt(minutesAgo) * 60n * SECOND
  return {
    id: id.padEnd(64, '0'),
    timeNs,
    endNs: timeNs + 5n * SECOND,
    hostname,
    paths: ['/x'],
    tags,
  }
}

const OLD = snapshot('aaaa1', 300)
const MIDDLE = snapshot('aaaa2', 120, 'b')
const NEW = snapshot('bbbb1', 60, 'a', ['t'])
const ALL = [NEW, OLD, MIDDLE]

function resolve(text: string, options: ResolveOptions = {}, snapshots = ALL) {
  return resolveSnapshotReference(parseSnapshotReference(text, NOW), snapshots, options)
}

function failure(code: ErrorCode, action: () => unknown): CairnError {
  try {
    action()
  } catch (error) {
    if (isCairnError(error, code)) return error
    throw error
  }
  throw new Error(`no ${code}`)
}

function at(minutesAgo: number): string {
  return new Date(Number(NOW / 1_000_000n) - minutesAgo * 60_000).toISOString().slice(0, 16) + 'Z'
}

describe('parseSnapshotReference()', () => {
  test('reads ids and latest with and without a path', () => {
    expect(parseSnapshotReference('DEADbeef', NOW)).toMatchObject({
      kind: 'id',
      prefix: 'deadbeef',
    })
    expect(parseSnapshotReference('latest~2:/etc:x', NOW)).toMatchObject({
      kind: 'latest',
      back: 2,
      subpath: '/etc:x',
    })
    expect(parseSnapshotReference('latest:', NOW)).not.toHaveProperty('subpath')
    expect(parseSnapshotReference('abcd:home/ann', NOW)).toMatchObject({
      prefix: 'abcd',
      subpath: 'home/ann',
    })
  })

  test.each([
    ['@2026-11-20T14:00', undefined],
    ['@2026-11-20T14:00:05', undefined],
    ['@2026-11-20T14:00:05Z', undefined],
    ['@2026-11-20T14:00:sub', 'sub'],
    ['@2026-11-20T14:00:05:sub:more', 'sub:more'],
    ['@2026-11-20T14:00:/05', '/05'],
    ['@2026-11-20T14:00+01:00:a', 'a'],
    ['@2026-11-20:14', '14'],
    ['@yesterday:etc', 'etc'],
    ['@3h:', undefined],
  ])('gives the time of %s all it can take', (text, subpath) => {
    const reference = parseSnapshotReference(text, NOW)
    expect([reference.kind, reference.subpath]).toEqual(['time', subpath])
  })

  test.each([
    '',
    'abc',
    'abcg',
    'latest~',
    'latest~-1',
    'Latest',
    '@',
    '@noon',
    '@:x',
    `${'a'.repeat(65)}`,
  ])('refuses %j', (text) => {
    failure('CAIRN_USAGE', () => parseSnapshotReference(text, NOW))
  })
})

describe('resolveSnapshotReference()', () => {
  test('finds by id, whatever the filter says', () => {
    const filter = { hosts: ['nobody'], paths: [], tags: [] }
    expect(resolve('aaaa1', { filter }).snapshot).toBe(OLD)
    expect(resolve('bbbb:sub')).toEqual({ snapshot: NEW, subpath: 'sub' })
  })

  test('lists the candidates of an ambiguous prefix', () => {
    const { message } = failure('CAIRN_FAILED', () => resolve('aaaa'))
    expect(message).toContain('aaaa1000')
    expect(message).toContain('aaaa2000')
    expect(message).not.toContain('bbbb')
    expect(failure('CAIRN_FAILED', () => resolve('cccc')).message).toContain(
      "no snapshot matches 'cccc'",
    )
  })

  test('passes over partial snapshots unless their id is given', () => {
    const partial = { ...snapshot('cccc1', 5), isPartial: true }
    expect(resolve('latest', {}, [...ALL, partial]).snapshot).toBe(NEW)
    expect(resolve('@now', {}, [...ALL, partial]).snapshot).toBe(NEW)
    expect(resolve('cccc', {}, [...ALL, partial]).snapshot).toBe(partial)
    const { message } = failure('CAIRN_FAILED', () => resolve('latest', {}, [partial]))
    expect(message).toContain('interrupted backup left; name it by its id, cccc1')
  })

  test('counts back from the latest of those the filter lets through', () => {
    expect(resolve('latest').snapshot).toBe(NEW)
    expect(resolve('latest~1').snapshot).toBe(MIDDLE)
    expect(resolve('latest', { filter: { hosts: ['b'], paths: [], tags: [] } }).snapshot).toBe(
      MIDDLE,
    )
    expect(failure('CAIRN_FAILED', () => resolve('latest~3')).message).toContain('only 3')
    const filter = { hosts: ['z'], paths: ['/y'], tags: [['p', 'q']] }
    expect(failure('CAIRN_FAILED', () => resolve('latest', { filter })).message).toMatch(
      /'z'.*'\/y'.*'p,q'/,
    )
  })

  test('settles ties by id, whatever the order', () => {
    const twins = [snapshot('dddd', 10), snapshot('cccc', 10)]
    expect(resolve('latest', {}, twins).snapshot).toBe(
      resolve('latest', {}, twins.toReversed()).snapshot,
    )
  })

  test('takes the newest that had ended, not begun, at the time', () => {
    expect(resolve(`@${at(120)}`).snapshot).toBe(OLD)
    expect(resolve(`@${at(119)}`).snapshot).toBe(MIDDLE)
    expect(resolve('@now')).toEqual({ snapshot: NEW, distanceNs: -3595n * SECOND })
    const { message } = failure('CAIRN_FAILED', () => resolve(`@${at(301)}`))
    expect(message).toContain('the oldest ended at')
  })

  test.each<[AtMode, number, typeof OLD]>([
    ['after', 200, MIDDLE],
    ['nearest', 200, MIDDLE],
    ['nearest', 220, OLD],
    ['nearest', 9999, OLD],
    ['before', 61, MIDDLE],
  ])('at mode %s, %d minutes ago', (atMode, minutesAgo, expected) => {
    expect(resolve(`@${at(minutesAgo)}`, { atMode }).snapshot).toBe(expected)
  })

  test('says how far the snapshot is from the time asked for', () => {
    const far = (text: string, atMode: AtMode = 'before') =>
      describeDistance(resolve(text, { atMode }))
    expect(far(`@${at(110)}`)).toBe('ended 9:55 before the time asked for')
    expect(far(`@${at(310)}`, 'after')).toBe('ended 10:05 after the time asked for')
    expect(far(`@${at(59).replace('Z', ':05Z')}`)).toBe('ended 1:00 before the time asked for')
    expect(far('latest')).toBeUndefined()
    const seconds = new Date(Number(NEW.endNs / 1_000_000n)).toISOString().replace(/\.000Z$/, 'Z')
    expect(far(`@${seconds}`)).toBe('ended at the time asked for')
    expect(
      describeDistance({ snapshot: NEW, distanceNs: -(2n * 86_400n + 11_100n) * SECOND }),
    ).toBe('ended 2 days 3:05:00 before the time asked for')
  })
})

test('matchesFilter() joins hosts by or, paths by and, tags by both', () => {
  const one = { hostname: 'h', paths: ['/a', '/b'], tags: ['x', 'y'] }
  const filter = { hosts: [], paths: [], tags: [] }
  expect(matchesFilter(one, filter)).toBe(true)
  expect(matchesFilter(one, { ...filter, hosts: ['g', 'h'] })).toBe(true)
  expect(matchesFilter(one, { ...filter, hosts: ['g'] })).toBe(false)
  expect(matchesFilter(one, { ...filter, paths: ['/b', '/a'] })).toBe(true)
  expect(matchesFilter(one, { ...filter, paths: ['/a', '/c'] })).toBe(false)
  expect(matchesFilter(one, { ...filter, tags: [['z'], ['y', 'x']] })).toBe(true)
  expect(matchesFilter(one, { ...filter, tags: [['x', 'z']] })).toBe(false)
  expect(matchesFilter(one, { ...filter, tags: [['']] })).toBe(false)
  expect(matchesFilter({ ...one, tags: [] }, { ...filter, tags: [['']] })).toBe(true)
})
