import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ByteString } from '../../src/base/bytes.ts'
import { accountNames } from '../../src/source/account-names.ts'
import { nodeRandomness } from '../../src/base/node-seams.ts'
import { libc } from '../../src/source/libc.ts'
import { nodeSourceFiles } from '../../src/source/node-source-files.ts'
import { nodeTargetFiles } from '../../src/source/node-target-files.ts'

const files = nodeSourceFiles()
const isRoot = process.geteuid?.() === 0
const latin1 = (path: ByteString) => Buffer.from(path, 'latin1')
let root: string

beforeAll(() => {
  root = fs.mkdtempSync(join(tmpdir(), 'cairn-source-'))
})
// Node's own rm overflows its stack on the deep trees here.
afterAll(() => void execFileSync('rm', ['-rf', '--', root]))

function makeDirectory(name: string): string {
  const path = join(root, name)
  fs.mkdirSync(path)
  return path
}

function readAll(path: ByteString): string {
  const file = files.open(path)
  const into = new Uint8Array(100)
  const byteCount = file.read(into, 0, into.length, 0)
  file.close()
  return Buffer.from(into.subarray(0, byteCount)).toString('latin1')
}

describe('names', () => {
  test('every byte but / and 0 is listed, found, opened and sorted by byte (E11, E12)', () => {
    const directory = makeDirectory('bytes')
    const names: string[] = []
    for (let byte = 1; byte < 256; byte++) {
      if (byte === 0x2f) continue
      const name = byte === 0x2e ? '.x' : String.fromCharCode(byte)
      fs.writeFileSync(latin1(`${directory}/${name}`), name, 'latin1')
      names.push(name)
    }
    expect(files.readDirectory(directory)).toEqual(names)
    for (const name of names) {
      expect(files.lstat(`${directory}/${name}`)).toMatchObject({
        type: 'file',
        size: 1 + +(name === '.x'),
      })
      expect(readAll(`${directory}/${name}`)).toBe(name)
    }
  })

  test('names that decode to the same text stay two (E12)', () => {
    const directory = makeDirectory('collapse')
    const names = [
      '\xc3',
      '\xc3\x28',
      '\xef\xbf\xbd',
      '\xfea',
      '\xffa',
      'e\xcc\x81',
      '\xc3\xa9',
    ].sort()
    for (const name of names) fs.writeFileSync(latin1(`${directory}/${name}`), name, 'latin1')
    expect(files.readDirectory(directory)).toEqual(names)
    for (const name of names) expect(readAll(`${directory}/${name}`)).toBe(name)
  })

  test('link targets are bytes', () => {
    const directory = makeDirectory('links')
    const target = Buffer.from('\xff/\xfe', 'latin1')
    fs.symlinkSync(target, join(directory, 'l'))
    expect(Buffer.from(files.readLink(join(directory, 'l')))).toEqual(target)
    expect(files.lstat(join(directory, 'l'))?.type).toBe('symlink')
  })
})

describe('lstat()', () => {
  test('is undefined for what is absent, and an error for what cannot be looked at', () => {
    fs.writeFileSync(join(root, 'plain'), '')
    expect(files.lstat(join(root, 'absent'))).toBeUndefined()
    expect(files.lstat(join(root, 'absent/below'))).toBeUndefined()
    expect(() => files.lstat(join(root, 'plain/below'))).toThrow(
      expect.objectContaining({ code: 'ENOTDIR' }),
    )
  })

  test.each([
    ['-2147483648000000000', '1901-12-13 20:45:52'],
    ['-1750000000', '1969-12-31 23:59:58.25'],
    ['-1', '1969-12-31 23:59:59.999999999'],
    ['0', '1970-01-01'],
    ['2147483648123456789', '2038-01-19 03:14:08.123456789'],
    ['4294967296000000001', '2106-02-07 06:28:16.000000001'],
    ['15032385535000000000', '2446-05-10 22:38:55'],
  ])('reads the time %s ns exactly (E19)', (ns, text) => {
    const path = join(root, 'timed')
    fs.writeFileSync(path, '')
    execFileSync('touch', ['-d', `${text} UTC`, path])
    expect(files.lstat(path)?.mtimeNs).toBe(BigInt(ns))
  })

  test('gives every figure of the entry', () => {
    const path = join(root, 'figures')
    fs.writeFileSync(path, 'abc', { mode: 0o600 })
    fs.chmodSync(path, 0o6741)
    fs.linkSync(path, `${path}2`)
    const stats = fs.lstatSync(path, { bigint: true })
    expect(files.lstat(path)).toEqual({
      type: 'file',
      mode: 0o6741,
      uid: process.getuid?.(),
      gid: Number(stats.gid),
      size: 3,
      mtimeNs: stats.mtimeNs,
      ctimeNs: stats.ctimeNs,
      atimeNs: stats.atimeNs,
      birthtimeNs: stats.birthtimeNs,
      dev: stats.dev,
      ino: stats.ino,
      linkCount: 2,
      rdev: 0n,
      blocks: Number(stats.blocks),
    })
    expect(files.lstat('/dev/null')).toMatchObject({ type: 'chardevice', rdev: 0x103n })
  })
})

