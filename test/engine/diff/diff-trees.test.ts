/** What a comparison tells, and what it never reads. */

import { describe, expect, test } from 'vitest'
import { toHex } from '../../../src/base/bytes.ts'
import { type DiffReport, diffTrees } from '../../../src/engine/diff/diff-trees.ts'
import { LIMIT } from '../../../src/format/constants.ts'
import type { NodeRoot, TreeEntry } from '../../../src/format/tree.ts'
import { countReads } from '../../support/counting-blobs.ts'
import { openBlobs } from '../../support/open-blobs.ts'
import { type FileSpec, RepositoryBuilder } from '../../support/repository-builder.ts'

interface Compared {
  readonly changes: readonly string[]
  readonly report: DiffReport
  readonly damaged: readonly string[]
  /** Ids of what was read. */
  readonly read: ReadonlyMap<string, number>
}

async function compare(
  builder: RepositoryBuilder,
  before: NodeRoot,
  after: NodeRoot,
  metadata = false,
): Promise<Compared> {
  await builder.finish(after)
  const { blobs } = await openBlobs(builder.repository)
  const counted = countReads(blobs)
  const changes: string[] = []
  const damaged: string[] = []
  const report = await diffTrees({
    blobs: counted.blobs,
    before,
    after,
    metadata,
    signal: new AbortController().signal,
    onChange: (path, modifier) => changes.push(`${modifier} ${path}`),
    onDamage: (path) => damaged.push(path),
    drain: async () => {},
  })
  return { changes, report, damaged, read: counted.reads }
}

async function compareFiles(
  before: Record<string, FileSpec>,
  after: Record<string, FileSpec>,
  metadata = false,
): Promise<Compared> {
  const builder = await RepositoryBuilder.create({ chunkBytes: 64 })
  return await compare(builder, builder.tree(before), builder.tree(after), metadata)
}

const OLD = Buffer.from('old')
const later = { seconds: 1_700_000_009, nanoseconds: 0 }

