import { expect, test } from 'vitest'
import { StoredDirectory } from '../../../src/engine/browse/browse-node.ts'
import { KnownDirectories, ROOT_NODE } from '../../../src/service/mount/known-directories.ts'
import { Neighbours } from '../../../src/service/mount/neighbours.ts'
import { browserOf } from '../../support/open-browser.ts'
import { RepositoryBuilder } from '../../support/repository-builder.ts'

async function directoryOf(fileCount: number) {
  const builder = await RepositoryBuilder.create()
  const names = Array.from({ length: fileCount }, (_, i) => `f${String(i).padStart(4, '0')}`)
  const root = builder.tree(Object.fromEntries(names.map((name) => [name, Buffer.from(name)])))
  const { repository } = await builder.finish(root)
  const { nodes } = await browserOf(repository)
  const directory = new StoredDirectory(root, nodes, 'snapshot')
  await directory.page(0) // As whoever reads files has done.
  const known = new KnownDirectories(directory).find(ROOT_NODE)
  if (known === undefined) throw new Error('there is no root')
  const asked: number[] = []
  const neighbours = new Neighbours({ prefetch: (ids) => void asked.push(ids.length) })
  return { known, asked, read: (position: number) => neighbours.readAt(known, position) }
}

test('files read in order are decoded ahead, each once', async () => {
  const { asked, read } = await directoryOf(1_000)
  read(0)
  expect(asked).toEqual([])
  for (let position = 1; position < 1_000; position++) read(position)
  expect(asked.length).toBeLessThan(40)
  expect(asked.reduce((sum, count) => sum + count, 0)).toBe(998)
})

test('files read at random, or one alone, are not', async () => {
  const { asked, read } = await directoryOf(1_000)
  for (const position of [500, 3, 999, 40, 20, 700]) read(position)
  expect(asked).toEqual([])
})
