/** `cairn diff`, `find`, `stats` and `list`: text, JSON and exit codes. */

import { rmSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Box, type Json, jsonLines, newRepository } from '../support/run-cairn.ts'

async function twoSnapshots(): Promise<Box> {
  const box = await newRepository()
  utimesSync(box.write('sub/kept.txt', 'kept'), 1_700_000_000, 1_700_000_000)
  box.write('sub/gone.log', 'gone')
  await box.succeed(['backup', '--tag', 'first', 'source'])
  rmSync(join(box.source, 'sub/gone.log'))
  box.write('sub/new.txt', 'new!')
  box.write('a.txt', 'another')
  await box.succeed(['backup', '--tag', 'second', 'source'])
  return box
}

async function documentOf(box: Box, ...args: string[]): Promise<Json> {
  const { stdout } = await box.succeed([...args, '--json'])
  return JSON.parse(stdout) as Json
}

test('diff: lines and statistics, as text and as JSON', async () => {
  const box = await twoSnapshots()
  const { stdout } = await box.succeed(['diff', 'latest~1', 'latest'])
  expect(stdout).toMatch(/^comparing snapshot [0-9a-f]{8} to [0-9a-f]{8}:\n\n/)
  expect(stdout.split('\n').slice(2, 9)).toEqual([
    'M    /source/a.txt',
    '-    /source/sub/gone.log',
    '+    /source/sub/new.txt',
    '',
    'Files:           1 new,     1 removed,     1 changed',
    'Dirs:            0 new,     0 removed',
    'Others:          0 new,     0 removed',
  ])
  expect(stdout).toMatch(
    /\nData Blobs: {6}2 new, {5}2 removed\nTree Blobs: {6}3 new, {5}3 removed\n/,
  )
  const lines = jsonLines((await box.succeed(['diff', '--json', 'latest~1', 'latest'])).stdout)
  expect(lines.slice(0, -1)).toEqual([
    { message_type: 'change', path: '/source/a.txt', modifier: 'M' },
    { message_type: 'change', path: '/source/sub/gone.log', modifier: '-' },
    { message_type: 'change', path: '/source/sub/new.txt', modifier: '+' },
  ])
  expect(lines.at(-1)).toMatchObject({
    message_type: 'statistics',
    source_snapshot: 'latest~1',
    target_snapshot: 'latest',
    changed_files: 1,
    added: { files: 1, dirs: 0, others: 0, data_blobs: 2, tree_blobs: 3 },
    removed: { files: 1, dirs: 0, others: 0, data_blobs: 2, tree_blobs: 3 },
  })
  const below = await box.succeed(['diff', '-q', 'latest~1:source/sub', 'latest:/source/sub'])
  expect(below.stdout).toBe('-    /gone.log\n+    /new.txt\n')
  expect((await box.succeed(['diff', '-q', 'latest', 'latest'])).stdout).toBe('')
  expect((await box.run(['diff', 'latest', 'abcdef12'])).code).toBe(1)
  expect((await box.run(['diff', 'latest'])).code).toBe(2)
})

test('find: names in all snapshots, the newest first, and those that were chosen', async () => {
  const box = await twoSnapshots()
  const { stdout } = await box.succeed(['find', '*.txt'])
  const [newest, oldest] = stdout.split('\n\n')
  expect(newest).toMatch(/^Found matching entries in snapshot [0-9a-f]{8} from \d{4}-/)
  expect(newest).toContain('\n/source/a.txt\n/source/sub/kept.txt\n/source/sub/new.txt')
  expect(oldest).toMatch(/\n\/source\/a\.txt\n\/source\/sub\/kept\.txt\n$/)
  const paths = async (...args: string[]) => {
    const found = (await box.succeed(['find', '-q', ...args])).stdout
    return found.split('\n').slice(0, -1)
  }
  expect(await paths('--reverse', 'gone.log', 'NEW.txt', '-i')).toEqual([
    '/source/sub/gone.log',
    '/source/sub/new.txt',
  ])
  expect(await paths('--tag', 'first', 'sub/*.log')).toEqual(['/source/sub/gone.log'])
  expect(await paths('-s', 'latest', 'gone.log')).toEqual([])
  expect(await paths('--at', '2999-01-01', 'new.*')).toEqual(['/source/sub/new.txt'])
  expect(await paths('-N', '2023-11-14', '-s', 'latest', '*.txt')).toEqual(['/source/sub/kept.txt'])
  expect(await paths('-O', '2023-11-15', '-s', 'latest', 'kept.txt')).toEqual([])
  const [long] = await paths('-l', '-s', 'latest', 'kept.txt')
  expect(long).toMatch(/^-rw-r--r-- .* 4 2023-11-14 22:13:20 \/source\/sub\/kept\.txt$/)
  expect((await box.run(['find', '--newest', 'never', 'x'])).code).toBe(2)
  expect((await box.run(['find', '[', 'x'])).code).toBe(2)
  expect((await box.run(['find', '-s', 'abcdef12', 'x'])).code).toBe(1)
})

test('find --json: one document, also without a match', async () => {
  const box = await twoSnapshots()
  const [first, second, third] = await documentOf(box, 'find', 'kept.txt')
  expect(third).toBeUndefined()
  expect([first.hits, second.hits]).toEqual([1, 1])
  expect(first.snapshot).toMatch(/^[0-9a-f]{64}$/)
  expect(first.matches).toEqual([
    expect.objectContaining({
      path: '/source/sub/kept.txt',
      type: 'file',
      size: 4,
      mode: 0o644,
      permissions: '-rw-r--r--',
      mtime: '2023-11-14T22:13:20Z',
    }),
  ])
  expect(await documentOf(box, 'find', 'nowhere')).toEqual([])
})

