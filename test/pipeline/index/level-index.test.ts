import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { nodeRandomness } from '../../../src/base/node-seams.ts'
import type { IndexShare } from '../../../src/pipeline/index/blob-index.ts'
import {
  forEachEntry,
  type LevelDatabase,
  openLevel,
} from '../../../src/pipeline/index/level-database.ts'
import {
  IndexDamagedError,
  LevelIndex,
  type LevelIndexOptions,
  levelLookup,
} from '../../../src/pipeline/index/level-index.ts'
import { answer, idsOfPacks, listingOf, packOf, Random, randomPacks } from './random-packs.ts'

const repositoryId = new Uint8Array(16).fill(7)
let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-level-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

function open(options: Partial<LevelIndexOptions> = {}): Promise<LevelIndex> {
  const randomness = nodeRandomness()
  return LevelIndex.open({ directory, repositoryId, randomness, isShared: true, ...options })
}

/** The database below the index, opened beside it in the same process. */
async function withDatabase(body: (database: LevelDatabase) => Promise<void>): Promise<void> {
  const database = await openLevel(directory, { createIfMissing: false, multithreading: true })
  await body(database)
  await database.close()
}

async function entries(database: LevelDatabase): Promise<[Buffer, Buffer][]> {
  const all: [Buffer, Buffer][] = []
  await forEachEntry(database, { gte: Buffer.from([0]), lt: Buffer.from([255]) }, (key, value) => {
    all.push([key, value])
  })
  return all
}

function put(database: LevelDatabase, key: Buffer, value: Buffer): Promise<void> {
  return database.batch().put(key, value).write()
}

function flipped(value: Buffer, bit: number): Buffer {
  const damaged = Buffer.from(value)
  damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return damaged
}

type LevelShare = IndexShare & { kind: 'level' }

