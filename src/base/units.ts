/** Sizes, durations, times and modes as text, the way restic prints and reads them. */

import { CairnError } from './errors.ts'

const SIZE_UNITS = [
  ['TiB', 2 ** 40],
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
] as const

/**
 * `value` (not negative) with `digits` digits after the point. Halves go to the even digit, as in
 * Go's fmt; toFixed() rounds them up, so that 1088 bytes would be 1.063 KiB here and 1.062 there.
 */
export function fixedHalfEven(value: number, digits: number): string {
  const rounded = value.toFixed(digits)
  const isTie = (value * 2 ** (digits + 1)) % 2 === 1
  const lastIsOdd = Number(rounded.at(-1)) % 2 === 1
  return isTie && lastIsOdd ? (Number(rounded) - 10 ** -digits).toFixed(digits) : rounded
}

/** `12 B`, `1.500 KiB`, … `TiB`. */
export function formatBytes(byteCount: number | bigint): string {
  const value = Number(byteCount)
  for (const [name, bytes] of SIZE_UNITS) {
    if (value >= bytes) return `${fixedHalfEven(value / bytes, 3)} ${name}`
  }
  return `${value} B`
}

/** `m:ss`, or `h:mm:ss` from an hour on. Parts of a second are cut off. */
export function formatDuration(seconds: number): string {
  const total = Math.max(0, Math.floor(seconds))
  const two = (value: number) => String(value).padStart(2, '0')
  const hours = Math.floor(total / 3600)
  const minutes = Math.floor((total % 3600) / 60)
  const rest = two(total % 60)
  return hours > 0 ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`
}

/** `12.34%`, at most `100.00%`; empty if there is nothing to compare with. */
export function formatPercent(part: number | bigint, whole: number | bigint): string {
  if (Number(whole) === 0) return ''
  return `${fixedHalfEven(Math.min(100, (100 * Number(part)) / Number(whole)), 2)}%`
}

const NS_PER_MS = 1_000_000n
const DATE_MS_MAX = 8_640_000_000_000_000n

function floorDivide(value: bigint, divisor: bigint): bigint {
  const quotient = value / divisor
  return value % divisor < 0n ? quotient - 1n : quotient
}

function dateOf(timeNs: bigint): Date {
  const ms = floorDivide(timeNs, NS_PER_MS)
  if (ms > DATE_MS_MAX) return new Date(Number(DATE_MS_MAX))
  return new Date(Number(ms < -DATE_MS_MAX ? -DATE_MS_MAX : ms))
}

function pad(value: number, width: number): string {
  return String(value).padStart(width, '0')
}

/** `2006-01-02 15:04:05` in the local time zone. */
export function formatTime(timeNs: bigint): string {
  const date = dateOf(timeNs)
  const day = `${pad(date.getFullYear(), 4)}-${pad(date.getMonth() + 1, 2)}-${pad(date.getDate(), 2)}`
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => pad(part, 2))
  return `${day} ${clock.join(':')}`
}

/** Minutes that local time is ahead of UTC at `timeNs`. */
function localOffsetMinutes(timeNs: bigint): number {
  return -Math.trunc(dateOf(timeNs).getTimezoneOffset())
}

/**
 * RFC 3339 with up to nine digits of the second, trailing zeros cut, as Go prints it:
 * `2026-11-20T14:00:00.123456789+01:00`, and `Z` where the offset is nought. A year outside 0 to
 * 9999, which RFC 3339 cannot say, becomes the nearest that it can, as restic does.
 */
export function formatRfc3339Ns(
  timeNs: bigint,
  offsetMinutes: number = localOffsetMinutes(timeNs),
): string {
  const date = dateOf(timeNs + BigInt(offsetMinutes) * 60_000n * NS_PER_MS)
  const year = Math.min(9999, Math.max(0, date.getUTCFullYear()))
  if (year !== date.getUTCFullYear()) date.setUTCFullYear(year)
  const fraction = timeNs - floorDivide(timeNs, 1_000_000_000n) * 1_000_000_000n
  const digits = String(fraction).padStart(9, '0').replace(/0+$/, '')
  const seconds = date.toISOString().slice(0, 19)
  const minutes = Math.abs(offsetMinutes)
  const sign = offsetMinutes < 0 ? '-' : '+'
  const zone = `${sign}${pad(Math.floor(minutes / 60), 2)}:${pad(minutes % 60, 2)}`
  return `${seconds}${digits === '' ? '' : `.${digits}`}${offsetMinutes === 0 ? 'Z' : zone}`
}

/** What an entry of a directory is, in restic's words. */
export type NodeType = 'file' | 'dir' | 'symlink' | 'dev' | 'chardev' | 'fifo' | 'socket'

/** Go's os.FileMode bits, which restic's JSON carries. */
const GO_TYPE_BITS: Record<NodeType, number> = {
  file: 0,
  dir: 2 ** 31,
  symlink: 2 ** 27,
  dev: 2 ** 26,
  chardev: 2 ** 26 + 2 ** 21,
  fifo: 2 ** 25,
  socket: 2 ** 24,
}
/** Go's letters for the bits of `GO_TYPE_BITS` and of setuid, setgid and sticky, in its order. */
const GO_LETTERS = [
  ['d', 2 ** 31],
  ['L', 2 ** 27],
  ['D', 2 ** 26],
  ['p', 2 ** 25],
  ['S', 2 ** 24],
  ['u', 2 ** 23],
  ['g', 2 ** 22],
  ['c', 2 ** 21],
  ['t', 2 ** 20],
] as const

/** Go's os.FileMode of an entry with these POSIX permission bits (12 of them). */
export function goFileMode(type: NodeType, mode: number): number {
  let bits = GO_TYPE_BITS[type] + (mode & 0o777)
  if (mode & 0o4000) bits += 2 ** 23
  if (mode & 0o2000) bits += 2 ** 22
  if (mode & 0o1000) bits += 2 ** 20
  return bits
}

/** Go's FileMode.String(): `drwxr-xr-x`, `Lrwxrwxrwx`, `urwxr-xr-x` (setuid), `dtrwxrwxrwx`. */
export function formatMode(type: NodeType, mode: number): string {
  const bits = goFileMode(type, mode)
  let text = ''
  for (const [letter, bit] of GO_LETTERS) if (Math.floor(bits / bit) % 2 === 1) text += letter
  if (text === '') text = '-'
  for (let at = 0; at < 9; at++) text += bits & (0o400 >> at) ? 'rwxrwxrwx'.charAt(at) : '-'
  return text
}

const SIZE_FACTORS: Readonly<Record<string, number>> = {
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
}

/** Bytes of `512`, `10M`, `2g`: k, m, g and t in either case are powers of 1024. */
export function parseSize(text: string): number {
  const parts = /^(\d+)([bkmgt]?)$/i.exec(text)
  const bytes = Number(parts?.[1]) * (SIZE_FACTORS[(parts?.[2] ?? '').toLowerCase() || 'b'] ?? 1)
  if (parts === null || !Number.isSafeInteger(bytes)) {
    throw new CairnError(
      'CAIRN_USAGE',
      `'${text}' is not a size: write a number such as 512 or 10M`,
    )
  }
  return bytes
}

/** A span in calendar units: how long a month is depends on where one stands. */
export interface CalendarDuration {
  readonly years: number
  readonly months: number
  readonly days: number
  readonly hours: number
}

const CALENDAR_UNITS = { y: 'years', m: 'months', d: 'days', h: 'hours' } as const

/** `1y5m7d2h`: years, months, days, hours, in any order, each optional. */
export function parseDuration(text: string): CalendarDuration {
  const duration = { years: 0, months: 0, days: 0, hours: 0 }
  const trimmed = text.trim()
  if (!/^(?:\d{1,9}[ymdh])+$/.test(trimmed)) {
    throw new CairnError('CAIRN_USAGE', `'${text}' is not a duration: write one such as 1y5m7d2h`)
  }
  for (const [, digits, unit] of trimmed.matchAll(/(\d+)([ymdh])/g)) {
    duration[CALENDAR_UNITS[unit as keyof typeof CALENDAR_UNITS]] = Number(digits)
  }
  return duration
}

const CLOCK_UNITS_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
}

/** Milliseconds of a span on the clock, as Go writes it: `90s`, `1h30m`, `1.5h`, `0`. */
export function parseClockDuration(text: string): number {
  if (text === '0') return 0
  if (!/^(?:\d+(?:\.\d+)?(?:h|ms|m|s))+$/.test(text)) {
    throw new CairnError(
      'CAIRN_USAGE',
      `'${text}' is not a duration: write one such as 90s or 1h30m`,
    )
  }
  let total = 0
  for (const [, amount, unit] of text.matchAll(/([\d.]+)(h|ms|m|s)/g)) {
    total += Number(amount) * (CLOCK_UNITS_MS[unit ?? ''] ?? 0)
  }
  return total
}
