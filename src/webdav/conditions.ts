/** Ranges and conditions of requests (RFC 9110, 13 and 14). */

export interface ByteRange {
  readonly start: number
  /** Behind the last byte. */
  readonly end: number
}

/**
 * The one range that is asked for. Undefined where there is none, or several, or nonsense: then the
 * whole file is the answer. 'none' if nothing of the file lies in it.
 */
export function parseRange(
  header: string | undefined,
  byteCount: number,
): ByteRange | 'none' | undefined {
  const [, first = '', last = ''] =
    /^bytes=\s*(\d{0,15})\s*-\s*(\d{0,15})\s*$/i.exec(header ?? '') ?? []
  if (first === '') {
    if (last === '') return undefined
    const suffix = Number(last)
    if (suffix === 0 || byteCount === 0) return 'none'
    return { start: Math.max(0, byteCount - suffix), end: byteCount }
  }
  const start = Number(first)
  const end = last === '' ? byteCount : Math.min(Number(last) + 1, byteCount)
  if (last !== '' && Number(last) < start) return undefined
  return start >= byteCount ? 'none' : { start, end }
}

export interface Validators {
  /** With its quotation marks. */
  readonly tag: string
  readonly mtimeMs: number
}

type Headers = Readonly<Record<string, string | string[] | undefined>>

function headerOf(headers: Headers, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

/** Whether a client has the file already: 304. */
export function isUnchanged(headers: Headers, { tag, mtimeMs }: Validators): boolean {
  const tags = headerOf(headers, 'if-none-match')
  if (tags !== undefined) return matchesTag(tags, tag)
  const since = Date.parse(headerOf(headers, 'if-modified-since') ?? '')
  return !Number.isNaN(since) && Math.floor(mtimeMs / 1000) * 1000 <= since
}

/** Whether what a client insists on does not hold: 412. */
export function isRefused(headers: Headers, { tag, mtimeMs }: Validators): boolean {
  const tags = headerOf(headers, 'if-match')
  if (tags !== undefined) return !matchesTag(tags, tag)
  const since = Date.parse(headerOf(headers, 'if-unmodified-since') ?? '')
  return !Number.isNaN(since) && Math.floor(mtimeMs / 1000) * 1000 > since
}

/** Whether a range still fits what the client has: without If-Range it always does. */
export function isRangeWanted(headers: Headers, { tag, mtimeMs }: Validators): boolean {
  const condition = headerOf(headers, 'if-range')
  if (condition === undefined) return true
  if (condition.startsWith('"')) return condition.trim() === tag
  return Date.parse(condition) === Math.floor(mtimeMs / 1000) * 1000
}

function matchesTag(list: string, tag: string): boolean {
  return list.split(',').some((one) => ['*', tag].includes(one.trim().replace(/^W\//, '')))
}
