import { createRequire } from 'node:module'
import * as zlib from 'node:zlib'
import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { loadZstd, type ZstdImplementation } from '../../src/compression/zstd.ts'
import { wasmBytes } from '../support/wasm-bytes.ts'

const nodeHasZstd = 'zstdCompressSync' in zlib
const IMPLEMENTATIONS: ZstdImplementation[] = nodeHasZstd ? ['napi', 'node'] : ['napi']

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const text = (byteCount: number) =>
  Uint8Array.from({ length: byteCount }, (_, i) => 97 + (((i * i) >> 7) % 23))

describe('loadZstd()', () => {
  afterEach(() => {
    vi.doUnmock('node:module')
    vi.resetModules()
  })

  test('without zstd-napi takes node:zlib, or names both cures', async () => {
    vi.resetModules()
    vi.doMock('node:module', () => ({
      createRequire: () => () => {
        throw new Error('not built')
      },
    }))
    const fresh = await import('../../src/compression/zstd.ts')
    if (nodeHasZstd) {
      expect(fresh.loadZstd().implementation).toBe('node')
    } else {
      expect(() => fresh.loadZstd()).toThrow(
        expect.objectContaining({
          code: 'CAIRN_FAILED',
          message: expect.stringMatching(/22\.15.*compiler.*rebuild zstd-napi/),
        }),
      )
    }
  })

  test('gives what is preferred, or what is there', () => {
    expect(loadZstd().implementation).toBe('napi')
    expect(loadZstd('node').implementation).toBe(nodeHasZstd ? 'node' : 'napi')
  })
})

