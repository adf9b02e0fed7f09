/** What there can be in a source comes back from a restore as it was. */

import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { libc } from '../../src/source/libc.ts'
import { isRoot, newRepository, type Box, settle } from '../support/run-cairn.ts'

const noise = (byteCount: number) =>
  Buffer.from(Uint8Array.from({ length: byteCount }, (_, i) => (i * 2_654_435_761) >>> 24))

/** Everything below a directory but what is in files; `find` goes as deep as there is anything. */
function listing(directory: string): string[] {
  const format = '%P|%y|%m|%U:%G|%T@|%l|%n\\n'
  const text = execFileSync('find', ['.', '-mindepth', '1', '-printf', format], {
    cwd: directory,
    encoding: 'latin1',
    maxBuffer: 1 << 28,
  })
  return text.split('\n').sort()
}

/** Backs up the source, restores it elsewhere and returns where it is. */
async function roundTrip(box: Box, flags: readonly string[] = []): Promise<string> {
  await box.succeed(['backup', '-q', ...flags, box.source])
  const target = join(box.path, 'target')
  const restored = await box.run(['restore', 'latest', '-q', '-t', target])
  expect(restored.stderr).toBe('')
  expect(restored.code).toBe(0)
  return join(target, box.source)
}

test('E10: a sparse file of 1 TiB comes back sparse, with its three islands', async () => {
  const box = await newRepository()
  const size = 2 ** 40
  const path = box.write('big', '')
  const islands = [70_000, 2 ** 39 + 11, size - 30_000]
  const bytes = noise(30_000)
  const written = fs.openSync(path, 'r+')
  fs.ftruncateSync(written, size)
  for (const position of islands) fs.writeSync(written, bytes, 0, bytes.length, position)
  fs.closeSync(written)
  const source = await roundTrip(box)
  const stat = fs.statSync(join(source, 'big'))
  expect(stat.size).toBe(size)
  expect(stat.blocks * 512).toBeLessThan(16 << 20)
  const restored = fs.openSync(join(source, 'big'), 'r')
  onTestFinished(() => fs.closeSync(restored))
  const found = Buffer.alloc(bytes.length + 2)
  for (const position of islands) {
    const isLast = position + bytes.length === size
    const count = fs.readSync(restored, found, 0, found.length, position - 1)
    expect(count).toBe(isLast ? bytes.length + 1 : found.length)
    expect(found.subarray(1, 1 + bytes.length).equals(bytes)).toBe(true)
    expect([found[0], isLast ? 0 : found.at(-1)]).toEqual([0, 0])
  }
})

test('E13: 2,000 levels, and paths longer than the system takes, come back', async () => {
  const box = await newRepository()
  const script = [
    'import os, sys',
    'def dig(name, depth):',
    '  os.chdir(sys.argv[1])',
    '  for i in range(depth):',
    '    os.mkdir(name); os.chdir(name)',
    '  open("bottom", "w").write(name)',
    '  os.symlink("to", "link")',
    'dig("d", 2000)',
    'dig("long" * 60, 30)',
  ].join('\n')
  execFileSync('python3', ['-c', script, box.source])
  // Node's own rm overflows its stack on these.
  onTestFinished(() => void execFileSync('rm', ['-rf', '--', box.path]))
  const source = await roundTrip(box)
  const expected = listing(box.source)
  expect(expected).toHaveLength(1 + 1 + 2000 + 30 + 4)
  expect(listing(source)).toEqual(expected)
  const bottoms = (directory: string) =>
    execFileSync('find', ['.', '-name', 'bottom', '-execdir', 'cat', '{}', ';'], {
      cwd: directory,
      encoding: 'utf8',
    })
  expect(bottoms(source)).toBe(bottoms(box.source))
})

test('E14: hard links are one file again, in whatever directories; a subset has the content', async () => {
  const box = await newRepository()
  for (const directory of ['a', 'b', 'c', 'left-out']) fs.mkdirSync(join(box.source, directory))
  const file = box.write('a/one', 'shared content')
  for (const name of ['a/two', 'b/three', 'left-out/four']) {
    fs.linkSync(file, join(box.source, name))
  }
  // Of this one only one name is in the snapshot.
  fs.linkSync(box.write('left-out/alone', 'the only one'), join(box.source, 'c/alone'))
  const source = await roundTrip(box, ['--exclude', join(box.source, 'left-out')])
  const [first, ...others] = ['a/one', 'a/two', 'b/three'].map((name) =>
    fs.statSync(join(source, name)),
  )
  expect(others.map(({ ino }) => ino)).toEqual([first?.ino, first?.ino])
  expect(first?.nlink).toBe(3)
  expect(fs.readFileSync(join(source, 'b/three'), 'utf8')).toBe('shared content')
  expect(fs.readFileSync(join(source, 'c/alone'), 'utf8')).toBe('the only one')
  const target = join(box.path, 'subset')
  const pattern = join(box.source, 'b')
  await box.succeed(['restore', 'latest', '-q', '-t', target, '--include', pattern])
  expect(fs.readFileSync(join(target, box.source, 'b/three'), 'utf8')).toBe('shared content')
})

