import { describe, expect, test } from 'vitest'
import { BLOB_TYPE } from '../../../src/format/constants.ts'
import { MemoryIndex, memoryLookup } from '../../../src/pipeline/index/memory-index.ts'
import {
  answer,
  idsOfPacks,
  listingOf,
  ModelIndex,
  packOf,
  Random,
  randomPacks,
} from './random-packs.ts'

function ids(random: Random, count: number): Uint8Array[] {
  return Array.from({ length: count }, () => random.bytes(32))
}

describe('MemoryIndex', () => {
  test('grows beyond what was expected, and an older share keeps what it had', async () => {
    const random = new Random(1)
    const packs = Array.from({ length: 40 }, () => packOf(random, ids(random, 1000), 50))
    const index = new MemoryIndex(5000)
    await index.add(packs.slice(0, 5))
    index.setStates(listingOf(packs), new Set())
    const share = index.share()
    await index.add(packs.slice(5))
    const lookup = memoryLookup(share as typeof share & { kind: 'memory' })
    const model = new ModelIndex(packs)
    for (const id of idsOfPacks(packs)) {
      expect(answer(index, id)).toEqual(model.answer(id, listingOf(packs), new Set()))
    }
    for (const id of idsOfPacks(packs.slice(0, 5))) expect(lookup.findPack(id)).toBeLessThan(5)
    for (const id of idsOfPacks(packs.slice(0, 5))) expect(lookup.findPack(id)).not.toBe(-1)
    expect(index.blobCount).toBe(40_000)
  })

  test('the holder of a blob is the pack of the first location that fits', async () => {
    const random = new Random(4)
    const once = randomPacks(random, 30, 60)
    const twice = once.map((pack) => ({ ...pack, name: packOf(random, []).name }))
    const packs = [...once, ...twice]
    const index = new MemoryIndex()
    await index.add(packs)
    const listed = listingOf(packs.filter(() => random.below(4) !== 0))
    const doomed = packs.filter(() => random.below(3) === 0).map(({ name }) => name)
    index.setStates(listed, new Set(doomed))
    const held = new Set<boolean>()
    let notTheFirst = 0
    for (const id of [...idsOfPacks(packs), random.bytes(32)]) {
      const locations = index.find(id)
      for (const { type, length, packNumber } of locations) {
        const first = locations.find((each) => each.type === type && each.length === length)
        const ofType = locations.find((each) => each.type === type)
        expect(index.holder(id, type, length)).toBe(first?.packNumber)
        expect(index.holder(id, type, undefined)).toBe(ofType?.packNumber)
        if (packNumber !== first?.packNumber) notTheFirst++
      }
      expect(index.holder(id, BLOB_TYPE.data, 0x7fff_ffff)).toBe(-1)
      held.add(locations.length > 0)
    }
    expect([held.size, notTheFirst > 0]).toEqual([2, true])
  })

  test('a share shows what is added and what changes as long as the index does not grow', async () => {
    const random = new Random(2)
    const packs = [packOf(random, ids(random, 3)), packOf(random, ids(random, 3))]
    const index = new MemoryIndex()
    const share = index.share()
    const lookup = memoryLookup(share as typeof share & { kind: 'memory' })
    const [id] = idsOfPacks(packs)
    if (id === undefined) throw new Error('no blob')
    expect(lookup.findPack(id)).toBe(-1)
    await index.add(packs)
    expect(lookup.findPack(id)).toBe(-1)
    index.setStates(listingOf(packs), new Set())
    expect(lookup.findPack(id)).toBe(0)
    index.setStates(listingOf(packs), new Set(packs.map(({ name }) => name)))
    expect(lookup.findPack(id)).toBe(-1)
  })

  test('a blob that is there 300,000 times, and ids that begin alike, are no slower', async () => {
    const random = new Random(3)
    const one = random.bytes(32)
    const same = packOf(
      random,
      Array.from({ length: 300_000 }, () => one),
      500,
    )
    const alike = packOf(
      random,
      Array.from({ length: 100_000 }, (_, i) => {
        const id = new Uint8Array(32)
        new DataView(id.buffer).setUint32(28, i)
        return id
      }),
      500,
    )
    const index = new MemoryIndex(400_000)
    // Less than a second, or minutes if each is held against all others.
    await index.add([same, alike])
    index.setStates(listingOf([same, alike]), new Set())
    expect(index.find(one)).toHaveLength(300_000)
    for (const id of idsOfPacks([alike]).slice(0, 1000)) expect(index.find(id)).toHaveLength(1)
  }, 30_000)

  test('takes 51 bytes a blob beside the directories', async () => {
    const index = new MemoryIndex(1_000_000)
    const share = index.share()
    if (share.kind !== 'memory') throw new Error('another kind')
    // An eighth of it is room for more, of which only slots are touched.
    expect(share.buffer.byteLength / 1_000_000).toBeLessThan(57)
  })
})
