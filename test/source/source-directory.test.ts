/** What a scan sees through an open directory, with the C library and without. */

import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ByteString } from '../../src/base/bytes.ts'
import { libc } from '../../src/source/libc.ts'
import { nodeSourceFiles } from '../../src/source/node-source-files.ts'
import { look } from '../../src/source/source-directory.ts'

const files = nodeSourceFiles()
const latin1 = (path: ByteString) => Buffer.from(path, 'latin1')
let root = ''

beforeAll(() => {
  root = fs.mkdtempSync(join(tmpdir(), 'cairn-directory-'))
})
afterAll(() => void execFileSync('rm', ['-rf', '--', root]))

/** What there is besides files: a link, a pipe, bytes that are no text, times far away. */
function plant(): string[] {
  const names = ['file', '\xff\xfe', 'e\xcc\x81', 'n'.repeat(255), ' ', '-n', 'line\nbreak']
  for (const name of names) fs.writeFileSync(latin1(`${root}/${name}`), name, 'latin1')
  fs.mkdirSync(join(root, 'directory'))
  fs.symlinkSync('directory', join(root, 'link'))
  fs.symlinkSync('nowhere', join(root, 'dangling'))
  execFileSync('mkfifo', [join(root, 'pipe')])
  const times = ['1901-12-13 20:45:52', '1969-12-31 23:59:59.999999999', '2106-02-07 06:28:16.1']
  times.forEach((time, i) => {
    const name = `time${i}`
    fs.writeFileSync(join(root, name), '')
    execFileSync('touch', ['-d', `${time} UTC`, join(root, name)])
    names.push(name)
  })
  const sparse = fs.openSync(join(root, 'sparse'), 'w')
  fs.ftruncateSync(sparse, 2 ** 40 + 5)
  fs.closeSync(sparse)
  fs.linkSync(join(root, 'file'), join(root, 'hard'))
  return [...names, 'directory', 'link', 'dangling', 'pipe', 'sparse', 'hard']
}

describe('openDirectory()', () => {
  test('E11 E12 E19: the C library and Node see the same of every entry', () => {
    const names = plant()
    const descriptor = fs.openSync(root, fs.constants.O_DIRECTORY)
    const lookAt = libc()?.lookAt
    if (lookAt === undefined) throw new Error('this test needs statx')
    expect(files.openDirectory(root, false).names()).toEqual(names.toSorted())
    for (const name of names) {
      for (const follow of [false, true]) {
        const byNode = look(latin1(`${root}/${name}`), follow, name)
        expect(lookAt(descriptor, name, follow, name), name).toEqual(byNode)
        expect(byNode === undefined).toBe(follow && name === 'dangling')
      }
    }
    const devices = fs.openSync('/dev', fs.constants.O_DIRECTORY)
    expect(lookAt(devices, 'null', false, '')).toEqual(look('/dev/null', false, ''))
    for (const [directory, name] of [
      [devices, 'n'.repeat(5_000)],
      [fs.openSync(join(root, 'file'), 'r'), 'x'],
    ] as const) {
      expect(() => lookAt(directory, name, false, 'shown')).toThrow(
        expect.objectContaining({ path: 'shown', syscall: 'lstat' }),
      )
    }
  })

  test('E6: goes on with the directory that it opened, whatever is at its path now', () => {
    const path = join(root, 'opened')
    fs.mkdirSync(path)
    fs.writeFileSync(join(path, 'mine'), '')
    fs.symlinkSync('my target', join(path, 'link'))
    const directory = files.openDirectory(path, false)
    fs.renameSync(path, `${path}-moved`)
    fs.symlinkSync('/etc', path)
    expect(directory.names()).toEqual(['link', 'mine'])
    for (let i = 0; i < 5_000; i++) expect(directory.look('passwd', false)).toBeUndefined()
    expect(directory.look('mine', false)?.type).toBe('file')
    expect(Buffer.from(directory.readLink('link')).toString()).toBe('my target')
    expect(() => files.openDirectory(path, false)).toThrow(
      expect.objectContaining({ code: 'ENOTDIR', path }),
    )
    const followed = files.openDirectory(path, true)
    expect(followed.look('passwd', false)?.type).toBe('file')
    followed.close()
    directory.close()
  })
})
