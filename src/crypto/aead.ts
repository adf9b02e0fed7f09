/**
 * Authenticated encryption with associated data. FORMAT.md "Sealing". Keys have 32 bytes, nonces
 * 12, tags 16; what is sealed is the ciphertext followed by the tag.
 *
 * From node:crypto, which has no way to give an output buffer: it is fed 64 KiB at a time, so that
 * what it allocates stays small, and the pieces are copied to where they belong and given back.
 * @noble/ciphers gives the same bytes where OpenSSL lacks a cipher (FIPS builds), 20 to 50 times
 * slower.
 */

import { createCipheriv, createDecipheriv } from 'node:crypto'
import { createRequire } from 'node:module'
import { BugError } from '../base/errors.ts'

/** FORMAT.md "Sealing". Stored in every file: a cipher may be added, never renumbered. */
export const AEAD = { chacha20Poly1305: 1, aes256Gcm: 2 } as const

export type AeadId = (typeof AEAD)[keyof typeof AEAD]

const AEAD_KEY_BYTES = 32
const AEAD_NONCE_BYTES = 12
export const AEAD_TAG_BYTES = 16

const PIECE_BYTES = 64 * 1024

export interface Aead {
  readonly id: AeadId
  readonly implementation: 'node' | 'javascript'
  /**
   * Writes the ciphertext and tag of `plain` to `out` from `outOffset` and returns their byte
   * count, which is `plain.byteLength + 16`. `plain` may begin at the very place where the output
   * goes, and may not overlap it otherwise. Arrays may be views on WebAssembly or shared memory.
   */
  sealInto(
    out: Uint8Array,
    outOffset: number,
    key: Uint8Array,
    nonce: Uint8Array,
    associated: Uint8Array | undefined,
    plain: Uint8Array,
  ): number
  /**
   * Writes the plaintext of `sealed` to `out` from `outOffset` and returns true, or returns false
   * if it does not authenticate (also: if it is shorter than a tag). Then the part of `out` that the
   * plaintext would have taken holds zeros. `sealed` may begin where the output goes, as above.
   */
  openInto(
    out: Uint8Array,
    outOffset: number,
    key: Uint8Array,
    nonce: Uint8Array,
    associated: Uint8Array | undefined,
    sealed: Uint8Array,
  ): boolean
  /** As `sealInto`, to a new array. */
  seal(
    key: Uint8Array,
    nonce: Uint8Array,
    associated: Uint8Array | undefined,
    plain: Uint8Array,
  ): Uint8Array
  /** As `openInto`, to a new array; undefined if it does not authenticate. */
  open(
    key: Uint8Array,
    nonce: Uint8Array,
    associated: Uint8Array | undefined,
    sealed: Uint8Array,
  ): Uint8Array | undefined
}

type Core = Pick<Aead, 'implementation' | 'sealInto' | 'openInto'>

/** `prefer` is for tests: without it, node:crypto wherever it knows the cipher. */
export function createAead(id: AeadId, prefer: 'node' | 'javascript' = 'node'): Aead {
  const core = (prefer === 'node' ? nodeCore(id) : undefined) ?? javascriptCore(id)
  return {
    id,
    ...core,
    seal: (key, nonce, associated, plain) => {
      const sealed = new Uint8Array(plain.byteLength + AEAD_TAG_BYTES)
      core.sealInto(sealed, 0, key, nonce, associated, plain)
      return sealed
    },
    open: (key, nonce, associated, sealed) => {
      const plain = new Uint8Array(Math.max(0, sealed.byteLength - AEAD_TAG_BYTES))
      return core.openInto(plain, 0, key, nonce, associated, sealed) ? plain : undefined
    },
  }
}

/**
 * The nonce of a position within one key's domain: u8 domain, 3 zero bytes, u64 offset. A key that
 * seals each position once never repeats a nonce.
 */
export function positionNonce(domain: number, offset: number): Uint8Array {
  if (!(Number.isInteger(domain) && domain >= 0 && domain <= 255)) {
    throw new RangeError(`a nonce's domain is a byte, not ${domain}`)
  }
  if (!(Number.isSafeInteger(offset) && offset >= 0)) {
    throw new RangeError(`a nonce's offset is a position in a file, not ${offset}`)
  }
  const nonce = new Uint8Array(AEAD_NONCE_BYTES)
  const view = new DataView(nonce.buffer)
  nonce[0] = domain
  view.setUint32(4, offset % 2 ** 32, true)
  view.setUint32(8, Math.floor(offset / 2 ** 32), true)
  return nonce
}

function checkSizes(key: Uint8Array, nonce: Uint8Array): void {
  if (key.byteLength !== AEAD_KEY_BYTES) {
    throw new RangeError(`an AEAD key has 32 bytes, not ${key.byteLength}`)
  }
  if (nonce.byteLength !== AEAD_NONCE_BYTES) {
    throw new RangeError(`an AEAD nonce has 12 bytes, not ${nonce.byteLength}`)
  }
}

