/** Paths in URLs. A name is bytes, so every byte that is not plain ASCII is written as %XX. */

import type { ByteString } from '../base/bytes.ts'

/** The names that the path of a URL is made of, or undefined if it is none. */
export function namesOfPath(path: string): ByteString[] | undefined {
  if (!path.startsWith('/')) return undefined
  const names: ByteString[] = []
  for (const part of path.split('/')) {
    if (part === '') continue
    const name = decodeName(part)
    if (name === undefined || name === '.' || name === '..' || /[/\0]/.test(name)) return undefined
    names.push(name)
  }
  return names
}

function decodeName(part: string): ByteString | undefined {
  if (/%(?![0-9a-f]{2})/i.test(part)) return undefined
  // Clients should not, but some send characters beyond ASCII as they are.
  const bytes = Buffer.from(part, 'utf8').toString('latin1')
  return bytes.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
}

export function encodeName(name: ByteString): string {
  return name.replace(
    /[^A-Za-z0-9._~-]/g,
    (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}

/** The path of a URL; that of a collection ends with a slash. */
export function pathOfNames(names: readonly ByteString[], isCollection: boolean): string {
  const path = names.map((name) => `/${encodeName(name)}`).join('')
  return isCollection ? `${path}/` : path
}
