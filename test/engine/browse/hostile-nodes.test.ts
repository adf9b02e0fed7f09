/** Nodes that do not hold what is said of them: whoever browses gets an error, never no answer. */

import { describe, expect, test } from 'vitest'
import { type BrowsePage, StoredDirectory } from '../../../src/engine/browse/browse-node.ts'
import { FileContent } from '../../../src/engine/browse/file-content.ts'
import { CborWriter } from '../../../src/format/cbor.ts'
import { BLOB_TYPE } from '../../../src/format/constants.ts'
import {
  encodeInner,
  encodeListLeaf,
  type InnerRow,
  LEAF_HEAD,
  type NodeRoot,
  writeEntry,
} from '../../../src/format/tree.ts'
import { browserOf } from '../../support/open-browser.ts'
import { RepositoryBuilder } from '../../support/repository-builder.ts'
import { noise } from '../check/check-support.ts'

const CORRUPT = { code: 'CAIRN_CORRUPT' }

function leaf(builder: RepositoryBuilder, names: readonly string[]): Uint8Array {
  const out = new CborWriter()
  out.raw(LEAF_HEAD)
  for (const name of names) writeEntry(out, builder.entry(name, Buffer.alloc(0)))
  return builder.metadataBlob(BLOB_TYPE.leaf, out.finish())
}

function inner(
  builder: RepositoryBuilder,
  height: number,
  rows: readonly Partial<InnerRow>[],
): NodeRoot {
  const whole = rows.map((row) => ({
    lastName: '',
    id: row.id ?? new Uint8Array(32),
    entryCount: 0,
    byteCount: 0,
    ...row,
  }))
  return { id: builder.metadataBlob(BLOB_TYPE.inner, encodeInner(height, whole)), height }
}

/** The names in a directory; gives up after more pages than there are. */
async function namesIn(directory: StoredDirectory): Promise<string[]> {
  const names: string[] = []
  let position: number | undefined = 0
  for (let pages = 0; position !== undefined; pages++) {
    if (pages > 10) throw new Error('it never ends')
    const page: BrowsePage = await directory.page(position)
    names.push(...page.children.map(({ name }) => name))
    position = page.next
  }
  return names
}

describe('a directory', () => {
  async function directoryOf(
    make: (builder: RepositoryBuilder) => NodeRoot,
  ): Promise<StoredDirectory> {
    const builder = await RepositoryBuilder.create()
    const root = make(builder)
    const { repository } = await builder.finish(builder.directory([]))
    const { nodes } = await browserOf(repository)
    return new StoredDirectory(root, nodes, 'snapshot')
  }

  test('whose names are refused is listed to its end, at the positions of the others', async () => {
    const directory = await directoryOf((builder) =>
      inner(builder, 1, [
        { lastName: 'c', id: leaf(builder, ['a', 'b/', 'c']), entryCount: 3 },
        { lastName: 'd', id: leaf(builder, ['d']), entryCount: 1 },
      ]),
    )
    expect(await namesIn(directory)).toEqual(['a', 'c', 'd'])
    const last = await directory.find('d')
    expect((await directory.at(last?.position ?? -1))?.name).toBe('d')
  })

  test.each([0, 1, 3, 1000])(
    'that is said to have %d entries in a leaf of two',
    async (entryCount) => {
      const directory = await directoryOf((builder) =>
        inner(builder, 1, [
          { lastName: 'b', id: leaf(builder, ['a', 'b']), entryCount },
          { lastName: 'd', id: leaf(builder, ['c', 'd']), entryCount: 2 },
        ]),
      )
      await expect(namesIn(directory)).rejects.toMatchObject(CORRUPT)
      await expect((async () => await directory.find('b'))()).rejects.toMatchObject(CORRUPT)
    },
  )

  test('of nodes that say other numbers than those above them', async () => {
    const directory = await directoryOf((builder) => {
      const row = { lastName: 'b', id: leaf(builder, ['a', 'b']), entryCount: 2 }
      const below = inner(builder, 1, [row])
      return inner(builder, 2, [{ ...row, id: below.id, entryCount: 5 }])
    })
    await expect(namesIn(directory)).rejects.toMatchObject(CORRUPT)
  })
})

describe('a file', () => {
  async function fileOf(
    size: number,
    make: (builder: RepositoryBuilder, references: Buffer) => NodeRoot,
  ) {
    const builder = await RepositoryBuilder.create({ chunkBytes: 100 })
    const contentList = make(builder, builder.references(noise(300, 1)))
    const entry = builder.entry('f', { type: 'file', size, contentList })
    const { repository } = await builder.finish(builder.directory([]))
    const { blobs, nodes } = await browserOf(repository)
    return { content: new FileContent(entry, blobs, nodes), nodes, contentList }
  }

  const listLeaf = (builder: RepositoryBuilder, references: Uint8Array) =>
    builder.metadataBlob(BLOB_TYPE.list, encodeListLeaf(references))

  test('that is longer than its one leaf of references has no end of data to look for', async () => {
    const { content } = await fileOf(1_000, (builder, references) => ({
      id: listLeaf(builder, references),
      height: 0,
    }))
    await expect(content.seek(0, 'hole')).rejects.toMatchObject(CORRUPT)
    await expect(content.seek(500, 'data')).rejects.toMatchObject(CORRUPT)
  })

  test('whose nodes say more or less than there is below them', async () => {
    for (const byteCount of [0, 200, 5_000]) {
      const { content } = await fileOf(5_000, (builder, references) =>
        inner(builder, 1, [{ id: listLeaf(builder, references), entryCount: 3, byteCount }]),
      )
      await expect(content.seek(0, 'hole')).rejects.toMatchObject(CORRUPT)
      const read = async () => await content.readInto(0, Buffer.alloc(10))
      await expect(read()).rejects.toMatchObject(CORRUPT)
    }
  })

  test('of a million million nodes without contents: its holes are not counted for ever', async () => {
    const { nodes, contentList } = await fileOf(1, (builder) => {
      let id = listLeaf(builder, new Uint8Array())
      for (let height = 1; height <= 6; height++) {
        const rows = Array.from({ length: 100 }, () => ({ id, entryCount: 0 }))
        ;({ id } = inner(builder, height, rows))
      }
      return { id, height: 6 }
    })
    const count = async () => await nodes.holeBytes(contentList, 10_000)
    await expect(count()).rejects.toMatchObject(CORRUPT)
  })
})
