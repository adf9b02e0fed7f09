/** The shapes that programs read: restic's field names, one document or one object a line. */

import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { jsonLines, newBox, newRepository, summaryOf } from '../support/run-cairn.ts'

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/
const ID = /^[0-9a-f]{64}$/
const number = expect.any(Number)

const COUNTS = {
  files_new: number,
  files_changed: number,
  files_unmodified: number,
  dirs_new: number,
  dirs_changed: number,
  dirs_unmodified: number,
  data_blobs: number,
  tree_blobs: number,
  data_added: number,
  data_added_packed: number,
  total_files_processed: number,
  total_bytes_processed: number,
  backup_start: expect.stringMatching(RFC3339),
  backup_end: expect.stringMatching(RFC3339),
}

test('backup: status lines, then one summary; nothing else on stdout', async () => {
  const box = await newRepository({ withPassword: true })
  box.write('large', Buffer.alloc(3_000_000, 'large'))
  const environment = { CAIRN_PROGRESS_FPS: '60' }
  const finished = await box.succeed(['backup', '--json', box.source], { environment })
  expect(finished.stderr).toBe('')
  const lines = jsonLines(finished.stdout)
  const statuses = lines.slice(0, -1)
  expect(statuses.length).toBeGreaterThan(0)
  const statusFields = [
    'message_type',
    'seconds_elapsed',
    'seconds_remaining',
    'percent_done',
    'total_files',
    'files_done',
    'total_bytes',
    'bytes_done',
    'error_count',
    'current_files',
  ]
  for (const status of statuses) {
    expect(status.message_type).toBe('status')
    expect(statusFields).toEqual(expect.arrayContaining(Object.keys(status)))
    expect(status.percent_done).toBeGreaterThanOrEqual(0)
    expect(status.percent_done).toBeLessThanOrEqual(1)
  }
  expect(lines.at(-1)).toEqual({
    message_type: 'summary',
    ...COUNTS,
    total_duration: number,
    snapshot_id: expect.stringMatching(ID),
  })
  expect(lines.at(-1)).toMatchObject({ files_new: 2, total_bytes_processed: 3_000_005 })
})

test('backup -vv --json has a verbose_status for every entry', async () => {
  const box = await newRepository()
  const { stdout } = await box.succeed(['backup', '--json', '-vv', 'source'])
  const items = jsonLines(stdout).filter((line) => line.message_type === 'verbose_status')
  const found = items.map(({ action, item }) => `${action} ${item}`)
  expect(found).toContain(`new ${join(box.source, 'a.txt')}`)
  expect(found).toContain(`new ${box.source}/`)
})

test('-q --json prints the summary alone', async () => {
  const box = await newRepository()
  const { stdout } = await box.succeed(['backup', '--json', '-q', 'source'])
  expect(jsonLines(stdout).map((line) => line.message_type)).toEqual(['summary'])
})

test('snapshots: an array, oldest first, with what the backup counted', async () => {
  const box = await newRepository()
  expect((await box.succeed(['snapshots', '--json'])).stdout).toBe('[]\n')
  const options = ['--tag', 'one,two', '--tag', 'three', '--host', 'box', '--exclude', '*.o']
  const first = await box.succeed(['backup', '--json', ...options, box.source])
  await box.succeed(['backup', '--host', 'box', box.source])
  const [snapshot, second] = await box.snapshots()
  const { snapshot_id: id } = summaryOf(first)
  expect(snapshot).toEqual({
    time: expect.stringMatching(RFC3339),
    tree: expect.stringMatching(ID),
    paths: [box.source],
    hostname: 'box',
    ...(process.getuid?.() === 0 ? {} : { uid: process.getuid?.(), gid: process.getgid?.() }),
    username: expect.any(String),
    excludes: ['*.o'],
    tags: ['one', 'two', 'three'],
    program_version: expect.stringMatching(/^cairn \d/),
    summary: COUNTS,
    id,
    short_id: id.slice(0, 8),
  })
  expect(second.parent).toBe(id)
  expect(second).not.toHaveProperty('tags')
  expect(second).not.toHaveProperty('unconfirmed')
})

test('snapshots --group-by: an array of groups with their keys', async () => {
  const box = await newRepository()
  for (const host of ['b', 'a', 'b']) await box.succeed(['backup', '--host', host, box.source])
  const { stdout } = await box.succeed(['snapshots', '--json', '--group-by', 'host'])
  const groups = JSON.parse(stdout) as { group_key: unknown; snapshots: unknown[] }[]
  expect(groups.map((group) => group.group_key)).toEqual([
    { hostname: 'a', paths: null, tags: null },
    { hostname: 'b', paths: null, tags: null },
  ])
  expect(groups.map((group) => group.snapshots.length)).toEqual([1, 2])
})

test('ls: the snapshot, then a line for each entry', async () => {
  const box = await newRepository()
  symlinkSync('a.txt', join(box.source, 'link'))
  box.write('empty', '')
  await box.succeed(['backup', 'source'])
  const { stdout } = await box.succeed(['ls', '--json', 'latest'])
  const [head, ...nodes] = jsonLines(stdout)
  expect(head).toMatchObject({
    message_type: 'snapshot',
    struct_type: 'snapshot',
    id: expect.stringMatching(ID),
    paths: [box.source],
    time: expect.stringMatching(RFC3339),
  })
  const node = { message_type: 'node', struct_type: 'node', mtime: expect.stringMatching(RFC3339) }
  const uid = process.getuid?.() ?? 0
  const gid = process.getgid?.() ?? 0
  const common = { ...node, uid, gid, mode: number }
  const rights = (type: string) => expect.stringMatching(new RegExp(`^${type}[r-][w-][x-]`))
  expect(nodes).toEqual([
    { ...common, name: 'source', type: 'dir', path: '/source', permissions: rights('d') },
    {
      ...common,
      name: 'a.txt',
      type: 'file',
      path: '/source/a.txt',
      size: 5,
      permissions: rights('-'),
    },
    {
      ...common,
      name: 'empty',
      type: 'file',
      path: '/source/empty',
      size: 0,
      permissions: rights('-'),
    },
    { ...common, name: 'link', type: 'symlink', path: '/source/link', permissions: rights('L') },
  ])
})

test('init and version say what they did', async () => {
  const box = newBox()
  const [made] = jsonLines((await box.succeed(['init', '--json'])).stdout)
  expect(made).toEqual({
    message_type: 'initialized',
    id: expect.stringMatching(/^[0-9a-f]{32,64}$/),
    repository: box.repository,
  })
  const [version] = jsonLines((await box.succeed(['version', '--json'])).stdout)
  expect(version).toMatchObject({ message_type: 'version', version: expect.any(String) })
})
