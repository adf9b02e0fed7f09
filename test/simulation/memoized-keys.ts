/**
 * Parsing a secret key (280 us), verifying a signature (100 us) and agreeing on a secret (30 us) are
 * the dearest things that a simulated run does, and it does them for the same few keys and files at
 * every opening. All are functions of bytes alone, so here each is done once: also what one side of
 * an exchange or a signature has computed is known to the other.
 */

import { createHash } from 'node:crypto'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import type nodeCrypto from 'node:crypto'

type Key = nodeCrypto.KeyObject
type Crypto = typeof nodeCrypto
type AnyCall = (...args: unknown[]) => unknown

/** Forgets everything when it is full: what a run needs is soon there again. */
class Memo<Value> {
  static readonly #countMax = 20_000
  readonly #values = new Map<string, Value>()

  get(id: string, compute: () => Value): Value {
    const known = this.#values.get(id)
    if (known !== undefined) return known
    const value = compute()
    this.set(id, value)
    return value
  }

  set(id: string, value: Value): void {
    if (this.#values.size >= Memo.#countMax) this.#values.clear()
    this.#values.set(id, value)
  }
}

export function memoizeKeys(): void {
  const crypto = createRequire(import.meta.url)('node:crypto') as Crypto
  const publicOf = memoizeParsing(crypto)
  memoizeSignatures(crypto, publicOf)
  memoizeExchange(crypto, publicOf)
  syncBuiltinESMExports()
}

/** Returns what gives the public key of any key, as text. */
function memoizeParsing(crypto: Crypto): (key: Key) => string {
  const { createPrivateKey, createPublicKey } = crypto
  const secretKeys = new Memo<Key>()
  const publicKeys = new Memo<Key>()
  const ofSecret = new WeakMap<Key, Key>()
  const texts = new WeakMap<Key, string>()
  const publicOf = (key: Key): string => {
    let text = texts.get(key)
    if (text === undefined) {
      text = String((key.type === 'public' ? key : publicHalf(key)).export({ format: 'jwk' }).x)
      texts.set(key, text)
    }
    return text
  }
  const publicHalf = (key: Key): Key => {
    const half = ofSecret.get(key) ?? createPublicKey(key)
    ofSecret.set(key, half)
    return half
  }
  crypto.createPrivateKey = (input) => {
    const der = typeof input === 'object' && 'key' in input ? input.key : undefined
    if (!Buffer.isBuffer(der)) return createPrivateKey(input)
    const parse = () => secretKeyOf(der, createPrivateKey) ?? createPrivateKey(input)
    return secretKeys.get(der.toString('latin1'), parse)
  }
  crypto.createPublicKey = (input) => {
    if (input instanceof crypto.KeyObject) return publicHalf(input)
    const jwk = typeof input === 'object' && 'key' in input ? input.key : undefined
    const { crv, x } = (jwk ?? {}) as { readonly crv?: string; readonly x?: string }
    if (crv === undefined || x === undefined) return createPublicKey(input)
    return publicKeys.get(`${crv} ${x}`, () => createPublicKey(input))
  }
  return publicOf
}

/** Of the 16 bytes before the secret key in PKCS #8, the one that tells the curve. */
const CURVE_AT = 11
const CURVES: Readonly<Record<number, string>> = { 0x6e: 'X25519', 0x70: 'Ed25519' }

/** As a JWK a new secret key takes 24 us where PKCS #8 takes 300. Undefined if it is refused. */
function secretKeyOf(der: Buffer, createPrivateKey: Crypto['createPrivateKey']): Key | undefined {
  const crv = CURVES[der[CURVE_AT] ?? 0]
  if (crv === undefined || der.length !== 48) return undefined
  try {
    // The public half is not looked at: it follows from the secret one.
    const key = { kty: 'OKP', crv, d: der.toString('base64url', 16), x: '' }
    return createPrivateKey({ key, format: 'jwk' })
  } catch {
    return undefined
  }
}

function memoizeSignatures(crypto: Crypto, publicOf: (key: Key) => string): void {
  const verdicts = new Memo<boolean>()
  const idOf = (data: Uint8Array, key: Key, signature: Uint8Array) => {
    const digest = createHash('sha256').update(signature).update(data).digest('base64')
    return `${publicOf(key)} ${digest}`
  }
  const isPlain = (algorithm: unknown, data: unknown, key: unknown) =>
    algorithm === null && data instanceof Uint8Array && key instanceof crypto.KeyObject
  const { sign, verify } = crypto as unknown as { readonly sign: AnyCall; readonly verify: AnyCall }
  const signing: AnyCall = (...args) => {
    const [algorithm, data, key] = args
    const signature = sign(...args)
    if (isPlain(algorithm, data, key) && signature instanceof Uint8Array) {
      verdicts.set(idOf(data as Uint8Array, key as Key, signature), true)
    }
    return signature
  }
  const verifying: AnyCall = (...args) => {
    const [algorithm, data, key, signature] = args
    if (!isPlain(algorithm, data, key) || !(signature instanceof Uint8Array)) return verify(...args)
    const id = idOf(data as Uint8Array, key as Key, signature)
    return verdicts.get(id, () => verify(...args) === true)
  }
  Object.assign(crypto, { sign: signing, verify: verifying })
}

/** Both sides compute the same secret. */
function memoizeExchange(crypto: Crypto, publicOf: (key: Key) => string): void {
  const { diffieHellman } = crypto
  const secrets = new Memo<Buffer>()
  const memoized = (pair: { readonly privateKey: Key; readonly publicKey: Key }): Buffer => {
    const id = [publicOf(pair.privateKey), publicOf(pair.publicKey)].sort().join(' ')
    return Buffer.from(secrets.get(id, () => diffieHellman(pair)))
  }
  Object.assign(crypto, { diffieHellman: memoized })
}
