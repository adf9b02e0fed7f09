import { gcm } from '@noble/ciphers/aes.js'
import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AEAD, type AeadId, createAead, positionNonce } from '../../src/crypto/aead.ts'
import { wasmBytes } from '../support/wasm-bytes.ts'

const fromHex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'))
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const patterned = (byteCount: number, step = 7) =>
  Uint8Array.from({ length: byteCount }, (_, i) => (i * step + (i >> 8)) & 255)

interface Vector {
  readonly id: AeadId
  readonly key: string
  readonly nonce: string
  readonly associated: string
  readonly plain: string
  readonly sealed: string
}

const VECTORS: Record<string, Vector> = {
  'RFC 8439, 2.8.2': {
    id: AEAD.chacha20Poly1305,
    key: '808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f',
    nonce: '070000004041424344454647',
    associated: '50515253c0c1c2c3c4c5c6c7',
    plain: Buffer.from(
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
    ).toString('hex'),
    sealed:
      'd31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691',
  },
  'GCM specification, test case 13': {
    id: AEAD.aes256Gcm,
    key: '00'.repeat(32),
    nonce: '00'.repeat(12),
    associated: '',
    plain: '',
    sealed: '530f8afbc74536b9a963b4f1c4cb738b',
  },
  'GCM specification, test case 14': {
    id: AEAD.aes256Gcm,
    key: '00'.repeat(32),
    nonce: '00'.repeat(12),
    associated: '',
    plain: '00'.repeat(16),
    sealed: 'cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919',
  },
  'GCM specification, test case 16': {
    id: AEAD.aes256Gcm,
    key: 'feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308',
    nonce: 'cafebabefacedbaddecaf888',
    associated: 'feedfacedeadbeeffeedfacedeadbeefabaddad2',
    plain:
      'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
    sealed:
      '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b',
  },
}

const K64 = 65_536
const EDGES = [0, 1, 15, 16, 17, 63, 64, 65]
const SIZES = [
  ...EDGES,
  ...[1, 2, 3].flatMap((n) => [n * K64 - 17, n * K64 - 16, n * K64 - 1, n * K64, n * K64 + 1]),
]

const CASES = [
  { name: 'ChaCha20-Poly1305', id: AEAD.chacha20Poly1305, noble: chacha20poly1305 },
  { name: 'AES-256-GCM', id: AEAD.aes256Gcm, noble: gcm },
].flatMap((one) =>
  (['node', 'javascript'] as const).map((implementation) => ({ ...one, implementation })),
)

