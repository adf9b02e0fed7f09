import { expect, test } from 'vitest'
import { MemoryArena } from '../../../src/engine/browse/memory-arena.ts'
import { seeded } from '../../support/seeded.ts'

const MIB = 1 << 20

test('pieces do not overlap, whatever the order in which they come and go', () => {
  const arena = new MemoryArena(4 * MIB)
  const random = seeded(1)
  const held: { readonly piece: Uint8Array; readonly mark: number }[] = []
  let failures = 0
  for (let i = 1; i <= 5_000; i++) {
    const isFull = held.length > 200
    if (!isFull && random() < 0.55) {
      const piece = arena.allocate(1 + Math.floor(random() * 100_000))
      if (piece === undefined) {
        failures++
        continue
      }
      const mark = i & 0xff
      piece.fill(mark)
      held.push({ piece, mark })
    } else if (held.length > 0) {
      const [gone] = held.splice(Math.floor(random() * held.length), 1)
      if (gone === undefined) continue
      expect(gone.piece.every((byte) => byte === gone.mark)).toBe(true)
      expect(arena.free(gone.piece)).toBe(true)
    }
  }
  expect(failures).toBeGreaterThan(0)
  for (const { piece } of held) arena.free(piece)
  // All of it is one piece again.
  expect(arena.allocate(4 * MIB)?.length).toBe(4 * MIB)
  expect(arena.allocate(1)).toBeUndefined()
})

test('what is given back is given out first', () => {
  const arena = new MemoryArena(64 * MIB)
  const first = arena.allocate(MIB)
  arena.allocate(MIB)
  if (first === undefined) throw new Error('there is no room')
  arena.free(first)
  expect(arena.allocate(MIB)?.byteOffset).toBe(first.byteOffset)
})

test('no more is taken than was allowed, in slabs or not', () => {
  const arena = new MemoryArena(100 * MIB)
  let taken = 0
  while (arena.allocate(10 * MIB) !== undefined) taken += 10
  // Slabs of 64 and 36.
  expect(taken).toBe(90)
  expect(arena.allocate(64 * MIB + 1)).toBeUndefined()
})

test('memory of others is not taken back', () => {
  expect(new MemoryArena(MIB).free(new Uint8Array(new SharedArrayBuffer(10)))).toBe(false)
})