describe.each(IMPLEMENTATIONS)('zstd by %s', (name) => {
  const zstd = loadZstd(name)

  function compress(input: Uint8Array, level = 3): Uint8Array {
    const out = new Uint8Array(zstd.compressBound(input.length))
    return out.slice(0, zstd.compressInto(out, 0, input, level))
  }

  function decompress(input: Uint8Array, plainBytes: number): Uint8Array | undefined {
    const out = new Uint8Array(plainBytes + 20).fill(0xee)
    const isGood = zstd.decompressInto(out, 10, plainBytes, input)
    // Whatever happens, nothing is written beyond.
    expect(hex(out.subarray(0, 10)) + hex(out.subarray(-10))).toBe('ee'.repeat(20))
    return isGood ? out.slice(10, -10) : undefined
  }

  test('the same input gives the same frame, whatever was compressed before', () => {
    const inputs = [text(700_000), text(3_000), text(300_000)]
    const levels = [3, 7, 3, 1]
    const fresh = inputs.map((input) =>
      levels.map((level) => {
        const other = loadZstd(name)
        const out = new Uint8Array(other.compressBound(input.length))
        return hex(out.subarray(0, other.compressInto(out, 0, input, level)))
      }),
    )
    expect(inputs.map((input) => levels.map((level) => hex(compress(input, level))))).toEqual(fresh)
  })

  test('level 3 is between levels 1 and 7, for small inputs and for large ones', () => {
    for (const byteCount of [100_000, 1_000_000]) {
      const words = Uint8Array.from({ length: byteCount }, (_, i) =>
        (i >> 5) % 3 === 0 ? 97 + (((i * i) >> 9) % 23) : (i * 7919) >> 11,
      )
      const [one = 0, three = 0, seven = 0] = [1, 3, 7].map(
        (level) => compress(words, level).length,
      )
      expect(three).toBeLessThanOrEqual(one)
      expect(seven).toBeLessThanOrEqual(three)
    }
  })

  test('round trip of any input at any level', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.constant(text(2000))), {
          maxLength: 8,
        }),
        fc.integer({ min: -5, max: 19 }),
        (parts, level) => {
          const input = new Uint8Array(Buffer.concat(parts))
          expect(decompress(compress(input, level), input.length)).toEqual(input)
        },
      ),
      { numRuns: 60 },
    )
  })

  test.each([0, 1, 255, 256, 257, 65_535, 65_536, 131_071, 131_072, 131_073, 3_000_000])(
    'round trip of %d bytes, compressible and not',
    (byteCount) => {
      const noise = new Uint8Array(byteCount)
      for (let i = 0, x = 1; i < byteCount; i++) {
        x = (Math.imul(x, 1664525) + 1013904223) | 0
        noise[i] = x >>> 24
      }
      for (const input of [text(byteCount), noise]) {
        for (const level of [-5, 3]) {
          const opened = decompress(compress(input, level), byteCount)
          expect(opened && Buffer.compare(opened, input)).toBe(0)
        }
      }
    },
  )

  test('the frame has no checksum', () => {
    expect((compress(text(1000))[4] ?? 0) & 4).toBe(0)
  })

  test('writes at the offset, and only as much as it says', () => {
    const input = text(5000)
    const frame = compress(input)
    const out = new Uint8Array(zstd.compressBound(input.length) + 20)
    expect(zstd.compressInto(out, 10, input, 3)).toBe(frame.length)
    expect(hex(out.subarray(10, 10 + frame.length))).toBe(hex(frame))
    expect(hex(out.subarray(0, 10))).toBe('00'.repeat(10))
  })

  test('works on shared and WebAssembly memory', () => {
    const input = text(100_000)
    const frame = compress(input)
    for (const make of [(n: number) => new Uint8Array(new SharedArrayBuffer(n)), wasmBytes]) {
      const source = make(input.length)
      source.set(input)
      const target = make(zstd.compressBound(input.length))
      const byteCount = zstd.compressInto(target, 0, source, 3)
      expect(hex(target.subarray(0, byteCount))).toBe(hex(frame))
      source.fill(0)
      expect(zstd.decompressInto(source, 0, input.length, target.subarray(0, byteCount))).toBe(true)
      expect(Buffer.compare(source, input)).toBe(0)
    }
  })

  test('rejects another length than stated', () => {
    const frame = compress(text(1000))
    for (const plainBytes of [0, 1, 999, 1001, 100_000]) {
      expect(decompress(frame, plainBytes)).toBeUndefined()
    }
    expect(decompress(compress(new Uint8Array(0)), 1)).toBeUndefined()
  })

  test('rejects a frame cut short anywhere, or prolonged', () => {
    const input = text(3000)
    const frame = compress(input)
    for (let length = 0; length < frame.length; length++) {
      expect(decompress(frame.subarray(0, length), input.length)).toBeUndefined()
    }
    for (const more of [Uint8Array.of(0), frame, compress(new Uint8Array(0))]) {
      const longer = new Uint8Array(Buffer.concat([frame, more]))
      expect(decompress(longer, input.length)).toBeUndefined()
      expect(decompress(longer, 2 * input.length)).toBeUndefined()
    }
    const skippable = Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7)
    expect(decompress(skippable, 0)).toBeUndefined()
    const after = new Uint8Array(Buffer.concat([skippable, frame]))
    expect(decompress(after, input.length)).toBeUndefined()
  })

  test('rejects a bomb without allocating for it', () => {
    // 2,000 run-length blocks of 128 KiB each, from 8 KiB; once without a size, once with a lie.
    const blocks = Buffer.concat(
      Array.from({ length: 2000 }, (_, i) => {
        const header = (131_072 << 3) | (1 << 1) | (i === 1999 ? 1 : 0)
        return Buffer.from([header & 255, (header >> 8) & 255, header >> 16, 0])
      }),
    )
    const frames = [
      Buffer.concat([Buffer.from('28b52ffd0058', 'hex'), blocks]), // A window of 2 MiB.
      Buffer.concat([Buffer.from('28b52ffd805810000000', 'hex'), blocks]), // "16 bytes".
      Buffer.concat([Buffer.from('28b52ffda010000000', 'hex'), blocks]), // The same, one segment.
    ]
    for (const frame of frames) expect(decompress(frame, 16)).toBeUndefined()
    // The first is a proper frame of 250 MiB, if that is what was asked for.
    const before = process.memoryUsage().rss
    const plain = new Uint8Array(16)
    for (let i = 0; i < 200; i++) zstd.decompressInto(plain, 0, 16, frames[0] ?? plain)
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 2 ** 20)
  })

  test('rejects a window larger than 8 MiB unless the content is', () => {
    const empty = (window: number) => Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, window, 1, 0, 0)
    expect(decompress(empty(13 << 3), 0)).toEqual(new Uint8Array(0))
    expect(decompress(empty((13 << 3) + 1), 0)).toBeUndefined()
    expect(decompress(empty(31 << 3), 0)).toBeUndefined()
  })

  test('rejects a dictionary id and the reserved bit', () => {
    const frame = compress(text(1000))
    for (const bit of [1, 2, 8]) {
      const other = Uint8Array.from(frame)
      other[4] = (other[4] ?? 0) | bit
      expect(decompress(other, 1000)).toBeUndefined()
    }
  })

  test('survives garbage and flipped bits, and works afterwards', () => {
    const input = text(3000)
    const frame = compress(input)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (garbage) => {
        expect(decompress(garbage, 100)).toBeUndefined()
        const framed = new Uint8Array(Buffer.concat([frame.subarray(0, 8), garbage]))
        expect(decompress(framed, input.length)).toBeUndefined()
      }),
      { numRuns: 200 },
    )
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const damaged = Uint8Array.from(frame)
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      decompress(damaged, input.length) // Any answer but an exception or a byte beyond.
    }
    expect(decompress(frame, input.length)).toEqual(input)
  })

  test('refuses wrong levels and missing room', () => {
    const out = new Uint8Array(zstd.compressBound(10))
    for (const level of [-6, 20, 1.5, Number.NaN]) {
      expect(() => zstd.compressInto(out, 0, text(10), level)).toThrow(RangeError)
    }
    expect(() => zstd.compressInto(out, 1, text(10), 3)).toThrow(RangeError)
    expect(() => zstd.decompressInto(out, 0, out.length + 1, out)).toThrow(RangeError)
    expect(() => zstd.decompressInto(out, -1, 1, out)).toThrow(RangeError)
  })

  test('uses the same memory again and again', () => {
    const input = text(50_000)
    const out = new Uint8Array(zstd.compressBound(input.length))
    const plain = new Uint8Array(input.length)
    const run = (times: number) => {
      for (let i = 0; i < times; i++) {
        const byteCount = zstd.compressInto(out, 0, input, [1, 3, 5][i % 3] ?? 3)
        zstd.decompressInto(plain, 0, plain.length, out.subarray(0, byteCount))
      }
    }
    run(500)
    const before = process.memoryUsage().rss
    run(2000)
    // A context leaked per call would be 2,000 times a megabyte. node:zlib makes 200 MB of garbage.
    const allowed = name === 'napi' ? 64 : 512
    expect(process.memoryUsage().rss - before).toBeLessThan(allowed * 2 ** 20)
  })

  test.skipIf(IMPLEMENTATIONS.length < 2)('the other implementation reads its frames', () => {
    const other = loadZstd(name === 'napi' ? 'node' : 'napi')
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 3000 }),
        fc.integer({ min: -5, max: 19 }),
        (part, level) => {
          const input = new Uint8Array(Buffer.concat([part, text(500), part]))
          const plain = new Uint8Array(input.length)
          expect(other.decompressInto(plain, 0, plain.length, compress(input, level))).toBe(true)
          expect(plain).toEqual(input)
          expect(other.compressBound(input.length)).toBe(zstd.compressBound(input.length))
        },
      ),
      { numRuns: 60 },
    )
  })
})

describe('compressBound()', () => {
  test.each([0, 1, 65_536, 131_071, 131_072, 1_000_001, 2 ** 30])('of %d is as in libzstd', (n) => {
    const binding = createRequire(import.meta.url)('zstd-napi/binding.js')
    expect(loadZstd().compressBound(n)).toBe(binding.compressBound(n))
  })
})
