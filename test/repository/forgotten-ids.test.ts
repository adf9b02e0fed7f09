import { expect, test } from 'vitest'
import { snapshotIdOf } from '../../src/base/ids.ts'
import { ForgottenIds } from '../../src/repository/forgotten-ids.ts'

const NONE = new Uint8Array()

function tombstone(...ids: Uint8Array[]) {
  const forgotten = ids.map((snapshot) => {
    return { snapshot, replacement: NONE, body: NONE, author: NONE, aead: 0 }
  })
  return { forgotten, time: { seconds: 0, nanoseconds: 0 }, known: [], merged: [] }
}

const id = (first: number, last: number) =>
  Uint8Array.from({ length: 32 }, (_, i) => (i === 31 ? last : i === 5 ? first : 7))

test('has what any tombstone names, and nothing else, also where ids begin alike', () => {
  const forgotten = new ForgottenIds([
    tombstone(id(1, 1), id(1, 2), id(2, 1)),
    tombstone(id(1, 2), id(3, 9)),
  ])
  const named = [id(1, 1), id(1, 2), id(2, 1), id(3, 9)]
  expect(named.filter((one) => !forgotten.has(snapshotIdOf(one)))).toEqual([])
  const others = [id(1, 3), id(2, 2), id(3, 1), id(4, 1)]
  expect(others.filter((one) => forgotten.has(snapshotIdOf(one)))).toEqual([])
})