describe.each(CASES)('createAead($name, $implementation)', ({ id, noble, implementation }) => {
  const aead = createAead(id, implementation)
  const key = patterned(32, 3)
  const nonce = patterned(12, 5)

  test('is what was asked for', () => {
    expect(aead).toMatchObject({ id, implementation })
  })

  test.each(Object.entries(VECTORS).filter(([, vector]) => vector.id === id))(
    'gives and opens the vector of %s',
    (_, vector) => {
      const [vectorKey, vectorNonce] = [fromHex(vector.key), fromHex(vector.nonce)]
      const associated = fromHex(vector.associated)
      const sealed = aead.seal(vectorKey, vectorNonce, associated, fromHex(vector.plain))
      expect(hex(sealed)).toBe(vector.sealed)
      const opened = aead.open(vectorKey, vectorNonce, associated, sealed)
      expect(opened && hex(opened)).toBe(vector.plain)
    },
  )

  test.each(SIZES)('agrees with @noble/ciphers at %d bytes', (byteCount) => {
    const plain = patterned(byteCount)
    for (const associated of [undefined, new Uint8Array(0), patterned(33)]) {
      const sealed = aead.seal(key, nonce, associated, plain)
      expect(Buffer.compare(sealed, noble(key, nonce, associated).encrypt(plain))).toBe(0)
      const opened = aead.open(key, nonce, associated, sealed)
      expect(opened && Buffer.compare(opened, plain)).toBe(0)
    }
  })

  test('agrees with @noble/ciphers on any input', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.uint8Array({ minLength: 12, maxLength: 12 }),
        fc.uint8Array({ maxLength: 100 }),
        fc.uint8Array({ maxLength: 1000 }),
        (anyKey, anyNonce, associated, plain) => {
          const sealed = aead.seal(anyKey, anyNonce, associated, plain)
          expect(sealed).toEqual(noble(anyKey, anyNonce, associated).encrypt(plain))
          expect(aead.open(anyKey, anyNonce, associated, sealed)).toEqual(plain)
        },
      ),
      { numRuns: 50 },
    )
  })

  test('sealInto() and openInto() touch only their part of the buffer', () => {
    const plain = patterned(K64 + 100)
    const out = new Uint8Array(plain.length + 16 + 20).fill(0xee)
    expect(aead.sealInto(out, 10, key, nonce, undefined, plain)).toBe(plain.length + 16)
    expect(hex(out.subarray(0, 10)) + hex(out.subarray(-10))).toBe('ee'.repeat(20))
    const sealed = out.slice(10, -10)
    expect(Buffer.compare(sealed, aead.seal(key, nonce, undefined, plain))).toBe(0)

    const opened = new Uint8Array(plain.length + 20).fill(0xee)
    expect(aead.openInto(opened, 10, key, nonce, undefined, sealed)).toBe(true)
    expect(hex(opened.subarray(0, 10)) + hex(opened.subarray(-10))).toBe('ee'.repeat(20))
    expect(Buffer.compare(opened.subarray(10, -10), plain)).toBe(0)
  })

  test('seals and opens in place, and on WebAssembly and shared memory', () => {
    const plain = patterned(2 * K64 + 5)
    const expected = aead.seal(key, nonce, undefined, plain)
    for (const memory of [
      new Uint8Array(4 * K64),
      new Uint8Array(new SharedArrayBuffer(4 * K64)),
      wasmBytes(4 * K64),
    ]) {
      memory.set(plain, 3)
      aead.sealInto(memory, 3, key, nonce, undefined, memory.subarray(3, 3 + plain.length))
      const sealed = memory.subarray(3, 3 + expected.length)
      expect(Buffer.compare(sealed, expected)).toBe(0)
      expect(aead.openInto(memory, 3, key, nonce, undefined, sealed)).toBe(true)
      expect(Buffer.compare(memory.subarray(3, 3 + plain.length), plain)).toBe(0)
    }
  })

  test('rejects any single flipped bit, and leaves zeros', () => {
    const associated = patterned(5)
    const sealed = aead.seal(key, nonce, associated, patterned(40))
    const out = new Uint8Array(60)
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const forged = Uint8Array.from(sealed)
      forged[bit >> 3] = (forged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      out.fill(0xee)
      expect(aead.openInto(out, 10, key, nonce, associated, forged)).toBe(false)
      expect(hex(out)).toBe('ee'.repeat(10) + '00'.repeat(40) + 'ee'.repeat(10))
      expect(aead.open(key, nonce, associated, forged)).toBeUndefined()
    }
    for (const [what, length] of [
      ['key', 32],
      ['nonce', 12],
      ['associated', 5],
    ] as const) {
      for (let bit = 0; bit < length * 8; bit++) {
        const parts = { key: key.slice(), nonce: nonce.slice(), associated: associated.slice() }
        parts[what][bit >> 3] = (parts[what][bit >> 3] ?? 0) ^ (1 << (bit & 7))
        expect(aead.open(parts.key, parts.nonce, parts.associated, sealed)).toBeUndefined()
      }
    }
  })

  test('rejects a flipped bit anywhere in many pieces, and leaves zeros', () => {
    const sealed = aead.seal(key, nonce, undefined, patterned(3 * K64 + 9))
    const out = new Uint8Array(sealed.length - 16)
    const flips = implementation === 'node' ? 64 : 6
    for (let i = 0; i < flips; i++) {
      const at = Math.floor(((sealed.length - 1) * i) / (flips - 1))
      sealed[at] = (sealed[at] ?? 0) ^ 0x10
      out.fill(0xee)
      expect(aead.openInto(out, 0, key, nonce, undefined, sealed)).toBe(false)
      expect(out.every((byte) => byte === 0)).toBe(true)
      sealed[at] = (sealed[at] ?? 0) ^ 0x10
    }
    expect(aead.openInto(out, 0, key, nonce, undefined, sealed)).toBe(true)
  })

  test('rejects anything cut short or prolonged', () => {
    const sealed = aead.seal(key, nonce, undefined, patterned(50))
    for (let length = 0; length < sealed.length; length++) {
      expect(aead.open(key, nonce, undefined, sealed.subarray(0, length))).toBeUndefined()
    }
    expect(aead.open(key, nonce, undefined, new Uint8Array([...sealed, 0]))).toBeUndefined()
  })

  test('refuses wrong sizes and missing room before it writes', () => {
    const plain = patterned(10)
    const out = new Uint8Array(26)
    expect(() => aead.seal(key.subarray(1), nonce, undefined, plain)).toThrow(RangeError)
    expect(() => aead.seal(key, nonce.subarray(1), undefined, plain)).toThrow(RangeError)
    expect(() => aead.sealInto(out, 1, key, nonce, undefined, plain)).toThrow(RangeError)
    expect(() => aead.sealInto(out, -1, key, nonce, undefined, plain)).toThrow(RangeError)
    const sealed = aead.seal(key, nonce, undefined, plain)
    expect(() => aead.openInto(out, 17, key, nonce, undefined, sealed)).toThrow(RangeError)
    expect(() => aead.open(key.subarray(1), nonce, undefined, sealed)).toThrow(RangeError)
    expect(() => aead.open(key, nonce.subarray(1), undefined, sealed)).toThrow(RangeError)
    expect(hex(out)).toBe('00'.repeat(26))
  })
})

