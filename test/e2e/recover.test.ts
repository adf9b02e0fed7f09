import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { jsonLines, newRepository } from '../support/run-cairn.ts'

test('recovers the tree of a snapshot whose file is lost, and none that anybody refers to', async () => {
  const box = await newRepository()
  await box.succeed(['backup', '-q', box.source])
  const before = box.repositoryFiles('snapshots')
  box.write('dir/later.txt', 'later')
  for (let i = 0; i < 300; i++) box.write(`many/${i}`, `${i}`.repeat(20))
  await box.succeed(['backup', '-q', box.source])
  const [first, lost] = await box.snapshots()
  await box.succeed(['forget', first.id])
  expect((await box.succeed(['recover'])).stdout).toBe('found 0 trees that no snapshot refers to\n')
  for (const path of box.repositoryFiles('snapshots')) {
    if (!before.includes(path)) rmSync(join(box.repository, path))
  }
  const { stdout } = await box.succeed(['recover', '--json'])
  const [summary] = jsonLines(stdout)
  expect(summary).toMatchObject({ message_type: 'summary', trees: 1, lost_blobs: 0 })
  const [recovered] = await box.snapshots()
  expect(recovered).toMatchObject({
    id: summary.snapshot_id,
    tags: ['recovered'],
    paths: ['/recover'],
  })
  const listed = (await box.succeed(['ls', '-q', 'latest'])).stdout.split('\n')
  const prefix = `/${lost.tree.slice(0, 8)}${box.source}`
  expect(listed).toContain(`${prefix}/dir/later.txt`)
  expect(listed).toContain(`${prefix}/many/299`)
  await box.succeed(['accept', lost.id])
  expect((await box.succeed(['check', '--read-data'])).stdout).toContain('no errors were found')
  expect((await box.succeed(['recover'])).stdout).toContain('found 0 trees')
  expect(box.repositoryFiles('sessions')).toEqual([])
})

test('says that part of what it found is missing', async () => {
  const box = await newRepository()
  box.write('big', Buffer.alloc(300_000, 3))
  await box.succeed(['backup', '-q', box.source])
  rmSync(join(box.repository, box.repositoryFiles('snapshots')[0] ?? ''))
  const codes = new Set<number | undefined>()
  for (const pack of box.repositoryFiles('packs')) {
    const copy = join(box.path, `without-${codes.size}`)
    cpSync(box.repository, copy, { recursive: true })
    rmSync(join(copy, pack))
    codes.add((await box.run(['-r', copy, 'recover'])).code)
  }
  // Without the data the tree is there and incomplete; without the tree there is nothing to find.
  expect(codes).toEqual(new Set([0, 3]))
})
