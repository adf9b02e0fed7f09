/** Files that have no name until they are whole. */

import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { nodeRandomness } from '../../src/base/node-seams.ts'
import * as libcModule from '../../src/source/libc.ts'
import { type Libc, libc } from '../../src/source/libc.ts'
import { nodeTargetFiles } from '../../src/source/node-target-files.ts'
import { systemError } from '../../src/source/system-error.ts'
import { failing, KEEP, temporaryRoot, text } from './target-fixture.ts'

const base = temporaryRoot()
const c = libc()
const MTIME_NS = 1_234_567_890_123_456_789n

/** A target in a directory of its own, where the C library does what `changes` say. */
function withLibc<T>(name: string, changes: Partial<Libc>, action: (root: string) => T): T {
  const spy = vi.spyOn(libcModule, 'libc')
  if (c !== undefined) spy.mockReturnValue({ ...c, ...changes })
  try {
    fs.mkdirSync(join(base(), name))
    const result = action(join(base(), name))
    for (const change of Object.values(changes)) expect(change).toHaveBeenCalled()
    return result
  } finally {
    spy.mockRestore()
  }
}

function open(root: string) {
  return nodeTargetFiles({ randomness: nodeRandomness() }).openTarget(root)
}

function openFileCount(): number {
  return fs.readdirSync('/proc/self/fd').length
}

describe.skipIf(c === undefined)('a file without a name', () => {
  const EXT4 = 0xef53
  const cases: readonly [string, Partial<Libc>][] = [
    ['the real file system', {}],
    ['a file system that is not known', { fileSystem: vi.fn(() => 0x6969) }],
    ['a file system that cannot be told', { fileSystem: vi.fn(() => undefined) }],
    [
      'a file system without such files',
      {
        fileSystem: vi.fn(() => EXT4),
        openat: vi.fn<Libc['openat']>((directory, name, how) => {
          if (name === '.') throw systemError('EOPNOTSUPP', 'open', how.path)
          return c?.openat(directory, name, how) ?? -1
        }),
      },
    ],
    [
      'a system that refuses to name it',
      {
        fileSystem: vi.fn(() => EXT4),
        link: vi.fn<Libc['link']>((_descriptor, _directory, _name, path) => {
          throw systemError('EPERM', 'link', path)
        }),
      },
    ],
  ]

  test.each(cases)('is whole under its name, or not there: %s', (name, changes) => {
    withLibc(name, changes, (root) => {
      const target = open(root)
      target.makeDirectory('d')
      const metadata = { mode: 0o640, mtimeNs: MTIME_NS, atimeNs: 5n }
      expect(target.writeWholeFile('d/f', text('content'), metadata, KEEP)).toEqual([])
      const before = openFileCount()
      expect(target.writeWholeFile('d/\xff', text(''), metadata, KEEP)).toEqual([])
      expect(() => target.writeWholeFile('d/f', text('other'), {}, KEEP)).toThrow(failing('EEXIST'))
      fs.symlinkSync('f', join(root, 'd/link'))
      expect(() => target.writeWholeFile('d/link', text('x'), {}, KEEP)).toThrow(failing('EEXIST'))
      expect(openFileCount()).toBe(before)
      expect(target.lstat('d/f')).toMatchObject({ ...metadata, linkCount: 1, size: 7 })
      expect(target.lstat('d/\xff')).toMatchObject({ ...metadata, linkCount: 1, size: 0 })
      expect(target.readDirectory('d').sort()).toEqual(['f', 'link', '\xff'])
      // Which changes its access time.
      expect(fs.readFileSync(join(root, 'd/f'), 'utf8')).toBe('content')
      target.close()
    })
  })

  test('a failed write leaves nothing behind', () => {
    const root = join(base(), 'limited')
    fs.mkdirSync(root)
    const script = `
      import { nodeTargetFiles } from ${JSON.stringify(join(import.meta.dirname, '../../dist/source/node-target-files.js'))}
      import { nodeRandomness } from ${JSON.stringify(join(import.meta.dirname, '../../dist/base/node-seams.js'))}
      process.on('SIGXFSZ', () => {})
      const target = nodeTargetFiles({ randomness: nodeRandomness() }).openTarget(${JSON.stringify(root)})
      try {
        target.writeWholeFile('f', new Uint8Array(1 << 20), {}, { overwrite: false })
      } catch (error) {
        process.stdout.write(error.code + ' ' + target.readDirectory('').length)
      }
    `
    const out = execFileSync(
      'bash',
      ['-c', `ulimit -f 64; exec '${process.execPath}' --input-type=module -`],
      { input: script, encoding: 'utf8' },
    )
    expect(out).toBe('EFBIG 0')
  })

  test('link() works without the capability that Linux wanted before 6.10', () => {
    withLibc('names', {}, (root) => {
      const directory = fs.openSync(root, 'r')
      const flags = fs.constants.O_WRONLY | fs.constants.O_DIRECTORY | 0o20000000
      const descriptor = c?.openat(directory, '.', { flags, mode: 0o600, path: 'x' }) ?? -1
      expect(() => c?.link(descriptor, directory, 'absent/x', 'shown')).toThrow(failing('ENOENT'))
      c?.link(descriptor, directory, 'x', 'shown')
      expect(() => c?.link(descriptor, directory, 'x', 'shown')).toThrow(failing('EEXIST'))
      expect(fs.statSync(join(root, 'x')).nlink).toBe(1)
      c?.close(descriptor, 'x')
      fs.closeSync(directory)
    })
  })
})
