import { expect, test } from 'vitest'
import { jsonLines, newRepository } from '../support/run-cairn.ts'

test('tag: text, JSON and what is left', async () => {
  const box = await newRepository()
  await box.succeed(['backup', '-q', '--tag', 'a', box.source])
  await box.succeed(['backup', '-q', box.source])
  const before = await box.snapshots()
  const { stdout } = await box.succeed(['tag', '--json', '--tag', 'a', '--add', 'b,c'])
  const [changed, summary] = jsonLines(stdout)
  expect(summary).toEqual({ message_type: 'summary', changed_snapshots: 1 })
  expect(changed.old_snapshot_id).toBe(before[0].id)
  const after = await box.snapshots()
  expect(after[0]).toMatchObject({
    id: changed.new_snapshot_id,
    original: before[0].id,
    time: before[0].time,
    tags: ['a', 'b', 'c'],
  })
  expect(after[1].id).toBe(before[1].id)
  const text = await box.succeed(['tag', '--set', '', changed.new_snapshot_id])
  expect(text.stdout).toBe('modified tags on 1 snapshots\n')
  expect((await box.snapshots())[0].tags).toBeUndefined()
  expect((await box.run(['tag'])).code).toBe(2)
  expect((await box.run(['tag', '--set', 'x', '--add', 'y'])).code).toBe(2)
  expect((await box.run(['tag', '--add', 'y', 'abcdabcdabcd'])).code).toBe(1)
  expect((await box.succeed(['check'])).stdout).toContain('no errors were found')
})

test('undelete: lists, brings back, and is done', async () => {
  const box = await newRepository()
  await box.succeed(['backup', '-q', box.source])
  box.write('b.txt', 'beta')
  await box.succeed(['backup', '-q', box.source])
  const [first] = await box.snapshots()
  await box.succeed(['forget', first.id])
  const [candidate] = JSON.parse((await box.succeed(['undelete', '--json'])).stdout)
  expect(candidate.snapshot).toMatchObject({ id: first.id, time: first.time })
  expect((await box.succeed(['undelete'])).stdout).toContain(`${first.id.slice(0, 8)}  `)
  const { stdout } = await box.succeed(['undelete', first.id.slice(0, 10)])
  expect(stdout).toMatch(new RegExp(`^snapshot ${first.id.slice(0, 8)} is back as [0-9a-f]{8}\n$`))
  const [back] = await box.snapshots()
  expect(back).toMatchObject({ original: first.id, tree: first.tree, time: first.time })
  expect(await box.list(back.id)).toEqual(['a.txt'])
  expect((await box.succeed(['undelete'])).stdout).toBe('nothing was forgotten\n')
  expect((await box.run(['undelete', first.id])).code).toBe(1)
})
