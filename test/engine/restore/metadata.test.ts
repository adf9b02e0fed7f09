/** Extended attributes, ACLs, capabilities and inode flags, on the file system of the temporary folder. */

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, linkSync, mkdirSync, openSync } from 'node:fs'
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { byteStringOf } from '../../../src/base/bytes.ts'
import { BLOB_TYPE } from '../../../src/format/constants.ts'
import type { TreeEntry } from '../../../src/format/tree.ts'
import { encodeXattrs } from '../../../src/format/xattrs.ts'
import { ownersByName } from '../../../src/service/map-owners.ts'
import { liftFlags } from '../../../src/source/inode-flags.ts'
import { libcSet } from '../../../src/source/libc-set.ts'
import { buildRepository, RepositoryBuilder, TEST_TIME } from '../../support/repository-builder.ts'
import { overriding, restore, targetDirectory, temporaryDirectory } from './restore-harness.ts'
import { testEnvironment, wrappedTargets } from './restore-harness.ts'

const isRoot = process.geteuid?.() === 0
const c = libcSet()
const IMMUTABLE = 0x10
const APPEND = 0x20
const NODUMP = 0x40

/** What the kernel makes of `getfacl -cpE`, as the value of an attribute. */
function acl(...entries: readonly (readonly [tag: number, rights: number, id?: number])[]): Buffer {
  const bytes = Buffer.alloc(4 + entries.length * 8)
  bytes.writeUInt32LE(2, 0)
  for (const [i, [tag, rights, id = 0xffff_ffff]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + i * 8)
    bytes.writeUInt16LE(rights, 6 + i * 8)
    bytes.writeUInt32LE(id, 8 + i * 8)
  }
  return bytes
}
const TAG = { owner: 1, user: 2, group: 4, mask: 16, other: 32 }
const SHARED_ACL = acl(
  [TAG.owner, 6],
  [TAG.user, 4, 1234],
  [TAG.group, 0],
  [TAG.mask, 4],
  [TAG.other, 0],
)
/** cap_net_raw+ep */
const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex')

function xattrs(
  values: Readonly<Record<string, Uint8Array | string>>,
): NonNullable<TreeEntry['xattrs']> {
  return Object.entries(values).map(([name, value]) => [
    Buffer.from(name, 'latin1'),
    Buffer.from(value),
  ])
}

function found(path: string): Record<string, string> {
  const names = c?.byLinkPath.list(byteStringOf(path), 'x') ?? []
  const value = (name: string) =>
    Buffer.from(c?.byLinkPath.get(byteStringOf(path), name, 'x') ?? []).toString('latin1')
  return Object.fromEntries(
    names.filter((name) => !name.startsWith('security.selinux')).map((name) => [name, value(name)]),
  )
}

/** The time that the builder gives its files, to the nanosecond. */
function setTestTime(path: string): void {
  const { seconds, nanoseconds } = TEST_TIME
  execFileSync('touch', ['-d', `@${seconds}.${String(nanoseconds).padStart(9, '0')}`, path])
}

function flagsOf(path: string): number {
  const descriptor = openSync(path, 'r')
  try {
    return (c?.flags(descriptor, 'x') ?? 0) & (IMMUTABLE | APPEND | NODUMP)
  } finally {
    closeSync(descriptor)
  }
}

const flagged: string[] = []
afterEach(() => {
  for (const path of flagged.splice(0)) liftFlags(path, '')
})

/** Files of these flags are made removable again after the test. */
function willHaveFlags(...paths: readonly string[]): void {
  flagged.push(...paths)
}

/** Whether the temporary folder is of a file system with all that. */
function canSetAll(): boolean {
  if (!isRoot || c === undefined) return false
  const path = join(tmpdir(), `cairn-metadata-probe-${process.pid}`)
  writeFileSync(path, '')
  try {
    c.byPath.set(path, 'user.a', Buffer.from('1'), 'x')
    c.byPath.set(path, 'trusted.a', Buffer.from('1'), 'x')
    c.byPath.set(path, 'security.capability', CAPABILITY, 'x')
    c.byPath.set(path, 'system.posix_acl_access', SHARED_ACL, 'x')
    const descriptor = openSync(path, 'r')
    c.setFlags(descriptor, IMMUTABLE, 'x')
    c.setFlags(descriptor, 0, 'x')
    closeSync(descriptor)
    return true
  } catch {
    return false
  } finally {
    rmSync(path)
  }
}

