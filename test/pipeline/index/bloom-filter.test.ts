import { describe, expect, test } from 'vitest'
import { BloomFilter } from '../../../src/pipeline/index/bloom-filter.ts'
import { Random } from './random-packs.ts'

const stamp = new Uint8Array(24).fill(3)

function filled(random: Random, count: number): { filter: BloomFilter; ids: Uint8Array[] } {
  const filter = BloomFilter.create(count)
  const ids = Array.from({ length: count }, () => random.bytes(32))
  for (const id of ids) filter.add(id)
  return { filter, ids }
}

describe('BloomFilter', () => {
  test.each([1, 1000, 30_000])('knows all of %d ids, also on another thread', (count) => {
    const { filter, ids } = filled(new Random(count), count)
    const other = new BloomFilter(filter.buffer)
    expect(filter.count).toBe(count)
    expect(ids.every((id) => filter.has(id) && other.has(id))).toBe(true)
  })

  test('takes fewer than 1 % of other ids for one of its own when it is full', () => {
    const random = new Random(1)
    const { filter } = filled(random, 50_000)
    expect(filter.isFull).toBe(true)
    let wrong = 0
    for (let i = 0; i < 100_000; i++) if (filter.has(random.bytes(32))) wrong++
    expect(wrong / 100_000).toBeLessThan(0.008)
    expect(filter.buffer.byteLength / 50_000).toBeLessThan(1.6)
  })

  test('an empty one knows nothing', () => {
    expect(BloomFilter.create(0).has(new Uint8Array(32))).toBe(false)
    expect(BloomFilter.create(0).has(new Uint8Array(32).fill(255))).toBe(false)
  })

  test('decode() gives what encode() was given, with its stamp', () => {
    const { filter, ids } = filled(new Random(2), 2000)
    const again = BloomFilter.decode(filter.encode(stamp))
    expect(again?.count).toBe(2000)
    expect(again?.capacity).toBe(2000)
    expect(again?.hasStamp(stamp)).toBe(true)
    expect(again?.hasStamp(new Uint8Array(24))).toBe(false)
    expect(ids.every((id) => again?.has(id))).toBe(true)
    again?.add(new Uint8Array(32))
    expect(again?.has(new Uint8Array(32))).toBe(true)
  })

  test('D2 decode() rejects any flipped bit, any shorter and any longer file', () => {
    const { filter } = filled(new Random(3), 100)
    const bytes = filter.encode(stamp)
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = Uint8Array.from(bytes)
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(BloomFilter.decode(damaged)).toBeUndefined()
    }
    for (let length = 0; length < bytes.length; length++) {
      expect(BloomFilter.decode(bytes.subarray(0, length))).toBeUndefined()
    }
    expect(BloomFilter.decode(Buffer.concat([bytes, bytes]))).toBeUndefined()
    expect(BloomFilter.decode(new Uint8Array(bytes.length))).toBeUndefined()
  })
})
