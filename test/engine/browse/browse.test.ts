import { describe, expect, test } from 'vitest'
import { MadeDirectory, StoredDirectory } from '../../../src/engine/browse/browse-node.ts'
import { FileContent } from '../../../src/engine/browse/file-content.ts'
import { BLOB_TYPE, REFERENCE_BYTES } from '../../../src/format/constants.ts'
import { ENTRY_TYPE, type TreeEntry } from '../../../src/format/tree.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { seeded } from '../../support/seeded.ts'
import { browserOf } from '../../support/open-browser.ts'
import { RepositoryBuilder, TEST_TIME } from '../../support/repository-builder.ts'

const CHUNK = 4_096

/** A reference to a run of zeros that is not stored. */
function hole(byteCount: number): Buffer {
  const reference = Buffer.alloc(REFERENCE_BYTES)
  reference.writeUInt32LE(byteCount, 32)
  return reference
}

function noise(byteCount: number, seed: number): Buffer {
  const random = seeded(seed)
  return Buffer.from(Array.from({ length: byteCount }, () => Math.floor(random() * 256)))
}

function file(name: string, size: number, content: Partial<TreeEntry>): TreeEntry {
  const about = { name, type: ENTRY_TYPE.file, mode: 0o644, uid: 0, gid: 0, mtime: TEST_TIME }
  return { ...about, size, ...content }
}