describe.skipIf(!canSetAll())('attributes (skipped where the temporary folder lacks them)', () => {
  test.each([0, 2])(
    'E17 P1: every kind, on every type of entry, with %i threads',
    async (threads) => {
      const large = Buffer.alloc(3000, 7)
      const builder = await RepositoryBuilder.create()
      const encoded = encodeXattrs(xattrs({ 'user.large': large, 'user.\xff\xfe': 'x' }))
      const xattrsId = builder.metadataBlob(BLOB_TYPE.aux, encoded)
      const bytes = Buffer.from('content')
      const spread = Buffer.alloc(200 * 64 * 1024, 3)
      const own = {
        'user.a': '1',
        'user.empty': '',
        'trusted.t': '\0\xff',
        'security.capability': CAPABILITY,
      }
      const built = await builder.finish(
        builder.tree({
          file: { type: 'file', bytes, mode: 0o755, uid: 12, gid: 34, xattrs: xattrs(own) },
          shared: {
            type: 'file',
            bytes,
            mode: 0o640,
            xattrs: xattrs({ 'system.posix_acl_access': SHARED_ACL }),
          },
          large: { type: 'file', bytes, mode: 0o400, xattrsId, xattrs: xattrs({ 'user.b': 'b' }) },
          spread: { type: 'file', bytes: spread, xattrsId },
          directory: {
            type: 'directory',
            xattrs: xattrs({ 'user.d': 'd', 'system.posix_acl_default': SHARED_ACL }),
          },
          'directory/inside': { type: 'file', bytes, mode: 0o640 },
          'directory/deep/er': { type: 'file', bytes, mode: 0o600 },
          link: { type: 'symlink', target: 'file', xattrs: xattrs({ 'trusted.l': 'l' }) },
          largeLink: { type: 'symlink', target: 'file', xattrsId },
          fifo: { type: 'fifo', mode: 0o600, xattrs: xattrs({ 'trusted.f': 'f' }) },
        }),
      )
      const target = targetDirectory()
      const environment = testEnvironment({ threads })
      for (const round of ['first', 'again'] as const) {
        const { report, errors } = await restore(built, { target, environment })
        // User attributes belong to files and directories: of a link, Linux refuses them.
        assert.equal(errors.length, 1, round)
        assert.match(errors[0] ?? '', /^\/largeLink: cannot set xattrs: EPERM/)
        assert.deepEqual([...report.unset.keys()], ['xattrs'])
        assert.deepEqual(found(join(target, 'file')), {
          'user.a': '1',
          'user.empty': '',
          'trusted.t': '\0\xc3\xbf',
          'security.capability': CAPABILITY.toString('latin1'),
        })
        assert.equal(statSync(join(target, 'file')).uid, 12)
        const shared = found(join(target, 'shared'))
        assert.equal(shared['system.posix_acl_access'], SHARED_ACL.toString('latin1'))
        assert.equal(statSync(join(target, 'shared')).mode & 0o7777, 0o640)
        const largeFound = { 'user.large': large.toString('latin1'), 'user.\xff\xfe': 'x' }
        assert.deepEqual(found(join(target, 'large')), { ...largeFound, 'user.b': 'b' })
        assert.deepEqual(found(join(target, 'spread')), largeFound)
        assert.deepEqual(Object.keys(found(join(target, 'directory'))).sort(), [
          'system.posix_acl_default',
          'user.d',
        ])
        assert.deepEqual(found(join(target, 'directory/inside')), {})
        assert.deepEqual(found(join(target, 'directory/deep')), {})
        assert.deepEqual(found(join(target, 'link')), { 'trusted.l': 'l' })
        assert.deepEqual(found(join(target, 'fifo')), { 'trusted.f': 'f' })
      }
    },
  )

  test('R8: an ACL of the directory does not open a private file to others', async () => {
    const built = await buildRepository({
      files: {
        'd/private': { type: 'file', bytes: Buffer.from('secret'), mode: 0o640 },
        'd/new/private': { type: 'file', bytes: Buffer.from('secret'), mode: 0o640 },
        'd/large': { type: 'file', bytes: Buffer.alloc(20 << 20, 1), mode: 0o640 },
      },
    })
    const target = targetDirectory()
    mkdirSync(join(target, 'd'))
    const everybody = acl([1, 7], [TAG.user, 7, 1234], [4, 7], [16, 7], [32, 5])
    c?.byPath.set(join(target, 'd'), 'system.posix_acl_default', everybody, 'x')
    const { report } = await restore(built, { target })
    assert.equal(report.isComplete, true)
    for (const path of ['d/private', 'd/new/private', 'd/large', 'd/new', 'd']) {
      assert.deepEqual(found(join(target, path)), {}, path)
    }
  })

  test('what the snapshot does not have goes, labels of the system stay', async () => {
    const bytes = Buffer.from('same')
    const built = await buildRepository({
      files: {
        same: { type: 'file', bytes, xattrs: xattrs({ 'user.keep': 'new' }) },
        'd/x': bytes,
      },
    })
    const target = targetDirectory()
    mkdirSync(join(target, 'd'))
    writeFileSync(join(target, 'same'), bytes, { mode: 0o600 })
    setTestTime(join(target, 'same'))
    const inode = statSync(join(target, 'same')).ino
    const set = (path: string, name: string) =>
      c?.byPath.set(join(target, path), name, Buffer.from('old'), 'x')
    for (const path of ['same', 'd']) {
      for (const name of ['user.keep', 'user.gone', 'security.label']) set(path, name)
    }
    const kept = { 'security.label': 'old' }
    await restore(built, { target, xattrPatterns: { include: [], exclude: ['user.gone'] } })
    assert.deepEqual(found(join(target, 'd')), { 'user.gone': 'old', ...kept })
    await restore(built, { target, xattrPatterns: { include: ['user.g*'], exclude: [] } })
    assert.deepEqual(found(join(target, 'd')), kept)
    await restore(built, { target })
    assert.equal(found(join(target, 'same'))['user.keep'], 'new')
    assert.deepEqual(found(join(target, 'same')), { 'user.keep': 'new', ...kept })
    assert.equal(statSync(join(target, 'same')).ino, inode)
  })

  test('only what is included, nothing that is excluded', async () => {
    const built = await buildRepository({
      files: {
        f: {
          type: 'file',
          bytes: Buffer.from('f'),
          xattrs: xattrs({ 'user.one': '1', 'user.two': '2', 'trusted.t': 't' }),
        },
      },
    })
    for (const [patterns, names] of [
      [{ include: ['user.*'], exclude: [] }, ['user.one', 'user.two']],
      [{ include: [], exclude: ['user.*'] }, ['trusted.t']],
      [{ include: ['*.t?', '*.one'], exclude: [] }, ['user.one']],
    ] as const) {
      const target = targetDirectory()
      const { report } = await restore(built, { target, xattrPatterns: patterns })
      assert.equal(report.isComplete, true)
      assert.deepEqual(Object.keys(found(join(target, 'f'))).sort(), names)
    }
  })

  test('M1: attributes that are none are told, and the file is there', async () => {
    const built = await buildRepository({
      files: {
        nul: { type: 'file', bytes: Buffer.from('f'), xattrs: xattrs({ 'user.a\0b': 'x' }) },
        strange: {
          type: 'file',
          bytes: Buffer.from('f'),
          xattrs: xattrs({ 'no.such': '', '': 'x', 'user.z': 'z' }),
        },
        lost: { type: 'file', bytes: Buffer.from('f'), xattrsId: Buffer.alloc(32, 9) },
      },
    })
    const target = targetDirectory()
    const { report, errors } = await restore(built, { target })
    assert.equal(report.unset.get('xattrs')?.count, 3)
    assert.equal(report.isComplete, false)
    assert.equal(errors.length, 3)
    assert.deepEqual(found(join(target, 'nul')), {})
    assert.deepEqual(found(join(target, 'strange')), { 'user.z': 'z' })
    assert.equal(readFileSync(join(target, 'lost'), 'utf8'), 'f')
  })

  test('R2: flags come last, and what has them is replaced, filled and deleted all the same', async () => {
    const bytes = Buffer.from('first')
    const group = { linkGroup: 7n, flags: IMMUTABLE }
    const tree = (content: Buffer) => ({
      'd/fixed': { type: 'file', bytes: content, flags: IMMUTABLE } as const,
      'd/log': { type: 'file', bytes: content, flags: APPEND | NODUMP } as const,
      'd/plain': { type: 'file', bytes: content, flags: NODUMP } as const,
      d: { type: 'directory', flags: IMMUTABLE } as const,
      a: { type: 'file', bytes: content, ...group } as const,
      'd/z': { type: 'file', bytes: content, ...group } as const,
      large: { type: 'file', bytes: Buffer.alloc(17 << 20, content), flags: IMMUTABLE } as const,
    })
    const { path, target } = temporaryDirectory()
    mkdirSync(target)
    willHaveFlags(
      ...['d', 'd/fixed', 'd/log', 'a', 'large', 'd/extra'].map((name) => join(target, name)),
    )
    for (const content of [bytes, Buffer.from('other'), Buffer.from('other')]) {
      const built = await buildRepository({ files: tree(content) })
      if (existsSync(join(target, 'd'))) {
        liftFlags(join(target, 'd'), '')
        writeFileSync(join(target, 'd/extra'), 'extra')
        const extra = openSync(join(target, 'd/extra'), 'r')
        c?.setFlags(extra, IMMUTABLE, 'x')
        closeSync(extra)
        const directory = openSync(join(target, 'd'), 'r')
        c?.setFlags(directory, IMMUTABLE, 'x')
        closeSync(directory)
      }
      const { report, errors } = await restore(built, { target, delete: true })
      assert.deepEqual(errors, [])
      assert.equal(report.isComplete, true)
      assert.equal(flagsOf(join(target, 'd')), IMMUTABLE)
      assert.equal(flagsOf(join(target, 'd/fixed')), IMMUTABLE)
      assert.equal(flagsOf(join(target, 'd/log')), APPEND | NODUMP)
      assert.equal(flagsOf(join(target, 'd/plain')), NODUMP)
      assert.equal(flagsOf(join(target, 'a')), IMMUTABLE)
      assert.equal(flagsOf(join(target, 'large')), IMMUTABLE)
      assert.equal(statSync(join(target, 'a')).ino, statSync(join(target, 'd/z')).ino)
      assert.equal(readFileSync(join(target, 'd/fixed'), 'utf8'), content.toString())
      assert.equal(existsSync(join(target, 'd/extra')), false)
    }
    assert.ok(path)
  })

  test('flags of a directory that only leads to others come back', async () => {
    const built = await buildRepository({
      files: { 'd/wanted': Buffer.from('w'), 'd/other': Buffer.from('o') },
    })
    const target = targetDirectory()
    mkdirSync(join(target, 'd'))
    willHaveFlags(join(target, 'd'))
    const directory = openSync(join(target, 'd'), 'r')
    c?.setFlags(directory, IMMUTABLE, 'x')
    closeSync(directory)
    const { report, errors } = await restore(built, { target, overwrite: 'never' })
    assert.deepEqual(errors, [])
    assert.equal(report.isComplete, true)
    assert.equal(readFileSync(join(target, 'd/wanted'), 'utf8'), 'w')
    assert.equal(flagsOf(join(target, 'd')), IMMUTABLE)
  })

  test('M4: flags are not set on a file that somebody put in the place of ours', async () => {
    const built = await buildRepository({
      files: { a: { type: 'file', bytes: Buffer.from('a'), linkGroup: 1n, flags: IMMUTABLE } },
    })
    const { path, target } = temporaryDirectory()
    const victim = join(path, 'victim')
    writeFileSync(victim, 'v')
    willHaveFlags(victim)
    const swapping = wrappedTargets((opened) =>
      overriding(opened, {
        setFlags: (name, expected, flags) => {
          rmSync(join(target, name))
          linkSync(victim, join(target, name))
          return opened.setFlags(name, expected, flags)
        },
      }),
    )
    const { report } = await restore(built, {
      target,
      environment: testEnvironment({ target: swapping }),
    })
    assert.equal(report.unset.get('flags')?.count, 1)
    assert.equal(flagsOf(victim), 0)
  })

  test('M4: capabilities and setuid never go to a file that was there', async () => {
    const bytes = Buffer.from('same')
    const built = await buildRepository({
      files: {
        f: {
          type: 'file',
          bytes,
          mode: 0o755,
          xattrs: xattrs({ 'security.capability': CAPABILITY }),
        },
      },
    })
    const target = targetDirectory()
    const at = join(target, 'f')
    writeFileSync(at, bytes)
    setTestTime(at)
    const planted = statSync(at).ino
    const held = openSync(at, 'r+')
    try {
      await restore(built, { target })
      assert.notEqual(statSync(at).ino, planted)
      assert.notDeepEqual(found(at), {})
    } finally {
      closeSync(held)
    }
  })
})

describe('owners by name', () => {
  test('go to the number that the name has here; unknown ones keep theirs', () => {
    const map = ownersByName(
      {
        userNames: new Map([
          [5, 'ann'],
          [6, 'gone'],
        ]),
        groupNames: new Map([[5, 'staff']]),
      },
      {
        userName: () => undefined,
        groupName: () => undefined,
        userId: (name) => (name === 'ann' ? 1005 : undefined),
        groupId: (name) => (name === 'staff' ? 0 : undefined),
      },
    )
    expect(map({ uid: 5, gid: 5 })).toEqual({ uid: 1005, gid: 0 })
    expect(map({ uid: 6, gid: 6 })).toEqual({ uid: 6, gid: 6 })
    expect(map({ uid: 7, gid: 5 })).toEqual({ uid: 7, gid: 0 })
  })
})
