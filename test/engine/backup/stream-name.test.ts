/** The name that a stream is given: the path of one file, whatever it looks like. */

import { expect, test } from 'vitest'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { backUp, contentsOf, create, open } from '../../support/backup-harness.ts'

async function* chunks() {
  yield Buffer.from('what came through the pipe')
}

test.each([
  { name: 'dump.sql', path: '/dump.sql' },
  { name: '../dump.sql', path: '/dump.sql' },
  { name: './a/./b//c', path: '/a/b/c' },
  { name: '/a/../b/x', path: '/b/x' },
])('a stream called $name is restorable as $path', async ({ name, path }) => {
  const disk = new MemoryBackend()
  await create(disk)
  await backUp(disk, '', { input: { kind: 'stream', name, chunks: chunks() } })
  const repository = await open(disk)
  const [snapshot] = await repository.snapshots()
  if (snapshot === undefined) throw new Error('no snapshot')
  expect(snapshot.content?.paths).toEqual([path])
  expect([...(await contentsOf(repository, snapshot)).keys()]).toContain(path)
})

test.each([
  { what: '/', name: '/' },
  { what: '.', name: '.' },
  { what: 'a/..', name: 'a/..' },
  { what: 'by more than a name can have', name: `${'n'.repeat(4096)}/x` },
])('a stream called $what is refused before anything of it is read', async ({ name }) => {
  const disk = new MemoryBackend()
  await create(disk)
  let isRead = false
  async function* watched() {
    isRead = true
    yield Buffer.from('x')
  }
  await expect(
    backUp(disk, '', { input: { kind: 'stream', name, chunks: watched() } }),
  ).rejects.toMatchObject({ code: 'CAIRN_USAGE' })
  expect(isRead).toBe(false)
  expect(await (await open(disk)).snapshots()).toEqual([])
})
