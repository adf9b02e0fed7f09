import * as nodeCrypto from 'node:crypto'
import { argon2id } from '@noble/hashes/argon2.js'
import { scrypt } from '@noble/hashes/scrypt.js'
import { describe, expect, test } from 'vitest'
import {
  type Argon2idParameters,
  deriveSlotKeys,
  deriveUnchecked,
  type KdfParameters,
  type ScryptParameters,
} from '../../src/crypto/kdf.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const ascii = (text: string) => new Uint8Array(Buffer.from(text, 'latin1'))

const SCRYPT: ScryptParameters = {
  kind: 'scrypt',
  N: 2 ** 14,
  r: 8,
  p: 1,
  salt: new Uint8Array(32).fill(7),
}
const ARGON2ID: Argon2idParameters = {
  kind: 'argon2id',
  memoryKiB: 8192,
  iterations: 1,
  parallelism: 2,
  salt: new Uint8Array(32).fill(7),
}

describe('deriveUnchecked()', () => {
  test.each([
    [
      '',
      '',
      16,
      1,
      1,
      '77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906',
    ],
    [
      'password',
      'NaCl',
      1024,
      8,
      16,
      'fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640',
    ],
    [
      'pleaseletmein',
      'SodiumChloride',
      16384,
      8,
      1,
      '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887',
    ],
  ])('RFC 7914: scrypt of %j, %j', async (secret, salt, N, r, p, expected) => {
    const kdf: KdfParameters = { kind: 'scrypt', N, r, p, salt: ascii(salt) }
    expect(hex(await deriveUnchecked(kdf, ascii(secret), 64))).toBe(expected)
  })

  // From the test suite of the reference implementation, github.com/P-H-C/phc-winner-argon2.
  test.each([
    [256, 2, 1, '9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe'],
    [256, 2, 2, '6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037'],
  ])(
    'argon2id of password, somesalt at %d KiB, %d passes, %d lanes',
    async (memoryKiB, iterations, parallelism, expected) => {
      const salt = ascii('somesalt')
      const kdf: KdfParameters = { kind: 'argon2id', memoryKiB, iterations, parallelism, salt }
      expect(hex(await deriveUnchecked(kdf, ascii('password'), 32))).toBe(expected)
    },
  )

  test('RFC 9106, 5.3: the library below gives the vector with secret and associated data', () => {
    const tag = argon2id(new Uint8Array(32).fill(1), new Uint8Array(16).fill(2), {
      m: 32,
      t: 3,
      p: 4,
      dkLen: 32,
      key: new Uint8Array(8).fill(3),
      personalization: new Uint8Array(12).fill(4),
    })
    expect(hex(tag)).toBe('0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659')
  })

  test.skipIf(!('argon2' in nodeCrypto))('node:crypto argon2 agrees with noble', async () => {
    const { memoryKiB: m, iterations: t, parallelism: p, salt } = ARGON2ID
    expect(hex(await deriveSlotKeys(ARGON2ID, ascii('x')))).toBe(
      hex(argon2id(ascii('x'), salt, { m, t, p, dkLen: 64 })),
    )
  })
})

describe('deriveSlotKeys()', () => {
  test('gives 64 bytes of scrypt at the floor', async () => {
    const secret = ascii('correct horse')
    const key = await deriveSlotKeys(SCRYPT, secret)
    expect(hex(key)).toBe(hex(scrypt(secret, SCRYPT.salt, { N: 2 ** 14, r: 8, p: 1, dkLen: 64 })))
  })

  test('takes the default cost and more: the memory limit of node:crypto is raised', async () => {
    await deriveSlotKeys({ ...SCRYPT, N: 2 ** 17 }, ascii('x'))
    await deriveSlotKeys({ ...SCRYPT, N: 2 ** 14, r: 16, p: 16 }, ascii('x'))
  })

  test('gives 64 bytes of argon2id at the floor', async () => {
    const key = await deriveSlotKeys(ARGON2ID, ascii('x'))
    expect(key.byteLength).toBe(64)
  })

  const bad: [string, object][] = [
    ['scrypt: N is not a power of two', { ...SCRYPT, N: 2 ** 14 + 1 }],
    ['scrypt: N below the floor', { ...SCRYPT, N: 2 ** 13, r: 16 }],
    ['scrypt: memory below the floor', { ...SCRYPT, r: 7 }],
    ['scrypt: N zero', { ...SCRYPT, N: 0 }],
    ['scrypt: N negative', { ...SCRYPT, N: -(2 ** 14) }],
    ['scrypt: N a fraction', { ...SCRYPT, N: 2 ** 14 + 0.5 }],
    ['scrypt: N not a number', { ...SCRYPT, N: Number.NaN }],
    ['scrypt: N infinite', { ...SCRYPT, N: Number.POSITIVE_INFINITY }],
    ['scrypt: r zero', { ...SCRYPT, r: 0 }],
    ['scrypt: p zero', { ...SCRYPT, p: 0 }],
    ['scrypt: p above the ceiling', { ...SCRYPT, p: 17 }],
    ['scrypt: memory above the ceiling', { ...SCRYPT, N: 2 ** 23 }],
    ['scrypt: memory above the ceiling by r', { ...SCRYPT, r: 2 ** 30 }],
    ['scrypt: short salt', { ...SCRYPT, salt: new Uint8Array(15) }],
    ['scrypt: long salt', { ...SCRYPT, salt: new Uint8Array(65) }],
    ['argon2id: memory below the floor', { ...ARGON2ID, memoryKiB: 8191 }],
    ['argon2id: memory above the ceiling', { ...ARGON2ID, memoryKiB: 4 * 1024 * 1024 + 1 }],
    ['argon2id: no iterations', { ...ARGON2ID, iterations: 0 }],
    ['argon2id: too many iterations', { ...ARGON2ID, iterations: 65 }],
    ['argon2id: no lanes', { ...ARGON2ID, parallelism: 0 }],
    ['argon2id: too many lanes', { ...ARGON2ID, parallelism: 65 }],
    ['argon2id: a fraction', { ...ARGON2ID, memoryKiB: 8192.5 }],
    ['another kind', { ...ARGON2ID, kind: 'md5' }],
  ]
  test.each(bad)('refuses %s', async (_, kdf) => {
    await expect(deriveSlotKeys(kdf as KdfParameters, ascii('x'))).rejects.toMatchObject({
      code: 'CAIRN_CORRUPT',
      message: expect.stringMatching(/asks for .*; refused$/),
    })
  })

  test.each([SCRYPT, { ...ARGON2ID, iterations: 8 }])('stops when aborted: $kind', async (kdf) => {
    const controller = new AbortController()
    const running = deriveSlotKeys(kdf, ascii('x'), controller.signal)
    controller.abort()
    await expect(running).rejects.toMatchObject({ code: 'CAIRN_ABORTED' })
    const late = deriveSlotKeys(kdf, ascii('x'), controller.signal)
    await expect(late).rejects.toMatchObject({ code: 'CAIRN_ABORTED' })
  })
})
