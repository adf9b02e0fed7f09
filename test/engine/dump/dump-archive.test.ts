/** Archives of a directory, unpacked by the programs that people unpack them with. */

import { execFileSync, spawnSync } from 'node:child_process'
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { TarWriter } from '../../../src/archive/tar.ts'
import { ZipWriter } from '../../../src/archive/zip.ts'
import type { ArchiveWriter, ByteSink } from '../../../src/archive/archive.ts'
import { byteString } from '../../../src/base/bytes.ts'
import { dumpArchive } from '../../../src/engine/dump/dump-archive.ts'
import { BLOB_TYPE } from '../../../src/format/constants.ts'
import { CborWriter } from '../../../src/format/cbor.ts'
import { type NodeRoot, writeEntry } from '../../../src/format/tree.ts'
import { encodeXattrs } from '../../../src/format/xattrs.ts'
import { openBlobs } from '../../support/open-blobs.ts'
import { type FileSpec, RepositoryBuilder, TEST_TIME } from '../../support/repository-builder.ts'
import { isRoot } from '../../support/run-cairn.ts'

function has(command: string, ...args: string[]): boolean {
  return spawnSync(command, args).status === 0
}

const hasGnuTar = spawnSync('tar', ['--version']).stdout?.toString().includes('GNU tar') ?? false
const hasXattrTools = has('getfattr', '--version') && has('getfacl', '--version')
const hasUnzip = has('unzip', '-v')
const hasPython = has('python3', '-c', 'import zipfile')

interface Dumped {
  readonly bytes: Buffer
  readonly leftOut: readonly string[]
  readonly problems: readonly string[]
  readonly error: unknown
}

async function dump(
  builder: RepositoryBuilder,
  root: NodeRoot,
  open: (sink: ByteSink) => ArchiveWriter,
): Promise<Dumped> {
  await builder.finish(root)
  const { blobs } = await openBlobs(builder.repository)
  const parts: Uint8Array[] = []
  const leftOut: string[] = []
  const problems: string[] = []
  let error: unknown
  await dumpArchive({
    blobs,
    root,
    prefix: '',
    own: undefined,
    writer: open(async (bytes) => void parts.push(bytes)),
    userNames: new Map([[0, 'root']]),
    groupNames: new Map(),
    signal: new AbortController().signal,
    onLeftOut: (path, type) => leftOut.push(`${path} ${type}`),
    onProblem: (path) => problems.push(path),
  }).catch((thrown: unknown) => {
    error = thrown
  })
  return { bytes: Buffer.concat(parts), leftOut, problems, error }
}

const openTar = (sink: ByteSink) => new TarWriter(sink)
const openZip = (sink: ByteSink) => new ZipWriter(sink)

