/** The lines of the files that users write for cairn: patterns to exclude, paths to back up. */

import { byteString, byteStringOf, type ByteString } from '../base/bytes.ts'

/**
 * The patterns of an exclude file: a line each, without white space around it. Empty lines and those
 * that begin with `#` say nothing. `$NAME` and `${NAME}` stand for environment variables, `$$` for `$`.
 */
export function parseExcludeFile(
  bytes: Uint8Array,
  environment: Readonly<Record<string, string | undefined>>,
): ByteString[] {
  return meaningfulLines(bytes).map((line) => expandVariables(line, environment))
}

/** The lines of a file without white space around them, without empty ones and comments. */
export function meaningfulLines(bytes: Uint8Array): ByteString[] {
  return textLines(bytes)
    .map(trimSpace)
    .filter((line) => line !== '' && !line.startsWith('#'))
}

/** The lines of a file as they are, without their ends. */
export function textLines(bytes: Uint8Array): ByteString[] {
  const lines = withoutByteOrderMark(bytes).split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line))
}

/** As an editor on Windows may have saved it. */
function withoutByteOrderMark(bytes: Uint8Array): ByteString {
  const [first, second, third] = bytes
  if (first === 0xef && second === 0xbb && third === 0xbf) return byteString(bytes.subarray(3))
  const isLittleEndian = first === 0xff && second === 0xfe
  if (!isLittleEndian && !(first === 0xfe && second === 0xff)) return byteString(bytes)
  // An odd byte at the end is half a character.
  const text = Buffer.from(bytes.subarray(2, bytes.length - (bytes.length % 2)))
  if (!isLittleEndian) text.swap16()
  return byteStringOf(text.toString('utf16le'))
}

/** What Unicode calls white space, in UTF-8. */
const SPACES = ['\t', '\n', '\v', '\f', '\r', ' ', '\u0085', '\u00a0', '\u1680']
  .concat(Array.from({ length: 11 }, (_, index) => String.fromCharCode(0x2000 + index)))
  .concat(['\u2028', '\u2029', '\u202f', '\u205f', '\u3000'])
  .map(byteStringOf)

export function trimSpace(line: ByteString): ByteString {
  let start = 0
  let end = line.length
  const spaceAt = (at: number) => SPACES.find((space) => line.startsWith(space, at))
  const spaceBefore = (at: number) => SPACES.find((space) => line.endsWith(space, at))
  for (let space = spaceAt(start); space; space = spaceAt(start)) start += space.length
  for (let space = spaceBefore(end); space && start < end; space = spaceBefore(end)) {
    end -= space.length
  }
  return line.slice(start, Math.max(start, end))
}

const SPECIAL_VARIABLES = '*#$@!?-0123456789'

/** As Go's os.Expand, which restic uses: an unset variable is empty, `${` without a name vanishes. */
function expandVariables(
  line: ByteString,
  environment: Readonly<Record<string, string | undefined>>,
): ByteString {
  let expanded = ''
  for (let at = 0; at < line.length; ) {
    const dollar = line.indexOf('$', at)
    if (dollar < 0 || dollar === line.length - 1) return expanded + line.slice(at)
    expanded += line.slice(at, dollar)
    const { name, end } = variableAt(line, dollar + 1)
    if (name === '$' || end === dollar + 1) expanded += '$'
    else expanded += byteStringOf(environment[name] ?? '')
    at = end
  }
  return expanded
}

/** The name that begins after a `$`, empty if there is none, and where it ends. */
function variableAt(line: ByteString, start: number): { name: string; end: number } {
  const first = line[start] ?? ''
  if (first === '{') {
    const close = line.indexOf('}', start + 1)
    if (close < 0) return { name: '', end: start + 1 }
    return { name: line.slice(start + 1, close), end: close + 1 }
  }
  if (SPECIAL_VARIABLES.includes(first)) return { name: first, end: start + 1 }
  let end = start
  while (/^[A-Za-z0-9_]$/.test(line[end] ?? '')) end++
  return { name: line.slice(start, end), end }
}
