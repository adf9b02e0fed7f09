import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import * as cairn from '../../src/library/index.ts'
import type { CairnRepository, Entry, OpenOptions } from '../../src/library/index.ts'

const KEY = new Uint8Array(32).fill(7)

function newPlace(): { root: string; options: OpenOptions } {
  const root = mkdtempSync(join(tmpdir(), 'cairn-library-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  mkdirSync(join(root, 'source/sub'), { recursive: true })
  writeFileSync(join(root, 'source/a.txt'), 'alpha')
  writeFileSync(join(root, 'source/sub/b.bin'), Buffer.alloc(3 << 20, 'beta'))
  const options = {
    location: join(root, 'repository'),
    secret: { key: KEY },
    cacheDirectory: false,
    stateDirectory: false,
    jobs: 1,
  } as const
  return { root, options }
}

async function newRepository(): Promise<{ root: string; repository: CairnRepository }> {
  const { root, options } = newPlace()
  const repository = await cairn.createRepository(options)
  onTestFinished(() => repository.close())
  return { root, repository }
}

async function bytesOf(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const piece of pieces) all.push(piece)
  return Buffer.concat(all)
}

test('exports what it promises and nothing else', () => {
  expect(Object.keys(cairn).toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
    'CairnError',
    'createRepository',
    'isCairnError',
    'openRepository',
  ])
})

test('backs up, lists, reads, restores and checks through one opening', async () => {
  const { root, repository } = await newRepository()
  const source = join(root, 'source')
  const progress: number[] = []
  const first = await repository.backup({
    paths: [source],
    tags: ['x'],
    hostname: 'h',
    onProgress: ({ filesDone }) => progress.push(filesDone),
  })
  expect(first).toMatchObject({ errorCount: 0, files: { new: 2 }, parentId: undefined })
  expect(progress.length).toBeGreaterThan(0)
  const again = await repository.backup({ paths: [source], hostname: 'h', dryRun: true })
  expect(again).toMatchObject({ snapshotId: undefined, parentId: first.snapshotId })
  const [snapshot, ...others] = await repository.snapshots({ hosts: ['h'] })
  expect(others).toEqual([])
  expect(snapshot).toMatchObject({ id: first.snapshotId, tags: ['x'], isPartial: false })
  const entries: Entry[] = []
  for await (const entry of repository.ls('latest', { directories: [source] })) entries.push(entry)
  expect(entries.map(({ name, type, size }) => [name, type, size])).toEqual([
    ['source', 'dir', undefined],
    ['a.txt', 'file', 5],
    ['sub', 'dir', undefined],
  ])
  const content = await bytesOf(repository.readFile('latest', join(source, 'sub/b.bin')))
  expect(content.equals(readFileSync(join(source, 'sub/b.bin')))).toBe(true)
  const target = join(root, 'restored')
  const restored = await repository.restore(`latest:${source}`, { target, include: ['*.txt'] })
  expect(restored).toMatchObject({ isComplete: true, snapshotId: first.snapshotId })
  expect(readFileSync(join(target, 'a.txt'), 'utf8')).toBe('alpha')
  expect(await repository.check({ readData: true })).toMatchObject({ errorCount: 0, findings: [] })
})

test('backs up a stream as one file', async () => {
  const { repository } = await newRepository()
  const parts = [Buffer.from('one '), Buffer.from('two')]
  const content = (async function* () {
    for (const part of parts) yield await Promise.resolve(part)
  })()
  await repository.backup({ stream: { path: '/dumps/db.sql', content } })
  expect((await bytesOf(repository.readFile('latest', '/dumps/db.sql'))).toString()).toBe('one two')
})

test('dumps a directory as an archive, and a file as it is', async () => {
  const { root, repository } = await newRepository()
  const source = join(root, 'source')
  await repository.backup({ paths: [source] })
  const archive = await bytesOf(repository.dump(`latest:${source}`, '/'))
  const names = execFileSync('tar', ['-tf', '-'], { input: archive, encoding: 'utf8' })
  expect(names.split('\n').filter((name) => name !== '')).toEqual(['a.txt', 'sub/', 'sub/b.bin'])
  const content = execFileSync('tar', ['-xOf', '-', 'sub/b.bin'], {
    input: archive,
    maxBuffer: 8 << 20,
  })
  expect(content.equals(readFileSync(join(source, 'sub/b.bin')))).toBe(true)
  const file = await bytesOf(repository.dump('latest', join(source, 'a.txt'), { format: 'zip' }))
  expect(file.toString()).toBe('alpha')
  const directory = bytesOf(repository.readFile('latest', source))
  await expect(directory).rejects.toThrow(/not a regular file/)
})

test('close ends a dump that nobody takes', async () => {
  const { root, repository } = await newRepository()
  writeFileSync(join(root, 'source/large'), randomBytes(12 << 20))
  await repository.backup({ paths: [join(root, 'source')] })
  const pieces = repository.dump('latest', '/')
  await pieces.next()
  await repository.close()
  await expect(bytesOf(pieces)).rejects.toSatisfy((error) =>
    cairn.isCairnError(error, 'CAIRN_ABORTED'),
  )
})

