import { expect, test } from 'vitest'
import { StoredBlobs } from '../../../src/engine/backup/stored-blobs.ts'
import { MemoryIndex } from '../../../src/pipeline/index/memory-index.ts'
import { idsOfPacks, listingOf, packOf, Random } from '../../pipeline/index/random-packs.ts'

test('a blob is stored if any index file of the run names it, the last one too', async () => {
  const random = new Random(1)
  const ids = (count: number) => Array.from({ length: count }, () => random.bytes(32))
  const [early, last] = [packOf(random, ids(50)), packOf(random, ids(50))]
  const index = new MemoryIndex()
  const stored = new StoredBlobs({
    index,
    listed: new Map(),
    orphans: [],
    add: async (packs) => {
      await index.add(packs)
      index.setStates(listingOf(packs), new Set())
    },
    close: async () => {},
  })
  const known = idsOfPacks([early, last])
  await stored.add([early], false)
  expect(await stored.firstMissing(idsOfPacks([early]))).toBeUndefined()
  expect(await stored.firstMissing(known)).toEqual(idsOfPacks([last])[0])
  await stored.add([last], true)
  expect(await stored.firstMissing(known)).toBeUndefined()
  // The first 8 bytes alone are what a claim rests on.
  const alike = Uint8Array.from(known[70] ?? [])
  alike[31] = (alike[31] ?? 0) ^ 1
  expect(await stored.firstMissing([...known, alike])).toBe(alike)
  expect(index.packNumberOf(last.name)).toBeUndefined()
})
