import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isCairnError } from '../../src/base/errors.ts'
import { parseTimeReference } from '../../src/engine/time-reference.ts'

const zoneBefore = process.env.TZ
beforeEach(() => {
  process.env.TZ = 'Europe/Berlin'
})
afterEach(() => {
  if (zoneBefore === undefined) delete process.env.TZ
  else process.env.TZ = zoneBefore
})

/** 2026-11-20, 15:30:00.5 in Berlin. */
const NOW = BigInt(Date.UTC(2026, 10, 20, 14, 30)) * 1_000_000n + 500_000_000n

function iso(ns: bigint): string {
  const rest = ns % 1_000_000_000n
  return `${new Date(Number(ns / 1_000_000n)).toISOString().slice(0, 19)}.${String(rest).padStart(9, '0')}`
}

function read(text: string, now = NOW): string[] {
  const { startNs, endNs } = parseTimeReference(text, now)
  return [iso(startNs), iso(endNs)]
}

describe('parseTimeReference()', () => {
  test('takes a time to the minute as an instant, in local time', () => {
    expect(read('@2026-11-20T14:00')).toEqual([
      '2026-11-20T13:00:00.000000000',
      '2026-11-20T13:00:00.000000000',
    ])
    expect(read('2026-11-20 14:00')).toEqual(read('@2026-11-20T14:00'))
    expect(read('2026-07-20T14:00')[0]).toBe('2026-07-20T12:00:00.000000000')
  })

  test('takes a time with seconds as the whole second', () => {
    expect(read('@2026-11-20T14:00:05Z')).toEqual([
      '2026-11-20T14:00:05.000000000',
      '2026-11-20T14:00:05.999999999',
    ])
    expect(read('2026-11-20T14:00:05.25+02:00')).toEqual([
      '2026-11-20T12:00:05.250000000',
      '2026-11-20T12:00:05.259999999',
    ])
    const exact = '2026-11-20T14:00:05.123456789-0530'
    expect(read(exact)).toEqual(['2026-11-20T19:30:05.123456789', '2026-11-20T19:30:05.123456789'])
  })

  test('takes a day as all of that local day, 23 or 25 hours long too', () => {
    expect(read('@2026-11-20')).toEqual([
      '2026-11-19T23:00:00.000000000',
      '2026-11-20T22:59:59.999999999',
    ])
    expect(read('today')).toEqual(read('2026-11-20'))
    expect(read('@yesterday')).toEqual(read('2026-11-19'))
    expect(read('2026-03-29')).toEqual([
      '2026-03-28T23:00:00.000000000',
      '2026-03-29T21:59:59.999999999',
    ])
    expect(read('2026-10-25')).toEqual([
      '2026-10-24T22:00:00.000000000',
      '2026-10-25T22:59:59.999999999',
    ])
  })

  test('counts spans back from now', () => {
    expect(read('now')).toEqual(['2026-11-20T14:30:00.500000000', '2026-11-20T14:30:00.500000000'])
    expect(read('@3h')[0]).toBe('2026-11-20T11:30:00.500000000')
    expect(read('@2d12h')[0]).toBe('2026-11-18T02:30:00.500000000')
  })

  test('counts years, months and days by the calendar', () => {
    expect(read('@1y2m')[0]).toBe('2025-09-20T13:30:00.500000000') // Summer time then: 15:30 too.
    const endOfMarch = BigInt(Date.UTC(2026, 2, 31, 10)) * 1_000_000n
    expect(read('1m', endOfMarch)[0]).toBe('2026-02-28T11:00:00.000000000')
  })

  test.each([
    '',
    '@',
    'tomorrow',
    '2026-13-01',
    '2026-02-30',
    '2026-11-20T24:00',
    '2026-11-20T14',
    '2026-11-20T14:60',
    '2026-11-20T14:00+25:00',
    '3',
    '3w',
    '-3h',
    '2026-11-20T14:00:',
  ])('refuses %j', (text) => {
    expect(() => parseTimeReference(text, NOW)).toThrow(
      expect.toSatisfy((error) => isCairnError(error, 'CAIRN_USAGE')),
    )
  })
})