test('forgets by rules and by name, prunes and counts', async () => {
  const { root, repository } = await newRepository()
  const ids: string[] = []
  for (let n = 0; n < 3; n++) {
    writeFileSync(join(root, 'source/changing'), randomBytes(1 << 20))
    const { snapshotId } = await repository.backup({ paths: [join(root, 'source')] })
    ids.push(snapshotId ?? '')
  }
  const before = await repository.stats({ stored: true })
  expect(await repository.stats()).toMatchObject({ snapshotCount: 3 })
  const planned = await repository.forget({ keep: { last: 1 }, dryRun: true })
  expect(planned).toEqual({ keptIds: [ids[2]], forgottenIds: [ids[1], ids[0]] })
  expect(await repository.snapshots()).toHaveLength(3)
  await expect(repository.forget({})).rejects.toSatisfy((error) =>
    cairn.isCairnError(error, 'CAIRN_USAGE'),
  )
  await repository.forget({ snapshots: [ids[0] ?? ''] })
  expect(await repository.forget({ keep: { last: 1 } })).toEqual({
    keptIds: [ids[2]],
    forgottenIds: [ids[1]],
  })
  const dry = await repository.prune({ maxUnusedPercent: 0, dryRun: true })
  expect(dry).toMatchObject({ packsRemoved: 0, damagedPacks: [] })
  const steps: number[] = []
  const pruned = await repository.prune({
    maxUnusedPercent: 0,
    onProgress: ({ done }) => steps.push(done),
  })
  expect(pruned.packsRemoved).toBeGreaterThan(0)
  expect(pruned.bytesRemoved).toBeGreaterThan(2 << 20)
  expect(steps.length).toBeGreaterThan(0)
  const after = await repository.stats({ stored: true, snapshots: ['latest'] })
  expect(after.snapshotCount).toBe(1)
  expect(after.byteCount).toBeLessThan(before.byteCount - (2 << 20))
  expect(await repository.check({ readData: true })).toMatchObject({ errorCount: 0, findings: [] })
})

test('remembers what it saw where it is told to, and nothing elsewhere', async () => {
  const { root, options } = newPlace()
  const warnings: string[] = []
  const stateDirectory = join(root, 'state')
  const open = { ...options, stateDirectory, onWarning: (text: string) => warnings.push(text) }
  const repository = await cairn.createRepository(open)
  await repository.backup({ paths: [join(root, 'source')] })
  await repository.close()
  const folder = join(root, 'repository/snapshots')
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (/[0-9a-f]{64}$/.test(name)) rmSync(join(folder, name))
  }
  for (const [place, expected] of [
    [stateDirectory, 1],
    [false, 0],
  ] as const) {
    warnings.length = 0
    const again = await cairn.openRepository({ ...open, stateDirectory: place })
    expect(await again.snapshots()).toEqual([])
    await again.close()
    expect(warnings.filter((text) => text.includes('is missing'))).toHaveLength(expected)
  }
})

test('a listing that nobody takes to its end lets go of the repository', async () => {
  const { root, repository } = await newRepository()
  for (let n = 0; n < 1500; n++) writeFileSync(join(root, `source/f${n}`), '')
  await repository.backup({ paths: [join(root, 'source')] })
  for await (const entry of repository.ls('latest')) if (entry.type === 'file') break
  let count = 0
  for await (const entry of repository.ls('latest')) if (entry.type === 'file') count++
  expect(count).toBe(1502)
})

test('fails with typed errors', async () => {
  const { root, options } = newPlace()
  const code = (wanted: cairn.ErrorCode) => (error: unknown) => cairn.isCairnError(error, wanted)
  await expect(cairn.openRepository(options)).rejects.toSatisfy(code('CAIRN_REPOSITORY_MISSING'))
  const repository = await cairn.createRepository(options)
  await expect(cairn.createRepository(options)).rejects.toSatisfy(code('CAIRN_FAILED'))
  const wrong = { ...options, secret: () => Promise.resolve({ key: new Uint8Array(32) }) }
  await expect(cairn.openRepository(wrong)).rejects.toSatisfy(code('CAIRN_WRONG_SECRET'))
  await expect(repository.backup({})).rejects.toSatisfy(code('CAIRN_USAGE'))
  await expect(repository.backup({ paths: [join(root, 'none')] })).rejects.toSatisfy(
    code('CAIRN_FAILED'),
  )
  await repository.backup({ paths: [join(root, 'source')] })
  await expect(bytesOf(repository.readFile('latest', '/none'))).rejects.toSatisfy(
    code('CAIRN_FAILED'),
  )
  const aborted = { paths: [join(root, 'source')], signal: AbortSignal.abort() }
  await expect(repository.backup(aborted)).rejects.toSatisfy(code('CAIRN_ABORTED'))
  await repository.close()
  await repository.close()
  await expect(repository.snapshots()).rejects.toSatisfy(code('CAIRN_USAGE'))
})
