/**
 * Lists of patterns that exclude or include paths, with restic's meaning:
 *
 * - A pattern is matched against whole components of the absolute path, `**` against any number of
 *   them. `glob-component.ts` has what one component may hold.
 * - One that begins with `/` is matched from the root, any other at every depth.
 * - One that matches a directory covers all below it. A trailing `/` means nothing.
 * - `!` in front takes back what patterns before it covered.
 */

import { byteStringOf, type ByteString, textOf } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { partsOf } from '../base/paths.ts'
import { characterWidth, compileComponent, type ComponentMatcher } from './glob-component.ts'

export interface PatternMatcher {
  /** Whether the patterns cover `path`, an absolute one. Fastest if called directory by directory. */
  matches(path: ByteString): boolean
  /** Whether they may cover something below the directory `path`: if not, it need not be entered. */
  mayMatchBelow(path: ByteString): boolean
}

export interface CompiledPatterns extends PatternMatcher {
  /** As `matches`, of what has `name` in `directory`: for who has no path, and does not need one. */
  matchesIn(directory: ByteString, name: ByteString): boolean
}

export interface PatternOptions {
  readonly caseInsensitive?: boolean
}

/** Throws CAIRN_USAGE for a malformed pattern. Empty ones are left out. */
export function compilePatterns(
  patterns: readonly ByteString[],
  { caseInsensitive = false }: PatternOptions = {},
): CompiledPatterns {
  const compiled = patterns
    .filter((pattern) => pattern !== '')
    .map((pattern) => compilePattern(pattern, caseInsensitive))
  return new PatternList(compiled, caseInsensitive)
}

interface Pattern {
  readonly isNegated: boolean
  /** What the path must begin with, if the pattern begins with `/`. */
  readonly head: readonly ComponentMatcher[] | undefined
  /** What must follow in this order, with anything in between: the parts between `**`. */
  readonly runs: readonly (readonly ComponentMatcher[])[]
  /** What the last component must match of what is covered while its directory is not. */
  readonly last: ComponentMatcher | undefined
}

function compilePattern(pattern: ByteString, caseInsensitive: boolean): Pattern {
  const isNegated = pattern.startsWith('!')
  const cleaned = cleanPath(isNegated ? pattern.slice(1) : pattern)
  const isAnchored = cleaned.startsWith('/')
  const text = caseInsensitive ? foldCase(cleaned) : cleaned
  const runs: ComponentMatcher[][] = [[]]
  for (const component of text.split('/')) {
    if (component === '') continue // Before the leading slash.
    if (component === '**') {
      runs.push([])
      continue
    }
    const matcher = compileComponent(component)
    if (matcher === undefined) {
      throw new CairnError('CAIRN_USAGE', `invalid pattern '${textOf(pattern)}'`)
    }
    runs.at(-1)?.push(matcher)
  }
  const head = isAnchored ? runs.shift() : undefined
  const filled = runs.filter((run) => run.length > 0)
  const last = (filled.at(-1) ?? head)?.at(-1)
  return { isNegated, head, runs: filled, last }
}

class PatternList implements CompiledPatterns {
  readonly #patterns: readonly Pattern[]
  readonly #caseInsensitive: boolean
  readonly #hasNegated: boolean
  /** Of the directory asked about last: its components, and which patterns cover all of it. */
  #directory: ByteString | undefined
  #components: ByteString[] = []
  #covers: boolean[] = []

  constructor(patterns: readonly Pattern[], caseInsensitive: boolean) {
    this.#patterns = patterns
    this.#caseInsensitive = caseInsensitive
    this.#hasNegated = patterns.some(({ isNegated }) => isNegated)
  }

  matches(path: ByteString): boolean {
    const { directory, name } = parted(path)
    return this.matchesIn(directory, name)
  }

