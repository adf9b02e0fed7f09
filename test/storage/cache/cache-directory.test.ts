import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { nodeClock, nodeRandomness } from '../../../src/base/node-seams.ts'
import {
  type CacheDirectory,
  defaultCacheRoot,
  openCacheDirectory,
} from '../../../src/storage/cache/cache-directory.ts'
import { bytesFrom } from '../../contract/backend.ts'

const repositoryId = 'ab'.repeat(32)
const SIGNATURE = 'Signature: 8a477f597d28d172789f06886806bc55'

let folder: string
let root: string

beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'cairn-cache-'))
  root = join(folder, 'some', 'cairn')
})

afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

function open(at = root) {
  return openCacheDirectory({
    root: at,
    repositoryId,
    clock: nodeClock(),
    random: nodeRandomness(),
  })
}

function opened(): CacheDirectory {
  const { cache } = open()
  if (cache === undefined) throw new Error('no cache')
  return cache
}

/** Only what a user of the cache put there. */
function names(): string[] {
  const all = fs.readdirSync(join(root, repositoryId))
  return all.filter((name) => name !== 'CACHEDIR.TAG').sort()
}

describe('openCacheDirectory()', () => {
  test('makes private, tagged folders, and opens them again', () => {
    for (let round = 0; round < 2; round++) {
      const cache = opened()
      expect(cache.path).toBe(join(root, repositoryId))
      for (const path of [root, cache.path]) {
        expect(fs.statSync(path).mode & 0o777).toBe(0o700)
        const tag = fs.readFileSync(join(path, 'CACHEDIR.TAG'), 'utf8')
        expect(tag.startsWith(`${SIGNATURE}\n`)).toBe(true)
      }
    }
  })

  test('does not tag a folder that holds other things: a backup would leave them out', () => {
    fs.mkdirSync(root, { recursive: true, mode: 0o700 })
    fs.writeFileSync(join(root, 'thesis.odt'), 'mine')
    expect(fs.existsSync(join(opened().path, 'CACHEDIR.TAG'))).toBe(true)
    expect(fs.existsSync(join(root, 'CACHEDIR.TAG'))).toBe(false)
  })

  test('refuses a symbolic link, for all caches and for this one', () => {
    fs.mkdirSync(join(folder, 'elsewhere'), { mode: 0o700 })
    fs.mkdirSync(join(folder, 'some'))
    fs.symlinkSync(join(folder, 'elsewhere'), root)
    expect(open()).toEqual({ cache: undefined, reason: expect.stringContaining('symbolic link') })
    fs.rmSync(root)
    fs.mkdirSync(root, { mode: 0o700 })
    fs.symlinkSync(join(folder, 'elsewhere'), join(root, repositoryId))
    expect(open()).toEqual({ cache: undefined, reason: expect.stringContaining('symbolic link') })
    expect(fs.readdirSync(join(folder, 'elsewhere'))).toEqual([])
  })

  test.each([0o720, 0o702, 0o777])('refuses a folder with mode %o', (mode) => {
    const { path } = opened()
    for (const each of [root, path]) {
      fs.chmodSync(each, mode)
      expect(open()).toEqual({ cache: undefined, reason: expect.stringContaining('writable by') })
      fs.chmodSync(each, 0o755)
    }
    expect(open().cache).toBeDefined()
  })

  test('refuses a folder of another user', (ctx) => {
    if (process.geteuid?.() !== 0) return ctx.skip('needs root to give a folder away')
    const { path } = opened()
    for (const each of [root, path]) {
      fs.chownSync(each, 65_534, 65_534)
      expect(open()).toEqual({ cache: undefined, reason: expect.stringContaining('belongs to') })
      fs.chownSync(each, 0, 0)
    }
  })

  test('gives the reason where the folder cannot be made', () => {
    fs.writeFileSync(join(folder, 'file'), '')
    const inFile = open(join(folder, 'file', 'below'))
    expect(inFile).toEqual({ cache: undefined, reason: expect.stringContaining('ENOTDIR') })
    expect(open(join(folder, 'file')).cache).toBeUndefined()
  })

  test('takes no repository id that leads elsewhere', () => {
    for (const id of ['', '..', '../x', 'a/b', '.a']) {
      expect(() =>
        openCacheDirectory({
          root,
          repositoryId: id,
          clock: nodeClock(),
          random: nodeRandomness(),
        }),
      ).toThrow(RangeError)
    }
  })

  test('removes what a killed run left a day ago, and nothing younger', () => {
    const { path } = opened()
    for (const [name, ageHours] of [
      ['.tmp-index-00', 25],
      ['.tmp-index-01', 23],
      ['index', 1000],
    ] as const) {
      fs.writeFileSync(join(path, name), '')
      const seconds = Date.now() / 1000 - ageHours * 3600
      fs.utimesSync(join(path, name), seconds, seconds)
    }
    opened()
    expect(names()).toEqual(['.tmp-index-01', 'index'])
  })

  test('defaultCacheRoot() follows the XDG specification and macOS', () => {
    const home = { HOME: '/home/me' }
    expect(defaultCacheRoot(home, 'linux')).toBe('/home/me/.cache/cairn')
    expect(defaultCacheRoot(home, 'darwin')).toBe('/home/me/Library/Caches/cairn')
    expect(defaultCacheRoot({ ...home, XDG_CACHE_HOME: '/c' }, 'linux')).toBe('/c/cairn')
    for (const ignored of ['', 'relative/path']) {
      const environment = { ...home, XDG_CACHE_HOME: ignored }
      expect(defaultCacheRoot(environment, 'linux')).toBe('/home/me/.cache/cairn')
    }
  })
})

