import { createRequire } from 'node:module'
import { blake3 as noble } from '@noble/hashes/blake3.js'
import fc from 'fast-check'
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Blake3Implementation, loadBlake3, prepareBlake3 } from '../../src/crypto/blake3.ts'
import { wasmBytes } from '../support/wasm-bytes.ts'

beforeAll(() => prepareBlake3(true))

const patterned = (byteCount: number) => Uint8Array.from({ length: byteCount }, (_, i) => i % 251)
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

describe.each<Blake3Implementation>(['native', 'wasm', 'javascript'])('loadBlake3(%s)', (name) => {
  const blake3 = () => loadBlake3(name)

  test('is that implementation', () => {
    expect(blake3().implementation).toBe(name)
  })

  test('gives the official test vectors', () => {
    // github.com/BLAKE3-team/BLAKE3 test_vectors.json, inputs of 0 and 1,025 bytes.
    const key = Buffer.from('whats the Elvish word for friend')
    expect(hex(blake3().hash(new Uint8Array(0)))).toBe(
      'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262',
    )
    expect(hex(blake3().hash(patterned(1025)))).toBe(
      'd00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444',
    )
    expect(hex(blake3().keyed(key)(new Uint8Array(0)))).toBe(
      '92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26',
    )
    expect(hex(blake3().keyed(key)(patterned(1025)))).toBe(
      '357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69',
    )
  })

  test('agrees with @noble/hashes on any input and key', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 5000 }),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        (data, key) => {
          expect(blake3().hash(data)).toEqual(noble(data))
          expect(blake3().keyed(key)(data)).toEqual(noble(data, { key }))
          const context = Buffer.from('some context')
          expect(blake3().derive('some context', data)).toEqual(noble(data, { context }))
        },
      ),
      { numRuns: 60 },
    )
  })

  test('hashes large inputs', () => {
    const data = patterned(3_000_001)
    const key = patterned(32)
    expect(blake3().keyed(key)(data)).toEqual(noble(data, { key }))
  })

  test('keeps keyed functions apart', () => {
    const [one, two] = [patterned(32), patterned(33).subarray(1)]
    const [hashOne, hashTwo] = [blake3().keyed(one), blake3().keyed(two)]
    const data = patterned(100)
    for (let i = 0; i < 3; i++) {
      expect(hashOne(data)).toEqual(noble(data, { key: one }))
      expect(hashTwo(data)).toEqual(noble(data, { key: two }))
      expect(blake3().hash(data)).toEqual(noble(data))
    }
  })

  test('does not depend on the key array after keyed()', () => {
    const key = patterned(32)
    const run = blake3().keyed(key)
    const before = run(patterned(10))
    key.fill(0)
    expect(run(patterned(10))).toEqual(before)
  })

  test('takes views on WebAssembly and shared memory', () => {
    const data = patterned(5000)
    const wasm = wasmBytes(data.length)
    const shared = new Uint8Array(new SharedArrayBuffer(8192), 77, data.length)
    wasm.set(data)
    shared.set(data)
    const run = blake3().keyed(patterned(32))
    const expected = run(data)
    expect(run(wasm)).toEqual(expected)
    expect(run(shared)).toEqual(expected)
    expect(run(Buffer.from(data))).toEqual(expected)
  })

  test('writes to out and returns it', () => {
    const run = blake3().keyed(patterned(32))
    const out = new Uint8Array(new SharedArrayBuffer(40))
    expect(run(patterned(9), out)).toBe(out)
    expect(hex(out.subarray(0, 32))).toBe(hex(run(patterned(9))))
    expect(hex(out.subarray(32))).toBe('0000000000000000')
  })

  test('results are arrays of their own', () => {
    const run = blake3().keyed(patterned(32))
    const first = run(patterned(1))
    const copy = Uint8Array.from(first)
    run(patterned(2))
    expect(first).toEqual(copy)
    expect(first.constructor).toBe(Uint8Array)
  })

  test('refuses keys of another length', () => {
    expect(() => blake3().keyed(new Uint8Array(31))).toThrow(RangeError)
  })
})

describe('loadBlake3() without a usable native binding', () => {
  afterEach(() => {
    vi.doUnmock('node:module')
    vi.resetModules()
  })

  class WrongHasher {
    static newKeyed = () => new WrongHasher()
    reset() {}
    update() {}
    digest = () => '00'.repeat(32)
  }

  test.each([
    [
      'it is missing',
      () => {
        throw new Error('no prebuilt binary')
      },
    ],
    ['it computes something else', () => ({ Blake3Hasher: WrongHasher })],
  ])('%s: JavaScript at first, WebAssembly once prepared', async (_, load) => {
    vi.resetModules()
    const require = createRequire(import.meta.url)
    const loadOthers = (id: string): unknown => (id.includes('noble') ? require(id) : load())
    vi.doMock('node:module', () => ({ createRequire: () => loadOthers }))
    const fresh = await import('../../src/crypto/blake3.ts')
    expect(fresh.loadBlake3().implementation).toBe('javascript')
    await fresh.prepareBlake3()
    expect(fresh.loadBlake3().implementation).toBe('wasm')
    expect(fresh.loadBlake3().hash(patterned(9))).toEqual(noble(patterned(9)))
  })
})
