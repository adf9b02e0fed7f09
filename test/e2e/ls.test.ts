/** `cairn ls`: which entries, in which order and form, and what it says of damage. */

import { readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Box, jsonLines, newRepository } from '../support/run-cairn.ts'

async function filled(): Promise<Box> {
  const box = await newRepository()
  const files = { 'b/two.log': 20, 'b/c/three.txt': 300, 'b.md': 1, z: 4000 }
  let seconds = 1_700_000_000
  for (const [name, byteCount] of Object.entries(files)) {
    const path = box.write(name, Buffer.alloc(byteCount, name))
    utimesSync(path, seconds, seconds--)
  }
  await box.succeed(['backup', 'source'])
  return box
}

async function list(box: Box, ...args: string[]): Promise<string[]> {
  const { stdout } = await box.succeed(['ls', '-q', ...args])
  return stdout.split('\n').slice(0, -1)
}

const ALL = [
  '/source',
  '/source/a.txt',
  '/source/b',
  '/source/b/c',
  '/source/b/c/three.txt',
  '/source/b/two.log',
  '/source/b.md',
  '/source/z',
]

test('everything without directories; what is in them with; --recursive below them', async () => {
  const box = await filled()
  expect(await list(box, 'latest')).toEqual(ALL)
  expect(await list(box, 'latest', '/source/b')).toEqual(ALL.slice(2, 4).concat(ALL[5] ?? ''))
  expect(await list(box, 'latest', '--recursive', '/source/b')).toEqual(ALL.slice(2, 6))
  expect(await list(box, 'latest', '/source/b.md', '/source/b/c/')).toEqual([
    '/source/b/c',
    '/source/b/c/three.txt',
    '/source/b.md',
  ])
  expect(await list(box, 'latest', '/')).toEqual(['/source'])
  expect(await list(box, 'latest', '--recursive', '/')).toEqual(ALL)
})

test('SNAPSHOT:subfolder lists from there', async () => {
  const box = await filled()
  const expected = ['/c', '/c/three.txt', '/two.log']
  expect(await list(box, 'latest:source/b')).toEqual(expected)
  expect(await list(box, 'latest:/source/b/')).toEqual(expected)
  expect(await list(box, 'latest:source/b', '/c')).toEqual(['/c', '/c/three.txt'])
  const file = await box.run(['ls', 'latest:source/z'])
  expect(file.code).toBe(1)
  expect(file.stderr).toContain('it is not a directory')
})

test('1: a directory that is not there, after those that are', async () => {
  const box = await filled()
  const finished = await box.run(['ls', '-q', 'latest', '/nowhere', '/source/z'])
  expect(finished.code).toBe(1)
  expect(finished.stdout).toBe('/source/z\n')
  expect(finished.stderr).toContain("cannot list '/nowhere': the snapshot has no such path")
  expect((await box.run(['ls', 'latest:nowhere'])).code).toBe(1)
  expect((await box.run(['ls', 'abcdef12'])).code).toBe(1)
})

test('--sort and --reverse', async () => {
  const box = await filled()
  const names = async (...args: string[]) => {
    const { stdout } = await box.succeed(['ls', '--json', 'latest:source', ...args])
    const files = jsonLines(stdout).filter((line) => line.type === 'file')
    return files.map((line) => line.name)
  }
  expect(await names('--sort', 'size')).toEqual(['b.md', 'a.txt', 'two.log', 'three.txt', 'z'])
  expect(await names('--sort', 'size', '--reverse')).toEqual([
    'z',
    'three.txt',
    'two.log',
    'a.txt',
    'b.md',
  ])
  const byTime = ['z', 'b.md', 'three.txt', 'two.log', 'a.txt']
  expect(await names('-s', 'time')).toEqual(byTime)
  expect(await names('-s', 'mtime')).toEqual(byTime)
  expect(await names('-s', 'extension')).toEqual(['z', 'two.log', 'b.md', 'a.txt', 'three.txt'])
  expect(await list(box, 'latest', '--reverse')).toEqual(ALL.toSorted().toReversed())
})

test('-l shows mode, owner, size and time; --human-readable the size in KiB', async () => {
  const box = await filled()
  const [line] = await list(box, '-l', 'latest', '/source/z')
  const owner = `${String(process.getuid?.()).padStart(5)} ${String(process.getgid?.()).padStart(5)}`
  expect(line).toBe(`-rw-r--r-- ${owner}   4000 2023-11-14 22:13:17 /source/z`)
  const [human] = await list(box, '-l', '--human-readable', 'latest', '/source/z')
  expect(human).toContain(' 3.906 KiB 2023')
})

