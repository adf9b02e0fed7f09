/** What a search finds, and how often it reads. */

import { describe, expect, test } from 'vitest'
import { toHex } from '../../../src/base/bytes.ts'
import { nameGoal, type NameQuery } from '../../../src/engine/find/find-names.ts'
import { objectGoal, WantedIds } from '../../../src/engine/find/find-objects.ts'
import { type SearchGoal, TreeSearch } from '../../../src/engine/find/tree-search.ts'
import { CborWriter } from '../../../src/format/cbor.ts'
import { LIMIT } from '../../../src/format/constants.ts'
import type { NodeRoot } from '../../../src/format/tree.ts'
import { countReads } from '../../support/counting-blobs.ts'
import { openBlobs } from '../../support/open-blobs.ts'
import { RepositoryBuilder, TEST_TIME } from '../../support/repository-builder.ts'

const signal = new AbortController().signal

async function search<Hit>(
  builder: RepositoryBuilder,
  roots: readonly NodeRoot[],
  goalOf: (blobs: ReturnType<typeof countReads>['blobs']) => SearchGoal<Hit>,
) {
  const [first] = roots
  if (first === undefined) throw new Error('no tree')
  await builder.finish(first)
  const { blobs } = await openBlobs(builder.repository)
  const counted = countReads(blobs)
  const found: string[][] = []
  const hits: Hit[] = []
  const damaged: string[] = []
  const one = new TreeSearch<Hit>({
    blobs: counted.blobs,
    goal: goalOf(counted.blobs),
    signal,
    onHit: (hit, path) => {
      found.at(-1)?.push(path)
      hits.push(hit)
    },
    onDamage: (path) => damaged.push(path),
    drain: async () => {},
  })
  for (const root of roots) {
    found.push([])
    await one.run(root)
  }
  return { found, hits, damaged, reads: counted.reads, damageCount: one.damageCount }
}

function names(...patterns: string[]): NameQuery {
  return { patterns, ignoreCase: false, oldestNs: undefined, newestNs: undefined }
}

const FILES = {
  'home/ann/notes.txt': Buffer.from('1'),
  'home/ann/pictures/a.jpg': Buffer.from('2'),
  'home/ann/pictures/b.JPG': Buffer.from('3'),
  'home/bob/notes.txt': Buffer.from('4'),
  'var/log/notes.txt.old': Buffer.from('5'),
}

