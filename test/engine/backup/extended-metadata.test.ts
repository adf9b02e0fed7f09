/** P1: extended attributes, access control lists and inode flags come into the snapshot as they are. */

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ByteString } from '../../../src/base/bytes.ts'
import type { Environment } from '../../../src/engine/environment.ts'
import { BLOB_TYPE } from '../../../src/format/constants.ts'
import type { TreeEntry } from '../../../src/format/tree.ts'
import { decodeXattrs } from '../../../src/format/xattrs.ts'
import { type ExtendedMetadata, NO_EXTENDED } from '../../../src/source/extended-metadata.ts'
import { systemError } from '../../../src/source/system-error.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import {
  backUp,
  create,
  entriesOf,
  inlineEnvironment,
  MemoryCache,
  open,
} from '../../support/backup-harness.ts'
import { withSourceFaults } from '../../support/source-faults.ts'

let root = ''
let disk: MemoryBackend

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'cairn-extended-'))
  disk = new MemoryBackend()
  await create(disk)
})
afterEach(() => {
  // Fails on what cannot have flags, and goes on.
  spawnSync('chattr', ['-R', '-f', '-i', '-a', root])
  rmSync(root, { recursive: true, force: true })
})

const isRoot = process.getuid?.() === 0

function write(name: string, content = name): string {
  const path = join(root, name)
  writeFileSync(path, content)
  return path
}

function setXattr(path: string, name: string, value: string): void {
  execFileSync('setfattr', ['-h', '-n', name, '-v', value, path])
}

type Found = Map<string, string>

/** The attributes of an entry, from wherever it has them. */
async function saved(): Promise<{
  xattrs: (path: ByteString) => Promise<Found>
  entry: (path: ByteString) => TreeEntry | undefined
  close: () => Promise<void>
}> {
  const repository = await open(disk)
  const { entries, blobs, close } = await entriesOf(
    repository,
    (await repository.snapshots()).at(-1),
    root,
  )
  return {
    entry: (path) => entries.get(path),
    close,
    xattrs: async (path) => {
      const { xattrs, xattrsId } = entries.get(path) ?? {}
      const pairs =
        xattrsId === undefined
          ? (xattrs ?? [])
          : decodeXattrs(await blobs.load(xattrsId, BLOB_TYPE.aux))
      return new Map(
        pairs.map(([name, value]) => [
          Buffer.from(name).toString('latin1'),
          Buffer.from(value).toString('latin1'),
        ]),
      )
    },
  }
}

test('E17: attributes of files and directories are saved, byte for byte', async () => {
  const file = write('file')
  write('plain')
  setXattr(file, 'user.text', 'value')
  setXattr(file, 'user.\xff\xfe', '0xff00fe')
  setXattr(file, 'user.empty', '')
  mkdirSync(join(root, 'directory'))
  setXattr(join(root, 'directory'), 'user.d', '1')
  await backUp(disk, root)
  const found = await saved()
  expect(await found.xattrs('file')).toEqual(
    new Map([
      ['user.text', 'value'],
      [Buffer.from('user.\xff\xfe').toString('latin1'), '\xff\0\xfe'],
      ['user.empty', ''],
    ]),
  )
  expect(await found.xattrs('directory')).toEqual(new Map([['user.d', '1']]))
  expect(found.entry('plain')).not.toHaveProperty('xattrs')
  expect(found.entry('plain')).not.toHaveProperty('flags')
  await found.close()
})

test.skipIf(!isRoot)(
  'E17: access control lists, capabilities and trusted attributes are saved, of links and devices too (needs root)',
  async () => {
    const file = write('file')
    execFileSync('setfacl', ['-m', 'u:12345:rw', file])
    // cap_net_raw+ep, as setcap writes it.
    setXattr(file, 'security.capability', '0x0100000200200000000000000000000000000000')
    setXattr(file, 'trusted.t', 'x')
    mkdirSync(join(root, 'directory'))
    execFileSync('setfacl', ['-d', '-m', 'g:54321:rx', join(root, 'directory')])
    symlinkSync('nowhere', join(root, 'link'))
    setXattr(join(root, 'link'), 'trusted.l', 'of the link')
    execFileSync('mknod', [join(root, 'null'), 'c', '1', '3'])
    setXattr(join(root, 'null'), 'trusted.n', 'of the device')
    execFileSync('mkfifo', [join(root, 'fifo')])
    setXattr(join(root, 'fifo'), 'trusted.f', 'of the pipe')
    const report = await backUp(disk, root)
    expect(report.errorCount).toBe(0)
    const found = await saved()
    const xattrs = await found.xattrs('file')
    const userOfAcl = Buffer.from(xattrs.get('system.posix_acl_access') ?? '', 'latin1')
    expect(userOfAcl.readUInt32LE(0)).toBe(2)
    expect(userOfAcl.includes(Buffer.of(0x39, 0x30, 0, 0))).toBe(true)
    expect(xattrs.get('security.capability')).toBe('\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0')
    expect(xattrs.get('trusted.t')).toBe('x')
    const directory = await found.xattrs('directory')
    expect(directory.get('system.posix_acl_default')?.slice(0, 4)).toBe('\x02\0\0\0')
    expect(await found.xattrs('link')).toEqual(new Map([['trusted.l', 'of the link']]))
    expect(await found.xattrs('null')).toEqual(new Map([['trusted.n', 'of the device']]))
    expect(await found.xattrs('fifo')).toEqual(new Map([['trusted.f', 'of the pipe']]))
    await found.close()
  },
)

