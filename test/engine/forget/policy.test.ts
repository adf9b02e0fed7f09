import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CalendarDuration } from '../../../src/base/units.ts'
import {
  applyPolicy,
  isEmptyPolicy,
  type KeepPolicy,
  type Period,
  PERIODS,
  type PolicySnapshot,
  policyText,
} from '../../../src/engine/forget/policy.ts'

const HOUR_MS = 3_600_000
const ZONE = 'Europe/Berlin'
const NONE: KeepPolicy = { counts: {}, withinCounts: {}, tags: [] }
const NOW_NS = ns('2030-01-01T00:00:00Z')
let zoneBefore: string | undefined

beforeAll(() => {
  zoneBefore = process.env['TZ']
  process.env['TZ'] = ZONE
})
afterAll(() => {
  if (zoneBefore === undefined) delete process.env['TZ']
  else process.env['TZ'] = zoneBefore
})

function ns(text: string): bigint {
  return BigInt(Date.parse(text)) * 1_000_000n
}

function at(text: string, tags: readonly string[] = [], isPartial = false): PolicySnapshot {
  return { id: text, timeNs: ns(text), tags, isPartial, isConfirmed: true }
}

function keptBy(policy: Partial<KeepPolicy>, snapshots: readonly PolicySnapshot[]): string[] {
  return applyPolicy(snapshots, { ...NONE, ...policy }, NOW_NS).keep.map(({ id }) => id)
}

const span = (text: Partial<CalendarDuration>): CalendarDuration => ({
  years: 0,
  months: 0,
  days: 0,
  hours: 0,
  ...text,
})

test('the tests run in a zone with summer time', () => {
  expect(new Date('2024-07-01T00:00:00Z').getHours()).toBe(2)
})

