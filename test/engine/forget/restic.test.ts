/** The same histories and policies, with the real restic. */

import { execFile, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseDuration } from '../../../src/base/units.ts'
import { applyPolicy, type KeepPolicy, type Period } from '../../../src/engine/forget/policy.ts'

const hasRestic = spawnSync('restic', ['version']).status === 0
const ZONE = 'Europe/Berlin'
/** Local times: summer time begins and ends, a leap day, turns of years and ISO weeks, equal hours. */
const TIMES = [
  '2022-12-31 23:59:59',
  '2023-01-01 00:00:00',
  '2023-03-26 01:30:00',
  '2023-03-26 03:30:00',
  '2023-10-29 01:59:00',
  '2023-10-29 03:01:00',
  '2023-12-31 12:00:00',
  '2024-01-01 00:30:00',
  '2024-02-28 12:00:00',
  '2024-02-29 12:00:00',
  '2024-03-31 12:00:00',
  '2024-12-29 23:00:00',
  '2024-12-30 01:00:00',
  '2025-01-05 22:00:00',
  '2025-01-06 00:00:00',
  '2025-01-06 00:20:00',
  '2025-01-06 01:00:00',
  '2025-01-06 23:00:00',
]

/** Options of restic by what they are here. */
const POLICIES: readonly (readonly string[])[] = [
  ['--keep-last', '1'],
  ['--keep-last', '100'],
  ['--keep-hourly', '3'],
  ['--keep-hourly', '12'],
  ['--keep-daily', '4'],
  ['--keep-daily', '1000'],
  ['--keep-weekly', '2'],
  ['--keep-weekly', '20'],
  ['--keep-monthly', '3'],
  ['--keep-monthly', '50'],
  ['--keep-yearly', '2'],
  ['--keep-yearly', '9'],
  ['--keep-within', '1d'],
  ['--keep-within', '1y'],
  ['--keep-within', '9m7d22h'],
  ['--keep-within', '1y10m8d'],
  ['--keep-within-hourly', '2d'],
  ['--keep-within-daily', '9d'],
  ['--keep-within-weekly', '1y'],
  ['--keep-within-monthly', '1y3m'],
  ['--keep-within-yearly', '5y'],
  ['--keep-last', '2', '--keep-daily', '3', '--keep-weekly', '5', '--keep-yearly', '1'],
  ['--keep-monthly', '2', '--keep-within-daily', '13m', '--keep-hourly', '1'],
  ['--keep-tag', 'even', '--keep-last', '1'],
  ['--keep-tag', 'even,third'],
]

function policyOf(options: readonly string[]): KeepPolicy {
  const counts: Partial<Record<Period, number>> = {}
  const withinCounts: Record<string, ReturnType<typeof parseDuration>> = {}
  const tags: string[][] = []
  const rest: { last?: number; within?: ReturnType<typeof parseDuration> } = {}
  for (let i = 0; i < options.length; i += 2) {
    const name = (options[i] ?? '').replace('--keep-', '')
    const value = options[i + 1] ?? ''
    if (name === 'last') rest.last = Number(value)
    else if (name === 'within') rest.within = parseDuration(value)
    else if (name === 'tag') tags.push(value.split(','))
    else if (name.startsWith('within-')) withinCounts[name.slice(7)] = parseDuration(value)
    else counts[name as Period] = Number(value)
  }
  return { ...rest, counts, withinCounts, tags }
}

function tagsOf(i: number): string[] {
  return [...(i % 2 === 0 ? ['even'] : []), ...(i % 3 === 0 ? ['third'] : [])]
}

describe.skipIf(!hasRestic)('restic keeps the same', () => {
  let root = ''
  let zoneBefore: string | undefined

  async function restic(...args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)('restic', args, {
      env: {
        PATH: process.env['PATH'],
        HOME: root,
        TZ: ZONE,
        RESTIC_REPOSITORY: join(root, 'repository'),
        RESTIC_PASSWORD: 'correct horse',
      },
    })
    return stdout
  }

  beforeAll(async () => {
    zoneBefore = process.env['TZ']
    process.env['TZ'] = ZONE
    root = mkdtempSync(join(tmpdir(), 'cairn-forget-'))
    mkdirSync(join(root, 'source'))
    writeFileSync(join(root, 'source', 'file'), 'contents')
    await restic('init')
    for (const [i, time] of TIMES.entries()) {
      const tags = tagsOf(i).flatMap((tag) => ['--tag', tag])
      await restic('backup', '-q', '--host', 'h', '--time', time, ...tags, join(root, 'source'))
    }
  })
  afterAll(() => {
    if (zoneBefore === undefined) delete process.env['TZ']
    else process.env['TZ'] = zoneBefore
    rmSync(root, { recursive: true, force: true })
  })

  test.each(POLICIES.map((options) => [options.join(' '), options] as const))(
    '%s',
    async (_name, options) => {
      const [group] = JSON.parse(
        await restic('forget', '--dry-run', '--json', '--no-lock', ...options),
      ) as { reasons: { snapshot: { time: string }; matches: string[] }[] }[]
      const snapshots = TIMES.map((time, i) => ({
        id: String(i).padStart(2, '0'),
        timeNs: BigInt(Date.parse(time.replace(' ', 'T'))) * 1_000_000n,
        tags: tagsOf(i),
        isPartial: false,
        isConfirmed: true,
      }))
      const nowNs = BigInt(Date.now()) * 1_000_000n
      const { reasons } = applyPolicy(snapshots, policyOf(options), nowNs)
      // restic before 0.16 did not keep the oldest for the counts that are left.
      const plain = (matches: readonly string[]) =>
        matches.filter((match) => !match.startsWith('oldest '))
      const ours = reasons
        .map(({ snapshot, matches }) => [
          Number(snapshot.timeNs / 1_000_000n),
          plain(matches).length,
        ])
        .filter(([, count]) => count !== 0)
      const theirs = (group?.reasons ?? [])
        .map(({ snapshot, matches }) => [Date.parse(snapshot.time), plain(matches).length])
        .filter(([, count]) => count !== 0)
      expect(ours).toEqual(theirs)
    },
  )
})