test('E14: several names of one symlink or FIFO are one again; unchanged ones rest on the cache', async () => {
  const box = await newRepository()
  for (const directory of ['a', 'b', 'left-out']) fs.mkdirSync(join(box.source, directory))
  fs.symlinkSync('nowhere', join(box.source, 'a/link'))
  execFileSync('mkfifo', [join(box.source, 'a/pipe')])
  for (const name of ['link', 'pipe']) {
    for (const directory of ['b', 'left-out']) {
      fs.linkSync(join(box.source, 'a', name), join(box.source, directory, name))
    }
  }
  await settle()
  const flags = ['--exclude', join(box.source, 'left-out')]
  const source = await roundTrip(box, flags)
  // Without the directories above the source: others work there.
  const relative = ['backup', '-q', '--exclude', 'left-out', 'source']
  await box.succeed(relative)
  const again = await box.succeed([...relative, '--json'])
  expect(JSON.parse(again.stdout)).toMatchObject({ dirs_changed: 0, dirs_new: 0, tree_blobs: 0 })
  for (const name of ['link', 'pipe']) {
    const [first, second] = ['a', 'b'].map((directory) =>
      fs.lstatSync(join(source, directory, name)),
    )
    expect(second?.ino).toBe(first?.ino)
    expect(first?.nlink).toBe(2)
  }
  // A name more: the entries say so now, though nothing else about them is different.
  fs.symlinkSync('x', join(box.source, 'a/single'))
  await box.succeed(['backup', '-q', ...flags, box.source])
  fs.linkSync(join(box.source, 'a/single'), join(box.source, 'b/single'))
  await box.succeed(['backup', '-q', ...flags, box.source])
  const target = join(box.path, 'chosen')
  const patterns = ['a/single', 'b/single', 'b/pipe'].flatMap((path) => [
    '--include',
    join(box.source, path),
  ])
  await box.succeed(['restore', 'latest', '-q', '-t', target, ...patterns])
  const stat = (path: string) => fs.lstatSync(join(target, box.source, path))
  expect([stat('a/single').ino, stat('a/single').nlink]).toEqual([stat('b/single').ino, 2])
  expect(stat('b/pipe').nlink).toBe(1)
})

test('E15: links are saved as links, wherever they lead; one on the way to a source is followed', async () => {
  const box = await newRepository()
  fs.mkdirSync(join(box.source, 'directory'))
  box.write('directory/file', 'content')
  const targets = [
    'nowhere',
    'itself',
    '..',
    '/etc',
    `/${'x/'.repeat(2_000)}y`,
    'directory',
    '\\n ',
  ]
  targets.forEach((target, i) => fs.symlinkSync(target, join(box.source, `link${i}`)))
  fs.symlinkSync('itself', join(box.source, 'itself'))
  const source = await roundTrip(box)
  expect(listing(source)).toEqual(listing(box.source))
  const link = join(box.source, 'link5')
  await box.succeed(['backup', '-q', link])
  expect(await box.list()).toEqual(['link5'])
  await box.succeed(['backup', '-q', join(link, 'file')])
  expect(await box.list()).toEqual(['link5', 'link5/file'])
})

test.skipIf(!isRoot)(
  'E16: mounts are walked once; -x leaves out their contents (needs root)',
  async () => {
    const box = await newRepository()
    for (const directory of ['a', 'bind', 'mount']) fs.mkdirSync(join(box.source, directory))
    box.write('a/file')
    fs.mkdirSync(join(box.source, 'a/up'))
    const mounts =
      'cd "$0" && mount -t tmpfs none mount && echo inside > mount/inside && mount --bind a bind && mount --bind . a/up && exec "$@"'
    for (const flags of [[], ['-x']]) {
      const { command, args, env } = box.command(['backup', '-q', ...flags, box.source])
      execFileSync('unshare', ['-m', 'sh', '-c', mounts, box.source, command, ...args], {
        env,
        timeout: 60_000,
      })
      const found = await box.list()
      expect(found).toContain('bind/file')
      expect(found).toContain('a/up/a/file')
      expect(found.includes('mount/inside')).toBe(flags.length === 0)
      expect(found).toContain('mount')
    }
  },
)

