import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { nodeRandomness } from '../../src/base/node-seams.ts'
import { nodeTargetFiles } from '../../src/source/node-target-files.ts'
import { failing, isRoot, KEEP, REPLACE, temporaryRoot, text, useTarget } from './target-fixture.ts'

const base = temporaryRoot()

describe.each([true, false])('a target, with descriptors: %s', (useDescriptors) => {
  const at = useTarget(useDescriptors)

  test('remove() does not enter another file system', (context) => {
    at.target.makeDirectory('d')
    at.target.makeDirectory('d/mount')
    try {
      execFileSync('mount', ['-t', 'tmpfs', 'cairn-test', join(at.root, 'd/mount')], {
        stdio: 'ignore',
      })
    } catch {
      return context.skip('cannot mount a file system here')
    }
    try {
      fs.writeFileSync(join(at.root, 'd/mount/precious'), '')
      expect(() => at.target.remove('d')).toThrow(failing('EXDEV'))
      expect(() => at.target.remove('d/mount')).toThrow(failing('EXDEV'))
      expect(fs.readdirSync(join(at.root, 'd/mount'))).toEqual(['precious'])
    } finally {
      at.target.close()
      execFileSync('umount', ['-l', join(at.root, 'd/mount')])
      at.target = at.files.openTarget(at.root)
    }
  })

  test.runIf(useDescriptors)('remove() does not enter what is mounted twice', (context) => {
    const elsewhere = `${at.root}-elsewhere`
    fs.mkdirSync(elsewhere)
    fs.writeFileSync(join(elsewhere, 'precious'), '')
    at.target.makeDirectory('d')
    at.target.makeDirectory('d/mount')
    try {
      execFileSync('mount', ['--bind', elsewhere, join(at.root, 'd/mount')], { stdio: 'ignore' })
    } catch {
      return context.skip('cannot mount a directory here')
    }
    try {
      expect(() => at.target.remove('d')).toThrow(failing('EXDEV'))
      expect(() => at.target.remove('d/mount')).toThrow(failing('EXDEV'))
      expect(fs.readdirSync(elsewhere)).toEqual(['precious'])
    } finally {
      at.target.close()
      execFileSync('umount', ['-l', join(at.root, 'd/mount')])
      at.target = at.files.openTarget(at.root)
    }
  })

  test('keeps few descriptors, however many directories and open files there are', () => {
    const before = fs.readdirSync('/proc/self/fd').length
    const second = at.files.openTarget(at.root)
    const paths = Array.from({ length: 300 }, (_, index) => `d${index % 150}/e${index}`)
    for (let index = 0; index < 150; index++) second.makeDirectory(`d${index}`)
    for (const path of paths) second.makeDirectory(path)
    const open = paths.slice(0, 100).map((path) => second.createFile(`${path}/f`))
    for (const path of paths) second.writeWholeFile(`${path}/whole`, text(path), {}, KEEP)
    expect(fs.readdirSync('/proc/self/fd').length - before).toBeLessThanOrEqual(100 + 64 + 2)
    for (const file of open) file.commit(KEEP)
    for (const path of paths) expect(at.read(`${path}/whole`)).toBe(path)
    second.makeHardLink(`${paths[0]}/linked`, `${paths[299]}/whole`, KEEP)
    expect(at.read(`${paths[0]}/linked`)).toBe(paths[299])
    second.remove('d7')
    second.close()
    expect(fs.readdirSync('/proc/self/fd').length).toBe(before)
  })

  test.skipIf(!isRoot)(
    'an ordinary user gets failures by kind, and no setuid (E18, R7; skipped unless root)',
    () => {
      at.target.makeDirectory('mine')
      fs.chownSync(join(at.root, 'mine'), 65_534, 65_534)
      fs.chmodSync(at.root, 0o755)
      fs.chmodSync(at.outside, 0o755)
      process.setegid?.(65_534)
      process.seteuid?.(65_534)
      try {
        const metadata = { mode: 0o4755, uid: 0, gid: 0, mtimeNs: 12n }
        const failures = at.target.writeWholeFile('mine/file', text('x'), metadata, KEEP)
        expect(
          failures.map(({ what, error }) => [what, (error as NodeJS.ErrnoException).code]),
        ).toEqual([
          ['owner', 'EPERM'],
          ['mode', 'EPERM'],
        ])
        expect(at.target.lstat('mine/file')).toMatchObject({
          mode: 0o755,
          uid: 65_534,
          mtimeNs: 12n,
        })
        at.target.makeDirectory('mine/d')
        expect(at.target.setMetadata('mine/d', 'directory', { mode: 0o555, uid: 0 })).toHaveLength(
          1,
        )
        expect(() => at.target.createFile('mine/d/x')).toThrow(failing('EACCES'))
        expect(at.target.makeDirectory('mine/d')).toBe('existing')
        at.target.writeWholeFile(
          'mine/d/x',
          text(''),
          { mode: 0o4711, uid: 65_534, gid: 65_534 },
          KEEP,
        )
        expect(at.target.lstat('mine/d/x')?.mode).toBe(0o4711)
      } finally {
        process.seteuid?.(0)
        process.setegid?.(0)
      }
    },
  )

  test('a full disk is an error, and leaves nothing behind (R1)', (context) => {
    const mount = `${at.root}-small`
    fs.mkdirSync(mount)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'cairn-test', mount], {
        stdio: 'ignore',
      })
    } catch {
      return context.skip('cannot mount a file system here')
    }
    try {
      const small = at.files.openTarget(mount)
      const big = Buffer.alloc(100_000)
      expect(() => small.writeWholeFile('file', big, {}, KEEP)).toThrow(failing('ENOSPC'))
      const file = small.createFile('file')
      expect(() => file.write(big, 0, big.length, 0)).toThrow(failing('ENOSPC'))
      file.discard()
      expect(small.readDirectory('')).toEqual([])
      small.close()
    } finally {
      execFileSync('umount', ['-l', mount])
    }
  })
})

