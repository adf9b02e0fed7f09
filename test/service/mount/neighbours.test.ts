import { expect, test } from 'vitest'
import { StoredDirectory } from '../../../src/engine/browse/browse-node.ts'
import { KnownDirectories, ROOT_NODE } from '../../../src/service/mount/known-directories.ts'
import { Neighbours } from '../../../src/service/mount/neighbours.ts'
import { browserOf } from '../../support/open-browser.ts'
import { RepositoryBuilder } from '../../support/repository-builder.ts'

const FILE_BYTES = 20_000

async function directoryOf(fileCount: number) {
  const builder = await RepositoryBuilder.create()
  const names = Array.from({ length: fileCount }, (_, i) => `f${String(i).padStart(4, '0')}`)
  const root = builder.tree(
    Object.fromEntries(names.map((name) => [name, Buffer.alloc(FILE_BYTES, name)])),
  )
  const { repository } = await builder.finish(root)
  const { nodes } = await browserOf(repository)
  const directory = new StoredDirectory(root, nodes, 'snapshot')
  await directory.page(0) // As whoever reads files has done.
  const known = new KnownDirectories(directory).find(ROOT_NODE)
  if (known === undefined) throw new Error('there is no root')
  const asked: string[][] = []
  const neighbours = new Neighbours({
    prefetch: (ids) => void asked.push(ids.map((id) => Buffer.from(id).toString('hex'))),
  })
  return { asked, read: (position: number) => neighbours.readAt(known, position) }
}

test('of files read in order, what they share segments with is decoded ahead, once', async () => {
  const { asked, read } = await directoryOf(300)
  read(0)
  expect(asked).toEqual([])
  for (let position = 1; position < 300; position++) read(position)
  expect(asked.length).toBeLessThan(15)
  const ids = asked.flat()
  expect(new Set(ids).size).toBe(ids.length)
  // One file in 64 KiB.
  expect(ids.length).toBeGreaterThan(70)
  expect(ids.length).toBeLessThan(100)
})

test('files read at random, or one alone, are not', async () => {
  const { asked, read } = await directoryOf(100)
  for (const position of [50, 3, 99, 40, 20, 70]) read(position)
  expect(asked).toEqual([])
})

test('at the end of a directory the files of the next one are decoded ahead', async () => {
  const builder = await RepositoryBuilder.create()
  const names = ['a/0', 'a/1', 'a/2', 'b/0', 'b/1', 'c/0']
  const root = builder.tree(Object.fromEntries(names.map((name) => [name, Buffer.from(name)])))
  const { repository } = await builder.finish(root)
  const { nodes } = await browserOf(repository)
  const known = new KnownDirectories(new StoredDirectory(root, nodes, 'snapshot'))
  const top = known.find(ROOT_NODE)
  const child = await top?.directory.find('a')
  if (top === undefined || child === undefined) throw new Error('there is nothing')
  const a = known.enter(known.nodeOf(top, child), top, child)
  await a.directory.page(0)
  const asked: string[] = []
  const inB = Buffer.from(builder.id(Buffer.from('b/0'))).toString('hex')
  const done = new Promise<void>((resolve) => {
    const neighbours = new Neighbours({
      prefetch: (ids) => {
        asked.push(...ids.map((id) => Buffer.from(id).toString('hex')))
        if (asked.length > 1) resolve()
      },
    })
    neighbours.readAt(a, 0)
    neighbours.readAt(a, 1)
    neighbours.readAt(a, 2)
  })
  await done
  expect(asked.slice(1)).toEqual([inB])
})
