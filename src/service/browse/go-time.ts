/**
 * Times by a template as Go has them, which is how restic's users write them: the moment
 * Mon Jan 2 15:04:05 MST 2006, spelled as the time shall look (https://pkg.go.dev/time#Layout).
 */

const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const NS_PER_SECOND = 1_000_000_000n

/** The longer spelling before the shorter one that it begins with. */
const TOKENS =
  /January|Jan|Monday|Mon|MST|2006|06|01|02|_2|03|04|05|15|PM|pm|[.,](?:0+|9+)(?!\d)|Z07:00|Z0700|Z07|-07:00|-0700|-07|1|2|3|4|5/g

function two(value: number): string {
  return String(value).padStart(2, '0')
}

function zone(date: Date, token: string): string {
  const minutes = -date.getTimezoneOffset()
  if (token.startsWith('Z') && minutes === 0) return 'Z'
  const sign = minutes < 0 ? '-' : '+'
  const hour = two(Math.floor(Math.abs(minutes) / 60))
  const minute = two(Math.abs(minutes) % 60)
  if (token.endsWith('07')) return `${sign}${hour}`
  return `${sign}${hour}${token.includes(':') ? ':' : ''}${minute}`
}

function zoneName(date: Date): string {
  const parts = new Intl.DateTimeFormat('en-US', { timeZoneName: 'short' }).formatToParts(date)
  return parts.find(({ type }) => type === 'timeZoneName')?.value ?? 'UTC'
}

/** As many digits as there are zeros; as nines, without zeros at the end. */
function fraction(nanoseconds: number, token: string): string {
  const digits = String(nanoseconds)
    .padStart(9, '0')
    .slice(0, token.length - 1)
  if (token[1] === '0') return `${token[0]}${digits.padEnd(token.length - 1, '0')}`
  const trimmed = digits.replace(/0+$/, '')
  return trimmed === '' ? '' : `${token[0]}${trimmed}`
}

const FORMATS: Readonly<Record<string, (date: Date) => string>> = {
  January: (date) => MONTHS[date.getMonth()] ?? '',
  Jan: (date) => (MONTHS[date.getMonth()] ?? '').slice(0, 3),
  Monday: (date) => DAYS[date.getDay()] ?? '',
  Mon: (date) => (DAYS[date.getDay()] ?? '').slice(0, 3),
  MST: zoneName,
  '2006': (date) => String(date.getFullYear()).padStart(4, '0'),
  '06': (date) => two(date.getFullYear() % 100),
  '01': (date) => two(date.getMonth() + 1),
  '1': (date) => String(date.getMonth() + 1),
  '02': (date) => two(date.getDate()),
  _2: (date) => String(date.getDate()).padStart(2),
  '2': (date) => String(date.getDate()),
  '15': (date) => two(date.getHours()),
  '03': (date) => two(date.getHours() % 12 || 12),
  '3': (date) => String(date.getHours() % 12 || 12),
  '04': (date) => two(date.getMinutes()),
  '4': (date) => String(date.getMinutes()),
  '05': (date) => two(date.getSeconds()),
  '5': (date) => String(date.getSeconds()),
  PM: (date) => (date.getHours() < 12 ? 'AM' : 'PM'),
  pm: (date) => (date.getHours() < 12 ? 'am' : 'pm'),
}

/** RFC 3339, as restic names its snapshots. */
export const RFC3339 = '2006-01-02T15:04:05Z07:00'

/** A time in nanoseconds since 1970 in the local zone, by a template. */
export function formatGoTime(wallNs: bigint, template: string): string {
  const rest = wallNs % NS_PER_SECOND
  const nanoseconds = Number(rest < 0n ? rest + NS_PER_SECOND : rest)
  const date = new Date(Number((wallNs - BigInt(nanoseconds)) / 1_000_000n))
  return template.replace(TOKENS, (token) => {
    if (/^[.,]/.test(token)) return fraction(nanoseconds, token)
    return FORMATS[token]?.(date) ?? zone(date, token)
  })
}
