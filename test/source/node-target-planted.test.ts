import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { BugError } from '../../src/base/errors.ts'
import { nodeTargetFiles } from '../../src/source/node-target-files.ts'
import { isTemporaryName, temporaryName, validateComponent } from '../../src/source/target-files.ts'
import { failing, isRoot, KEEP, REPLACE, temporaryRoot, text, useTarget } from './target-fixture.ts'

const base = temporaryRoot()

describe.each([true, false])('a target, with descriptors: %s', (useDescriptors) => {
  const at = useTarget(useDescriptors)

  test('makeDirectory() accepts a real directory and nothing else (M4)', () => {
    expect(at.target.makeDirectory('d')).toBe('created')
    expect(fs.statSync(join(at.root, 'd')).mode & 0o777).toBe(0o700)
    expect(at.target.makeDirectory('d')).toBe('existing')
    fs.symlinkSync(at.outside, join(at.root, 'link'))
    at.write('file', '')
    expect(() => at.target.makeDirectory('link')).toThrow(failing('EEXIST'))
    expect(() => at.target.makeDirectory('file')).toThrow(failing('EEXIST'))
    expect(() => at.target.makeDirectory('absent/d')).toThrow(failing('ENOENT'))
  })

  test('no operation goes through a planted link (M2, M4)', () => {
    at.target.makeDirectory('real')
    fs.symlinkSync(at.outside, join(at.root, 'evil'))
    fs.symlinkSync('../real', join(at.root, 'real/up'))
    for (const parent of ['evil', 'real/up', 'real/up/up']) {
      const path = `${parent}/victim`
      for (const operation of [
        () => at.target.lstat(path),
        () => at.target.readDirectory(parent),
        () => at.target.readLink(path),
        () => at.target.makeDirectory(`${parent}/new`),
        () => at.target.createFile(path),
        () => at.target.writeWholeFile(path, text('x'), { mode: 0o777 }, REPLACE),
        () => at.target.openExisting(path),
        () => at.target.makeSymlink(path, text('x'), REPLACE),
        () => at.target.makeHardLink('stolen', path, REPLACE),
        () => at.target.makeHardLink(path, 'real', REPLACE),
        () => at.target.makeSpecial(path, 'fifo', 0n, REPLACE),
        () => at.target.setMetadata(path, 'directory', { mode: 0o777 }),
        () => at.target.setMetadata(parent, 'directory', { mode: 0o777, mtimeNs: 0n }),
        () => at.target.remove(path),
      ]) {
        expect(operation).toThrow(
          expect.objectContaining({ code: expect.stringMatching(/ENOTDIR|EINVAL/) }),
        )
      }
    }
    expect(at.target.readDirectory('')).toEqual(['evil', 'real'])
  })

  test('what is planted at the name of a file is replaced, not written (M4)', () => {
    fs.symlinkSync(join(at.outside, 'victim'), join(at.root, 'link'))
    fs.linkSync(join(at.outside, 'victim'), join(at.root, 'hard'))
    execFileSync('mkfifo', [join(at.root, 'fifo')])
    for (const name of ['link', 'hard', 'fifo']) {
      at.write(name, name, { mode: 0o666, mtimeNs: 5n })
      expect(at.target.lstat(name)).toMatchObject({ type: 'file', linkCount: 1, mode: 0o666 })
      expect(at.read(name)).toBe(name)
    }
  })

  test('openExisting() follows no link and waits for no FIFO (M4)', () => {
    fs.symlinkSync(join(at.outside, 'victim'), join(at.root, 'link'))
    execFileSync('mkfifo', [join(at.root, 'fifo')])
    expect(() => at.target.openExisting('link')).toThrow(failing('ELOOP'))
    expect(() => at.target.openExisting('fifo')).toThrow(failing('EINVAL'))
    at.write('file', 'content')
    const file = at.target.openExisting('file')
    const into = new Uint8Array(4)
    expect(file.read(into, 1, 3, 4)).toBe(3)
    expect(Buffer.from(into).toString()).toBe('\0ent')
    expect(file.statNow().size).toBe(7)
    file.close()
  })

  test('adopt() changes only a file that cannot be anybody else’s (M4)', () => {
    fs.linkSync(join(at.outside, 'victim'), join(at.root, 'hard'))
    at.write('file', 'x', { mode: 0o600 })
    const hard = at.target.openExisting('hard')
    expect(hard.adopt({ mode: 0o777 })).toBeUndefined()
    hard.close()
    const file = at.target.openExisting('file')
    expect(file.adopt({ mode: 0o4755 })).toBeUndefined()
    expect(at.target.lstat('file')?.mode).toBe(0o600)
    expect(file.adopt({ mode: 0o640, mtimeNs: 7n })).toEqual([])
    expect(at.target.lstat('file')).toMatchObject({ mode: 0o640, mtimeNs: 7n })
    if (isRoot) {
      fs.chownSync(join(at.root, 'file'), 77, 77)
      expect(file.adopt({ mode: 0o644, uid: 0 })).toBeUndefined()
      expect(file.adopt({ mode: 0o644, uid: 77 })).toEqual([])
    }
    file.close()
  })

  test('makeHardLink() links regular files of the target only, if told nothing else (M3)', () => {
    at.write('file', 'x')
    at.target.makeDirectory('d')
    at.target.makeHardLink('d/two', 'file', KEEP)
    expect(at.target.lstat('d/two')?.ino).toBe(at.target.lstat('file')?.ino)
    at.target.makeHardLink('d/two', 'file', REPLACE)
    expect(at.target.readDirectory('d')).toEqual(['two'])
    fs.symlinkSync(join(at.outside, 'victim'), join(at.root, 'link'))
    for (const options of [KEEP, REPLACE]) {
      expect(() => at.target.makeHardLink('d/three', 'link', options)).toThrow(failing('EINVAL'))
      expect(() => at.target.makeHardLink('d/three', 'd', options)).toThrow(failing('EPERM'))
      expect(() => at.target.makeHardLink('d/three', 'absent', options)).toThrow(failing('ENOENT'))
    }
    expect(at.target.readDirectory('d')).toEqual(['two'])
  })

  test('makeHardLink() links a symlink itself, and nothing of another type (M3)', () => {
    const victim = join(at.outside, 'victim')
    at.target.makeDirectory('d')
    fs.symlinkSync(victim, join(at.root, 'link'))
    at.target.makeHardLink('d/two', 'link', { ...KEEP, type: 'symlink' })
    at.target.makeHardLink('d/two', 'link', { ...REPLACE, type: 'symlink' })
    expect(at.target.lstat('d/two')?.ino).toBe(at.target.lstat('link')?.ino)
    expect(fs.readlinkSync(join(at.root, 'd/two'))).toBe(victim)
    at.target.makeSpecial('fifo', 'fifo', 0n, KEEP)
    at.target.makeHardLink('d/fifo', 'fifo', { ...KEEP, type: 'fifo' })
    expect(at.target.lstat('d/fifo')?.linkCount).toBe(2)
    for (const options of [KEEP, REPLACE]) {
      for (const [path, type] of [
        ['link', 'fifo'],
        ['fifo', 'symlink'],
        ['fifo', 'socket'],
      ] as const) {
        const link = () => at.target.makeHardLink('d/three', path, { ...options, type })
        expect(link).toThrow(failing('EINVAL'))
      }
    }
    fs.symlinkSync(at.outside, join(at.root, 'way'))
    const through = () => at.target.makeHardLink('d/three', 'way/victim', { ...KEEP, type: 'file' })
    expect(through).toThrow()
    expect(at.target.readDirectory('d').sort()).toEqual(['fifo', 'two'])
    expect(fs.lstatSync(victim).nlink).toBe(1)
  })

  test('an unfit component stops at the last door (M1)', () => {
    for (const name of ['a', 'd']) at.target.makeDirectory(name)
    const paths = [
      '..',
      'a/..',
      '../x',
      '.',
      '',
      'a//b',
      'a\0b',
      'd/',
      '../x/y',
      'a/../../x',
      'a/./x',
    ]
    for (const path of [...paths, '/etc', '/etc/x', '/']) {
      expect(() => at.target.createFile(path), path).toThrow(BugError)
      expect(() => at.target.remove(path), path).toThrow(BugError)
    }
  })
})