function scratch(): string {
  const path = mkdtempSync(join(tmpdir(), 'cairn-dump-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function untar(bytes: Buffer): { readonly path: string; readonly status: number; stderr: string } {
  const path = scratch()
  const flags = ['--xattrs', '--xattrs-include=*', '--acls', '--numeric-owner', '-xp']
  const finished = spawnSync('tar', [...flags, '-C', path], { input: bytes })
  return { path, status: finished.status ?? -1, stderr: finished.stderr.toString() }
}

/** A file with everything that may be odd about one. */
const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex')
const ACL = Buffer.concat([
  Buffer.from([2, 0, 0, 0]),
  ...[
    [0x01, 6, 0xffffffff],
    [0x02, 5, 12345],
    [0x04, 4, 0xffffffff],
    [0x08, 6, 3_000_000],
    [0x10, 7, 0xffffffff],
    [0x20, 0, 0xffffffff],
  ].map(([tag = 0, permissions = 0, id = 0]) => {
    const entry = Buffer.alloc(8)
    entry.writeUInt16LE(tag, 0)
    entry.writeUInt16LE(permissions, 2)
    entry.writeUInt32LE(id, 4)
    return entry
  }),
])
const LONG = 'n'.repeat(200)

function oddFiles(): Record<string, FileSpec> {
  const old = { seconds: -1_000_000, nanoseconds: 250_000_000 }
  return {
    plain: Buffer.from('plain'),
    empty: Buffer.alloc(0),
    'grüße ☃': Buffer.from('utf-8'),
    [`${LONG}/${LONG}/${LONG}`]: Buffer.from('deep'),
    old: { type: 'file', bytes: Buffer.from('old'), mtime: old },
    owned: { type: 'file', bytes: Buffer.from('x'), uid: 3_000_000, gid: 4_000_000_000 },
    setuid: { type: 'file', bytes: Buffer.from('x'), mode: 0o4755 },
    sticky: { type: 'directory', mode: 0o1777 },
    link: { type: 'symlink', target: 'plain' },
    longlink: { type: 'symlink', target: `/${'t'.repeat(300)}` },
    fifo: { type: 'fifo', mode: 0o600 },
    socket: { type: 'socket' },
    first: { type: 'file', bytes: Buffer.from('twice'), linkGroup: 7n },
    second: { type: 'file', bytes: Buffer.from('twice'), linkGroup: 7n },
    blocks: { type: 'file', bytes: Buffer.alloc(1024, 'b') },
    large: { type: 'file', bytes: Buffer.alloc(2_500_000, 'large ') },
  }
}

describe('tar', () => {
  test.skipIf(!hasGnuTar)('is unpacked by GNU tar with the same names and contents', async () => {
    const builder = await RepositoryBuilder.create({ chunkBytes: 4096 })
    const { owned: _owned, ...files } = oddFiles()
    const dumped = await dump(builder, builder.tree(files), openTar)
    expect(dumped).toMatchObject({ error: undefined, leftOut: ['/socket socket'] })
    const { path, status, stderr } = untar(dumped.bytes)
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.not.stringContaining('Ignor') })
    const at = (name: string) => join(path, name)
    for (const name of ['plain', 'empty', 'old', 'first', 'second', 'blocks', 'large', 'grüße ☃']) {
      const spec = files[name]
      const expected = Buffer.isBuffer(spec) ? spec : spec?.bytes
      expect(readFileSync(at(name)).equals(expected ?? Buffer.from('?')), name).toBe(true)
    }
    expect(readFileSync(at(`${LONG}/${LONG}/${LONG}`), 'utf8')).toBe('deep')
    expect(readlinkSync(at('longlink'))).toBe(`/${'t'.repeat(300)}`)
    expect(lstatSync(at('first')).ino).toBe(lstatSync(at('second')).ino)
    expect(lstatSync(at('plain'), { bigint: true }).mtimeNs).toBe(1_700_000_000_123_456_789n)
    expect(lstatSync(at('old'), { bigint: true }).mtimeNs).toBe(-999_999_750_000_000n)
    expect(lstatSync(at('sticky')).mode & 0o7777).toBe(0o1777)
    expect(lstatSync(at('fifo')).isFIFO()).toBe(true)
    expect(readdirSync(path)).not.toContain('socket')
  })

  test.skipIf(!hasGnuTar || !isRoot)(
    'keeps owners above 2,097,151, setuid and devices',
    async () => {
      const builder = await RepositoryBuilder.create({})
      const root = builder.tree({
        ...oddFiles(),
        null: { type: 'chardevice', device: { major: 1, minor: 3 }, mode: 0o666 },
        loop: { type: 'blockdevice', device: { major: 7, minor: 1_000_000 }, mode: 0o660 },
      })
      const { path, status } = untar((await dump(builder, root, openTar)).bytes)
      expect(status).toBe(0)
      const owned = lstatSync(join(path, 'owned'))
      expect([owned.uid, owned.gid]).toEqual([3_000_000, 4_000_000_000])
      expect(lstatSync(join(path, 'setuid')).mode & 0o7777).toBe(0o4755)
      expect(lstatSync(join(path, 'null')).isCharacterDevice()).toBe(true)
      const loop = execFileSync('stat', ['-c', '%t %T', join(path, 'loop')], { encoding: 'utf8' })
      expect(loop).toBe('7 f4240\n')
    },
  )

  test.skipIf(!hasGnuTar || !isRoot || !hasXattrTools)(
    'keeps extended attributes of any bytes and access control lists',
    async () => {
      const builder = await RepositoryBuilder.create({})
      const large = Buffer.alloc(3000, 0xfe)
      const encoded = encodeXattrs([[Buffer.from('user.large'), large]])
      const attribute = (name: string, value: Uint8Array) => [Buffer.from(name), value] as const
      const root = builder.tree({
        file: {
          type: 'file',
          bytes: Buffer.from('x'),
          mode: 0o670,
          xattrs: [
            attribute('user.bytes', Buffer.from([0, 10, 255, 61])),
            attribute('user.a=b%c', Buffer.from('signs')),
            attribute('security.capability', CAPABILITY),
            attribute('system.posix_acl_access', ACL),
          ],
        },
        directory: { type: 'directory', xattrs: [attribute('system.posix_acl_default', ACL)] },
        aside: {
          type: 'file',
          bytes: Buffer.from('y'),
          xattrsId: builder.metadataBlob(BLOB_TYPE.aux, encoded),
        },
      })
      const { path, status, stderr } = untar((await dump(builder, root, openTar)).bytes)
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
      const value = (file: string, name: string) =>
        execFileSync('getfattr', ['-n', name, '--only-values', join(path, file)], {
          stdio: ['ignore', 'pipe', 'ignore'],
        })
      expect(value('file', 'user.bytes')).toEqual(Buffer.from([0, 10, 255, 61]))
      expect(value('file', 'user.a=b%c').toString()).toBe('signs')
      expect(value('file', 'security.capability')).toEqual(CAPABILITY)
      expect(value('file', 'system.posix_acl_access')).toEqual(ACL)
      expect(value('directory', 'system.posix_acl_default')).toEqual(ACL)
      expect(value('aside', 'user.large')).toEqual(large)
    },
  )

  test.skipIf(!hasGnuTar)('keeps names that are no UTF-8, short and long', async () => {
    const builder = await RepositoryBuilder.create({})
    const names = [
      Buffer.from([0x66, 0xff]),
      Buffer.concat([Buffer.alloc(120, 'g'), Buffer.from([0xfe])]),
    ]
    const target = Buffer.from([0x74, 0xfd])
    const entry = (name: Buffer) => ({
      ...builder.entry('', Buffer.from(name)),
      name: byteString(name),
    })
    const link = { ...builder.entry('', { type: 'symlink', target: '' }), name: 'z', target }
    const root = builder.directory([...names.map(entry), link])
    const { path, status, stderr } = untar((await dump(builder, root, openTar)).bytes)
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    const found = readdirSync(path, { encoding: 'buffer' }).filter((name) => name[0] !== 0x7a)
    expect(found.toSorted(Buffer.compare)).toEqual(names)
    expect(readlinkSync(join(path, 'z'), { encoding: 'buffer' })).toEqual(target)
  })

  test('is cut off where content is damaged, so that unpacking fails', async () => {
    const lost = { type: 'file', size: 70_000, content: Buffer.alloc(36, 1) } as const
    const short = { type: 'file', bytes: Buffer.from('abc'), size: 4 } as const
    const small = { type: 'file', size: 5, content: Buffer.alloc(36, 1) } as const
    for (const spec of [lost, short, small]) {
      const builder = await RepositoryBuilder.create({})
      const root = builder.tree({ a: Buffer.from('before'), b: spec, c: Buffer.from('after') })
      const dumped = await dump(builder, root, openTar)
      expect(dumped.error).toMatchObject({ code: 'CAIRN_CORRUPT' })
      expect(dumped.bytes.includes('after')).toBe(false)
      // Nothing that would pass for the content that is missing.
      expect(dumped.bytes.includes('cut-off')).toBe(false)
      if (hasGnuTar) expect(untar(dumped.bytes).status).not.toBe(0)
    }
  })

  test('goes on behind what it must pass over, and still does not look whole', async () => {
    const builder = await RepositoryBuilder.create({})
    const missing = { id: Buffer.alloc(32, 3), height: 0 }
    const critical = new CborWriter(64)
    critical.map(2)
    critical.integer(0)
    critical.byteString('critical')
    critical.integer(-1)
    critical.integer(0)
    const evil = new CborWriter(64)
    writeEntry(evil, { ...builder.entry('', Buffer.from('evil')), name: 'x/../../evil' })
    const root = builder.directory([
      { ...builder.entry('', { type: 'directory', subtree: missing }), name: 'a' },
      { name: 'critical', encoded: critical.finish() },
      { ...builder.entry('', Buffer.from('good')), name: 'good' },
      { name: 'x/../../evil', encoded: evil.finish() },
    ])
    const dumped = await dump(builder, root, openTar)
    expect(dumped.problems.toSorted()).toEqual(['/a', '/critical', '/x/../../evil'])
    expect(dumped.error).toMatchObject({ code: 'CAIRN_CORRUPT' })
    expect(dumped.bytes.includes('evil')).toBe(false)
    if (!hasGnuTar) return
    const { path, status, stderr } = untar(dumped.bytes)
    expect(readFileSync(join(path, 'good'), 'utf8')).toBe('good')
    expect(status).not.toBe(0)
    expect(stderr).toMatch(/EOF|archive/)
  })

  test.skipIf(!hasGnuTar)('has names of one symlink or FIFO as hard links', async () => {
    const builder = await RepositoryBuilder.create({})
    const link = { type: 'symlink', target: '../nowhere', linkGroup: 1n } as const
    const fifo = { type: 'fifo', mode: 0o600, linkGroup: 2n } as const
    const root = builder.tree({
      'a/link': link,
      'b/link': { ...link, atime: { seconds: 9, nanoseconds: 0 } },
      'a/fifo': fifo,
      'b/fifo': { ...fifo, mtime: { seconds: 9, nanoseconds: 0 } },
      'c/link': { ...link, target: 'other' },
    })
    const dumped = await dump(builder, root, openTar)
    expect(dumped).toMatchObject({ error: undefined, leftOut: [] })
    const { path, status, stderr } = untar(dumped.bytes)
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    for (const name of ['link', 'fifo']) {
      const [first, second] = ['a', 'b'].map((folder) => lstatSync(join(path, folder, name)))
      expect(second?.ino).toBe(first?.ino)
      expect(first?.nlink).toBe(2)
    }
    expect(readlinkSync(join(path, 'b/link'))).toBe('../nowhere')
    expect(readlinkSync(join(path, 'c/link'))).toBe('other')
  })

  test('takes no two files for one because a tree says so', async () => {
    const builder = await RepositoryBuilder.create({})
    const root = builder.tree({
      a: { type: 'file', bytes: Buffer.from('one'), linkGroup: 1n },
      b: { type: 'file', bytes: Buffer.from('two'), linkGroup: 1n },
    })
    const dumped = await dump(builder, root, openTar)
    expect(dumped.bytes.includes('two')).toBe(true)
  })
})

