/**
 * Times as people write them behind `@` and `--at`. What is written covers a stretch of time: a day
 * covers its 24 hours, and a time with seconds the whole second, because that is all a listing
 * shows of it. "At or before the 20th" therefore includes the 20th. A time to the minute is an
 * instant.
 */

import { CairnError } from '../base/errors.ts'
import { parseDuration } from '../base/units.ts'

/** From `startNs` to `endNs`, both included; the same for an instant. */
export interface TimeReference {
  readonly startNs: bigint
  readonly endNs: bigint
}

const NS_PER_MS = 1_000_000n
const NS_PER_SECOND = 1_000_000_000n

interface DayParts {
  readonly year: number
  /** From 1. */
  readonly month: number
  readonly day: number
}

interface ClockParts {
  readonly hour: number
  readonly minute: number
  readonly second: number
}

/** Milliseconds since 1970 of a local or UTC day and time; undefined for a day that is not. */
function timeMsOf(day: DayParts, clock: ClockParts, isUtc: boolean): number | undefined {
  const isLegal = clock.hour <= 23 && clock.minute <= 59 && clock.second <= 59
  const check = new Date(0)
  check.setUTCFullYear(day.year, day.month - 1, day.day)
  if (!isLegal || check.getUTCMonth() !== day.month - 1 || check.getUTCDate() !== day.day) {
    return undefined
  }
  const date = new Date(0)
  if (isUtc) {
    date.setUTCFullYear(day.year, day.month - 1, day.day)
    return date.setUTCHours(clock.hour, clock.minute, clock.second, 0)
  }
  date.setFullYear(day.year, day.month - 1, day.day)
  return date.setHours(clock.hour, clock.minute, clock.second, 0)
}

function wholeDay(day: DayParts): TimeReference | undefined {
  const midnight = { hour: 0, minute: 0, second: 0 }
  const startMs = timeMsOf(day, midnight, false)
  if (startMs === undefined) return undefined
  const next = new Date(startMs)
  next.setDate(next.getDate() + 1)
  next.setHours(0, 0, 0, 0)
  return {
    startNs: BigInt(startMs) * NS_PER_MS,
    endNs: BigInt(next.getTime()) * NS_PER_MS - 1n,
  }
}

function localDay(nowNs: bigint, daysBack: number): TimeReference | undefined {
  const date = new Date(Number(nowNs / NS_PER_MS))
  date.setDate(date.getDate() - daysBack)
  return wholeDay({ year: date.getFullYear(), month: date.getMonth() + 1, day: date.getDate() })
}

/** Years, months and days by the calendar (31 March less a month is the end of February), then hours. */
function timeBefore(nowNs: bigint, text: string): TimeReference {
  const { years, months, days, hours } = parseDuration(text)
  const nowMs = Number(nowNs / NS_PER_MS)
  const date = new Date(nowMs)
  const dayOfMonth = date.getDate()
  date.setDate(1)
  date.setFullYear(date.getFullYear() - years, date.getMonth() - months)
  const lastDay = new Date(date.getFullYear(), date.getMonth() + 1, 0).getDate()
  date.setDate(Math.min(dayOfMonth, lastDay) - days)
  if (Number.isNaN(date.getTime())) throw notATime(text)
  const backNs = BigInt(nowMs - date.getTime()) * NS_PER_MS + BigInt(hours) * 3600n * NS_PER_SECOND
  return { startNs: nowNs - backNs, endNs: nowNs - backNs }
}

const DAY = /^(\d{4})-(\d\d)-(\d\d)$/
const DAY_AND_CLOCK =
  /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?$/

function zoneOffsetMinutes(zone: string): number | undefined {
  if (zone === 'Z') return 0
  const hours = Number(zone.slice(1, 3))
  const minutes = Number(zone.slice(-2))
  if (hours > 23 || minutes > 59) return undefined
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes)
}

function dayAndClock(text: string): TimeReference | undefined {
  const parts = DAY_AND_CLOCK.exec(text)
  if (parts === null) return undefined
  const [, year, month, day, hour, minute, second, fraction, zone] = parts
  const offset = zone === undefined ? 0 : zoneOffsetMinutes(zone)
  if (offset === undefined) return undefined
  const timeMs = timeMsOf(
    { year: Number(year), month: Number(month), day: Number(day) },
    { hour: Number(hour), minute: Number(minute), second: Number(second ?? 0) },
    zone !== undefined,
  )
  if (timeMs === undefined) return undefined
  const wholeNs = BigInt(timeMs - offset * 60_000) * NS_PER_MS
  const startNs = wholeNs + BigInt((fraction ?? '').padEnd(9, '0'))
  const coveredNs = second === undefined ? 1n : 10n ** BigInt(9 - (fraction?.length ?? 0))
  return { startNs, endNs: startNs + coveredNs - 1n }
}

function notATime(text: string): CairnError {
  return new CairnError(
    'CAIRN_USAGE',
    `'${text}' is not a time: write one such as 2026-11-20, 2026-11-20T14:00, yesterday or 3h`,
  )
}

/** As `parseTimeReference`, but undefined for what is not a time. */
export function tryParseTimeReference(text: string, nowNs: bigint): TimeReference | undefined {
  if (text === 'now') return { startNs: nowNs, endNs: nowNs }
  if (text === 'today') return localDay(nowNs, 0)
  if (text === 'yesterday') return localDay(nowNs, 1)
  if (/^(?:\d{1,4}[ymd]|\d{1,6}h)+$/.test(text)) return timeBefore(nowNs, text)
  const day = DAY.exec(text)
  if (day === null) return dayAndClock(text)
  return wholeDay({ year: Number(day[1]), month: Number(day[2]), day: Number(day[3]) })
}

/**
 * Reads `2026-11-20`, `2026-11-20T14:00`, `2026-11-20 14:00:05`, with `Z` or `+01:00` or in local
 * time, `now`, `today`, `yesterday`, and spans before now such as `3h`, `2d12h` and `1y2m`; with or
 * without a leading `@`. Throws CAIRN_USAGE for anything else.
 */
export function parseTimeReference(text: string, nowNs: bigint): TimeReference {
  const time = tryParseTimeReference(text.replace(/^@/, ''), nowNs)
  if (time === undefined) throw notATime(text)
  return time
}
