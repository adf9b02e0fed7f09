import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Chunker, ChunkerParameters } from '../../src/chunker/chunker.ts'
import { createChunker, gearTableFrom } from '../../src/chunker/create-chunker.ts'
import { keyStream } from '../../src/crypto/derive.ts'
import { slowChunks } from '../support/slow-chunker.ts'

const IMPLEMENTATIONS = ['wasm', 'typescript'] as const

const tableOf = (key: number) =>
  gearTableFrom(keyStream(new Uint8Array(32).fill(key), 'gear32', 1024))
const TABLE = tableOf(1)

const SMALL: ChunkerParameters = { minBytes: 256, averageBytes: 1024, maxBytes: 4096 }

/** Bytes from xorshift32, the same for the same seed. */
function noise(byteCount: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(byteCount)
  let x = (Math.imul(seed + 1, 0x9e3779b1) | 1) >>> 0
  for (let i = 0; i < byteCount; i++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    bytes[i] = x >>> 16
  }
  return bytes
}

function make(
  implementation: Chunker['implementation'],
  parameters = SMALL,
  table = TABLE,
  arenaBytes = Math.max(3 * parameters.maxBytes, 20_000),
): Chunker {
  return createChunker({ parameters, table, arenaBytes, implementation })
}

/**
 * The lengths of all chunks of `input`, which is fed into the arena as a caller does: by at most
 * `step(i)` bytes at a time, moved to the front when the arena is full.
 */
function chunks(
  chunker: Chunker,
  input: Uint8Array,
  step: (i: number) => number = () => Number.POSITIVE_INFINITY,
): number[] {
  const { arena } = chunker
  const lengths: number[] = []
  let [start, end, read] = [0, 0, 0]
  for (let i = 0; start < end || read < input.length; i++) {
    if (end === arena.length) {
      arena.copyWithin(0, start, end)
      ;[start, end] = [0, end - start]
    }
    const take = Math.min(step(i), arena.length - end, input.length - read)
    arena.set(input.subarray(read, read + take), end)
    ;[end, read] = [end + take, read + take]
    for (let cut = 1; cut > 0 && start < end; ) {
      cut = chunker.cut(start, end, read === input.length)
      if (cut === 0) break
      lengths.push(cut - start)
      start = cut
    }
  }
  return lengths
}

const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0)

function offsets(lengths: readonly number[]): number[] {
  let at = 0
  return lengths.map((length) => {
    at += length
    return at
  })
}

/** Noise, text, runs and periods, one after the other. */
const anyInput = fc
  .array(
    fc.oneof(
      fc.tuple(fc.nat(9000), fc.nat()).map(([byteCount, seed]) => noise(byteCount, seed)),
      fc.tuple(fc.nat(9000), fc.nat(255)).map(([n, byte]) => new Uint8Array(n).fill(byte)),
      fc
        .tuple(fc.nat(9000), fc.uint8Array({ minLength: 1, maxLength: 70 }))
        .map(([n, period]) =>
          Uint8Array.from({ length: n }, (_, i) => period[i % period.length] ?? 0),
        ),
    ),
    { maxLength: 4 },
  )
  .map((parts) => new Uint8Array(Buffer.concat(parts)))

const anyParameters = fc
  .tuple(fc.integer({ min: 9, max: 12 }), fc.nat(), fc.nat(9000))
  .map(([k, lower, more]) => {
    const averageBytes = 2 ** k
    const minBytes = 256 + (lower % (averageBytes - 256))
    return { minBytes, averageBytes, maxBytes: averageBytes + 1 + more }
  })

