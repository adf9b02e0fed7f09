/** Splits a command into words as a shell does, and does nothing else of what a shell does. */

import { CairnError } from '../base/errors.ts'

/**
 * White space parts words; single quotes keep everything, double quotes everything but `\"` and
 * `\\`; outside quotes a backslash keeps the next character. Variables, pipes and globs are not
 * looked at. The message of the CAIRN_USAGE it throws does not repeat the text, which may be secret.
 */
export function splitShellWords(text: string): string[] {
  const words: string[] = []
  let word: string | undefined
  let quote = ''
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at)
    if (quote !== '') {
      if (char === quote) quote = ''
      else if (quote === '"' && char === '\\' && /["\\]/.test(text.charAt(at + 1))) {
        word += text.charAt(++at)
      } else word += char
    } else if (char === '"' || char === "'") {
      quote = char
      word ??= ''
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else if (char === '\\') {
      if (at + 1 === text.length) throw badCommand('it ends with a backslash')
      word = (word ?? '') + text.charAt(++at)
    } else word = (word ?? '') + char
  }
  if (quote !== '') throw badCommand(`a ${quote === '"' ? 'double' : 'single'} quote is not closed`)
  if (word !== undefined) words.push(word)
  return words
}

function badCommand(because: string): CairnError {
  return new CairnError('CAIRN_USAGE', `cannot split the command into words: ${because}`)
}