test('planted temporary names are passed over, and a wall of them is an error (M4)', () => {
  const bytes = new Uint8Array(8).fill(0xab)
  const root = join(base(), 'planted')
  const target = nodeTargetFiles({ randomness: { bytes: () => bytes } }).openTarget(root)
  const plant = (from: number, to: number) => {
    for (let count = from; count < to; count++) {
      fs.symlinkSync(join(base(), 'prey'), join(root, temporaryName('abababababababab', count)))
    }
  }
  plant(0, 3)
  target.writeWholeFile('file', text('x'), {}, REPLACE)
  plant(4, 40)
  expect(() => target.createFile('other')).toThrow(failing('EEXIST'))
  expect(fs.existsSync(join(base(), 'prey'))).toBe(false)
  target.close()
})

describe('validateComponent()', () => {
  test.each(['', '.', '..', 'a/b', '/', '/etc/x', 'a\0b', '\0'])('refuses %j (M1)', (name) => {
    expect(validateComponent(name)).toMatch(/^the name /)
  })

  test.each(['a', '...', '..a', ' ', '\xff', '\n', 'C:x', '..\\x', 'CON'])('takes %j', (name) => {
    expect(validateComponent(name)).toBeUndefined()
  })
})

test('validateComponent() takes 4,095 bytes and no more', () => {
  expect(validateComponent('x'.repeat(4_095))).toBeUndefined()
  expect(validateComponent('x'.repeat(4_096))).toBe('the name has 4096 bytes, more than 4095')
})

test('isTemporaryName() knows what temporaryName() makes, and little else', () => {
  expect(isTemporaryName(temporaryName('0123456789abcdef', 99_999))).toBe(true)
  for (const name of [
    '.cairn-restore-',
    '.cairn-restore-x-1',
    'cairn-restore-0123456789abcdef-1',
  ]) {
    expect(isTemporaryName(name)).toBe(false)
  }
})
