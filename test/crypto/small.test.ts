import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { createSha256, sha256 } from '../../src/crypto/sha256.ts'
import { equalSecret, wipe } from '../../src/crypto/wipe.ts'
import { wasmBytes } from '../support/wasm-bytes.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

describe('sha256()', () => {
  test('FIPS 180-4: abc', () => {
    const expected = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    expect(hex(sha256(Buffer.from('abc')))).toBe(expected)
    const state = createSha256()
    state.update(Buffer.from('a'))
    state.update(new Uint8Array(0))
    state.update(Buffer.from('bc'))
    expect(hex(state.digest())).toBe(expected)
  })

  test('takes views on WebAssembly and shared memory', () => {
    const expected = createHash('sha256').update(new Uint8Array(100).fill(5)).digest('hex')
    for (const view of [new Uint8Array(new SharedArrayBuffer(100)), wasmBytes(100)]) {
      view.fill(5)
      expect(hex(sha256(view))).toBe(expected)
      const state = createSha256()
      state.update(view)
      expect(hex(state.digest())).toBe(expected)
    }
  })
})

describe('wipe() and equalSecret()', () => {
  test('wipe() leaves zeros', () => {
    const secret = Uint8Array.of(1, 2, 3)
    wipe(secret)
    expect(secret).toEqual(new Uint8Array(3))
  })

  test('equalSecret() compares contents, and lengths first', () => {
    expect(equalSecret(Uint8Array.of(1, 2), Buffer.from([1, 2]))).toBe(true)
    expect(equalSecret(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false)
    expect(equalSecret(Uint8Array.of(1, 2), Uint8Array.of(1, 2, 0))).toBe(false)
    expect(equalSecret(new Uint8Array(0), new Uint8Array(0))).toBe(true)
  })
})
