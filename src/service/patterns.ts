/** Patterns from the command line and from the files it names, as matchers. */

import { readFileSync } from 'node:fs'
import { byteStringOf } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { parseExcludeFile } from '../source/pattern-file.ts'
import { compilePatterns, type PatternMatcher } from '../source/patterns.ts'

/** The bytes of a file that the user named; `-` is standard input. */
export function readListFile(path: string): Uint8Array {
  try {
    return readFileSync(path === '-' ? 0 : path)
  } catch (cause) {
    throw new CairnError('CAIRN_FAILED', `cannot read '${path}'`, { cause })
  }
}

export interface BothCases {
  readonly plain: readonly string[]
  /** Whatever the case of letters. */
  readonly folded: readonly string[]
}

/** One matcher for each way of comparing, or none. Throws CAIRN_USAGE for a malformed pattern. */
export function listOfPatterns(
  patterns: BothCases,
  files: BothCases,
  environment: Readonly<Record<string, string | undefined>>,
): PatternMatcher[] {
  const all = (texts: readonly string[], paths: readonly string[]) => [
    ...texts.map(byteStringOf),
    ...paths.flatMap((path) => parseExcludeFile(readListFile(path), environment)),
  ]
  const plain = all(patterns.plain, files.plain)
  const folded = all(patterns.folded, files.folded)
  return [
    ...(plain.length > 0 ? [compilePatterns(plain)] : []),
    ...(folded.length > 0 ? [compilePatterns(folded, { caseInsensitive: true })] : []),
  ]
}