describe('open()', () => {
  test('neither blocks on a FIFO nor opens it (E8)', () => {
    execFileSync('mkfifo', [join(root, 'fifo')])
    // To open it for reading would wait for somebody who writes, for ever.
    expect(() => files.open(join(root, 'fifo'))).toThrow('not a regular file')
  })

  test('rejects directories and devices, and leaks no descriptor', () => {
    const before = fs.readdirSync('/proc/self/fd').length
    for (let round = 0; round < 20; round++) {
      expect(() => files.open(root)).toThrow(expect.objectContaining({ code: 'EISDIR' }))
      expect(() => files.open('/dev/null')).toThrow(expect.objectContaining({ code: 'EINVAL' }))
    }
    expect(fs.readdirSync('/proc/self/fd').length).toBe(before)
  })

  test('does not follow a link put in the place of a file since its lstat (E6)', () => {
    const path = join(root, 'swapped')
    fs.writeFileSync(path, 'mine')
    expect(files.lstat(path)?.type).toBe('file')
    fs.rmSync(path)
    fs.symlinkSync('/etc/passwd', path)
    expect(() => files.open(path)).toThrow(expect.objectContaining({ code: 'ELOOP', path }))
  })

  test('readDirectory() does not follow one put in the place of a directory (E6)', () => {
    const path = makeDirectory('swapped-directory')
    fs.rmdirSync(path)
    fs.symlinkSync('/etc', path)
    expect(() => files.readDirectory(path)).toThrow(
      expect.objectContaining({ code: 'ENOTDIR', path }),
    )
    expect(files.readDirectory(`${path}/.`)).toContain('passwd')
  })

  const inProc = '/proc/sys/kernel/ostype'
  test.skipIf(!fs.existsSync(inProc))(
    'reads files for whose reads the kernel has not as much memory as is asked for (E8)',
    () => {
      const file = files.open(inProc)
      const into = new Uint8Array(8 << 20)
      const byteCount = file.read(into, 0, into.length, 0)
      expect(Buffer.from(into.subarray(0, byteCount)).toString()).toBe('Linux\n')
      expect(file.read(into, byteCount, into.length - byteCount, byteCount)).toBe(0)
      file.close()
    },
  )

  test('statNow() sees what changed since', () => {
    const path = join(root, 'growing')
    fs.writeFileSync(path, 'a')
    const file = files.open(path)
    fs.appendFileSync(path, 'b')
    expect([file.stat.size, file.statNow().size]).toEqual([1, 2])
    file.close()
  })

  test('leaves atime alone', () => {
    const path = join(root, 'atime')
    fs.writeFileSync(path, 'a')
    fs.utimesSync(path, 1_000, 2_000)
    readAll(path)
    expect(files.lstat(path)?.atimeNs).toBe(1_000_000_000_000n)
  })

  test.skipIf(!isRoot)(
    "reads a file of somebody else's without O_NOATIME (skipped unless root)",
    () => {
      const path = join(root, 'foreign')
      fs.chmodSync(root, 0o755)
      fs.writeFileSync(path, 'theirs', { mode: 0o644 })
      fs.writeFileSync(join(root, 'private'), 'theirs', { mode: 0o600 })
      process.seteuid?.(65_534)
      try {
        expect(readAll(path)).toBe('theirs')
        expect(() => files.open(join(root, 'private'))).toThrow(
          expect.objectContaining({ code: 'EACCES' }),
        )
      } finally {
        process.seteuid?.(0)
      }
    },
  )
})

