import fc from 'fast-check'
import { expect, test } from 'vitest'
import { IdTable, NodeMemo } from '../../src/engine/id-table.ts'

const id = fc.uint8Array({ minLength: 32, maxLength: 32 })
/** Few different ids, which differ in one byte: many collide. */
const close = fc
  .nat(300)
  .map((n) => Uint8Array.from({ length: 32 }, (_, i) => (i === 9 ? n : n >> 8)))

test('IdTable numbers ids in the order of their coming, like a Map', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(id, close), { maxLength: 600 }), (ids) => {
      const table = new IdTable()
      const twin = new Map<string, number>()
      for (const each of ids) {
        const key = Buffer.from(each).toString('hex')
        expect(table.find(each)).toBe(twin.get(key) ?? -1)
        if (!twin.has(key)) twin.set(key, twin.size)
        expect(table.add(each)).toBe(twin.get(key))
      }
      expect(table.size).toBe(twin.size)
      for (const [key, number] of twin) {
        expect(Buffer.from(table.at(number)).toString('hex')).toBe(key)
      }
    }),
  )
})

test('NodeMemo keeps nodes of different heights apart', () => {
  const memo = new NodeMemo()
  const node = Buffer.alloc(32, 1)
  memo.set(2, node, 7)
  expect(memo.get(2, node)).toBe(7)
  expect(memo.get(1, node)).toBeUndefined()
  memo.set(2, node, 8)
  expect(memo.get(2, node)).toBe(8)
})