test('attachTarget() works on the descriptor of another thread', async () => {
  const root = join(base(), 'attached')
  const files = nodeTargetFiles({ randomness: nodeRandomness() })
  const target = files.openTarget(root)
  const attached = files.attachTarget(target.rootFd, root)
  attached.makeDirectory('d')
  attached.writeWholeFile('d/x', text('x'), {}, KEEP)
  target.remove('d')
  target.makeDirectory('d')
  attached.writeWholeFile('d/x', text('in the new one'), {}, KEEP)
  attached.close()
  // The worker cannot load TypeScript here; what the promise rests on is that this path works there.
  const code = `require('node:fs').writeFileSync('/proc/self/fd/${target.rootFd}/d/worker', 'w')`
  const worker = new Worker(code, { eval: true })
  expect(await new Promise((resolve) => worker.once('exit', resolve))).toBe(0)
  expect(target.readDirectory('d')).toEqual(['worker', 'x'])
  target.close()
})

test('2,100 levels, and more than 4,096 bytes, are written and removed (E13)', () => {
  const root = join(base(), 'deep')
  const target = nodeTargetFiles({ randomness: nodeRandomness() }).openTarget(root)
  const names = Array.from({ length: 2_100 }, (_, level) => (level < 40 ? 'n'.repeat(200) : 'd'))
  for (let level = 1; level <= names.length; level++) {
    target.makeDirectory(names.slice(0, level).join('/'))
  }
  const bottom = names.join('/')
  expect(bottom.length).toBeGreaterThan(10_000)
  target.writeWholeFile(`${bottom}/f`, text('deep'), { mode: 0o640, mtimeNs: -5n }, KEEP)
  target.makeSymlink(`${bottom}/l`, text('f'), KEEP)
  target.makeHardLink('f', `${bottom}/f`, KEEP)
  target.makeHardLink(`${bottom}/g`, 'f', REPLACE)
  expect(target.readDirectory(bottom)).toEqual(['f', 'g', 'l'])
  expect(target.lstat(`${bottom}/g`)).toMatchObject({
    size: 4,
    linkCount: 3,
    mode: 0o640,
    mtimeNs: -5n,
  })
  expect(target.setMetadata(bottom, 'directory', { mode: 0o555 })).toEqual([])
  target.setMetadata(bottom, 'directory', { mode: 0o755 })
  const first = names[0] ?? ''
  target.remove(first)
  expect(target.readDirectory('')).toEqual(['f'])
  target.close()
})