describe('paths longer than the kernel takes (E13)', () => {
  test.each([
    ['2,100 levels', 2_100, 'd'],
    ['long names', 40, 'n'.repeat(250)],
    ['names that are no ASCII', 25, '\xe9'.repeat(200)],
  ])('%s', (title, depth, name) => {
    const base = makeDirectory(title)
    const before = fs.readdirSync('/proc/self/fd').length
    const target = nodeTargetFiles({ randomness: nodeRandomness() }).openTarget(base)
    const names = Array.from({ length: depth }, () => name)
    for (let level = 1; level <= depth; level++)
      target.makeDirectory(names.slice(0, level).join('/'))
    const bottom = names.join('/')
    target.writeWholeFile(`${bottom}/file`, Buffer.from('deep'), {}, { overwrite: false })
    target.makeSymlink(`${bottom}/link`, Buffer.from('to'), { overwrite: false })
    target.close()
    let path: ByteString = base
    for (let level = 0; level < depth; level++) {
      expect(files.lstat(path)?.type).toBe('directory')
      expect(files.readDirectory(path)).toEqual([name])
      path += `/${name}`
    }
    expect(path.length).toBeGreaterThan(4_200)
    expect(files.readDirectory(path)).toEqual(['file', 'link'])
    expect(files.lstat(`${path}/file`)).toMatchObject({ type: 'file', size: 4 })
    expect(files.lstat(`${path}/absent`)).toBeUndefined()
    expect(files.lstat(`${base}/x${path.slice(base.length)}`)).toBeUndefined()
    expect(readAll(`${path}/file`)).toBe('deep')
    expect(Buffer.from(files.readLink(`${path}/link`)).toString()).toBe('to')
    expect(() => files.open(`${path}/link`)).toThrow(expect.objectContaining({ code: 'ELOOP' }))
    expect(fs.readdirSync('/proc/self/fd').length).toBe(before)
  })
})

test('readAhead() never throws, keeps nothing open and touches no access time', () => {
  const directory = makeDirectory('ahead')
  const path = (name: string) => join(directory, name)
  fs.writeFileSync(path('file'), 'content')
  fs.utimesSync(path('file'), 1_000_000_000, 1_000_000_000)
  fs.symlinkSync('file', path('link'))
  execFileSync('mkfifo', [path('fifo')])
  const open = () => (fs.existsSync('/proc/self/fd') ? fs.readdirSync('/proc/self/fd').length : 0)
  const before = open()
  const deep = `${directory}/${'x/'.repeat(5000)}`
  for (const at of ['file', 'link', 'fifo', 'absent', '.'].map(path).concat(deep)) {
    expect(() => files.readAhead?.(at), at).not.toThrow()
  }
  expect(open()).toBe(before)
  expect(readAll(path('file'))).toBe('content')
  if (isRoot) expect(fs.statSync(path('file')).atimeMs).toBe(1_000_000_000_000)
})

test('accountNames() reads the first line of each id, and nothing else', () => {
  const passwd = join(root, 'passwd')
  fs.writeFileSync(
    passwd,
    'root:x:0:0:r:/:/bin/sh\ntoor:x:0:0\n+nis\nbad:x:q:1\nbig:x:4294967294:1\n\n',
  )
  const names = accountNames(passwd, join(root, 'absent'))
  expect([0, 1, 4_294_967_294].map(names.userName)).toEqual(['root', undefined, 'big'])
  expect(names.groupName(0)).toBeUndefined()
  expect(files.userName(0)).toBe('root')
  expect(files.groupName(0)).toBe('root')
})

test('libc() is there on the systems it is made for', () => {
  const isExpected = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch)
  expect(libc() !== undefined).toBe(isExpected)
})