test.skipIf(!isRoot)(
  'E7 E18: inode flags are saved of what can have them (needs root)',
  async () => {
    const flagged = write('flagged')
    execFileSync('chattr', ['+dA', flagged])
    const fixed = write('fixed')
    execFileSync('chattr', ['+i', fixed])
    mkdirSync(join(root, 'directory'))
    execFileSync('chattr', ['+ad', join(root, 'directory')])
    const report = await backUp(disk, root)
    expect(report.errorCount).toBe(0)
    const found = await saved()
    expect(found.entry('flagged')?.flags).toBe(0x40 | 0x80)
    expect(found.entry('fixed')?.flags).toBe(0x10)
    expect(found.entry('directory')?.flags).toBe(0x20 | 0x40)
    await found.close()
  },
)

test('E17: attributes that are too large for an entry go into a blob, and count as stored', async () => {
  const file = write('file')
  const limit = 'user.v'.length + 1 + 1 + 3
  setXattr(file, 'user.v', 'v'.repeat(3000))
  const other = write('other')
  for (let i = 0; i < 40; i++) setXattr(other, `user.${i}`, `${i}`.repeat(10))
  const source = inlineEnvironment()
  const huge = Array.from({ length: 1000 }, (_, i) => {
    return [Buffer.from(`user.${i}`), Buffer.alloc(1900 + (i % 7), i)] as const
  })
  write('huge')
  write('just')
  write('over')
  const xattrsOf: Record<string, readonly (readonly [Uint8Array, Uint8Array])[]> = {
    huge: [...huge, [Buffer.from('user.large'), Buffer.alloc(65_536, 7)]],
    // The map is 4,096 bytes long, then 4,097.
    just: [[Buffer.from('user.v'), Buffer.alloc(4096 - limit, 1)]],
    over: [[Buffer.from('user.v'), Buffer.alloc(4097 - limit, 1)]],
  }
  const environment = withXattrs(source, (path) => xattrsOf[path.slice(root.length + 1)])
  await backUp(disk, root, { environment })
  const found = await saved()
  expect(await found.xattrs('file')).toEqual(new Map([['user.v', 'v'.repeat(3000)]]))
  expect((await found.xattrs('other')).size).toBe(40)
  expect(found.entry('just')).toHaveProperty('xattrs')
  expect(found.entry('over')).not.toHaveProperty('xattrs')
  expect(found.entry('over')?.xattrsId).toHaveLength(32)
  const stored = await found.xattrs('huge')
  expect(stored.size).toBe(1001)
  expect(stored.get('user.999')).toBe(Buffer.alloc(1900 + (999 % 7), 999).toString('latin1'))
  expect(stored.get('user.large')).toHaveLength(65_536)
  await found.close()
})

test('E3: a changed attribute makes a new entry; an unchanged file is not asked for its attributes', async () => {
  const file = write('file')
  setXattr(file, 'user.a', '1')
  setXattr(root, 'user.root', 'r')
  const cache = { files: new MemoryCache(), name: 'scan' }
  const input = { kind: 'paths' as const, paths: ['.'], workingDirectory: root }
  const environment = later(5)
  await backUp(disk, root, { scanCache: cache, input, environment })
  let asked = 0
  const counting = withXattrs(environment, () => {
    asked++
    return undefined
  })
  const same = await backUp(disk, root, { scanCache: cache, input, environment: counting })
  expect(asked).toBe(0)
  expect(same.files.unchanged).toBe(1)
  setXattr(file, 'user.a', '2')
  const report = await backUp(disk, root, { scanCache: cache, input, environment: counting })
  expect(report.files.modified).toBe(1)
  const repository = await open(disk)
  const { entries, close } = await entriesOf(repository, (await repository.snapshots()).at(-1), '')
  const [[, value] = []] = entries.get('file')?.xattrs ?? []
  expect(value).toEqual(Uint8Array.of(0x32))
  await close()
})

test('E17: an attribute that cannot be read is named, and the rest is saved', async () => {
  const file = write('file', 'content')
  const problem = systemError('EIO', 'getxattr', file)
  const some = { flags: 0, problems: [problem] }
  const failing = withSourceFaults(inlineEnvironment(), {
    extended: (path) =>
      path === root || path === file
        ? { ...some, xattrs: [[Buffer.from('user.ok'), Buffer.from('k')]] }
        : undefined,
  })
  const errors: string[] = []
  const report = await backUp(disk, root, {
    environment: failing,
    listener: { onError: (path, error) => errors.push(`${path}: ${error.message}`) },
  })
  expect(report.errorCount).toBe(2)
  expect(errors.sort()).toEqual(
    [`${root}/file: ${problem.message}`, `${root}: ${problem.message}`].sort(),
  )
  const found = await saved()
  expect(found.entry('file')?.size).toBe(7)
  expect(await found.xattrs('file')).toEqual(new Map([['user.ok', 'k']]))
  await found.close()
})

/** A clock that is ahead, so that files just written are old enough to be trusted. */
function later(seconds: number): Environment {
  const environment = inlineEnvironment()
  const { clock } = environment
  const ahead = BigInt(seconds) * 1_000_000_000n
  return { ...environment, clock: { ...clock, wallNs: () => clock.wallNs() + ahead } }
}

/** The real files, some of which have other attributes. */
function withXattrs(
  environment: Environment,
  xattrsOf: (path: ByteString) => ExtendedMetadata['xattrs'] | undefined,
): Environment {
  return withSourceFaults(environment, {
    extended: (path) => {
      const xattrs = xattrsOf(path)
      return xattrs === undefined ? undefined : { ...NO_EXTENDED, xattrs }
    },
  })
}