function checkRoom(out: Uint8Array, outOffset: number, byteCount: number): void {
  if (!(outOffset >= 0 && outOffset + byteCount <= out.byteLength)) {
    throw new RangeError(
      `no room for ${byteCount} bytes at ${outOffset} of a buffer of ${out.byteLength}`,
    )
  }
}

/** What CipherGCM and DecipherGCM have in common, here for both ciphers. */
interface Transform {
  update(piece: Uint8Array): Buffer
  final(): Buffer
}

/** Runs `input` through `cipher` into `out`. Each piece is read before its place is written. */
function transform(
  cipher: Transform,
  out: Uint8Array,
  outOffset: number,
  input: Uint8Array,
  inputBytes: number,
): void {
  let at = 0
  while (at < inputBytes) {
    const end = Math.min(at + PIECE_BYTES, inputBytes)
    const piece = cipher.update(input.subarray(at, end))
    out.set(piece, outOffset + at)
    giveBack(piece)
    at = end
  }
}

/**
 * Frees what a piece is in at once, where this runtime can. The garbage collector would let 32 MB of
 * them come together in each thread, all of it memory that no processor's cache holds any more.
 */
function giveBack({ buffer, byteLength }: Buffer): void {
  const whole = buffer as ArrayBufferLike & { transfer?(byteCount: number): ArrayBuffer }
  if (buffer.byteLength === byteLength) whole.transfer?.(0)
}

// Reused for every cipher: node:crypto only reads it.
const TAG_OPTIONS = { authTagLength: AEAD_TAG_BYTES }

function nodeCore(id: AeadId): Core | undefined {
  // Node's types know the two ciphers by separate overloads with the same result.
  const name = (id === AEAD.aes256Gcm ? 'aes-256-gcm' : 'chacha20-poly1305') as 'aes-256-gcm'
  try {
    createCipheriv(name, new Uint8Array(32), new Uint8Array(12), TAG_OPTIONS)
  } catch {
    return undefined // This OpenSSL does not have it.
  }
  return {
    implementation: 'node',
    sealInto: (out, outOffset, key, nonce, associated, plain) => {
      checkSizes(key, nonce)
      const plainBytes = plain.byteLength
      checkRoom(out, outOffset, plainBytes + AEAD_TAG_BYTES)
      const cipher = createCipheriv(name, key, nonce, TAG_OPTIONS)
      if (associated !== undefined) cipher.setAAD(associated)
      transform(cipher, out, outOffset, plain, plainBytes)
      cipher.final() // Both are stream ciphers: nothing is left over.
      out.set(cipher.getAuthTag(), outOffset + plainBytes)
      return plainBytes + AEAD_TAG_BYTES
    },
    openInto: (out, outOffset, key, nonce, associated, sealed) => {
      checkSizes(key, nonce)
      const plainBytes = sealed.byteLength - AEAD_TAG_BYTES
      if (plainBytes < 0) return false
      checkRoom(out, outOffset, plainBytes)
      const decipher = createDecipheriv(name, key, nonce, TAG_OPTIONS)
      decipher.setAuthTag(sealed.subarray(plainBytes))
      if (associated !== undefined) decipher.setAAD(associated)
      transform(decipher, out, outOffset, sealed, plainBytes)
      try {
        decipher.final()
        return true
      } catch {
        out.fill(0, outOffset, outOffset + plainBytes)
        return false
      }
    },
  }
}

type NobleCipher = (
  key: Uint8Array,
  nonce: Uint8Array,
  associated?: Uint8Array,
) => { encrypt(plain: Uint8Array): Uint8Array; decrypt(sealed: Uint8Array): Uint8Array }

function nobleCipher(id: AeadId): NobleCipher {
  // Loaded only here: it would cost every worker 10 ms that hardly any needs.
  const load = createRequire(import.meta.url)
  switch (id) {
    case AEAD.chacha20Poly1305:
      return (load('@noble/ciphers/chacha.js') as { chacha20poly1305: NobleCipher })
        .chacha20poly1305
    case AEAD.aes256Gcm:
      return (load('@noble/ciphers/aes.js') as { gcm: NobleCipher }).gcm
    default:
      throw new BugError(`no AEAD has the id ${String(id)}`)
  }
}

function javascriptCore(id: AeadId): Core {
  const cipher = nobleCipher(id)
  return {
    implementation: 'javascript',
    sealInto: (out, outOffset, key, nonce, associated, plain) => {
      checkSizes(key, nonce)
      checkRoom(out, outOffset, plain.byteLength + AEAD_TAG_BYTES)
      const sealed = cipher(key, nonce, associated).encrypt(plain)
      out.set(sealed, outOffset)
      return sealed.byteLength
    },
    openInto: (out, outOffset, key, nonce, associated, sealed) => {
      checkSizes(key, nonce)
      const plainBytes = sealed.byteLength - AEAD_TAG_BYTES
      if (plainBytes < 0) return false
      checkRoom(out, outOffset, plainBytes)
      let plain: Uint8Array
      try {
        plain = cipher(key, nonce, associated).decrypt(sealed)
      } catch {
        out.fill(0, outOffset, outOffset + plainBytes)
        return false
      }
      out.set(plain, outOffset)
      return true
    },
  }
}