describe('rules', () => {
  test('last n; the newest first', () => {
    const snapshots = [
      at('2024-01-01T00:00:00Z'),
      at('2024-01-03T00:00:00Z'),
      at('2024-01-02T00:00:00Z'),
    ]
    expect(keptBy({ last: 2 }, snapshots)).toEqual(['2024-01-03T00:00:00Z', '2024-01-02T00:00:00Z'])
    expect(keptBy({ last: -1 }, snapshots)).toHaveLength(3)
  })

  test('days, weeks and years begin in the local zone', () => {
    // 23:30Z is the next day in Berlin.
    const nights = [at('2024-01-01T22:30:00Z'), at('2024-01-01T23:30:00Z')]
    expect(keptBy({ counts: { daily: 2 } }, nights)).toHaveLength(2)
    expect(
      keptBy({ counts: { daily: -1 } }, [at('2024-01-01T01:00:00Z'), nights[0]!]),
    ).toHaveLength(
      2, // The newest of the day, and the oldest of all.
    )
    // 30 December 2024 is in week 1 of 2025; 1 January 2027 in week 53 of 2026.
    const weeks = ['2024-12-29T12:00:00Z', '2024-12-30T12:00:00Z', '2025-01-05T12:00:00Z']
    expect(
      keptBy(
        { counts: { weekly: 2 } },
        weeks.map((one) => at(one)),
      ),
    ).toEqual(['2025-01-05T12:00:00Z', '2024-12-29T12:00:00Z'])
  })

  test('the hour that comes twice when the clock is set back is one, the one that is left out none', () => {
    const back = ['2024-10-27T00:30:00Z', '2024-10-27T01:30:00Z', '2024-10-27T02:30:00Z']
    // 00:30Z and 01:30Z are both 02:30 on the clock; the oldest is kept while there are counts left.
    expect(
      keptBy(
        { counts: { hourly: 2 } },
        back.map((one) => at(one)),
      ),
    ).toEqual([back[2], back[1]])
    const forth = ['2024-03-31T00:30:00Z', '2024-03-31T01:30:00Z']
    expect(
      keptBy(
        { counts: { hourly: 2 } },
        forth.map((one) => at(one)),
      ),
    ).toHaveLength(2)
  })

  test('within: from the newest, by the calendar, also over leap days and summer time', () => {
    const leap = ['2023-02-28T12:00:00Z', '2023-03-01T12:00:01Z', '2024-02-29T12:00:00Z']
    // 29 February less a year is 1 March.
    expect(
      keptBy(
        { within: span({ years: 1 }) },
        leap.map((one) => at(one)),
      ),
    ).toEqual([leap[2], leap[1]])
    // A day back over the change is 25 hours.
    const change = ['2024-10-26T22:00:01Z', '2024-10-26T21:59:59Z', '2024-10-27T23:00:00Z']
    expect(
      keptBy(
        { within: span({ days: 1 }) },
        change.map((one) => at(one)),
      ),
    ).toEqual([change[2], change[0]])
    expect(
      keptBy(
        { within: span({ hours: 24 }) },
        change.map((one) => at(one)),
      ),
    ).toEqual([change[2]])
  })

  test('tags: any list whose tags are all there; an empty one for none', () => {
    const snapshots = [
      at('2024-01-01T00:00:00Z', ['a', 'b']),
      at('2024-01-02T00:00:00Z', ['a']),
      at('2024-01-03T00:00:00Z'),
    ]
    expect(keptBy({ tags: [['a', 'b']] }, snapshots)).toEqual(['2024-01-01T00:00:00Z'])
    expect(keptBy({ tags: [['b'], ['']] }, snapshots)).toEqual([
      '2024-01-03T00:00:00Z',
      '2024-01-01T00:00:00Z',
    ])
  })

  test('G: a clock that was ahead uses up no count, and its snapshot is kept', () => {
    const snapshots = [
      at('2024-01-01T00:00:00Z'),
      at('2024-01-02T00:00:00Z'),
      at('2031-01-01T00:00:00Z'),
    ]
    const { keep, reasons } = applyPolicy(
      snapshots,
      { ...NONE, last: 1, within: span({ hours: 1 }) },
      NOW_NS,
    )
    expect(keep.map(({ id }) => id)).toEqual(['2031-01-01T00:00:00Z', '2024-01-02T00:00:00Z'])
    expect(reasons[0]?.matches).toEqual(['time in the future'])
    expect(reasons[1]?.matches).toEqual(['within 1h', 'last snapshot'])
  })

  test('a partial snapshot uses up no count, and goes once a whole one is there', () => {
    const whole = at('2024-01-02T00:00:00Z')
    const before = at('2024-01-01T00:00:00Z', [], true)
    const after = at('2024-01-03T00:00:00Z', [], true)
    expect(keptBy({ last: 1 }, [before, whole, after])).toEqual([after.id, whole.id])
    expect(keptBy({ last: 1 }, [before])).toEqual([before.id])
  })

  test('an unconfirmed snapshot uses up no count, and is kept', () => {
    const sure = at('2024-01-02T00:00:00Z')
    const unsure = { ...at('2024-01-03T00:00:00Z'), isConfirmed: false }
    expect(keptBy({ last: 1 }, [at('2024-01-01T00:00:00Z'), sure, unsure])).toEqual([
      unsure.id,
      sure.id,
    ])
  })

  test('equal times: ids decide, whatever the order given', () => {
    const same = ['a', 'b', 'c'].map((id) => ({ ...at('2024-01-01T00:00:00Z'), id }))
    expect(keptBy({ last: 1 }, same)).toEqual(['a'])
    expect(keptBy({ last: 1 }, same.toReversed())).toEqual(['a'])
  })

  test('reasons and counters as restic has them', () => {
    const policy = { ...NONE, last: 1, counts: { daily: 3, yearly: -1 } }
    const snapshots = [at('2024-01-01T01:00:00Z'), at('2024-01-01T02:00:00Z')]
    const { reasons } = applyPolicy(snapshots, policy, NOW_NS)
    expect(reasons.map(({ matches }) => matches)).toEqual([
      ['last snapshot', 'daily snapshot', 'yearly snapshot'],
      ['oldest daily snapshot', 'oldest yearly snapshot'],
    ])
    expect(reasons[1]?.counters).toEqual({ last: 0, daily: 1, yearly: -1 })
    expect(policyText(policy)).toBe('keep 1 latest, 3 daily, all yearly snapshots')
  })

  test('a policy without rules is empty, zeros or not', () => {
    expect(isEmptyPolicy(NONE)).toBe(true)
    expect(isEmptyPolicy({ ...NONE, last: 0, within: span({}), counts: { daily: 0 } })).toBe(true)
    expect(isEmptyPolicy({ ...NONE, tags: [['']] })).toBe(false)
    expect(isEmptyPolicy({ ...NONE, withinCounts: { yearly: span({ hours: 1 }) } })).toBe(false)
  })
})

/**
 * The same, said another way: each rule by itself, over whole sets, with the calendar of Intl. What
 * a rule keeps is the newest of each of its first n buckets, and the oldest of all if n are not used up.
 */
const calendar = new Intl.DateTimeFormat('en-CA', {
  timeZone: ZONE,
  year: 'numeric',
  month: '2-digit',
  day: '2-digit',
  hour: '2-digit',
  hourCycle: 'h23',
})