describe('CacheDirectory', () => {
  test('what is written is read, replaced as a whole and removed', () => {
    const cache = opened()
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => {
        cache.writeFileAtomically('scan.v1', bytes)
        expect(cache.readFile('scan.v1')).toEqual(new Uint8Array(bytes))
      }),
      { numRuns: 30 },
    )
    expect(names()).toEqual(['scan.v1'])
    expect(fs.statSync(join(cache.path, 'scan.v1')).mode & 0o777).toBe(0o600)
    cache.remove('scan.v1')
    cache.remove('scan.v1')
    expect(cache.readFile('scan.v1')).toBeUndefined()
    expect(cache.openForRead('scan.v1')).toBeUndefined()
    expect(names()).toEqual([])
  })

  test('openForRead() reads any part, and the old file after a new one took its place', () => {
    const cache = opened()
    const bytes = bytesFrom('old', 1000)
    cache.writeFileAtomically('file', bytes)
    const file = cache.openForRead('file')
    if (file === undefined) throw new Error('not there')
    cache.writeFileAtomically('file', new Uint8Array(3))
    expect(file.byteCount).toBe(1000)
    const into = new Uint8Array(20)
    expect(file.read(into, 5, 10, 990)).toBe(10)
    expect(into).toEqual(Uint8Array.of(0, 0, 0, 0, 0, ...bytes.slice(990), 0, 0, 0, 0, 0))
    expect(file.read(into, 0, 20, 995)).toBe(5)
    expect(file.read(into, 0, 20, 1000)).toBe(0)
    file.close()
    file.close()
    expect(() => file.read(into, 0, 1, 0)).toThrow('closed')
  })

  test('a writer shows nothing before commit, and nothing at all after discard', () => {
    const cache = opened()
    cache.writeFileAtomically('file', Uint8Array.of(1))
    const writer = cache.createWriter('file')
    writer.write(Uint8Array.of(2, 3))
    writer.write(new Uint8Array())
    writer.write(Uint8Array.of(4))
    expect(cache.readFile('file')).toEqual(Uint8Array.of(1))
    writer.commit()
    writer.discard()
    expect(cache.readFile('file')).toEqual(Uint8Array.of(2, 3, 4))
    const discarded = cache.createWriter('file')
    discarded.write(new Uint8Array(100))
    discarded.discard()
    discarded.discard()
    expect(() => discarded.write(Uint8Array.of(1))).toThrow('ended')
    expect(() => discarded.commit()).toThrow('ended')
    expect(cache.readFile('file')).toEqual(Uint8Array.of(2, 3, 4))
    expect(names()).toEqual(['file'])
  })

  test('two writers of one name do not disturb each other', () => {
    const cache = opened()
    const [first, second] = [cache.createWriter('file'), cache.createWriter('file')]
    first.write(Uint8Array.of(1))
    second.write(Uint8Array.of(2))
    second.commit()
    first.commit()
    expect(cache.readFile('file')).toEqual(Uint8Array.of(1))
    expect(names()).toEqual(['file'])
  })

  test('a failed commit throws a plain error and leaves nothing behind', () => {
    const cache = opened()
    fs.mkdirSync(join(cache.path, 'taken'))
    const writer = cache.createWriter('taken')
    writer.write(Uint8Array.of(1))
    expect(() => writer.commit()).toThrow()
    expect(() => cache.writeFileAtomically('taken', Uint8Array.of(1))).toThrow()
    expect(() => cache.readFile('taken')).toThrow('not a regular file')
    expect(names()).toEqual(['taken'])
  })

  test('a full disk fails a write, leaves nothing behind and keeps the old file', (ctx) => {
    const mount = join(folder, 'mnt')
    fs.mkdirSync(mount)
    try {
      const how = ['-t', 'tmpfs', '-o', 'size=256k,mode=700', 'tmpfs', mount]
      execFileSync('mount', how, { stdio: 'ignore' })
    } catch {
      return ctx.skip('needs root to mount a tmpfs')
    }
    try {
      root = join(mount, 'cairn')
      const cache = opened()
      cache.writeFileAtomically('file', bytesFrom('kept', 1000))
      expect(() => cache.writeFileAtomically('file', new Uint8Array(1_000_000))).toThrow('ENOSPC')
      expect(cache.readFile('file')).toEqual(bytesFrom('kept', 1000))
      expect(names()).toEqual(['file'])
    } finally {
      execFileSync('umount', [mount])
    }
  })

  test('links, FIFOs and a vanished folder are plain errors or nothing, and never block', () => {
    const cache = opened()
    fs.symlinkSync('/etc/passwd', join(cache.path, 'link'))
    execFileSync('mkfifo', [join(cache.path, 'fifo')])
    expect(() => cache.readFile('link')).toThrow('ELOOP')
    expect(() => cache.readFile('fifo')).toThrow('not a regular file')
    cache.writeFileAtomically('link', Uint8Array.of(7)) // Replaces the link, not what it names.
    expect(cache.readFile('link')).toEqual(Uint8Array.of(7))
    fs.rmSync(root, { recursive: true })
    expect(cache.readFile('link')).toBeUndefined()
    expect(() => cache.writeFileAtomically('link', Uint8Array.of(1))).toThrow('ENOENT')
    cache.remove('link')
  })

  test('takes no name that leads elsewhere', () => {
    const cache = opened()
    for (const name of ['', '.', '..', '../x', 'a/b', '.tmp-x', 'CACHEDIR.TAG', 'a\0b']) {
      expect(() => cache.readFile(name)).toThrow(RangeError)
      expect(() => cache.createWriter(name)).toThrow(RangeError)
      expect(() => cache.remove(name)).toThrow(RangeError)
    }
  })
})
