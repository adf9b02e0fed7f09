import { describe, expect, test } from 'vitest'
import type { SnapshotId } from '../../../src/base/ids.ts'
import { inodeOf } from '../../../src/service/browse/attributes.ts'
import { ErrorLog } from '../../../src/service/browse/error-log.ts'
import { CairnError } from '../../../src/base/errors.ts'
import { formatGoTime, RFC3339 } from '../../../src/service/browse/go-time.ts'
import {
  type LayoutDirectory,
  layOut,
  PATH_TEMPLATES,
  templateProblem,
} from '../../../src/service/browse/snapshot-layout.ts'
import type { Candidate } from '../../../src/service/select-snapshots.ts'

const TIME_NS = BigInt(Date.UTC(2024, 2, 5, 14, 7, 9)) * 1_000_000n + 120_000_000n

function candidate(id: string, parts: Partial<Candidate> = {}): Candidate {
  const timeNs = TIME_NS
  return {
    snapshot: { content: undefined } as Candidate['snapshot'],
    id: id.repeat(64).slice(0, 64) as SnapshotId,
    timeNs,
    endNs: timeNs,
    hostname: 'alpha',
    paths: ['/'],
    tags: [],
    ...parts,
  }
}

/** Every path of a layout, and where links lead. */
function pathsOf(directory: LayoutDirectory, prefix = ''): string[] {
  return [...directory.children].flatMap(([name, node]) => {
    const path = `${prefix}${name}`
    if (node.kind === 'directory') return [`${path}/`, ...pathsOf(node, `${path}/`)]
    return [node.kind === 'link' ? `${path} -> ${node.target}` : path]
  })
}

describe('formatGoTime()', () => {
  const inUtc = (template: string, ns = TIME_NS) => {
    const zone = process.env['TZ']
    process.env['TZ'] = 'UTC'
    try {
      return formatGoTime(ns, template)
    } finally {
      if (zone === undefined) delete process.env['TZ']
      else process.env['TZ'] = zone
    }
  }

  test.each([
    [RFC3339, '2024-03-05T14:07:09Z'],
    ['2006-01-02 15:04:05 -0700', '2024-03-05 14:07:09 +0000'],
    ['Mon Jan _2 3:04:05PM 06', 'Tue Mar  5 2:07:09PM 24'],
    ['Monday, January 2', 'Tuesday, March 5'],
    ['15:04:05.000', '14:07:09.120'],
    ['15:04:05.999999', '14:07:09.12'],
    ['1/2 3h', '3/5 2h'],
  ])('%s', (template, shown) => expect(inUtc(template)).toBe(shown))

  test('times before 1970', () => {
    expect(inUtc('2006-01-02T15:04:05.000', -1_500_000_000n)).toBe('1969-12-31T23:59:58.500')
  })
})

describe('layOut()', () => {
  test("has restic's paths, with latest beside times", () => {
    const shown = layOut(
      [
        candidate('a', { tags: ['x', 'y'] }),
        candidate('b', { hostname: 'beta', timeNs: TIME_NS * 2n }),
      ],
      PATH_TEMPLATES,
      '2006',
    )
    expect(pathsOf(shown)).toEqual([
      'ids/',
      'ids/aaaaaaaa',
      'ids/bbbbbbbb',
      'snapshots/',
      'snapshots/2024',
      'snapshots/latest -> 2078',
      'snapshots/2078',
      'hosts/',
      'hosts/alpha/',
      'hosts/alpha/2024',
      'hosts/alpha/latest -> 2024',
      'hosts/beta/',
      'hosts/beta/2078',
      'hosts/beta/latest -> 2078',
      'tags/',
      'tags/x/',
      'tags/x/2024',
      'tags/x/latest -> 2024',
      'tags/y/',
      'tags/y/2024',
      'tags/y/latest -> 2024',
    ])
  })

  test('tells snapshots of one time apart', () => {
    const shown = layOut([candidate('a'), candidate('b')], ['%T'], '2006')
    expect(pathsOf(shown)).toEqual(['2024', 'latest -> 2024-1', '2024-1'])
  })

  test('M1 names that others chose stay within their directory', () => {
    const hostile = candidate('a', { hostname: '../../etc', tags: ['..', 'a/b', '\0'] })
    expect(pathsOf(layOut([hostile], ['h/%h/%i', 't/%t/%i'], '2006'))).toEqual([
      'h/',
      'h/.._.._etc/',
      'h/.._.._etc/aaaaaaaa',
      't/',
      't/__/',
      't/__/aaaaaaaa',
      't/a_b/',
      't/a_b/aaaaaaaa',
      't/_/',
      't/_/aaaaaaaa',
    ])
  })

  test('nothing is laid into a snapshot', () => {
    const shown = layOut([candidate('a')], ['x', 'x/%i'], '2006')
    expect(pathsOf(shown)).toEqual(['x'])
  })

  test('templateProblem() names what no template has', () => {
    expect(templateProblem('%h/%x')).toContain('%x')
    expect(templateProblem('100%')).toContain('%')
    expect(templateProblem('a/../%h')).toBeDefined()
    for (const template of PATH_TEMPLATES) expect(templateProblem(template)).toBeUndefined()
  })
})

test('inodeOf() gives names of their own, within 53 bits, and never 0 or 1', () => {
  const seen = new Set<number>()
  for (let parent = 0; parent < 50; parent++) {
    const above = inodeOf(parent, 'directory')
    for (let i = 0; i < 4_000; i++) seen.add(inodeOf(above, `file-${i}`))
  }
  expect(seen.size).toBe(200_000)
  for (const inode of seen)
    if (inode < 2 || !Number.isSafeInteger(inode)) throw new Error(`${inode}`)
})

test('ErrorLog tells damage of each file, and a storage that is down once a minute', () => {
  let nowMs = 0
  const told: string[] = []
  const log = new ErrorLog({ monotonicMs: () => nowMs }, (message) => told.push(message))
  const damage = (path: string) => new CairnError('CAIRN_CORRUPT', `cannot read '${path}'`)
  const down = (path: string) =>
    new CairnError('CAIRN_STORAGE_DOWN', `cannot read '${path}'`, { cause: new Error('no answer') })
  for (let i = 0; i < 1_000; i++) {
    log.report(damage('a'))
    log.report(damage('b'))
    log.report(down(`file ${i}`))
  }
  expect(told).toEqual([
    "error: cannot read 'a'",
    "error: cannot read 'b'",
    "error: cannot read 'file 0': no answer",
  ])
  nowMs = 60_000
  log.report(down('again'))
  expect(told).toHaveLength(4)
})