test('find --blob, --tree and --pack: by the beginning of an id', async () => {
  const box = await twoSnapshots()
  const { nodes } = await documentOf(box, 'cat', 'tree', 'latest:source/sub')
  const kept = nodes.find(({ name }: Json) => name === 'kept.txt').content[0].id
  const found = await documentOf(box, 'find', '--blob', kept.slice(0, 10))
  expect(found).toHaveLength(2)
  expect(found[0]).toMatchObject({ object_type: 'blob', id: kept, path: '/source/sub/kept.txt' })
  const tree = found[0].parent_tree
  const text = (await box.succeed(['find', '--tree', tree, '--show-pack-id'])).stdout
  expect(text).toContain(`Found tree ${tree}\n ... path /source/sub\n ... in snapshot `)
  const [, pack] = /belongs to pack ([0-9a-f]{64})/.exec(text) ?? []
  const inPack = await documentOf(box, 'find', '--pack', pack ?? '')
  expect(inPack.map(({ id }: Json) => id)).toContain(tree)
  expect((await box.run(['find', '--blob', 'xyz'])).code).toBe(2)
  expect((await box.run(['find', '--pack', 'abcd1234'])).code).toBe(1)
  expect((await box.run(['find', '--pack', '--tree', tree])).code).toBe(2)
})

test('stats: what each mode counts', async () => {
  const box = await twoSnapshots()
  const both = await documentOf(box, 'stats')
  expect(both).toEqual({ total_size: 13 + 15, total_file_count: 5 + 5, snapshots_count: 2 })
  expect(await documentOf(box, 'stats', '--tag', 'first')).toMatchObject({ total_size: 13 })
  const files = await documentOf(box, 'stats', '--mode', 'files-by-contents')
  // Five contents, and the directories, which have none.
  expect(files).toEqual({ total_size: 24, total_file_count: 6, snapshots_count: 2 })
  const blobs = await documentOf(box, 'stats', '--mode', 'blobs-per-file')
  expect(blobs).toEqual({
    total_size: 24,
    total_file_count: 4,
    total_blob_count: 5,
    snapshots_count: 2,
  })
  const raw = await documentOf(box, 'stats', '--mode', 'raw-data', 'latest')
  expect(raw).toMatchObject({ total_blob_count: 6, snapshots_count: 1 })
  const { stdout } = await box.succeed(['stats', 'latest'])
  expect(stdout).toBe(
    'Stats in restore-size mode:\n     Snapshots processed:  1\n' +
      '        Total File Count:  5\n              Total Size:  15 B\n',
  )
  expect((await box.run(['stats', '--mode', 'other'])).code).toBe(2)
})

test('list: the ids of each kind', async () => {
  const box = await twoSnapshots()
  const ids = async (...args: string[]) => {
    const { stdout } = await box.succeed(['list', ...args])
    return stdout.split('\n').slice(0, -1)
  }
  const namesIn = (folder: string) => box.repositoryFiles(folder).map((path) => path.slice(-64))
  for (const kind of ['packs', 'index', 'keys']) {
    expect((await ids(kind)).toSorted()).toEqual(namesIn(kind).toSorted())
  }
  expect(await ids('sessions')).toEqual([])
  expect(await ids('locks')).toEqual([])
  const snapshots = await box.snapshots()
  expect(await ids('snapshots')).toEqual(snapshots.map(({ id }: Json) => id))
  expect(await ids('snapshots', '--tag', 'second')).toEqual([snapshots[1].id])
  const blobs = await ids('blobs')
  expect(blobs.filter((line) => /^data [0-9a-f]{64}$/.test(line))).toHaveLength(5)
  expect(blobs.filter((line) => /^tree [0-9a-f]{64}$/.test(line))).toHaveLength(6)
  const ofFirst = await ids('packs', snapshots[0].id)
  expect(ofFirst.length).toBeGreaterThan(0)
  expect(ofFirst.length).toBeLessThan(namesIn('packs').length)
  const [line] = jsonLines((await box.succeed(['list', '--json', 'packs'])).stdout)
  expect(line).toEqual({ id: expect.stringMatching(/^[0-9a-f]{64}$/), size: expect.any(Number) })
  expect((await box.run(['list', 'nothing'])).code).toBe(2)
  expect((await box.run(['list', 'index', 'latest'])).code).toBe(2)
})

test('20: what cannot be read is named by each of them', async () => {
  const box = await twoSnapshots()
  const { nodes } = await documentOf(box, 'cat', 'tree', 'latest~1:source')
  const { id } = nodes.find(({ name }: Json) => name === 'sub').subtree
  const text = (await box.succeed(['find', '--tree', id, '--show-pack-id'])).stdout
  const [, pack = ''] = /belongs to pack ([0-9a-f]{64})/.exec(text) ?? []
  rmSync(join(box.repository, box.repositoryFiles('packs').find((one) => one.endsWith(pack)) ?? ''))
  for (const args of [
    ['diff', 'latest~1', 'latest'],
    ['find', 'kept.txt'],
    ['stats'],
    ['stats', '--mode', 'raw-data'],
    ['list', 'packs', 'latest~1'],
  ]) {
    const finished = await box.run([...args, '--json'])
    expect(finished.code, args.join(' ')).toBe(20)
    expect(jsonLines(finished.stderr).at(-1)).toMatchObject({
      message_type: 'exit_error',
      code: 20,
    })
  }
})
