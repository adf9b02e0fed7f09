import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { bytesOf } from '../../src/base/bytes.ts'
import { isTemporaryName } from '../../src/source/target-files.ts'
import { failing, isRoot, KEEP, REPLACE, text, useTarget } from './target-fixture.ts'

describe.each([true, false])('a target, with descriptors: %s', (useDescriptors) => {
  const at = useTarget(useDescriptors)

  test('openTarget() makes the root and its parents private', () => {
    const deep = at.files.openTarget(`${at.root}/x/y`)
    expect(fs.statSync(`${at.root}/x/y`).mode & 0o777).toBe(0o700)
    expect(fs.statSync(`${at.root}/x`).mode & 0o777).toBe(0o700)
    deep.close()
    fs.writeFileSync(`${at.root}/file`, '')
    expect(() => at.files.openTarget(`${at.root}/file`)).toThrow(failing('EEXIST'))
  })

  test('keeps every byte of names (E11, E12)', () => {
    const names = [
      '\xc3\x28',
      '\xfe',
      '\xff',
      '-rf',
      ' ',
      'a\nb',
      '\x1b[31m',
      'n'.repeat(255),
    ].sort()
    at.target.makeDirectory('\xe9')
    for (const name of names) at.write(`\xe9/${name}`, name)
    expect(at.target.readDirectory('\xe9')).toEqual(names)
    for (const name of names)
      expect(at.read(`\xe9/${name}`)).toBe(Buffer.from(name, 'utf8').toString('latin1'))
    expect(() => at.write('x'.repeat(256), '')).toThrow(failing('ENAMETOOLONG'))
  })

  test('writeWholeFile() sets mode, owner and times to the nanosecond', () => {
    const owner = isRoot ? { uid: 12_345, gid: 4_294_967_294 } : {}
    const metadata = { mode: 0o640, ...owner, mtimeNs: 1_700_000_000_123_456_789n, atimeNs: -1n }
    at.write('file', 'content', metadata)
    expect(at.target.lstat('file')).toMatchObject({ type: 'file', size: 7, ...metadata })
    const shown = execFileSync('stat', ['-c', '%.9Y %a', join(at.root, 'file')], {
      encoding: 'utf8',
    })
    expect(shown.trim()).toBe('1700000000.123456789 640')
    expect(at.target.readDirectory('')).toEqual(['file'])
  })

  test.each([
    ['1901-12-13', -2_147_483_648_000_000_000n],
    ['1900', -2_208_988_800_123_456_789n],
    ['1969', -1_750_000_000n],
    ['the last nanosecond before 1970', -1n],
    ['1970', 0n],
    ['2038', 2_147_483_648_999_999_999n],
    ['2106', 4_294_967_296_000_000_001n],
    ['2446-05-10', 15_032_385_535_000_000_000n],
    ['9999', 253_402_300_799_000_000_000n],
    ['the end of 64 bits', 9_223_372_036_854_775_807n * 1_000_000_000n],
  ])('sets the time %s, or says that it could not (E19)', (_, mtimeNs) => {
    const [failure, ...more] = at.target.writeWholeFile('timed', text(''), { mtimeNs }, REPLACE)
    const found = at.target.lstat('timed')?.mtimeNs
    expect(more).toEqual([])
    expect(found === mtimeNs || failure?.what === 'times').toBe(true)
    if (mtimeNs >= -2_147_483_648_000_000_000n && mtimeNs <= 15_032_385_535_000_000_000n) {
      expect(found).toBe(mtimeNs)
    }
  })

  test.skipIf(!isRoot)(
    'keeps setuid and setgid through the change of owner (E18; skipped unless root)',
    () => {
      at.write('program', '', { mode: 0o6755, uid: 1, gid: 2 })
      expect(at.target.lstat('program')).toMatchObject({ mode: 0o6755, uid: 1, gid: 2 })
    },
  )

  test('a file is private and under another name until it is whole (R8)', () => {
    const umask = process.umask(0)
    const file = at.target.createFile('secret')
    process.umask(umask)
    const [temporary = ''] = at.target.readDirectory('')
    expect(isTemporaryName(temporary)).toBe(true)
    file.write(text('..secret..'), 2, 6, 3)
    expect(at.target.lstat(temporary)).toMatchObject({ mode: 0o600, size: 9 })
    expect(file.setMetadata({ mode: 0o644 })).toEqual([])
    file.commit(KEEP)
    file.discard()
    expect(at.target.readDirectory('')).toEqual(['secret'])
    expect(at.read('secret')).toBe('\0\0\0secret')
  })

  test('truncate() makes holes, discard() leaves nothing', () => {
    const file = at.target.createFile('sparse')
    file.truncate(10_000_000)
    file.write(text('x'), 0, 1, 5_000_000)
    file.commit(KEEP)
    const stat = at.target.lstat('sparse')
    expect(stat?.size).toBe(10_000_000)
    expect(stat?.blocks).toBeLessThan(100)
    const other = at.target.createFile('other')
    other.discard()
    other.discard()
    expect(at.target.readDirectory('')).toEqual(['sparse'])
  })

  test('without overwrite nothing is replaced, and commit can be repeated', () => {
    at.write('file', 'old')
    expect(() => at.target.writeWholeFile('file', text('new'), {}, KEEP)).toThrow(failing('EEXIST'))
    expect(at.target.readDirectory('')).toEqual(['file'])
    const file = at.target.createFile('file')
    file.write(text('new'), 0, 3, 0)
    expect(() => file.commit(KEEP)).toThrow(failing('EEXIST'))
    expect(at.read('file')).toBe('old')
    file.commit(REPLACE)
    expect(at.read('file')).toBe('new')
    for (const make of [
      () => at.target.makeSymlink('file', text('x'), KEEP),
      () => at.target.makeHardLink('file', 'file', KEEP),
      () => at.target.makeSpecial('file', 'fifo', 0n, KEEP),
    ]) {
      expect(make).toThrow(failing('EEXIST'))
    }
    expect(at.target.readDirectory('')).toEqual(['file'])
  })

  test('a directory is never replaced by a file', () => {
    at.target.makeDirectory('d')
    expect(() => at.write('d', '')).toThrow(failing('EISDIR'))
    expect(() => at.target.writeWholeFile('d', text(''), {}, KEEP)).toThrow(failing('EEXIST'))
    expect(() => at.target.makeSymlink('d', text('x'), REPLACE)).toThrow(failing('EISDIR'))
    expect(at.target.readDirectory('')).toEqual(['d'])
  })

  test('setMetadata() changes a link itself, and only what is of the expected type', () => {
    fs.writeFileSync(join(at.root, 'file'), '', { mode: 0o600 })
    at.target.makeSymlink('link', text('file'), KEEP)
    at.target.makeDirectory('d')
    const times = { mtimeNs: -1_000_000_001n, atimeNs: 1_234_567_891_234_567_891n }
    const owner = isRoot ? { uid: 5, gid: 6 } : {}
    expect(at.target.setMetadata('link', 'symlink', { mode: 0o777, ...owner, ...times })).toEqual(
      [],
    )
    expect(at.target.lstat('link')).toMatchObject({ type: 'symlink', ...owner, ...times })
    expect(at.target.lstat('file')).toMatchObject({ mode: 0o600, uid: process.getuid?.() })
    expect(at.target.setMetadata('d', 'directory', { mode: 0o1550, ...owner, ...times })).toEqual(
      [],
    )
    expect(at.target.lstat('d')).toMatchObject({ mode: 0o1550, ...owner, ...times })
    expect(at.target.setMetadata('', 'directory', { mode: 0o750, mtimeNs: 9n })).toEqual([])
    expect(at.target.lstat('')).toMatchObject({ mode: 0o750, mtimeNs: 9n })
    for (const [name, type] of [
      ['file', 'directory'],
      ['link', 'directory'],
      ['d', 'symlink'],
      ['file', 'fifo'],
    ] as const) {
      expect(() => at.target.setMetadata(name, type, { mode: 0o777 })).toThrow(failing('EINVAL'))
    }
    expect(() => at.target.setMetadata('absent', 'directory', {})).toThrow(failing('ENOENT'))
  })

  test('makeSymlink() keeps the bytes of its target', () => {
    const long = `${'\xff'.repeat(4_000)}/../x`
    at.target.makeSymlink('link', bytesOf(long), KEEP)
    expect(Buffer.from(at.target.readLink('link')).toString('latin1')).toBe(long)
    at.target.makeSymlink('link', text('/etc/passwd'), REPLACE)
    expect(Buffer.from(at.target.readLink('link')).toString()).toBe('/etc/passwd')
    expect(at.target.readDirectory('')).toEqual(['link'])
    expect(() => at.target.makeSymlink('long', bytesOf('x'.repeat(5_000)), REPLACE)).toThrow(
      failing('ENAMETOOLONG'),
    )
  })

  test('makeSpecial() makes a FIFO, and devices for root', () => {
    at.target.makeSpecial('fifo', 'fifo', 0n, KEEP)
    at.target.makeSpecial('socket', 'socket', 0n, KEEP)
    at.target.makeSpecial('fifo', 'fifo', 0n, REPLACE)
    expect(at.target.setMetadata('fifo', 'fifo', { mode: 0o622, mtimeNs: 3n })).toEqual([])
    expect(at.target.lstat('fifo')).toMatchObject({ type: 'fifo', mode: 0o622, mtimeNs: 3n })
    expect(at.target.lstat('socket')?.type).toBe('socket')
    if (isRoot) {
      at.target.makeSpecial('null', 'chardevice', 0x103n, KEEP)
      expect(at.target.lstat('null')).toMatchObject({
        type: 'chardevice',
        rdev: 0x103n,
        mode: 0o600,
      })
    }
    expect(() => at.target.makeSpecial('x', 'file', 0n, KEEP)).toThrow(failing('EINVAL'))
  })

  test('remove() empties a directory without following links', () => {
    for (const path of ['d', 'd/a', 'd/a/b', 'd/\xff']) at.target.makeDirectory(path)
    for (const path of ['d/1', 'd/a/2', 'd/a/b/3', 'd/\xff/\xfe']) at.write(path, '')
    fs.symlinkSync(at.outside, join(at.root, 'd/a/out'))
    fs.symlinkSync(at.outside, join(at.root, 'out'))
    at.target.remove('d')
    at.target.remove('out')
    at.target.remove('absent')
    at.target.remove('absent/below')
    expect(at.target.readDirectory('')).toEqual([])
    expect(at.target.lstat('d/a/b')).toBeUndefined()
    at.target.makeDirectory('d')
    at.write('d/1', 'again')
    expect(at.read('d/1')).toBe('again')
  })
})
