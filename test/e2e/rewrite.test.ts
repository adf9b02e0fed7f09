import { expect, test } from 'vitest'
import { jsonLines, newRepository } from '../support/run-cairn.ts'

async function withFiles() {
  const box = await newRepository()
  box.write('keep/one.txt', 'one')
  box.write('drop/big.iso', Buffer.alloc(100_000, 7))
  box.write('drop/deep/small.txt', 'small')
  box.write('deep/er/other.iso', 'other')
  await box.succeed(['backup', '-q', '--host', 'h', '--time', '2025-01-01 10:00:00', box.source])
  await box.succeed(['backup', '-q', '--host', 'other', `${box.source}/keep`])
  return box
}

test('leaves files out, beside the old snapshot or in its place, and counts again', async () => {
  const box = await withFiles()
  const [before, untouched] = await box.snapshots()
  const dry = await box.succeed(['rewrite', '-n', '-e', '*.iso'])
  expect(dry.stdout).toContain(`excluding ${box.source}/drop/big.iso`)
  expect(dry.stdout).toContain('would modify 1 snapshots')
  expect(await box.snapshots()).toHaveLength(2)

  const beside = await box.succeed(['rewrite', '--json', '-e', '*.iso'])
  const [changed, summary] = jsonLines(beside.stdout)
  expect(summary).toEqual({ message_type: 'summary', changed_snapshots: 1 })
  expect(changed.old_snapshot_id).toBe(before.id)
  expect(await box.list(before.id)).toContain('drop/big.iso')
  const files = [
    'a.txt',
    'deep',
    'deep/er',
    'drop',
    'drop/deep',
    'drop/deep/small.txt',
    'keep',
    'keep/one.txt',
  ]
  expect((await box.list(changed.new_snapshot_id)).toSorted()).toEqual(files)
  const made = (await box.snapshots()).find(({ id }) => id === changed.new_snapshot_id)
  expect(made).toMatchObject({ original: before.id, tags: ['rewrite'], time: before.time })
  expect(made.summary).toMatchObject({ total_files_processed: 3, total_bytes_processed: 13 })

  await box.succeed(['forget', changed.new_snapshot_id])
  const instead = await box.succeed(['rewrite', '--forget', '-e', '*.iso', '--json'])
  const [{ new_snapshot_id: id }] = jsonLines(instead.stdout)
  const left = (await box.snapshots()).map((one) => one.id)
  expect(left).toEqual([id, untouched.id])
  expect((await box.list(id)).toSorted()).toEqual(files)
  expect((await box.succeed(['check', '--read-data'])).stdout).toContain('no errors were found')
  expect(box.repositoryFiles('sessions')).toEqual([])
})

test('another host and time, without a new tree', async () => {
  const box = await withFiles()
  const [before] = await box.snapshots()
  const packs = box.repositoryFiles('packs')
  const change = ['--new-host', 'n', '--new-time', '2024-02-29 12:00:00']
  await box.succeed(['rewrite', '--forget', ...change, before.id])
  const [after] = await box.snapshots()
  expect(after).toMatchObject({
    hostname: 'n',
    tree: before.tree,
    time: '2024-02-29T12:00:00Z',
    original: before.id,
  })
  expect(after.summary.backup_start).toBe('2024-02-29T12:00:00Z')
  expect(after.tags).toBeUndefined()
  expect(box.repositoryFiles('packs')).toEqual(packs)
})

test('refuses to leave nothing, and to do nothing; the same again changes nothing', async () => {
  const box = await withFiles()
  const before = await box.snapshots()
  const emptied = await box.run(['rewrite', '-e', '/*'])
  expect(emptied.code).toBe(1)
  expect(emptied.stderr).toContain('nothing would be left of it')
  expect((await box.run(['rewrite', '--forget'])).code).toBe(2)
  expect((await box.succeed(['rewrite', '-s'])).stdout).toContain('modified 0 snapshots')
  expect((await box.succeed(['rewrite', '-e', 'nowhere'])).stdout).toContain('modified 0 snapshots')
  expect(await box.snapshots()).toEqual(before)
})