describe('names', () => {
  test.each([
    [['notes.txt'], ['/home/ann/notes.txt', '/home/bob/notes.txt']],
    [
      ['*.jpg', 'bob'],
      ['/home/ann/pictures/a.jpg', '/home/bob', '/home/bob/notes.txt'],
    ],
    [['ann/notes*'], ['/home/ann/notes.txt']],
    [['/home/*/notes.txt'], ['/home/ann/notes.txt', '/home/bob/notes.txt']],
    [['/var/**/notes*'], ['/var/log/notes.txt.old']],
    [['nothing'], []],
  ])('%j finds %j', async (patterns, expected) => {
    const builder = await RepositoryBuilder.create({})
    const root = builder.tree(FILES)
    const { found } = await search(builder, [root, root], () => nameGoal(names(...patterns)))
    expect(found).toEqual([expected, expected])
  })

  test('takes letters of either case on request, and times with both ends', async () => {
    const builder = await RepositoryBuilder.create({})
    const at = (seconds: number) => ({
      type: 'file' as const,
      bytes: Buffer.from('x'),
      mtime: { seconds, nanoseconds: 0 },
    })
    const root = builder.tree({ A: at(100), a: at(200), b: at(200), aa: at(300) })
    const query = { ...names('a*'), ignoreCase: true }
    const find = async (oldest: bigint | undefined, newest: bigint | undefined) => {
      const fresh = await RepositoryBuilder.create({})
      const same = fresh.tree({ A: at(100), a: at(200), b: at(200), aa: at(300) })
      const second = 1_000_000_000n
      const limits = {
        oldestNs: oldest === undefined ? undefined : oldest * second,
        newestNs: newest === undefined ? undefined : newest * second,
      }
      return (await search(fresh, [same], () => nameGoal({ ...query, ...limits }))).found[0]
    }
    expect((await search(builder, [root], () => nameGoal(query))).found).toEqual([
      ['/A', '/a', '/aa'],
    ])
    expect(await find(200n, undefined)).toEqual(['/a', '/aa'])
    expect(await find(undefined, 200n)).toEqual(['/A', '/a'])
    expect(await find(101n, 299n)).toEqual(['/a'])
  })

  test.each([['notes.txt'], ['/home/ann/notes.txt'], ['ann']])(
    '%s reads each distinct directory once, however many snapshots have it',
    async (pattern) => {
      const builder = await RepositoryBuilder.create({})
      const roots = Array.from({ length: 20 }, (_, at) =>
        builder.tree({ ...FILES, [`home/bob/${at}`]: Buffer.from(`${at}`) }),
      )
      const { found, reads } = await search(builder, roots, () => nameGoal(names(pattern)))
      expect(new Set(found.map((paths) => paths.join())).size).toBe(1)
      expect(found[0]?.length).toBeGreaterThan(0)
      expect(Math.max(...reads.values())).toBe(1)
    },
  )

  test('what is found at one place is found at another of the same content', async () => {
    const builder = await RepositoryBuilder.create({})
    const subtree = builder.tree({ 'x/notes.txt': Buffer.from('1') })
    const root = builder.tree({
      one: { type: 'directory', subtree },
      two: { type: 'directory', subtree },
    })
    const byName = await search(builder, [root], () => nameGoal(names('notes.txt')))
    expect(byName.found).toEqual([['/one/x/notes.txt', '/two/x/notes.txt']])
    expect(Math.max(...byName.reads.values())).toBe(1)
    expect(byName.hits[0]).toMatchObject({ name: 'notes.txt', size: 1, mtime: TEST_TIME })
  })

  test('what is known is found again as deep as directories may be', async () => {
    const builder = await RepositoryBuilder.create({})
    let root = builder.tree({ 'notes.txt': Buffer.from('1') })
    for (let depth = 0; depth < LIMIT.depthMax; depth++) {
      root = builder.directory([builder.entry('d', { type: 'directory', subtree: root })])
    }
    const { found, damaged } = await search(builder, [root, root], () =>
      nameGoal(names('notes.txt')),
    )
    const path = `${'/d'.repeat(LIMIT.depthMax)}/notes.txt`
    expect({ isFound: found.map(([one]) => one === path), damaged }).toEqual({
      isFound: [true, true],
      damaged: [],
    })
  })

  test('names what cannot be read, in each snapshot, and finds the rest', async () => {
    const builder = await RepositoryBuilder.create({})
    const lost = { id: Buffer.alloc(32, 9), height: 0 }
    const root = builder.tree({
      bad: { type: 'directory', subtree: lost },
      'good/notes.txt': Buffer.from('1'),
    })
    const result = await search(builder, [root, root], () => nameGoal(names('notes.txt')))
    expect(result.found).toEqual([['/good/notes.txt'], ['/good/notes.txt']])
    expect(result.damaged).toEqual(['/bad', '/bad'])
    expect(result.damageCount).toBe(2)
  })

  test('finds nothing in a node of which any entry is malformed, also one that nobody asks for', async () => {
    const builder = await RepositoryBuilder.create({})
    const spoiled = (name: string) => {
      const out = new CborWriter()
      out.map(2)
      out.integer(0)
      out.byteString(name)
      out.integer(2)
      out.integer(0o10000)
      return { name, encoded: out.finish() }
    }
    const notes = builder.entry('notes.txt', Buffer.from('1'))
    const root = builder.tree({
      bad: { type: 'directory', subtree: builder.directory([notes, spoiled('other')]) },
      good: { type: 'directory', subtree: builder.directory([notes]) },
    })
    const result = await search(builder, [root], () => nameGoal(names('notes.txt')))
    expect(result.found).toEqual([['/good/notes.txt']])
    expect(result.damaged).toEqual(['/bad'])
  })
})

describe('ids', () => {
  test('finds the files of a blob and the places of a tree, by the beginning of the id', async () => {
    const builder = await RepositoryBuilder.create({ chunkBytes: 64 })
    const root = builder.tree({
      'a/one': Buffer.alloc(64, 'x'),
      'b/two': Buffer.concat([Buffer.alloc(64, 'y'), Buffer.alloc(64, 'x')]),
      'b/three': Buffer.alloc(64, 'z'),
    })
    const id = toHex(builder.id(Buffer.alloc(64, 'x')))
    const wanted = { blobs: new WantedIds(), trees: new WantedIds() }
    wanted.blobs.addPrefix(id.slice(0, 8))
    wanted.trees.add(root.id)
    const { found, hits } = await search(builder, [root, root], (blobs) =>
      objectGoal(blobs, wanted, signal),
    )
    expect(found).toEqual([
      ['', '/a/one', '/b/two'],
      ['', '/a/one', '/b/two'],
    ])
    expect(hits[0]).toEqual({ type: 'tree', id: toHex(root.id), parentTree: undefined })
    expect(hits[1]).toMatchObject({ type: 'blob', id })
  })

  test('looks into chunk lists and finds their nodes', async () => {
    const builder = await RepositoryBuilder.create({ chunkBytes: 16 })
    const bytes = Buffer.alloc(16 * 300)
    for (let at = 0; at < 300; at++) bytes.writeUInt32LE(at, at * 16)
    const content = builder.content(bytes.length, builder.references(bytes))
    const { target: _target, ...fields } = content
    const root = builder.tree({ large: { ...fields, type: 'file' as const } })
    const wanted = { blobs: new WantedIds(), trees: new WantedIds() }
    wanted.blobs.add(builder.id(bytes.subarray(16 * 299)))
    wanted.trees.add(content.contentList?.id ?? new Uint8Array(32))
    const { found, hits } = await search(builder, [root], (blobs) =>
      objectGoal(blobs, wanted, signal),
    )
    expect(found).toEqual([['/large', '/large']])
    expect(hits.map(({ type }) => type)).toEqual(['tree', 'blob'])
  })
})
