import { expect, test } from 'vitest'
import { LateIndex } from '../../../src/pipeline/index/late-index.ts'
import { MemoryIndex } from '../../../src/pipeline/index/memory-index.ts'
import { answer, idsOfPacks, listingOf, ModelIndex, packOf, Random } from './random-packs.ts'

function packs() {
  const random = new Random(1)
  const ids = (count: number) => Array.from({ length: count }, () => random.bytes(32))
  return [packOf(random, ids(20)), packOf(random, ids(20)), packOf(random, ids(20))]
}

test('an index that is opened late opens nothing for questions, and once for what is added', async () => {
  let opened = 0
  const late = new LateIndex(async () => {
    opened++
    return new MemoryIndex()
  })
  const [first, ...others] = packs()
  if (first === undefined) throw new Error('no pack')
  const all = [first, ...others]
  expect(late.find(new Uint8Array(32))).toEqual([])
  expect(late.packNumberOf(first.name)).toBeUndefined()
  expect([...late.packNumbers()]).toEqual([])
  expect(late.share()).toEqual({ kind: 'empty' })
  late.setStates(listingOf(all), new Set([first.name]))
  expect(opened).toBe(0)
  await Promise.all([late.add([first]), late.add(others)])
  expect(opened).toBe(1)
  const model = new ModelIndex(all)
  for (const id of idsOfPacks(all)) {
    expect(answer(late, id)).toEqual(model.answer(id, listingOf(all), new Set([first.name])))
  }
  expect(late.share().kind).toBe('memory')
  await late.close()
})

test('an index that cannot be opened late says so to whoever adds, and closes', async () => {
  const late = new LateIndex(() => Promise.reject(new Error('no place for it')))
  await expect(late.add(packs())).rejects.toThrow('no place for it')
  await late.close()
})