function labelOf(period: Period, timeNs: bigint): string {
  const text = calendar.format(new Date(Number(timeNs / 1_000_000n)))
  if (period === 'weekly') {
    // The Monday that the week begins with.
    const noon = new Date(`${text.slice(0, 10)}T12:00:00Z`)
    return new Date(noon.getTime() - ((noon.getUTCDay() + 6) % 7) * 24 * HOUR_MS).toISOString()
  }
  const length = { hourly: text.length, daily: 10, monthly: 7, yearly: 4 }[period]
  return text.slice(0, length)
}

function oracle(snapshots: readonly PolicySnapshot[], policy: KeepPolicy): Set<string> {
  const youngestFirst = [...snapshots].sort(
    (a, b) => Number(b.timeNs - a.timeNs) || a.id.localeCompare(b.id),
  )
  const kept = new Set<string>()
  const rule = (
    among: readonly PolicySnapshot[],
    label: (one: PolicySnapshot) => string,
    n: number,
  ) => {
    const first = new Map<string, string>()
    for (const one of among) if (!first.has(label(one))) first.set(label(one), one.id)
    const chosen = [...first.values()].slice(0, n === -1 ? undefined : n)
    for (const id of chosen) kept.add(id)
    const oldest = youngestFirst.at(-1)
    const isUsedUp = n !== -1 && first.size >= n
    if (!isUsedUp && oldest !== undefined && among.includes(oldest)) kept.add(oldest.id)
  }
  if (policy.last !== undefined) rule(youngestFirst, ({ id }) => id, policy.last)
  for (const period of PERIODS) {
    const n = policy.counts[period]
    if (n !== undefined) rule(youngestFirst, ({ timeNs }) => labelOf(period, timeNs), n)
    const hours = policy.withinCounts[period]?.hours
    if (hours === undefined) continue
    rule(youngerThan(youngestFirst, hours), ({ timeNs }) => labelOf(period, timeNs), -1)
  }
  if (policy.within !== undefined) {
    for (const { id } of youngerThan(youngestFirst, policy.within.hours)) kept.add(id)
  }
  for (const { id, tags } of snapshots) {
    if (policy.tags.some((list) => list.every((tag) => tags.includes(tag)))) kept.add(id)
  }
  return kept
}

function youngerThan(youngestFirst: readonly PolicySnapshot[], hours: number) {
  const newest = youngestFirst[0]?.timeNs ?? 0n
  return youngestFirst.filter(({ timeNs }) => Number(newest - timeNs) / 1e6 < hours * HOUR_MS)
}

test('random histories: what is kept is what an oracle keeps, and nothing is lost or kept twice', () => {
  const start = Date.parse('2023-01-01T00:00:00Z')
  const count = fc.option(fc.constantFrom(-1, 1, 2, 3, 7), { nil: undefined })
  // Spans in hours only: in calendar units they are tested above.
  const hours = fc.option(
    fc.integer({ min: 1, max: 9000 }).map((value) => span({ hours: value })),
    { nil: undefined },
  )
  const perPeriod = <T>(value: fc.Arbitrary<T | undefined>) =>
    fc
      .tuple(...PERIODS.map(() => value))
      .map((values) =>
        Object.fromEntries(
          PERIODS.flatMap((period, i) => (values[i] === undefined ? [] : [[period, values[i]]])),
        ),
      )
  const policies = fc
    .tuple(count, perPeriod(count), hours, perPeriod(hours), fc.subarray(['a', 'b', 'c']))
    .map(
      ([last, counts, within, withinCounts, tags]): KeepPolicy => ({
        ...(last === undefined ? {} : { last }),
        ...(within === undefined ? {} : { within }),
        counts,
        withinCounts: withinCounts as KeepPolicy['withinCounts'],
        tags: tags.length === 0 ? [] : [tags],
      }),
    )
  const history = fc.array(
    fc.record({
      minutes: fc.oneof(fc.nat(500), fc.nat(100_000), fc.nat(1_000_000)),
      tags: fc.subarray(['a', 'b', 'c']),
    }),
    { maxLength: 40 },
  )
  fc.assert(
    fc.property(history, policies, (entries, policy) => {
      const snapshots = entries.map(({ minutes, tags }, i) => ({
        id: String(i).padStart(3, '0'),
        timeNs: BigInt(start + minutes * 60_000) * 1_000_000n,
        tags,
        isPartial: false,
        isConfirmed: true,
      }))
      const { keep, remove } = applyPolicy(snapshots, policy, NOW_NS)
      const kept = keep.map(({ id }) => id)
      expect(kept.toSorted()).toEqual([...oracle(snapshots, policy)].toSorted())
      const all = [...kept, ...remove.map(({ id }) => id)]
      expect(all.toSorted()).toEqual(snapshots.map(({ id }) => id))
    }),
    { numRuns: 1500 },
  )
})