describe('LevelIndex', () => {
  test('D2 any flipped bit, shortening or lengthening of a stored location is found', async () => {
    const packs = randomPacks(new Random(1), 3, 4)
    const index = await open()
    await index.add(packs)
    index.setStates(listingOf(packs), new Set())
    const lookup = await levelLookup(index.share() as LevelShare)
    await withDatabase(async (database) => {
      const blobs = (await entries(database)).filter(([key]) => key[0] === 0x62)
      expect(blobs.length).toBeGreaterThan(3)
      for (const [key, value] of blobs) {
        const id = key.subarray(1)
        const damages = [Buffer.alloc(0), Buffer.alloc(value.length), value.subarray(1)]
        damages.push(Buffer.concat([value, Buffer.alloc(33)]), Buffer.concat([value, key]))
        for (let bit = 0; bit < value.length * 8; bit++) damages.push(flipped(value, bit))
        for (const damaged of damages) {
          await put(database, key, damaged)
          expect(() => index.find(id)).toThrow(IndexDamagedError)
          // A worker that finds a good row first does not look at others.
          const pack = catching(() => lookup.findPack(id))
          if (pack !== undefined && pack >= 0)
            expect(index.pack(pack).name).toMatch(/^[0-9a-f]{64}$/)
          if (value.length === 33 && damaged.length === 33) expect(pack ?? -1).toBe(-1)
        }
        await put(database, key, value)
        expect(index.find(id).length).toBeGreaterThan(0)
      }
    })
    await lookup.close()
    await index.close()
  })

  test('D3 a good value of another blob is found', async () => {
    const packs = randomPacks(new Random(2), 2, 8)
    const index = await open()
    await index.add(packs)
    index.setStates(listingOf(packs), new Set())
    await withDatabase(async (database) => {
      const blobs = (await entries(database)).filter(([key]) => key[0] === 0x62)
      const [a, b] = blobs
      if (a === undefined || b === undefined) throw new Error('too few blobs')
      await put(database, a[0], b[1])
      expect(() => index.find(a[0].subarray(1))).toThrow(IndexDamagedError)
    })
    await index.close()
  })

  test('D2 any flipped bit in the head, in a pack or in the mark of a file is found', async () => {
    const random = new Random(3)
    const index = await open()
    const packs = [packOf(random, [random.bytes(32)])]
    const [{ name } = { name: undefined }] = packs
    if (name === undefined) throw new Error('no pack')
    await index.addFile(name, packs)
    await index.close()
    const plain = { createIfMissing: false, multithreading: false }
    const database = await openLevel(directory, plain)
    const facts = (await entries(database)).filter(([key]) => key[0] !== 0x62)
    await database.close()
    expect(facts.map(([key]) => String.fromCharCode(key[0] ?? 0)).join('')).toBe('fmp')
    for (const [key, value] of facts) {
      for (let bit = 0; bit < value.length * 8; bit += value.length > 100 ? 13 : 3) {
        const damaged = await openLevel(directory, plain)
        await put(damaged, key, flipped(value, bit))
        await damaged.close()
        await expect(open()).rejects.toThrow(IndexDamagedError)
      }
      const restored = await openLevel(directory, plain)
      await put(restored, key, value)
      await restored.close()
    }
    expect((await open()).files).toEqual(new Set([name]))
  })

  test('D3 a batch that was lost is found: packs and index files are counted', async () => {
    const random = new Random(4)
    const index = await open()
    const packs = [packOf(random, [random.bytes(32)]), packOf(random, [random.bytes(32)])]
    for (const pack of packs) await index.addFile(pack.name, [pack])
    await index.close()
    const plain = { createIfMissing: false, multithreading: false }
    const database = await openLevel(directory, plain)
    const all = await entries(database)
    await database.close()
    for (const [left] of all.filter(([key]) => key[0] !== 0x62)) {
      rmSync(directory, { recursive: true })
      const copy = await openLevel(directory, { ...plain, createIfMissing: true })
      for (const [key, value] of all) if (!key.equals(left)) await put(copy, key, value)
      await copy.close()
      await expect(open()).rejects.toThrow(IndexDamagedError)
    }
  })

  test('D7 D9 the database of another repository or version is not opened', async () => {
    await (await open()).close()
    await (await open()).close()
    const other = new Uint8Array(16).fill(8)
    await expect(open({ repositoryId: other })).rejects.toThrow('another repository')
    await withDatabase(async (database) => {
      const key = Buffer.from('m')
      const value = database.getSync(key) ?? key
      await put(database, key, flipped(value, 0))
    })
    await expect(open()).rejects.toThrow('another version')
  })

  test('is not made where there is none unless that is asked for', async () => {
    rmSync(directory, { recursive: true })
    const options = { directory, repositoryId, isShared: true }
    await expect(LevelIndex.open(options)).rejects.toThrow()
  })

  test('its filter is made anew from the database, and grows with it', async () => {
    const random = new Random(6)
    const packs = Array.from({ length: 30 }, () =>
      packOf(
        random,
        Array.from({ length: 1000 }, () => random.bytes(32)),
        100,
      ),
    )
    const index = await open()
    const share = index.share() as LevelShare
    await index.add(packs)
    expect((index.share() as LevelShare).filter.byteLength).toBeGreaterThan(share.filter.byteLength)
    await index.close()
    const again = await open()
    again.setStates(listingOf(packs), new Set())
    expect(again.blobCount).toBe(30_000)
    for (const id of idsOfPacks(packs)) expect(again.find(id)).toHaveLength(1)
    for (let i = 0; i < 1000; i++) expect(again.find(random.bytes(32))).toEqual([])
    await again.close()
  })

  test('a worker finds what is added after it has opened, until the filter grows', async () => {
    const random = new Random(7)
    const packs = randomPacks(random, 4, 20)
    const index = await open()
    index.setStates(listingOf(packs), new Set())
    const lookup = await levelLookup(index.share() as LevelShare)
    await index.add(packs)
    for (const id of idsOfPacks(packs)) {
      expect(index.pack(lookup.findPack(id)).name + ' ').toBe(answer(index, id)[0]?.slice(0, 65))
    }
    await lookup.close()
    await index.close()
  })

  test('applies a file once', async () => {
    const random = new Random(8)
    const packs = randomPacks(random, 3, 5)
    const index = await open()
    const name = packs[0]?.name ?? ('' as never)
    await index.addFile(name, packs)
    const { stamp } = index
    await index.addFile(name, packs)
    await index.add([])
    expect(index.stamp).toEqual(stamp)
    await index.close()
  })
})

function catching<T>(call: () => T): T | undefined {
  try {
    return call()
  } catch (error) {
    expect(error).toBeInstanceOf(IndexDamagedError)
    return undefined
  }
}
