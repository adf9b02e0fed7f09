/**
 * Parsing a secret key (280 us) and verifying a signature (100 us) are the dearest things that a
 * simulated run does, and it does them for the same few keys and files at every opening. Both are
 * functions of bytes alone, so here each is done once.
 */

import { createHash } from 'node:crypto'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import type nodeCrypto from 'node:crypto'

const KEPT_MAX = 5_000

export function memoizeKeys(): void {
  const crypto = createRequire(import.meta.url)('node:crypto') as typeof nodeCrypto
  const parse = crypto.createPrivateKey
  const parsed = new Map<string, nodeCrypto.KeyObject>()
  crypto.createPrivateKey = (input) => {
    const der = typeof input === 'object' && 'key' in input ? input.key : undefined
    if (!Buffer.isBuffer(der)) return parse(input)
    const id = der.toString('latin1')
    const known = parsed.get(id)
    if (known !== undefined) return known
    const key = parse(input)
    if (parsed.size < KEPT_MAX) parsed.set(id, key)
    return key
  }
  memoizeVerify(crypto)
  syncBuiltinESMExports()
}

function memoizeVerify(crypto: typeof nodeCrypto): void {
  const verify = crypto.verify as (...args: unknown[]) => boolean
  const verdicts = new WeakMap<object, Map<string, boolean>>()
  const memoized = (...args: unknown[]): boolean => {
    const [algorithm, data, key, signature] = args
    const isPlain = data instanceof Uint8Array && signature instanceof Uint8Array
    if (algorithm !== null || !isPlain || !(key instanceof crypto.KeyObject)) return verify(...args)
    const ofKey = verdicts.get(key) ?? new Map<string, boolean>()
    verdicts.set(key, ofKey)
    const id = createHash('sha256').update(signature).update(data).digest('base64')
    const known = ofKey.get(id)
    if (known !== undefined) return known
    const verdict = verify(...args)
    if (ofKey.size < KEPT_MAX) ofKey.set(id, verdict)
    return verdict
  }
  Object.assign(crypto, { verify: memoized })
}
