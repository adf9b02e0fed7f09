import { expect, test } from 'vitest'
import { snapshotIdOf } from '../../src/base/ids.ts'
import { ForgottenIds } from '../../src/repository/forgotten-ids.ts'
import { SortedIds } from '../../src/repository/sorted-ids.ts'

const id = (first: number, last: number) =>
  Uint8Array.from({ length: 32 }, (_, i) => (i === 31 ? last : i === 5 ? first : 7))

test('has what it was made of, and nothing else, also where ids begin alike', () => {
  const named = [id(2, 1), id(1, 2), id(1, 1), id(3, 9), id(1, 2)]
  const ids = SortedIds.of(named)
  expect(named.filter((one) => !ids.has(one))).toEqual([])
  const others = [id(1, 3), id(2, 2), id(3, 1), id(4, 1), id(0, 0)]
  expect(others.filter((one) => ids.has(one))).toEqual([])
  expect(SortedIds.of([]).has(id(1, 1))).toBe(false)
})

test('keeps its bytes in the order of ids, whatever they begin with', () => {
  const ids = Array.from({ length: 500 }, (_, i) =>
    Uint8Array.from({ length: 32 }, (_, at) => (at === 0 ? (i * 89) & 255 : (i * (at + 7)) & 255)),
  )
  const inOrder = [...ids].sort((a, b) => Buffer.compare(a, b))
  expect([...SortedIds.of(ids)].map((one) => [...one])).toEqual(inOrder.map((one) => [...one]))
})

test('what any tombstone names is forgotten', () => {
  const forgotten = new ForgottenIds([
    SortedIds.of([id(1, 1), id(1, 2)]),
    SortedIds.of([id(1, 2), id(3, 9)]),
  ])
  for (const one of [id(1, 1), id(1, 2), id(3, 9)])
    expect(forgotten.has(snapshotIdOf(one))).toBe(true)
  expect(forgotten.has(snapshotIdOf(id(3, 8)))).toBe(false)
})