describe('FileContent', () => {
  test('gives any range of files with holes, inline and by chunk lists, as they are', async () => {
    const builder = await RepositoryBuilder.create({ chunkBytes: CHUNK })
    const data = [noise(100_000, 1), noise(1_200_000, 2)]
    const files = data.map((bytes) => {
      const references = builder.references(bytes)
      const middle = 10 * REFERENCE_BYTES
      const all = Buffer.concat([
        references.subarray(0, middle),
        hole(50_000),
        references.subarray(middle),
        hole(70_000),
      ])
      const whole = Buffer.concat([
        bytes.subarray(0, 10 * CHUNK),
        Buffer.alloc(50_000),
        bytes.subarray(10 * CHUNK),
        Buffer.alloc(70_000),
      ])
      return { whole, entry: file('f', whole.length, builder.content(whole.length, all)) }
    })
    expect(files.map(({ entry }) => entry.contentList === undefined)).toEqual([true, false])
    const { repository } = await builder.finish(builder.directory([]))
    const { blobs, nodes } = await browserOf(repository)
    const random = seeded(3)
    for (const { whole, entry } of files) {
      const content = new FileContent(entry, blobs, nodes)
      for (let i = 0; i < 300; i++) {
        const offset = Math.floor(random() * (whole.length + 100))
        const into = Buffer.alloc(Math.floor(random() * (i % 3 === 0 ? 300_000 : 5_000)))
        const byteCount = await content.readInto(offset, into)
        const wanted = whole.subarray(offset, offset + into.length)
        expect(byteCount).toBe(wanted.length)
        expect(into.subarray(0, byteCount).equals(wanted)).toBe(true)
      }
      const end = whole.length - 70_000
      expect(await content.seek(0, 'data')).toBe(0)
      expect(await content.seek(5, 'hole')).toBe(10 * CHUNK)
      expect(await content.seek(10 * CHUNK + 7, 'hole')).toBe(10 * CHUNK + 7)
      expect(await content.seek(10 * CHUNK + 7, 'data')).toBe(10 * CHUNK + 50_000)
      expect(await content.seek(10 * CHUNK + 50_000, 'hole')).toBe(end)
      expect(await content.seek(end, 'data')).toBeUndefined()
      expect(await content.seek(whole.length, 'hole')).toBeUndefined()
    }
    const [, listed] = files
    const list = listed?.entry.contentList
    if (list === undefined) throw new Error('there is no chunk list')
    expect(await nodes.holeBytes(list, 10_000)).toBe(120_000)
  })

  test('content that is shorter than its file is damage, not zeros', async () => {
    const builder = await RepositoryBuilder.create({ chunkBytes: CHUNK })
    const bytes = noise(10_000, 1)
    const content = builder.content(10_000, builder.references(bytes))
    const entry = file('f', 0, { ...content, size: 50_000 })
    const { repository } = await builder.finish(builder.directory([]))
    const { blobs, nodes } = await browserOf(repository)
    const shown = new FileContent(entry, blobs, nodes)
    const into = Buffer.alloc(10_000)
    expect(await shown.readInto(0, into)).toBe(10_000)
    expect(into.equals(bytes)).toBe(true)
    const behind = async () => await shown.readInto(9_000, Buffer.alloc(5_000))
    await expect(behind()).rejects.toMatchObject({ code: 'CAIRN_CORRUPT' })
  })

  test('reads as well with a cache that holds next to nothing', async () => {
    const builder = await RepositoryBuilder.create({ chunkBytes: CHUNK })
    const bytes = noise(3_000_000, 1)
    const entry = builder.entry('f', bytes)
    const { repository } = await builder.finish(builder.directory([]))
    const { blobs, nodes } = await browserOf(repository, 1)
    const content = new FileContent(entry, blobs, nodes)
    const into = Buffer.alloc(bytes.length)
    for (let at = 0; at < bytes.length; at += 100_000) {
      await content.readInto(at, into.subarray(at, at + 100_000))
    }
    expect(into.equals(bytes)).toBe(true)
  })

  test.each([1, 100_000, 64 << 20])(
    'P2 readers side by side get their bytes, with a cache of %d bytes that is used again and again',
    async (cacheBytes) => {
      const builder = await RepositoryBuilder.create({ chunkBytes: 30_000 })
      const files = [11, 12, 13, 14].map((seed) => {
        const bytes = noise(700_000, seed)
        return { bytes, entry: builder.entry(`f${seed}`, bytes) }
      })
      const { repository } = await builder.finish(builder.directory([]))
      const { blobs, nodes } = await browserOf(repository, cacheBytes)
      const reader = async ({ bytes, entry }: (typeof files)[number], seed: number) => {
        const content = new FileContent(entry, blobs, nodes)
        const random = seeded(seed)
        let at = 0
        for (let i = 0; i < 100; i++) {
          // In order for a while, and then from somewhere else.
          if (i % 10 === 0) at = Math.floor(random() * bytes.length)
          const into = Buffer.alloc(1 + Math.floor(random() * 90_000))
          const byteCount = await content.readInto(at, into)
          const wanted = bytes.subarray(at, at + into.length)
          expect(into.subarray(0, byteCount).equals(wanted)).toBe(true)
          at = (at + byteCount) % bytes.length
        }
      }
      const readers = [...files, ...files].map((one, i) => reader(one, i + 1))
      await Promise.all(readers)
    },
  )
})

describe('StoredDirectory', () => {
  test('T5 a hundred thousand entries are found by name and position, and listed once each', async () => {
    const count = 100_000
    const builder = await RepositoryBuilder.create()
    const nameOf = (i: number) => `entry ${String(i).padStart(6, '0')}`
    function* entries(): Generator<TreeEntry> {
      for (let i = 0; i < count; i++) yield file(nameOf(i), 0, {})
    }
    const root = builder.directory(entries())
    expect(root.height).toBeGreaterThan(0)
    const { repository } = await builder.finish(root)
    const { nodes } = await browserOf(repository)
    const directory = new StoredDirectory(root, nodes, 'snapshot')
    let seen = 0
    for (let position: number | undefined = 0; position !== undefined; ) {
      const page = await directory.page(position)
      for (const child of page.children) {
        if (child.name !== nameOf(seen) || child.position !== seen) throw new Error(`at ${seen}`)
        seen++
      }
      position = page.next
    }
    expect(seen).toBe(count)
    for (const i of [0, 1, 49_999, count - 1]) {
      expect(await directory.find(nameOf(i))).toMatchObject({ position: i })
      expect(await directory.at(i)).toMatchObject({ name: nameOf(i) })
    }
    for (const name of ['', 'entry', 'entry 050000x', 'zzz']) {
      expect(await directory.find(name)).toBeUndefined()
    }
    expect(await directory.at(count)).toBeUndefined()
    expect((await directory.page(count)).children).toEqual([])
  })
})

