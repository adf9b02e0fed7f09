import { blake3 } from '@noble/hashes/blake3.js'
import { describe, expect, test } from 'vitest'
import { derive, keyStream } from '../../src/crypto/derive.ts'
import { createRequire } from 'node:module'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

describe('derive()', () => {
  test('is BLAKE3 derive_key with the prefix, as the native implementation has it', () => {
    const { Blake3Hasher } = createRequire(import.meta.url)('@napi-rs/blake-hash')
    const material = Buffer.from('some key material')
    expect(hex(derive('id data', material))).toBe(
      Blake3Hasher.deriveKey('cairn 1 id data', material).toString('hex'),
    )
  })

  test('the official vector holds for the function below it', () => {
    const input = Uint8Array.from({ length: 1025 }, (_, i) => i % 251)
    const context = Buffer.from('BLAKE3 2019-12-27 16:29:52 test vectors context')
    expect(hex(blake3(input, { context }))).toBe(
      'effaa245f065fbf82ac186839a249707c3bddf6d3fdda22d1b95a3c970379bcb',
    )
  })

  test('stored keys depend on these bytes', () => {
    expect(hex(derive('test', new Uint8Array(32)))).toMatchInlineSnapshot(
      `"f59f71b6f59163c6529f81595f70270f55aac9bf3402cb718bc59ce032fa342f"`,
    )
    expect(hex(keyStream(new Uint8Array(32), 'gear32', 40))).toMatchInlineSnapshot(
      `"24f28368bc32f76e9248480e060450668a6f65842c43d16781f99d79c3dced680ccd22529b349e15"`,
    )
  })

  test('separates contexts and materials', () => {
    const material = new Uint8Array(32)
    expect(derive('a', material)).not.toEqual(derive('b', material))
    expect(derive('a', material)).not.toEqual(derive('a', new Uint8Array(31)))
    expect(() => derive('é', material)).toThrow('printable ASCII')
  })
})

describe('keyStream()', () => {
  test('a longer stream begins with the shorter one', () => {
    const key = new Uint8Array(32).fill(5)
    const long = keyStream(key, 'gear32', 1024)
    expect(long.byteLength).toBe(1024)
    expect(keyStream(key, 'gear32', 100)).toEqual(long.subarray(0, 100))
    expect(keyStream(key, 'gear32', 32)).toEqual(blake3(Buffer.from('gear32'), { key }))
    expect(keyStream(key, 'gear64', 32)).not.toEqual(long.subarray(0, 32))
  })
})
