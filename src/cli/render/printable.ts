/**
 * Makes names that others chose safe to print. A file name, host or tag in a repository may hold
 * escape sequences that retitle a terminal, overwrite lines or worse, or marks that turn the order
 * of letters round. Text with such characters is shown quoted, as restic does.
 */

import { type ByteString, bytesOf } from '../../base/bytes.ts'

/**
 * Control characters, line and paragraph separators, lone surrogates, and format characters except
 * the joiners that emoji and some scripts need.
 */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]|(?![\u200c\u200d])\p{Cf}/u
const UNSAFE_OR_QUOTE = new RegExp(`["\\\\]|${UNSAFE.source}`, 'gu')
/** Most names: no need to run the expression above. */
const PLAIN = /^[\x20-\x7e]*$/

const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
}

function escapeCharacter(char: string): string {
  const short = SHORT_ESCAPES[char]
  if (short !== undefined) return short
  const code = char.codePointAt(0) ?? 0
  if (code < 0x80) return `\\x${code.toString(16).padStart(2, '0')}`
  if (code < 0x1_0000) return `\\u${code.toString(16).padStart(4, '0')}`
  return `\\U${code.toString(16).padStart(8, '0')}`
}

/** `text` as it is, or in double quotes with escapes if it is not safe as it is. */
export function printable(text: string): string {
  if (PLAIN.test(text) || !UNSAFE.test(text)) return text
  return `"${text.replace(UNSAFE_OR_QUOTE, escapeCharacter)}"`
}

/** As `printable`, for a name in bytes: bytes that are no UTF-8 are shown as `\xff`. */
export function printableName(name: ByteString): string {
  if (PLAIN.test(name)) return name
  const bytes = bytesOf(name)
  try {
    return printable(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch {
    return `"${escapeInvalid(bytes)}"`
  }
}

/** Decodes what is UTF-8, one character at a time, and escapes the bytes between. */
function escapeInvalid(bytes: Uint8Array): string {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let text = ''
  for (let at = 0; at < bytes.length; ) {
    let length = 1
    let char: string | undefined
    for (; length <= 4 && char === undefined; length++) {
      try {
        char = decoder.decode(bytes.subarray(at, at + length))
      } catch {
        // Not one character of this length.
      }
    }
    if (char === undefined || char === '') {
      text += `\\x${(bytes[at] ?? 0).toString(16).padStart(2, '0')}`
      at += 1
    } else {
      text += char.replace(UNSAFE_OR_QUOTE, escapeCharacter)
      at += length - 1
    }
  }
  return text
}
