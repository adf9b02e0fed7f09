/** Which hour, day, week, month and year a time is in, in the local time zone; and times before it. */

import type { CalendarDuration } from '../../base/units.ts'

const NS_PER_MS = 1_000_000n
const NS_PER_HOUR = 3_600_000n * NS_PER_MS
const DAY_MS = 86_400_000
const THURSDAY = 4

function dateOf(timeNs: bigint): Date {
  return new Date(Number(timeNs / NS_PER_MS))
}

/** ISO 8601: the week belongs to the year that its Thursday is in. */
function isoWeek(date: Date): string {
  const day = new Date(Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()))
  day.setUTCDate(day.getUTCDate() + THURSDAY - (day.getUTCDay() || 7))
  const year = day.getUTCFullYear()
  const week = Math.floor((day.getTime() - Date.UTC(year, 0, 1)) / (7 * DAY_MS)) + 1
  return `${year}-w${week}`
}

/** Two times are in the same bucket if these are equal. The hour that a clock set back repeats is one. */
export const BUCKETS = {
  hourly: (timeNs: bigint) => `${day(dateOf(timeNs))} ${dateOf(timeNs).getHours()}`,
  daily: (timeNs: bigint) => day(dateOf(timeNs)),
  weekly: (timeNs: bigint) => isoWeek(dateOf(timeNs)),
  monthly: (timeNs: bigint) => `${dateOf(timeNs).getFullYear()}-${dateOf(timeNs).getMonth()}`,
  yearly: (timeNs: bigint) => `${dateOf(timeNs).getFullYear()}`,
} as const

function day(date: Date): string {
  return `${date.getFullYear()}-${date.getMonth()}-${date.getDate()}`
}

/**
 * `timeNs` less a span: years, months and days by the local calendar, where 31 March less a month is
 * 31 February, which is 3 March (or 2 March in a leap year); then hours by the clock.
 */
export function before(timeNs: bigint, span: CalendarDuration): bigint {
  const date = dateOf(timeNs)
  const restNs = timeNs - BigInt(date.getTime()) * NS_PER_MS
  const moved = new Date(date)
  moved.setFullYear(
    date.getFullYear() - span.years,
    date.getMonth() - span.months,
    date.getDate() - span.days,
  )
  return BigInt(moved.getTime()) * NS_PER_MS + restNs - BigInt(span.hours) * NS_PER_HOUR
}