describe('zip', () => {
  /** What Python's zipfile finds: name, mode, content. */
  function listed(bytes: Buffer): [string, number, string][] {
    const path = join(scratch(), 'archive.zip')
    writeFileSync(path, bytes)
    const program = `
import json, sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
print(json.dumps([[i.filename, i.external_attr >> 16, z.read(i).decode()] for i in z.infolist()]))`
    const env = { ...process.env, PYTHONIOENCODING: 'utf-8' }
    return JSON.parse(
      execFileSync('python3', ['-c', program, path], {
        encoding: 'utf8',
        env,
        maxBuffer: 1 << 26,
      }),
    )
  }

  const files = {
    'dir/grüße': Buffer.from('hello'),
    'dir/run': { type: 'file', bytes: Buffer.alloc(5000, 'run '), mode: 0o755 },
    large: { type: 'file', bytes: Buffer.alloc(2_500_000, 'large ') },
    link: { type: 'symlink', target: 'large' },
    pipe: { type: 'fifo' },
  } as const
  const expected = [
    ['dir/', 0o040755, ''],
    ['dir/grüße', 0o100644, 'hello'],
    ['dir/run', 0o100755, 'run '.repeat(1250)],
    ['large', 0o100644, Buffer.alloc(2_500_000, 'large ').toString()],
    ['link', 0o120777, 'large'],
  ]

  test.skipIf(!hasPython)('is read by Python with names, modes and links', async () => {
    const builder = await RepositoryBuilder.create({})
    const dumped = await dump(builder, builder.tree(files), openZip)
    expect(dumped).toMatchObject({ error: undefined, leftOut: ['/pipe fifo'] })
    expect(listed(dumped.bytes)).toEqual(expected)
  })

  test.skipIf(!hasPython)('is read with the wide fields of zip64', async () => {
    const builder = await RepositoryBuilder.create({})
    const wideFrom = { bytes: 100, entries: 2 }
    const open = (sink: ByteSink) => new ZipWriter(sink, { wideFrom })
    const dumped = await dump(builder, builder.tree(files), open)
    expect(listed(dumped.bytes)).toEqual(expected)
    expect(dumped.bytes.includes(Buffer.from('PK\x06\x06'))).toBe(true)
  })

  test.skipIf(!hasUnzip)('is unpacked by unzip with modes, links and times', async () => {
    const builder = await RepositoryBuilder.create({})
    const dumped = await dump(builder, builder.tree(files), openZip)
    const path = scratch()
    writeFileSync(join(path, 'a.zip'), dumped.bytes)
    mkdirSync(join(path, 'out'))
    execFileSync('unzip', ['-q', 'a.zip', '-d', 'out'], { cwd: path })
    expect(readlinkSync(join(path, 'out/link'))).toBe('large')
    expect(readFileSync(join(path, 'out/large')).length).toBe(2_500_000)
    expect(lstatSync(join(path, 'out/dir/run')).mode & 0o777).toBe(0o755)
    expect(lstatSync(join(path, 'out/dir/run')).mtimeMs).toBe(TEST_TIME.seconds * 1000)
  })

  test('has no directory, and so is no archive, where content is damaged', async () => {
    const builder = await RepositoryBuilder.create({})
    const size = 2_000_000
    const references = builder.references(Buffer.alloc(size, 'z'))
    references.fill(1, references.length - 36, references.length - 4)
    const { target: _target, ...content } = builder.content(size, references)
    const large = { ...content, type: 'file' as const }
    const dumped = await dump(builder, builder.tree({ large }), openZip)
    expect(dumped.error).toMatchObject({ code: 'CAIRN_CORRUPT' })
    expect(dumped.bytes.includes(Buffer.from('PK\x01\x02'))).toBe(false)
  })
})
