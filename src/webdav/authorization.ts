/** Who may ask: by password (RFC 7617), or from this machine alone. */

import { createHash, timingSafeEqual } from 'node:crypto'

export interface Credentials {
  readonly user: string
  readonly password: string
}

/** Whether an Authorization header has them. Takes as long whatever is wrong. */
export function isAuthorized(header: string | undefined, credentials: Credentials): boolean {
  const [, encoded = ''] = /^Basic\s+([A-Za-z0-9+/=]+)\s*$/i.exec(header ?? '') ?? []
  const given = digest(Buffer.from(encoded, 'base64'))
  const wanted = digest(Buffer.from(`${credentials.user}:${credentials.password}`))
  return timingSafeEqual(given, wanted)
}

/** Of equal length, whatever was given. */
function digest(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}

/** Whether an address, or a name of one, means this machine. */
export function isLoopback(host: string): boolean {
  const address = host.replace(/^\[|\]$/g, '').replace(/^::ffff:/i, '')
  return address === 'localhost' || address === '::1' || /^127(?:\.\d{1,3}){3}$/.test(address)
}

/**
 * Whether a Host header names this machine. A page in a browser can be made to ask here under the
 * name of its own server, and would then be let read the answer.
 */
export function isLocalHostHeader(header: string | undefined): boolean {
  return isLoopback((header ?? '').replace(/:\d+$/, ''))
}
