import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nodeRandomness } from '../../../src/base/node-seams.ts'
import type { IndexedPack } from '../../../src/format/index-file.ts'
import type { BlobIndex, IndexShare } from '../../../src/pipeline/index/blob-index.ts'
import { LevelIndex } from '../../../src/pipeline/index/level-index.ts'
import { MemoryIndex } from '../../../src/pipeline/index/memory-index.ts'
import { openLookup } from '../../../src/pipeline/index/open-lookup.ts'
import {
  answer,
  idsOfPacks,
  listingOf,
  ModelIndex,
  packOf,
  Random,
  randomPacks,
} from './random-packs.ts'

const repositoryId = new Uint8Array(16).fill(7)

function openLevelIndex(directory: string): Promise<LevelIndex> {
  return LevelIndex.open({ directory, repositoryId, randomness: nodeRandomness(), isShared: true })
}

async function withIndexes(body: (indexes: BlobIndex[], directory: string) => Promise<void>) {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-model-'))
  const indexes = [
    new MemoryIndex(),
    new MemoryIndex(10, 0xdeadbeef),
    await openLevelIndex(directory),
  ]
  try {
    await body(indexes, directory)
  } finally {
    for (const index of indexes) await index.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

function statesOf(random: Random, packs: readonly IndexedPack[]) {
  const listed = listingOf(packs.filter(() => random.below(5) > 0))
  for (const { name, byteCount } of packs) {
    if (random.below(10) === 0) listed.set(name, byteCount + 1) // There, with another length.
  }
  const doomed = new Set(packs.filter(() => random.below(4) === 0).map(({ name }) => name))
  return { listed, doomed }
}

/** As it comes out of `postMessage`, but for the shared memory, which stays shared. */
function received(share: IndexShare): IndexShare {
  return { ...share }
}

async function expectModel(
  index: BlobIndex,
  packs: readonly IndexedPack[],
  { listed, doomed }: ReturnType<typeof statesOf>,
) {
  const model = new ModelIndex(packs)
  const random = new Random(packs.length)
  const lookup = await openLookup(received(index.share()))
  for (const id of [...idsOfPacks(packs), Buffer.from(random.bytes(32)), Buffer.alloc(32)]) {
    const expected = model.answer(id, listed, doomed)
    expect(answer(index, id)).toEqual(expected)
    const found = lookup.findPack(id)
    const isLive = expected.some((text) => !doomed.has(text.slice(0, 64) as never))
    expect(found >= 0).toBe(isLive)
    if (isLive) expect(expected.map((text) => text.slice(0, 64))).toContain(index.pack(found).name)
  }
  await lookup.close()
}

describe('MemoryIndex and LevelIndex', () => {
  test('answer as a map does: copies, doomed, gone and changed packs, any order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(12), fc.nat(40), async (seed, packCount, blobsMax) => {
        const random = new Random(seed)
        const packs = randomPacks(random, packCount, blobsMax)
        await withIndexes(async (indexes) => {
          for (const index of indexes) {
            // In two steps, the second of which repeats some of the first.
            const half = packs.length >> 1
            await index.add(packs.slice(0, half))
            await index.add(random.shuffled(packs.slice(0, half)).slice(0, 3))
            index.setStates(listingOf(packs), new Set())
            await index.add(packs.slice(half))
            expect([...index.packNumbers()].length).toBe(packs.length)
            for (const pack of packs) {
              const number = index.packNumberOf(pack.name)
              expect(number).toBeDefined()
              const { directory: _, ...facts } = pack
              expect(index.pack(number ?? -1)).toMatchObject(
                Object.fromEntries(
                  Object.entries(facts).map(([key, value]) => [
                    key,
                    value instanceof Uint8Array
                      ? expect.toSatisfy(
                          (found) => Buffer.compare(found as Uint8Array, value) === 0,
                        )
                      : value,
                  ]),
                ),
              )
            }
            await expectModel(index, packs, { listed: listingOf(packs), doomed: new Set() })
            const states = statesOf(random, packs)
            index.setStates(states.listed, states.doomed)
            await expectModel(index, packs, states)
          }
        })
      }),
      { numRuns: 25 },
    )
  })

  test('LevelIndex answers the same after it was closed and opened', async () => {
    const random = new Random(5)
    const packs = randomPacks(random, 30, 60)
    await withIndexes(async ([, , level], directory) => {
      await level?.add(packs)
      await level?.close()
      const again = await openLevelIndex(directory)
      const states = statesOf(random, packs)
      await expectModel(again, packs, { listed: new Map(), doomed: new Set() })
      again.setStates(states.listed, states.doomed)
      await expectModel(again, packs, states)
      expect(again.blobCount).toBe(idsOfPacks(packs).length)
      await again.close()
    })
  })

  test('two claims about one pack do not hide each other', async () => {
    const random = new Random(11)
    const [good, forged] = [packOf(random, [random.bytes(32)]), packOf(random, [random.bytes(32)])]
    const wrong = { ...forged, name: good.name, verified: false }
    for (const order of [
      [good, wrong],
      [wrong, good],
    ]) {
      await withIndexes(async (indexes) => {
        for (const index of indexes) {
          await index.add(order)
          index.setStates(listingOf([good]), new Set())
          const [id] = idsOfPacks([good])
          expect(index.find(id ?? good.author)).toHaveLength(1)
          expect(index.pack(index.packNumberOf(good.name) ?? -1).byteCount).toBe(good.byteCount)
        }
      })
    }
  })

  test('a pack that is found verified later is verified', async () => {
    const random = new Random(12)
    const pack = { ...packOf(random, [random.bytes(32)]), verified: false }
    await withIndexes(async (indexes) => {
      for (const index of indexes) {
        await index.add([pack])
        await index.add([{ ...pack, verified: true }])
        await index.add([pack])
        expect([...index.packNumbers()]).toEqual([0])
        expect(index.pack(0).verified).toBe(true)
      }
    })
  })

  test('calls of add() that overlap lose nothing', async () => {
    const random = new Random(13)
    const shared = random.bytes(32)
    const packs = Array.from({ length: 20 }, () => packOf(random, [shared, random.bytes(32)]))
    await withIndexes(async (indexes) => {
      for (const index of indexes) {
        await Promise.all(packs.map((pack) => index.add([pack])))
        index.setStates(listingOf(packs), new Set())
        expect(index.find(shared)).toHaveLength(20)
      }
    })
  })
})
