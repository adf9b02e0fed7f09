import { expect, test } from 'vitest'
import { type Segment, SegmentStore } from '../../../src/engine/browse/segment-store.ts'

const MIB = 1 << 20

function add(store: SegmentStore, key: string, { isAhead = false, byteCount = MIB } = {}): Segment {
  const size = { plainBytes: byteCount, roomBytes: byteCount, contentBytes: byteCount, isAhead }
  const segment = store.begin(key, size)
  store.add(segment)
  return segment
}

function keysOf(store: SegmentStore, keys: readonly string[]): string[] {
  return keys.filter((key) => store.has(key))
}

test('the least recently used goes first, and never what is held', () => {
  const store = new SegmentStore(4 * MIB)
  const names = ['a', 'b', 'c', 'd']
  const [a] = names.map((name) => add(store, name))
  if (a === undefined) throw new Error('nothing was added')
  store.hold(a)
  store.get('b')
  add(store, 'e')
  add(store, 'f')
  expect(keysOf(store, [...names, 'e', 'f'])).toEqual(['a', 'b', 'e', 'f'])
  store.release(a)
  add(store, 'g')
  expect(store.has('a')).toBe(false)
})

test('where everything is held there is memory all the same', () => {
  const store = new SegmentStore(2 * MIB)
  const held = ['a', 'b', 'c'].map((name, i) => {
    const segment = add(store, name)
    store.hold(segment)
    segment.plain.fill(i + 1)
    return segment
  })
  const more = ['d', 'e'].map((name) => add(store, name))
  for (const segment of more) {
    segment.plain.fill(99)
    store.hold(segment)
  }
  for (const [i, segment] of held.entries()) {
    expect(segment.plain.every((byte) => byte === i + 1)).toBe(true)
  }
})

test('what was read to its end goes before what was not, and is soon used again', () => {
  const store = new SegmentStore(64 * MIB)
  add(store, 'kept')
  const rooms = new Set<number>()
  for (let i = 0; i < 100; i++) {
    const segment = add(store, `read ${i}`)
    rooms.add(segment.room.byteOffset)
    store.countRead(segment, MIB / 2)
    store.countRead(segment, MIB / 2)
  }
  expect(store.has('kept')).toBe(true)
  expect(store.has('read 99')).toBe(true)
  // A reader in order needs little memory, however much there is.
  expect(rooms.size).toBeLessThan(12)
})

test('counts what nobody has wanted yet', () => {
  const store = new SegmentStore(8 * MIB)
  const [a, b, c] = ['a', 'b', 'c'].map((name) => add(store, name, { isAhead: true }))
  if (a === undefined || b === undefined || c === undefined) throw new Error('nothing was added')
  expect(store.aheadBytes).toBe(3 * MIB)
  store.get('a')
  store.get('a')
  store.hold(b)
  expect(store.aheadBytes).toBe(MIB)
  store.drop(c)
  expect(store.aheadBytes).toBe(0)
})

test('a segment longer than the limit is kept until the next', () => {
  const store = new SegmentStore(MIB)
  add(store, 'large', { byteCount: 3 * MIB })
  expect(store.has('large')).toBe(true)
  add(store, 'next')
  expect(keysOf(store, ['large', 'next'])).toEqual(['next'])
})

test('the memory of a segment that went while it was read is given back once', () => {
  const store = new SegmentStore(16 * MIB)
  const small = add(store, 'small')
  const large = add(store, 'large', { byteCount: 9 * MIB })
  // One answer out of both and out of the first again, as where a file repeats a chunk.
  store.countRead(small, MIB)
  store.countRead(large, 9 * MIB)
  store.countRead(small, MIB)
  expect(keysOf(store, ['small', 'large'])).toEqual([])
  const next = add(store, 'next')
  next.plain.fill(1)
  store.hold(next)
  // If the first went once more, its memory, which is that of the next now, would be free.
  const others = Array.from({ length: 20 }, (_, i) => add(store, `other ${i}`))
  for (const { plain } of others) plain.fill(2)
  expect(next.plain.every((byte) => byte === 1)).toBe(true)
})