/** As newer runtimes have it, and this one where it is told to. */
function withTransfer<T>(action: () => T): { readonly result: T; readonly bytesFreed: number } {
  const known = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, 'transfer')
  let bytesFreed = 0
  Object.defineProperty(ArrayBuffer.prototype, 'transfer', {
    configurable: true,
    value: function (this: ArrayBuffer, byteCount: number) {
      bytesFreed += this.byteLength
      structuredClone(this, { transfer: [this] })
      return new ArrayBuffer(byteCount)
    },
  })
  try {
    const result = action()
    return { result, bytesFreed }
  } finally {
    if (known === undefined) Reflect.deleteProperty(ArrayBuffer.prototype, 'transfer')
    else Object.defineProperty(ArrayBuffer.prototype, 'transfer', known)
  }
}

test.each(Object.values(AEAD))('cipher %d gives back what it made, and nothing else', (id) => {
  const aead = createAead(id, 'node')
  const [key, nonce] = [patterned(32), patterned(12)]
  const plain = patterned(300_000)
  const sealed = aead.seal(key, nonce, undefined, plain)
  const { result, bytesFreed } = withTransfer(() => [
    aead.seal(key, nonce, undefined, plain),
    aead.open(key, nonce, undefined, sealed),
  ])
  expect(bytesFreed).toBe(2 * plain.length)
  expect(result).toEqual([sealed, plain])
  expect([key.length, nonce.length, plain.length, sealed.length]).toEqual([
    32, 12, 300_000, 300_016,
  ])
})

describe('positionNonce()', () => {
  test.each([
    [0, 0, '000000000000000000000000'],
    [1, 64, '010000004000000000000000'],
    [255, 0x0102030405, 'ff0000000504030201000000'],
    [2, Number.MAX_SAFE_INTEGER, '02000000ffffffffffff1f00'],
  ])('(%d, %d) is %s', (domain, offset, expected) => {
    expect(hex(positionNonce(domain, offset))).toBe(expected)
  })

  test('refuses what does not fit', () => {
    expect(() => positionNonce(256, 0)).toThrow(RangeError)
    expect(() => positionNonce(-1, 0)).toThrow(RangeError)
    expect(() => positionNonce(0, -1)).toThrow(RangeError)
    expect(() => positionNonce(0, 2 ** 53)).toThrow(RangeError)
    expect(() => positionNonce(0, 0.5)).toThrow(RangeError)
  })
})
