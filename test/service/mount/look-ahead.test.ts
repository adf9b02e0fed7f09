import { expect, test } from 'vitest'
import { BLOB_TYPE } from '../../../src/format/constants.ts'
import { encodeXattrs } from '../../../src/format/xattrs.ts'
import { lookAhead } from '../../../src/service/mount/look-ahead.ts'
import { RepositoryBuilder } from '../../support/repository-builder.ts'
import { mountedFilesOf } from '../../support/mounted-files.ts'

const ROOT = 1
const CHUNKS = 8_000

/** A directory whose attributes and listing need blobs of their own. */
async function filesInDepth() {
  const builder = await RepositoryBuilder.create({ chunkBytes: 4_096 })
  const xattrsId = builder.blob(encodeXattrs([[Buffer.from('user.a'), Buffer.from('b')]]), {
    type: BLOB_TYPE.aux,
  })
  // So long a list that it shares no segment with the directories.
  const reference = builder.references(Buffer.alloc(4_096, 'data'))
  const references = Buffer.concat(Array.from({ length: CHUNKS }, () => reference))
  const { contentList } = builder.content(CHUNKS * 4_096, references)
  if (contentList === undefined) throw new Error('the list is too short to be one')
  const root = builder.tree({
    'a/b/large': { type: 'file', size: CHUNKS * 4_096, contentList },
    'a/b/marked': { type: 'file', xattrsId },
    'a/other/file': Buffer.from('x'),
  })
  return await mountedFilesOf(builder, root)
}

test('what a listing with attributes needs is there afterwards, and nothing counts as looked up', async () => {
  const files = await filesInDepth()
  await lookAhead(files, ['a', 'b'])
  expect(files.knownDirectoryCount).toBe(1)
  let node = ROOT
  for (const name of ['a', 'b']) {
    const found = files.lookup(node, name)
    if (found instanceof Promise) throw new Error(`${name} is not there yet`)
    node = found.node
  }
  const opened = files.openDirectory(node)
  if (opened instanceof Promise) throw new Error('the directory is not open yet')
  const nodes: number[] = []
  const listed = files.readDirectory(opened.handle, 0, {
    add: ({ name, entry }) => {
      if (!name.startsWith('.')) nodes.push(entry().node)
      return true
    },
  })
  expect(listed).not.toBeInstanceOf(Promise)
  expect(nodes).toHaveLength(2)
})

test('extended attributes in blobs of their own are read once', async () => {
  const files = await filesInDepth()
  await lookAhead(files, ['a', 'b'])
  let node = ROOT
  for (const name of ['a', 'b', 'marked']) node = (await files.lookup(node, name)).node
  expect(files.xattrNames(node)).toEqual(['user.a'])
})

test.each([[['gone']], [['a', 'gone', 'b']]])(
  'a path that is not there is no error: %j',
  async (path) => {
    const files = await filesInDepth()
    await lookAhead(files, path)
    expect(files.knownDirectoryCount).toBe(1)
  },
)

test('what fails leaves nothing that counts as looked up', async () => {
  const files = await filesInDepth()
  await expect(lookAhead(files, ['a', 'b', 'large', 'x'])).rejects.toThrow('ENOTDIR')
  expect(files.knownDirectoryCount).toBe(1)
})