  matchesIn(directory: ByteString, name: ByteString): boolean {
    if (this.#patterns.length === 0) return false
    this.#enter(directory)
    const folded = this.#caseInsensitive ? foldCase(name) : name
    let isMatched = false
    for (let index = 0; index < this.#patterns.length; index++) {
      const pattern = this.#patterns[index]
      if (pattern === undefined || pattern.isNegated !== isMatched) continue
      if (this.#covers[index] || coversEntry(pattern, this.#components, folded)) {
        isMatched = !pattern.isNegated
        if (!this.#hasNegated) return true
      }
    }
    return isMatched
  }

  mayMatchBelow(path: ByteString): boolean {
    const { directory, name } = parted(path)
    this.#enter(directory)
    const components = joined(this.#components, this.#caseInsensitive ? foldCase(name) : name)
    let mayMatch = false
    for (const pattern of this.#patterns) {
      if (pattern.isNegated) mayMatch &&= !covers(pattern, components)
      else mayMatch ||= mayCoverBelow(pattern, components)
    }
    return mayMatch
  }

  #enter(directory: ByteString): void {
    if (directory === this.#directory) return
    const folded = this.#caseInsensitive ? foldCase(directory) : directory
    const components = partsOf(folded)
    this.#covers = this.#patterns.map((pattern) => covers(pattern, components))
    this.#components = components
    this.#directory = directory
  }
}

/** The last component of a path, and what is before it. The root has an empty name. */
function parted(path: ByteString): { readonly directory: ByteString; readonly name: ByteString } {
  const end = path.length > 1 && path.endsWith('/') ? path.length - 1 : path.length
  const slash = path.lastIndexOf('/', end - 1)
  return { directory: path.slice(0, Math.max(slash, 0)), name: path.slice(slash + 1, end) }
}

function joined(parents: readonly ByteString[], name: ByteString): readonly ByteString[] {
  return name === '' ? parents : [...parents, name]
}

/** Whether `pattern` covers the path or a directory on the way to it. */
function covers({ head, runs }: Pattern, components: readonly ByteString[]): boolean {
  if (head !== undefined && !matchesAt(head, components, 0)) return false
  if (head === undefined && runs.length === 0) return components.length > 0
  let at = head?.length ?? 0
  for (const run of runs) {
    // The first place is the best one, since whatever follows a match is covered anyway.
    while (!matchesAt(run, components, at)) {
      if (at + run.length >= components.length) return false
      at++
    }
    at += run.length
  }
  return true
}

/** Whether `pattern` covers `name` in a directory that it does not cover. */
function coversEntry(pattern: Pattern, parents: readonly ByteString[], name: ByteString): boolean {
  const { head, runs, last } = pattern
  if (last !== undefined && name !== '' && !last(name)) return false
  const [run] = runs
  if (head === undefined && run !== undefined && runs.length === 1) {
    if (run.length === 1 && name !== '') return true
    const components = joined(parents, name)
    const at = components.length - run.length
    return at >= 0 && matchesAt(run, components, at)
  }
  const components = joined(parents, name)
  if (head !== undefined && runs.length === 0 && head.length !== components.length) return false
  return covers(pattern, components)
}

function mayCoverBelow({ head }: Pattern, components: readonly ByteString[]): boolean {
  if (head === undefined) return true
  const length = Math.min(head.length, components.length)
  return matchesAt(head.slice(0, length), components, 0)
}

function matchesAt(
  run: readonly ComponentMatcher[],
  components: readonly ByteString[],
  at: number,
): boolean {
  if (at + run.length > components.length) return false
  for (let index = run.length - 1; index >= 0; index--) {
    const name = components[at + index]
    if (name === undefined || !run[index]?.(name)) return false
  }
  return true
}

/** The shortest spelling of a path, as Go's filepath.Clean finds it. */
export function cleanPath(path: ByteString): ByteString {
  const isAbsolute = path.startsWith('/')
  const kept: ByteString[] = []
  for (const component of path.split('/')) {
    if (component === '' || component === '.') continue
    if (component !== '..') kept.push(component)
    else if (kept.length > 0 && kept.at(-1) !== '..') kept.pop()
    else if (!isAbsolute) kept.push(component)
  }
  if (isAbsolute) return `/${kept.join('/')}`
  return kept.length === 0 ? '.' : kept.join('/')
}

/** Lower case, character by character; bytes that are no UTF-8 stay as they are. */
function foldCase(path: ByteString): ByteString {
  if (/^[^A-Z\x80-\xff]*$/.test(path)) return path
  let folded = ''
  for (let at = 0; at < path.length; ) {
    const width = characterWidth(path, at)
    const character = path.slice(at, at + width)
    folded += width === 1 ? foldByte(character) : foldCharacter(character)
    at += width
  }
  return folded
}

function foldByte(byte: ByteString): ByteString {
  return byte >= 'A' && byte <= 'Z' ? byte.toLowerCase() : byte
}

function foldCharacter(bytes: ByteString): ByteString {
  const lower = textOf(bytes).toLowerCase()
  // One character for one, as Go: JavaScript makes two of some.
  return Array.from(lower).length === 1 ? byteStringOf(lower) : bytes
}