describe('MadeDirectory', () => {
  const made = (origin: string) => ({
    entry: file('', 0, { type: ENTRY_TYPE.directory }),
    origin,
    open: undefined,
  })

  test('keeps positions while entries come, go and change', async () => {
    let entries = new Map([
      ['a', made('1')],
      ['b', made('2')],
    ])
    const directory = new MadeDirectory(() => entries)
    const positions = async () => {
      const { children } = await directory.page(0)
      return children.map(({ name, position }) => `${name}${position}`)
    }
    expect(await positions()).toEqual(['a0', 'b1'])
    entries = new Map([
      ['c', made('3')],
      ['b', made('2')],
    ])
    expect(await positions()).toEqual(['b1', 'c2'])
    expect(await directory.at(0)).toBeUndefined()
    // The same name for something else is something else.
    entries = new Map([['b', made('4')]])
    expect(await directory.at(1)).toBeUndefined()
    expect(await positions()).toEqual(['b3'])
  })

  test('shows a listing as it was when it began', async () => {
    const many = (count: number) =>
      new Map(Array.from({ length: count }, (_, i) => [`n${i}`, made('x')]))
    let entries = many(10_000)
    const directory = new MadeDirectory(() => entries)
    const names = new Set<string>()
    for (let position: number | undefined = 0; position !== undefined; ) {
      const page = await directory.page(position)
      for (const { name } of page.children) names.add(name)
      position = page.next
      entries = many(5)
    }
    expect(names.size).toBe(10_000)
  })
})

describe('BlobCache', () => {
  async function twoCopies() {
    const backend = new MemoryBackend()
    const builder = await RepositoryBuilder.create({ backend })
    const bytes = noise(5_000, 9)
    const id = builder.blob(bytes)
    await builder.closePack()
    const first = await backend.list('packs')
    builder.blob(bytes, { again: true })
    const { repository } = await builder.finish(builder.directory([]))
    return { backend, repository, bytes, id, first: first[0]?.name }
  }

  test('T4 takes another copy where a pack has gone', async () => {
    const { backend, repository, bytes, id, first } = await twoCopies()
    const { blobs } = await browserOf(repository)
    if (first === undefined) throw new Error('there is no pack')
    await backend.remove({ kind: 'packs', name: first })
    expect(Buffer.from(await blobs.load(id, BLOB_TYPE.data))).toEqual(bytes)
  })

  test('T4 looks for a blob that has moved, or is new, in the index of now', async () => {
    const backend = new MemoryBackend()
    const builder = await RepositoryBuilder.create({ backend })
    const bytes = noise(5_000, 9)
    const id = builder.blob(bytes)
    await builder.closePack()
    const [pack] = await backend.list('packs')
    const { repository } = await builder.finish(builder.directory([]))
    if (pack === undefined) throw new Error('there is no pack')
    const ref = { kind: 'packs', name: pack.name } as const
    const stored = await backend.load(ref)
    if (stored === undefined) throw new Error('the pack is gone')
    // Whoever mounted before it was written has an index without it.
    await backend.remove(ref)
    const { blobs } = await browserOf(repository)
    await backend.save(ref, stored)
    expect(Buffer.from(await blobs.load(id, BLOB_TYPE.data))).toEqual(bytes)
  })

  test('a blob that nobody has is named', async () => {
    const builder = await RepositoryBuilder.create()
    const id = builder.id(noise(10, 1))
    const { repository } = await builder.finish(builder.directory([]))
    const { blobs } = await browserOf(repository)
    const loading = async () => await blobs.load(id, BLOB_TYPE.data)
    await expect(loading()).rejects.toMatchObject({
      code: 'CAIRN_CORRUPT',
      message: expect.stringContaining('is missing'),
    })
  })
})