test('--ncdu is what ncdu reads: arrays of directories', async () => {
  const box = await filled()
  const { stdout } = await box.succeed(['ls', '--ncdu', 'latest'])
  const [major, minor, snapshot, root] = JSON.parse(stdout)
  expect([major, minor, snapshot.hostname]).toEqual([1, 2, expect.any(String)])
  const shape = (node: unknown): unknown =>
    Array.isArray(node) ? node.map(shape) : (node as { name: string }).name
  expect(shape(root)).toEqual([
    '/',
    ['source', 'a.txt', ['b', ['c', 'three.txt'], 'two.log'], 'b.md', 'z'],
  ])
  expect(root[1].at(-1)).toMatchObject({ asize: 4000, dsize: 4096, mtime: 1_699_999_997 })
})

test('--at finds the snapshot of a time and says how far it is', async () => {
  const box = await filled()
  box.write('later')
  await box.succeed(['backup', '--time', '2025-01-01 00:00:00', 'source'])
  const before = await box.run(['ls', '--at', '2000-01-01'])
  expect(before.code).toBe(1)
  expect(before.stderr).toContain("no snapshot matches '@2000-01-01'")
  const { stdout } = await box.succeed(['ls', '--at', '2999-01-01', '/source'])
  expect(stdout).toMatch(/ended \d+ days .* before the time asked for/)
  const after = await box.succeed(['ls', '--json', '--at', '2000-01-01', '--at-mode', 'after'])
  expect(jsonLines(after.stdout)[0].distance).toMatch(/after the time asked for$/)
})

test('names that are no text and that would steer a terminal are shown by their bytes', async () => {
  const box = await newRepository()
  const directory = Buffer.from(`${box.source}/`)
  writeFileSync(Buffer.concat([directory, Buffer.from([0x66, 0xff])]), '1')
  writeFileSync(Buffer.concat([directory, Buffer.from([0x66, 0xfe])]), '2')
  writeFileSync(join(box.source, 'red\u001b[31m'), '3')
  await box.succeed(['backup', 'source'])
  const { stdout } = await box.succeed(['ls', '-q', 'latest', '/source'])
  expect(stdout).toContain('"/source/f\\xfe"\n"/source/f\\xff"\n"/source/red\\x1b[31m"\n')
})

test('20: a damaged directory is named, the rest is listed', async () => {
  const box = await newRepository()
  const packs = () => box.repositoryFiles().filter((path) => path.startsWith('packs/'))
  box.write('sub/inside', 'x')
  await box.succeed(['backup', '--no-cache', 'source'])
  const before = packs()
  // A second metadata pack that holds what is new: the node of `sub`, and those above it.
  box.write('other/fresh', 'y')
  await box.succeed(['backup', '--no-cache', 'source/other'])
  await box.succeed(['backup', '--no-cache', 'source'])
  const { stdout } = await box.succeed(['cat', '--json', 'tree', 'latest:source'])
  const { nodes } = JSON.parse(stdout)
  const { id } = nodes.find((node: { name: string }) => node.name === 'sub').subtree
  let damaged = 0
  for (const path of before) {
    const pack = path.slice(-64)
    const bytes = readFileSync(join(box.repository, path))
    for (const name of box.repositoryFiles('index')) {
      const { stdout: json } = await box.succeed(['cat', '--json', 'index', name.slice(-64)])
      const found = JSON.parse(json).packs.find((one: { id: string }) => one.id === pack)
      const blob = found?.blobs.find((one: { id: string }) => one.id === id)
      if (blob === undefined) continue
      bytes[found.segments[blob.segment].offset + 100]! ^= 1
      writeFileSync(join(box.repository, path), bytes)
      damaged++
    }
  }
  expect(damaged).toBe(1)
  const finished = await box.run(['ls', '-q', 'latest'])
  expect(finished.code).toBe(20)
  expect(finished.stderr).toContain('error: /source/sub: cannot read directory')
  expect(finished.stderr).toContain('Fatal: the listing is not complete')
  expect(finished.stdout).toContain('/source/other/fresh\n')
  expect(finished.stdout).toContain('/source/sub\n')
  expect(finished.stdout).not.toContain('/source/sub/inside')
  const json = await box.run(['ls', '--json', 'latest'])
  const [error] = jsonLines(json.stderr)
  expect(error).toMatchObject({ message_type: 'error', during: 'ls', item: '/source/sub' })
})