describe.each(IMPLEMENTATIONS)('chunker in %s', (implementation) => {
  const chunker = make(implementation)

  test('is that implementation', () => {
    expect(chunker.implementation).toBe(implementation)
    expect(
      createChunker({ parameters: SMALL, table: TABLE, arenaBytes: 4096 }).implementation,
    ).toBe('wasm')
  })

  test('agrees with the slow twin on any input and parameters', () => {
    fc.assert(
      fc.property(anyInput, anyParameters, fc.nat(255), (input, parameters, key) => {
        const table = tableOf(key)
        const found = chunks(make(implementation, parameters, table), input)
        expect(found).toEqual(slowChunks(input, parameters, table))
      }),
      { numRuns: 40 },
    )
  })

  test('chunks joined are the input, within their bounds', () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        const lengths = chunks(chunker, input)
        expect(sum(lengths)).toBe(input.length)
        expect(lengths.every((length) => length > 0 && length <= SMALL.maxBytes)).toBe(true)
        expect(lengths.slice(0, -1).every((length) => length >= SMALL.minBytes)).toBe(true)
      }),
      { numRuns: 100 },
    )
  })

  test('cuts do not depend on how the input is buffered', () => {
    fc.assert(
      fc.property(
        anyInput,
        fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 4096, max: 30_000 }),
        (input, steps, arenaBytes) => {
          const whole = chunks(chunker, input)
          const other = make(implementation, SMALL, TABLE, arenaBytes)
          expect(chunks(other, input, (i) => steps[i % steps.length] ?? 1)).toEqual(whole)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('a chunk depends on its own bytes only', () => {
    const input = noise(100_000, 7)
    const ends = offsets(chunks(make(implementation, SMALL, TABLE, 200_000), input))
    const from = ends[20] ?? 0
    expect(offsets(chunks(chunker, input.subarray(from))).map((end) => end + from)).toEqual(
      ends.slice(21),
    )
  })

  test('the average is near the target on random data', () => {
    const parameters = { minBytes: 1024, averageBytes: 4096, maxBytes: 32_768 }
    const input = noise(8 * 2 ** 20, 3)
    const lengths = chunks(make(implementation, parameters, TABLE, 2 ** 20), input)
    const mean = input.length / lengths.length
    // Normalised chunking of level 2 makes 1.1 times the nominal size (performance.md 1.2).
    expect(mean).toBeGreaterThan(4096)
    expect(mean).toBeLessThan(1.25 * 4096)
    expect(Math.max(...lengths)).toBeLessThan(32_768)
  })

  test('an insertion, a deletion or a change moves few cuts', () => {
    const input = noise(400_000, 11)
    const big = make(implementation, SMALL, TABLE, 500_000)
    const before = new Set(offsets(chunks(big, input)))
    for (let i = 0; i < 30; i++) {
      const at = 10_000 + i * 12_345
      const inserted = noise(1 + i, i)
      const edited = new Uint8Array(
        Buffer.concat([input.subarray(0, at), inserted, input.subarray(at)]),
      )
      const after = offsets(chunks(big, edited))
      const moved = after.filter((end) => !before.has(end <= at ? end : end - inserted.length))
      expect(moved.length).toBeLessThan(20)
      // And all of them near the edit.
      expect(moved.every((end) => end > at - 1 && end < at + 20 * 4096)).toBe(true)
    }
  })

  test('another key gives other cuts', () => {
    const input = noise(200_000, 5)
    const one = new Set(offsets(chunks(make(implementation, SMALL, tableOf(1)), input)))
    const two = offsets(chunks(make(implementation, SMALL, tableOf(2)), input))
    expect(two.filter((end) => one.has(end)).length).toBeLessThan(two.length / 10)
  })

  test('constant data is cut into equal chunks', () => {
    for (const byte of [0, 1, 77, 255]) {
      const lengths = chunks(chunker, new Uint8Array(50_000).fill(byte))
      expect(new Set(lengths.slice(0, -1)).size).toBe(1)
    }
  })

  test('periodic data is cut into chunks that repeat', () => {
    for (const period of [2, 7, 31, 32, 33, 100]) {
      const pattern = noise(period, period)
      const input = Uint8Array.from({ length: 400_000 }, (_, i) => pattern[i % period] ?? 0)
      const lengths = chunks(chunker, input)
      const seen = new Set<string>()
      let at = 0
      for (const length of lengths) {
        seen.add(Buffer.from(input.subarray(at, at + length)).toString('latin1'))
        at += length
      }
      expect(seen.size).toBeLessThanOrEqual(period + 2)
    }
  })

  test('lengths at the edges', () => {
    // A table of zeros: every hash is zero, so every tested length is a cut.
    const always = make(implementation, SMALL, new Uint32Array(256))
    expect(chunks(always, new Uint8Array(700))).toEqual([256, 256, 188])
    expect(chunks(always, new Uint8Array(512))).toEqual([256, 256])
    expect(chunks(always, new Uint8Array(255))).toEqual([255])
    expect(chunks(always, new Uint8Array(1))).toEqual([1])
    expect(chunks(always, new Uint8Array(0))).toEqual([])
    expect(always.cut(0, 255, false)).toBe(0)
    expect(always.cut(0, 256, false)).toBe(256)
    // A table of ones: all bits of every hash are ones, and no length is ever a cut.
    const never = make(implementation, SMALL, new Uint32Array(256).fill(1))
    expect(chunks(never, new Uint8Array(9000))).toEqual([4096, 4096, 808])
    expect(never.cut(0, 4095, false)).toBe(0)
    expect(never.cut(0, 4095, true)).toBe(4095)
    expect(never.cut(0, 4096, false)).toBe(4096)
    expect(never.cut(5, 5 + 4097, true)).toBe(5 + 4096)
  })

  test.each([
    // Strict needs 12 zero bits, loose 8: a hash of 2^19 passes both, one of 2^23 the loose alone.
    [19, 255, false],
    [19, 256, true],
    [19, 1023, true],
    [23, 256, false],
    [23, 1023, false],
    [23, 1024, true],
    [23, 4095, true],
  ])('a hash of 2^%d at length %d: cut there: %s', (log2, length, isCut) => {
    // Among bytes of weight 1 all bits are ones: no cut. 31 bytes of weight 0 and then the one that
    // carries the hash leave just that.
    const table = new Uint32Array(256).fill(1)
    table[0] = 0
    table[1] = 2 ** log2
    const input = new Uint8Array(5000).fill(2)
    input.fill(0, length - 32, length - 1)
    input[length - 1] = 1
    expect(chunks(make(implementation, SMALL, table), input)[0] === length).toBe(isCut)
    expect(slowChunks(input, SMALL, table)[0] === length).toBe(isCut)
  })

  test('results are the same for ever', () => {
    const parameters = { minBytes: 16_384, averageBytes: 65_536, maxBytes: 524_288 }
    const lengths = chunks(make(implementation, parameters), noise(1_000_000, 42))
    expect(lengths.join(' ')).toMatchInlineSnapshot(
      `"78497 70407 63383 82514 76086 77666 83522 70042 75772 71211 71700 65750 58532 54918"`,
    )
  })

  test('refuses positions outside the arena', () => {
    const n = chunker.arena.length
    expect(() => chunker.cut(-1, 10, true)).toThrow(RangeError)
    expect(() => chunker.cut(11, 10, true)).toThrow(RangeError)
    expect(() => chunker.cut(0, n + 1, true)).toThrow(RangeError)
    expect(() => chunker.cut(Number.NaN, 10, true)).toThrow(RangeError)
    expect(chunker.cut(n - 1, n, true)).toBe(n)
  })

  test('uses all of its arena', () => {
    const odd = make(implementation, SMALL, TABLE, 65_536 * 2 + 1)
    expect(odd.arena.length).toBe(65_536 * 2 + 1)
    odd.arena.set(noise(odd.arena.length, 1))
    expect(odd.cut(odd.arena.length - 4096, odd.arena.length, true)).toBeGreaterThan(0)
  })
})

describe('createChunker()', () => {
  afterEach(() => {
    vi.unstubAllGlobals()
  })

  test('falls back to TypeScript where WebAssembly is missing or gets no memory', () => {
    const options = { parameters: SMALL, table: TABLE, arenaBytes: 4096 }
    class NoMemory {
      constructor() {
        throw new RangeError('could not allocate memory')
      }
    }
    for (const WebAssembly of [undefined, { Module: Object, Memory: NoMemory }]) {
      vi.stubGlobal('WebAssembly', WebAssembly)
      expect(createChunker(options).implementation).toBe('typescript')
      expect(() => createChunker({ ...options, implementation: 'wasm' })).toThrow()
      vi.unstubAllGlobals()
      expect(createChunker(options).implementation).toBe('wasm')
    }
  })

  test.each([
    ['min below the floor', { minBytes: 255 }],
    ['min equal to the average', { minBytes: 1024 }],
    ['average not a power of two', { averageBytes: 1025 }],
    ['max equal to the average', { maxBytes: 1024 }],
    ['max above the ceiling', { maxBytes: 64 * 2 ** 20 + 1 }],
    ['a fraction', { minBytes: 256.5 }],
    ['not a number', { minBytes: Number.NaN }],
    ['far too large', { averageBytes: 2 ** 40, maxBytes: 2 ** 41 }],
  ])('refuses parameters: %s', (_, change) => {
    const parameters = { ...SMALL, ...change }
    const create = () => createChunker({ parameters, table: TABLE, arenaBytes: 2 ** 20 })
    expect(create).toThrow(expect.objectContaining({ code: 'CAIRN_CORRUPT' }))
  })

  test('takes the largest parameters', () => {
    const parameters = { minBytes: 2 ** 25 - 1, averageBytes: 2 ** 25, maxBytes: 2 ** 26 }
    for (const implementation of IMPLEMENTATIONS) {
      const chunker = make(implementation, parameters, new Uint32Array(256).fill(1), 2 ** 26)
      expect(chunker.cut(0, 2 ** 26, false)).toBe(2 ** 26)
    }
  })

  test('refuses arenas and tables of wrong sizes', () => {
    for (const arenaBytes of [4095, 4096.5, 2 ** 31, Number.NaN]) {
      const create = () => createChunker({ parameters: SMALL, table: TABLE, arenaBytes })
      expect(create).toThrow(RangeError)
    }
    const table = new Uint32Array(255)
    expect(() => createChunker({ parameters: SMALL, table, arenaBytes: 4096 })).toThrow(RangeError)
    expect(() => gearTableFrom(new Uint8Array(1023))).toThrow(RangeError)
  })

  test('gearTableFrom() reads little-endian words at any alignment', () => {
    const bytes = Uint8Array.from({ length: 1025 }, (_, i) => i).subarray(1)
    expect(gearTableFrom(bytes).slice(0, 2)).toEqual(Uint32Array.of(0x04030201, 0x08070605))
  })
})
