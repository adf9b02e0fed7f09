/**
 * From a passphrase to the keys that open a key slot. FORMAT.md "Key slots". The parameters come
 * from the slot, which anybody who can write to the storage may have written: they are checked
 * before anything is allocated, against a ceiling (to starve the machine) and against a floor (to
 * have the passphrase used at a cost at which it can be guessed).
 */

import * as nodeCrypto from 'node:crypto'
import { CairnError, throwIfAborted } from '../base/errors.ts'

export interface ScryptParameters {
  readonly kind: 'scrypt'
  /** Cost: a power of two. Memory is 128 * N * r bytes. */
  readonly N: number
  readonly r: number
  readonly p: number
  readonly salt: Uint8Array
}

export interface Argon2idParameters {
  readonly kind: 'argon2id'
  readonly memoryKiB: number
  readonly iterations: number
  readonly parallelism: number
  readonly salt: Uint8Array
}

export type KdfParameters = ScryptParameters | Argon2idParameters

const SLOT_KEY_BYTES = 64

/** FORMAT.md "Key slots": what a reader accepts, both ends included. */
const KDF_LIMITS = {
  saltBytesMin: 16,
  saltBytesMax: 64,
  scryptNMin: 2 ** 14,
  scryptMemoryBytesMin: 2 ** 24,
  scryptMemoryBytesMax: 2 ** 32,
  scryptPMax: 16,
  argon2MemoryKiBMin: 8 * 1024,
  argon2MemoryKiBMax: 4 * 1024 * 1024,
  argon2IterationsMax: 64,
  argon2ParallelismMax: 64,
} as const

/**
 * The 64 bytes that `secret` (a passphrase as NFC UTF-8, or any bytes) gives under `kdf`. Throws
 * CAIRN_CORRUPT for parameters out of bounds, CAIRN_ABORTED as soon as `signal` aborts (what runs
 * in the background then ends by itself).
 */
export async function deriveSlotKeys(
  kdf: KdfParameters,
  secret: Uint8Array,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  checkKdf(kdf)
  return await deriveUnchecked(kdf, secret, SLOT_KEY_BYTES, signal)
}

/** Throws CAIRN_CORRUPT unless `kdf` lies within KDF_LIMITS. */
function checkKdf(kdf: KdfParameters): void {
  const limits = KDF_LIMITS
  const saltBytes = kdf.salt.byteLength
  if (!(saltBytes >= limits.saltBytesMin && saltBytes <= limits.saltBytesMax)) {
    refuse(`a salt of ${saltBytes} bytes`)
  }
  if (kdf.kind === 'scrypt') {
    const { N, r, p } = kdf
    const asked = `scrypt with N=${N}, r=${r}, p=${p}`
    if (![N, r, p].every(isPositiveInteger)) refuse(asked)
    const memoryBytes = 128 * N * r
    if (N < limits.scryptNMin || !Number.isInteger(Math.log2(N))) refuse(asked)
    if (memoryBytes < limits.scryptMemoryBytesMin) refuse(asked)
    if (memoryBytes > limits.scryptMemoryBytesMax || p > limits.scryptPMax) refuse(asked)
  } else if (kdf.kind === 'argon2id') {
    const { memoryKiB, iterations, parallelism } = kdf
    const asked = `argon2id with ${memoryKiB} KiB, ${iterations} iterations, ${parallelism} lanes`
    if (![memoryKiB, iterations, parallelism].every(isPositiveInteger)) refuse(asked)
    if (memoryKiB < limits.argon2MemoryKiBMin || memoryKiB > limits.argon2MemoryKiBMax) {
      refuse(asked)
    }
    if (iterations > limits.argon2IterationsMax) refuse(asked)
    if (parallelism > limits.argon2ParallelismMax) refuse(asked)
  } else {
    refuse(`the unknown kind '${String((kdf as { kind: unknown }).kind)}'`)
  }
}

function isPositiveInteger(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0
}

function refuse(asked: string): never {
  throw new CairnError('CAIRN_CORRUPT', `a key slot asks for ${asked}; refused`)
}

/** As `deriveSlotKeys`, without bounds: for test vectors. */
export async function deriveUnchecked(
  kdf: KdfParameters,
  secret: Uint8Array,
  byteCount: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  throwIfAborted(signal)
  const derivation =
    kdf.kind === 'scrypt'
      ? scrypt(kdf, secret, byteCount)
      : argon2id(kdf, secret, byteCount, signal)
  try {
    return await unlessAborted(derivation, signal)
  } catch (error) {
    throwIfAborted(signal)
    throw new CairnError('CAIRN_FAILED', `cannot derive a key by ${kdf.kind}`, { cause: error })
  }
}

/** As `promise`, but rejects as soon as `signal` aborts. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const abort = () => reject(new CairnError('CAIRN_ABORTED', 'interrupted'))
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

function scrypt(kdf: ScryptParameters, secret: Uint8Array, byteCount: number): Promise<Uint8Array> {
  const { N, r, p, salt } = kdf
  // OpenSSL counts the blocks of all lanes and some scratch space besides the big table.
  const maxmem = 128 * r * (N + p) + 1024 * r + 1024 * 1024
  return new Promise((resolve, reject) => {
    nodeCrypto.scrypt(secret, salt, byteCount, { N, r, p, maxmem }, (error, key) => {
      if (error) reject(error)
      else resolve(new Uint8Array(key))
    })
  })
}

/** node:crypto's argon2, in Node 24.7 and later; the types are of an older Node. */
type NodeArgon2 = (
  algorithm: 'argon2id',
  parameters: {
    message: Uint8Array
    nonce: Uint8Array
    memory: number
    passes: number
    parallelism: number
    tagLength: number
  },
  callback: (error: Error | null, key: Buffer) => void,
) => void

async function argon2id(
  kdf: Argon2idParameters,
  secret: Uint8Array,
  byteCount: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const { memoryKiB, iterations, parallelism, salt } = kdf
  const nodeArgon2 = (nodeCrypto as { argon2?: NodeArgon2 }).argon2
  if (typeof nodeArgon2 === 'function') {
    const parameters = {
      message: secret,
      nonce: salt,
      memory: memoryKiB,
      passes: iterations,
      parallelism,
      tagLength: byteCount,
    }
    return await new Promise((resolve, reject) => {
      nodeArgon2('argon2id', parameters, (error, key) => {
        if (error) reject(error)
        else resolve(new Uint8Array(key))
      })
    })
  }
  const { argon2idAsync } = await import('@noble/hashes/argon2.js')
  return await argon2idAsync(secret, salt, {
    m: memoryKiB,
    t: iterations,
    p: parallelism,
    dkLen: byteCount,
    maxmem: 2 ** 32 - 1,
    // JavaScript takes seconds here; this is the only way to stop it.
    onProgress: () => throwIfAborted(signal),
  })
}