test.skipIf(!isRoot)('E8 E18: modes, owners and special files come back (needs root)', async () => {
  const box = await newRepository()
  const own = (name: string, mode: number, uid = 0, gid = 0) => {
    const path = join(box.source, name)
    fs.lchownSync(path, uid, gid)
    fs.chmodSync(path, mode)
  }
  for (const [name, mode] of [
    ['setuid', 0o4755],
    ['setgid', 0o2755],
    ['both', 0o6711],
    ['none', 0],
  ] as const) {
    box.write(name)
    own(name, mode, 12_345, 54_321)
  }
  box.write('last')
  own('last', 0o600, 4_294_967_294, 4_294_967_294)
  for (const [name, mode] of [
    ['sticky', 0o1777],
    ['inherits', 0o2775],
    ['closed', 0],
  ] as const) {
    fs.mkdirSync(join(box.source, name))
    box.write(`${name}/inside`)
    own(name, mode, 1, 2)
  }
  execFileSync('mkfifo', [join(box.source, 'pipe')])
  execFileSync('mknod', [join(box.source, 'character'), 'c', '511', '1048575'])
  execFileSync('mknod', [join(box.source, 'block'), 'b', '7', '300'])
  const source = await roundTrip(box)
  expect(listing(source)).toEqual(listing(box.source))
  for (const name of ['character', 'block']) {
    expect(fs.statSync(join(source, name)).rdev).toBe(fs.statSync(join(box.source, name)).rdev)
  }
})

test('E19: times from 1901 to 2446 come back to the nanosecond; --with-atime keeps those of access', async () => {
  const box = await newRepository()
  const functions = libc()
  if (functions === undefined) throw new Error('this test needs libc')
  const times = [-2_147_483_648n, -1n, 0n, 2_147_483_648n, 4_294_967_296n, 15_032_385_535n]
  const names = times.map((seconds, i) => {
    const ns = seconds * 1_000_000_000n + (i % 2 === 0 ? 0n : 999_999_999n)
    const path = box.write(`time${i}`)
    // The last second that ext4 has is one without a fraction.
    const mtime = i === times.length - 1 ? seconds * 1_000_000_000n : ns
    functions.utimensat(path, 1_234_567_890_123_456_789n + BigInt(i), mtime, false)
    return `time${i}`
  })
  fs.mkdirSync(join(box.source, 'directory'))
  functions.utimensat(join(box.source, 'directory'), 'omit', -1n, false)
  const stats = (directory: string) =>
    names.map((name) => {
      const { mtimeNs, atimeNs } = fs.lstatSync(join(directory, name), { bigint: true })
      return { mtimeNs, atimeNs }
    })
  const before = stats(box.source)
  const source = await roundTrip(box, ['--with-atime'])
  expect(stats(source)).toEqual(before)
  expect(stats(box.source), 'reading leaves the times of access alone').toEqual(before)
  expect(fs.lstatSync(join(source, 'directory'), { bigint: true }).mtimeNs).toBe(-1n)
})

/** How many: 1,000,000 take a minute and 600 MB. */
const SIBLINGS = Number(process.env['CAIRN_DIRECTORY_FILES'] ?? 30_000)

test(`E20: ${SIBLINGS} files in one directory are saved and listed in bounded memory`, async () => {
  const box = await newRepository()
  const directory = join(box.source, 'many')
  fs.mkdirSync(directory)
  for (let i = 0; i < SIBLINGS; i++) {
    fs.closeSync(fs.openSync(`${directory}/${'long-name-'.repeat(10)}${i}`, 'w'))
  }
  const heapMib = 48 + Math.ceil(SIBLINGS / 2_000)
  const environment = { NODE_OPTIONS: `--max-old-space-size=${heapMib}` }
  await box.succeed(['backup', '-q', box.source], { environment })
  const { stdout } = await box.succeed(['ls', '-q', 'latest'], { environment })
  expect(stdout.split(`${dirname(`${directory}/x`)}/`).length - 1).toBe(SIBLINGS)
})