describe('diffTrees()', () => {
  test('tells of what was added, removed, changed and replaced, in order of paths', async () => {
    const { changes, report } = await compareFiles(
      {
        'dir/gone/inside': OLD,
        'dir/same': OLD,
        'dir/edited': OLD,
        'dir/kind': OLD,
        'dir/silent': Buffer.from('aaa'),
        link: { type: 'symlink', target: 'a' },
      },
      {
        'dir/edited': { type: 'file', bytes: Buffer.from('longer'), mtime: later },
        'dir/kind/below': OLD,
        'dir/new/pipe': { type: 'fifo' },
        'dir/same': OLD,
        'dir/silent': Buffer.from('bbb'),
        link: { type: 'symlink', target: 'b' },
      },
    )
    expect(changes).toEqual([
      'M /dir/edited',
      '- /dir/gone/',
      '- /dir/gone/inside',
      'T /dir/kind/',
      '+ /dir/new/',
      '+ /dir/new/pipe',
      'M? /dir/silent',
    ])
    expect(report).toMatchObject({
      changedFiles: 2,
      added: { files: 0, directories: 1, others: 1 },
      removed: { files: 1, directories: 1, others: 0 },
    })
  })

  test('tells of metadata on request only', async () => {
    const before = {
      a: OLD,
      b: OLD,
      d: { type: 'directory' },
      l: { type: 'symlink', target: 'x' },
    } as const
    const after = {
      a: { type: 'file', bytes: OLD, mode: 0o600 },
      b: { type: 'file', bytes: OLD, xattrs: [[Buffer.from('user.a'), Buffer.from('1')]] },
      d: { type: 'directory', mtime: later },
      l: { type: 'symlink', target: 'y' },
    } as const
    expect((await compareFiles(before, after)).changes).toEqual([])
    const { changes } = await compareFiles(before, after, true)
    expect(changes).toEqual(['U /a', 'U /b', 'U /d/', 'U /l'])
  })

  test('counts blobs and bytes of one side only', async () => {
    const chunks = (text: string) => Buffer.concat(Array.from(text, (one) => Buffer.alloc(64, one)))
    const { report } = await compareFiles(
      { file: chunks('abc'), kept: chunks('k') },
      { file: { type: 'file', bytes: chunks('abxyk'), mtime: later }, kept: chunks('k') },
    )
    expect(report.added.dataBlobs).toBe(2)
    expect(report.removed.dataBlobs).toBe(1)
    expect([report.added.treeBlobs, report.removed.treeBlobs]).toEqual([1, 1])
    expect(report.removed.byteCount).toBeGreaterThan(64)
  })

  test('compares chunk lists by what they do not share', async () => {
    const builder = await RepositoryBuilder.create({ chunkBytes: 64 })
    const count = 6000
    const bytes = Buffer.alloc(count * 64)
    for (let at = 0; at < count; at++) bytes.writeUInt32LE(at, at * 64)
    const changed = Buffer.from(bytes)
    changed.writeUInt32LE(0xffff_ffff, (count - 1) * 64)
    const root = (content: Buffer) => builder.tree({ large: { type: 'file', bytes: content } })
    const before = root(bytes)
    const { report, read } = await compare(builder, before, root(changed))
    expect(count).toBeGreaterThan(LIMIT.inlineReferencesMax)
    expect([report.added.dataBlobs, report.removed.dataBlobs]).toEqual([1, 1])
    // Leaves and the inner nodes above them: what both lists begin with is not read.
    expect(read.size).toBeLessThan(10)
  })

  test('reads nothing that is the same on both sides', async () => {
    const shared: Record<string, FileSpec> = {}
    for (let at = 0; at < 50; at++) shared[`shared/${at}/file`] = Buffer.from(`${at}`)
    const builder = await RepositoryBuilder.create({})
    const before = builder.tree({ ...shared, 'other/file': OLD })
    const after = builder.tree({ ...shared, 'other/file': Buffer.from('new') })
    const { changes, read } = await compare(builder, before, after)
    expect(changes).toEqual(['M? /other/file'])
    expect(read.size).toBe(4)
    const same = await RepositoryBuilder.create({})
    const root = same.tree(shared)
    expect((await compare(same, root, root)).read.size).toBe(0)
  })

  test('of a large directory reads only the nodes around a change', async () => {
    const builder = await RepositoryBuilder.create({})
    const entries = (special: Partial<TreeEntry>) =>
      Array.from({ length: 20_000 }, (_, at): TreeEntry => {
        const name = `file-${String(at).padStart(6, '0')}`
        const entry = { ...builder.entry('', { type: 'file' }), name }
        return at === 12_345 ? { ...entry, ...special } : entry
      })
    const before = builder.directory(entries({}))
    const after = builder.directory(entries({ mode: 0o600 }))
    expect(before.height).toBeGreaterThan(0)
    const { changes, read } = await compare(builder, before, after, true)
    expect(changes).toEqual(['U /file-012345'])
    expect(read.size).toBeLessThanOrEqual(2 * (before.height + 1))
  })

  test('pairs the entries of a large directory across insertions and deletions', async () => {
    const builder = await RepositoryBuilder.create({})
    const named = (numbers: readonly number[]) =>
      builder.directory(
        numbers.map((at): TreeEntry => {
          const name = `file-${String(at).padStart(6, '0')}`
          return { ...builder.entry('', { type: 'file' }), name }
        }),
      )
    const all = Array.from({ length: 6000 }, (_, at) => at)
    const isGone = (at: number) => at % 997 === 5
    const isNew = (at: number) => at % 811 === 7
    const before = named(all.filter((at) => !isNew(at)))
    const after = named(all.filter((at) => !isGone(at)))
    const { changes } = await compare(builder, before, after)
    const expected = all.flatMap((at) => {
      const path = `/file-${String(at).padStart(6, '0')}`
      return isGone(at) !== isNew(at) ? [`${isNew(at) ? '+' : '-'} ${path}`] : []
    })
    expect(changes).toEqual(expected)
  })

  test('names a directory that cannot be read and compares the rest', async () => {
    const builder = await RepositoryBuilder.create({})
    const lost = { id: Buffer.alloc(32, 9), height: 0 }
    const before = builder.tree({ a: { type: 'directory', subtree: lost }, b: OLD })
    const after = builder.tree({ 'a/file': OLD })
    const { changes, damaged } = await compare(builder, before, after)
    expect(damaged).toEqual(['/a'])
    expect(changes).toEqual(['- /b'])
    expect(toHex(before.id)).not.toBe(toHex(after.id))
  })
})
