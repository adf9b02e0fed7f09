/**
 * Matches one name against one component of a pattern, as Go's filepath.Match does, because that is
 * what restic's users have written their excludes for:
 *
 *   *        any bytes, or none              ?        one character
 *   [a-z]    one character of a range        [^a-z]   one that is in no range
 *   \c       the character c itself
 *
 * A character is one of UTF-8, or one byte where the name is not UTF-8. Matching takes at most the
 * product of both lengths: a `*` that has found its place never moves again, which is right because
 * what follows it may match at the earliest place or at none.
 */

import type { ByteString } from '../base/bytes.ts'

export type ComponentMatcher = (name: ByteString) => boolean

/** A literal byte, any character, or a character class. */
type Token = number | 'any' | CharacterClass

interface CharacterClass {
  readonly isNegated: boolean
  /** Pairs of first and last code point. */
  readonly ranges: readonly number[]
}

/** Tokens that match in one place; `afterStar` if that may be anywhere further on. */
interface Segment {
  readonly afterStar: boolean
  readonly tokens: Token[]
}

/** Compiles a component of a pattern. Undefined if it is malformed. */
export function compileComponent(pattern: ByteString): ComponentMatcher | undefined {
  if (!/[\\[\]*?]/.test(pattern)) return (name) => name === pattern
  const segments = parse(pattern)
  return segments && (simpleMatcher(segments) ?? ((name) => matchSegments(segments, name)))
}

/** Faster ways for what most patterns are: `*`, `*.o`, `cache*`. */
function simpleMatcher(segments: readonly Segment[]): ComponentMatcher | undefined {
  const texts = segments.map(({ tokens }) =>
    tokens.every((token) => typeof token === 'number') ? String.fromCharCode(...tokens) : undefined,
  )
  const [first, second] = texts
  if (first === undefined || texts.includes(undefined)) return undefined
  if (segments.length === 1) {
    return segments[0]?.afterStar ? (name) => name.endsWith(first) : (name) => name === first
  }
  const isPrefix = segments.length === 2 && second === '' && !segments[0]?.afterStar
  return isPrefix ? (name) => name.startsWith(first) : undefined
}

function parse(pattern: ByteString): Segment[] | undefined {
  let current: Segment = { afterStar: false, tokens: [] }
  const segments: Segment[] = []
  for (let at = 0; at < pattern.length; ) {
    const byte = pattern[at]
    if (byte === '*') {
      if (current.afterStar || current.tokens.length > 0) segments.push(current)
      while (pattern[at] === '*') at++
      current = { afterStar: true, tokens: [] }
    } else if (byte === '[') {
      const parsed = parseClass(pattern, at + 1)
      if (parsed === undefined) return undefined
      current.tokens.push(parsed.characterClass)
      at = parsed.end
    } else if (byte === '?') {
      current.tokens.push('any')
      at++
    } else {
      if (byte === '\\') at++
      if (at === pattern.length) return undefined
      current.tokens.push(pattern.charCodeAt(at))
      at++
    }
  }
  segments.push(current)
  return segments
}

/** Parses what follows `[`. */
function parseClass(
  pattern: ByteString,
  start: number,
): { readonly characterClass: CharacterClass; readonly end: number } | undefined {
  const isNegated = pattern[start] === '^'
  const ranges: number[] = []
  for (let at = isNegated ? start + 1 : start; ; ) {
    if (pattern[at] === ']' && ranges.length > 0) {
      return { characterClass: { isNegated, ranges }, end: at + 1 }
    }
    const low = parseBound(pattern, at)
    if (low === undefined) return undefined
    const high = pattern[low.end] === '-' ? parseBound(pattern, low.end + 1) : low
    if (high === undefined) return undefined
    ranges.push(low.character, high.character)
    at = high.end
  }
}

function parseBound(
  pattern: ByteString,
  start: number,
): { readonly character: number; readonly end: number } | undefined {
  if (pattern[start] === '-' || pattern[start] === ']') return undefined
  const at = pattern[start] === '\\' ? start + 1 : start
  const width = characterWidth(pattern, at)
  // A class is of characters: a byte that is none cannot be a bound. Nor may the pattern end here.
  if (at + width >= pattern.length || (width === 1 && pattern.charCodeAt(at) > 0x7f))
    return undefined
  return { character: characterAt(pattern, at, width), end: at + width }
}

function matchSegments(segments: readonly Segment[], name: ByteString): boolean {
  let at = 0
  for (let index = 0; index < segments.length; index++) {
    const segment = segments[index]
    if (segment === undefined) break
    const isLast = index === segments.length - 1
    if (isLast && segment.afterStar && segment.tokens.length === 0) return true
    let end = -1
    // A star may end inside a character, as Go's does.
    for (let from = at; ; from++) {
      end = matchTokens(segment.tokens, name, from)
      if (isLast && end !== name.length) end = -1
      if (end >= 0 || !segment.afterStar || from >= name.length) break
    }
    if (end < 0) return false
    at = end
  }
  return at === name.length
}

/** Where a match that begins at `at` ends, or -1. */
function matchTokens(tokens: readonly Token[], name: ByteString, at: number): number {
  for (const token of tokens) {
    if (at >= name.length) return -1
    if (typeof token === 'number') {
      if (name.charCodeAt(at) !== token) return -1
      at++
    } else {
      const width = characterWidth(name, at)
      if (token !== 'any' && !isInClass(token, characterAt(name, at, width))) return -1
      at += width
    }
  }
  return at
}

function isInClass({ isNegated, ranges }: CharacterClass, character: number): boolean {
  for (let index = 0; index < ranges.length; index += 2) {
    const low = ranges[index] ?? 0
    const high = ranges[index + 1] ?? 0
    if (low <= character && character <= high) return !isNegated
  }
  return isNegated
}

const REPLACEMENT = 0xfffd

/** The bytes of the UTF-8 character at `at`: 1 where there is no valid one. */
export function characterWidth(text: ByteString, at: number): number {
  const first = text.charCodeAt(at)
  if (!(first >= 0xc2 && first <= 0xf4)) return 1
  const width = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
  for (let index = 1; index < width; index++) {
    const next = text.charCodeAt(at + index)
    if (!(next >= 0x80 && next <= 0xbf)) return 1
  }
  const second = text.charCodeAt(at + 1)
  const isOverlong = (first === 0xe0 && second < 0xa0) || (first === 0xf0 && second < 0x90)
  const isBeyond = (first === 0xed && second > 0x9f) || (first === 0xf4 && second > 0x8f)
  return isOverlong || isBeyond ? 1 : width
}

function characterAt(text: ByteString, at: number, width: number): number {
  const first = text.charCodeAt(at)
  if (width === 1) return first < 0x80 ? first : REPLACEMENT
  let character = first & (0xff >> (width + 1))
  for (let index = 1; index < width; index++) {
    character = (character << 6) | (text.charCodeAt(at + index) & 0x3f)
  }
  return character
}
