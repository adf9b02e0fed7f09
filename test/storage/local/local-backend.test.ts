import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { nodeClock, nodeRandomness } from '../../../src/base/node-seams.ts'
import { type Backend, FILE_KINDS, type ForeignFile } from '../../../src/storage/backend.ts'
import { openLocalBackend } from '../../../src/storage/local/local-backend.ts'
import {
  isKeptByThisKernel,
  type LocalFileSystem,
  nodeFileSystem,
} from '../../../src/storage/local/local-file-system.ts'
import { backendContract, bytesFrom, fileOf, rejectionCode } from '../../contract/backend.ts'
import { faultyFileSystem } from './faulty-file-system.ts'

const clock = nodeClock()
const random = nodeRandomness()

function open(path: string, fileSystem?: LocalFileSystem): Backend {
  return openLocalBackend({ path, clock, random, ...(fileSystem && { fileSystem }) })
}

async function localPlace(fileSystem?: LocalFileSystem) {
  const folder = fs.mkdtempSync(join(tmpdir(), 'cairn-local-'))
  const path = join(folder, 'a', 'repo')
  let count = 0
  return {
    backend: open(path, fileSystem),
    reopen: () => open(path, fileSystem),
    plant: async (name: string, bytes: Uint8Array) => fs.writeFileSync(join(path, name), bytes),
    leaveTemporary: async (ageMs: number) => {
      const left = join(path, 'tmp', `${'0'.repeat(64)}-${count++}`)
      fs.writeFileSync(left, 'x')
      const seconds = (Date.now() - ageMs) / 1000
      fs.utimesSync(left, seconds, seconds)
    },
    dispose: async () => fs.rmSync(folder, { recursive: true }),
  }
}

backendContract('LocalBackend', () => localPlace())
backendContract('LocalBackend without hard links', () =>
  localPlace(
    faultyFileSystem(nodeFileSystem(), ({ verb }) => (verb === 'link' ? 'EPERM' : undefined)).fs,
  ),
)

let folder: string
let root: string
let backend: Backend

const bytes = bytesFrom('local', 5000)
const pack = fileOf('packs', bytes)
const index = fileOf('index', bytes)
const packPath = () => join(root, 'packs', pack.name.slice(0, 2), pack.name)

beforeEach(async () => {
  folder = fs.mkdtempSync(join(tmpdir(), 'cairn-local-'))
  root = join(folder, 'repo')
  backend = open(root)
  await backend.create()
})

const unmounts: (() => void)[] = []

afterEach(() => {
  for (const unmount of unmounts.splice(0)) unmount()
  fs.rmSync(folder, { recursive: true, force: true })
})

describe('LocalBackend layout', () => {
  test('create() makes private folders, README.txt and a reserve of 1 MiB', () => {
    const names = [...FILE_KINDS, 'README.txt', 'reserve', 'tmp'].sort()
    expect(fs.readdirSync(root).sort()).toEqual(names)
    for (const name of ['.', ...FILE_KINDS, 'tmp']) {
      expect([name, fs.statSync(join(root, name)).mode & 0o777]).toEqual([name, 0o700])
    }
    for (const name of ['README.txt', 'reserve']) {
      expect([name, fs.statSync(join(root, name)).mode & 0o777]).toEqual([name, 0o600])
    }
    const reserve = fs.statSync(join(root, 'reserve'))
    expect(reserve.size).toBe(1024 * 1024)
    expect(reserve.blocks * 512).toBeGreaterThanOrEqual(1024 * 1024)
    expect(fs.readdirSync(join(root, 'tmp'))).toEqual([])
  })

  test('save() puts packs into shards and the rest flat, private, with one name each', async () => {
    await backend.save(pack, bytes)
    await backend.save(index, bytes)
    for (const path of [packPath(), join(root, 'index', index.name)]) {
      const stat = fs.statSync(path)
      expect([stat.mode & 0o777, stat.nlink, stat.size]).toEqual([0o600, 1, 5000])
    }
    const shard = join(root, 'packs', pack.name.slice(0, 2))
    expect(fs.statSync(shard).mode & 0o777).toBe(0o700)
    expect(fs.readdirSync(join(root, 'tmp'))).toEqual([])
  })

  test('create() refuses a path that is a file, or has a file in the place of a folder', async () => {
    const path = join(folder, 'file')
    fs.writeFileSync(path, 'mine')
    for (const taken of [path, join(path, 'below')]) {
      expect(await rejectionCode(open(taken).create())).toBe('CAIRN_STORAGE_REFUSED')
    }
    expect(fs.readFileSync(path, 'utf8')).toBe('mine')
    fs.mkdirSync(join(folder, 'other'))
    fs.writeFileSync(join(folder, 'other', 'packs'), 'mine')
    expect(await rejectionCode(open(join(folder, 'other')).create())).toBe('CAIRN_STORAGE_REFUSED')
  })

  test('create() leaves what else is in the folder alone', async () => {
    const path = join(folder, 'used')
    fs.mkdirSync(join(path, 'lost+found'), { recursive: true })
    fs.writeFileSync(join(path, 'README.txt'), 'mine')
    await open(path).create()
    expect(fs.readFileSync(join(path, 'README.txt'), 'utf8')).toBe('mine')
    expect(fs.existsSync(join(path, 'lost+found'))).toBe(true)
  })

  test('a copy of a repository without its empty folders works', async () => {
    for (const name of ['tmp', 'packs', 'marks', 'reserve']) {
      fs.rmSync(join(root, name), { recursive: true })
    }
    const copy = open(root)
    expect(await copy.list('packs')).toEqual([])
    expect(await copy.load(pack)).toBeUndefined()
    await copy.remove(pack)
    expect(await copy.sweepTemporary(0)).toBe(0)
    await copy.save(pack, bytes)
    await copy.flush()
    expect(await copy.load(pack)).toEqual(bytes)
  })

  test('a path that is a symbolic link to the repository works', async () => {
    fs.symlinkSync(root, join(folder, 'link'))
    const linked = open(join(folder, 'link'))
    await linked.create()
    await linked.save(pack, bytes)
    await linked.flush()
    expect(await backend.load(pack)).toEqual(bytes)
  })
})

describe('LocalBackend foreign and damaged files', () => {
  test('list() reports what is not a pack in packs/, and goes on', async () => {
    await backend.save(pack, bytes)
    const shard = pack.name.slice(0, 2)
    const otherShard = shard === '00' ? '01' : '00'
    const name = (start: string) => start + 'e'.repeat(64 - start.length)
    fs.mkdirSync(join(root, 'packs', otherShard))
    fs.mkdirSync(join(root, 'packs', 'ABC'))
    fs.mkdirSync(join(root, 'packs', shard, name(`${shard}a`)))
    fs.symlinkSync('/etc/passwd', join(root, 'packs', shard, name(`${shard}b`)))
    fs.writeFileSync(join(root, 'packs', otherShard, name('ff')), 'in the wrong shard')
    fs.writeFileSync(join(root, 'packs', name('11')), 'not in a shard')
    fs.writeFileSync(join(root, 'packs', 'fe'), 'a file for a shard')
    fs.writeFileSync(join(root, 'packs', shard, `${name(shard)}.bak`), '')
    const foreign: ForeignFile[] = []
    const listed = await backend.list('packs', { onForeign: (file) => foreign.push(file) })
    expect(listed.map((file) => file.name)).toEqual([pack.name])
    expect(foreign.map(({ path }) => path).sort()).toEqual(
      [
        'packs/ABC',
        `packs/${shard}/${name(`${shard}a`)}`,
        `packs/${shard}/${name(`${shard}b`)}`,
        `packs/${otherShard}/${name('ff')}`,
        `packs/${name('11')}`,
        'packs/fe',
        `packs/${shard}/${name(shard)}.bak`,
      ].sort(),
    )
  })

  test('load() and save() of a name that a link, a FIFO or a folder has are CAIRN_CORRUPT', async () => {
    const path = join(root, 'index', index.name)
    const plants = [
      () => fs.symlinkSync('/etc/passwd', path),
      () => execFileSync('mkfifo', [path]), // Must not block either.
      () => fs.mkdirSync(path),
    ]
    for (const plant of plants) {
      plant()
      expect(await rejectionCode(backend.load(index))).toBe('CAIRN_CORRUPT')
      expect(await rejectionCode(backend.save(index, bytes))).toBe('CAIRN_CORRUPT')
      fs.rmSync(path, { recursive: true })
    }
  })

  test('load() of a file cut short behind its back names what is missing', async () => {
    await backend.save(pack, bytes)
    fs.truncateSync(packPath(), 100)
    await expect(backend.load(pack, { offset: 50, byteCount: 60 })).rejects.toMatchObject({
      code: 'CAIRN_CORRUPT',
      details: {
        file: `packs/${pack.name.slice(0, 2)}/${pack.name}`,
        offset: 50,
        expected: 60,
        found: 50,
      },
    })
    expect(await rejectionCode(backend.save(pack, bytes))).toBe('CAIRN_CORRUPT')
  })

  test('load() of a file that shrinks while it is read is CAIRN_CORRUPT', async () => {
    await backend.save(pack, bytes)
    const shrinking = faultyFileSystem(nodeFileSystem(), ({ verb }) => {
      if (verb === 'read') fs.truncateSync(packPath(), 100)
      return undefined
    })
    const reader = open(root, shrinking.fs)
    await expect(reader.load(pack)).rejects.toMatchObject({
      code: 'CAIRN_CORRUPT',
      details: { offset: 0, expected: 5000, found: 100 },
    })
  })

  test('a file larger than cairn ever writes is not read into memory', async () => {
    await backend.save(pack, bytes)
    fs.truncateSync(packPath(), 2 ** 31) // A hole: takes no space.
    expect(await rejectionCode(backend.load(pack))).toBe('CAIRN_CORRUPT')
    const part = await backend.load(pack, { offset: 2 ** 31 - 10, byteCount: 10 })
    expect(part).toEqual(new Uint8Array(10))
  })

  test('list() leaves out a file that is removed while it lists', async () => {
    await backend.save(index, bytes)
    const other = bytesFrom('other', 10)
    await backend.save(fileOf('index', other), other)
    const vanishing = faultyFileSystem(nodeFileSystem(), ({ verb, args }) =>
      verb === 'lstat' && String(args[0]).endsWith(index.name) ? 'ENOENT' : undefined,
    )
    const listed = await open(root, vanishing.fs).list('index')
    expect(listed.map(({ name }) => name)).toEqual([fileOf('index', other).name])
  })

  test('list() rejects if a file or folder cannot be looked at', async () => {
    await backend.save(pack, bytes)
    for (const failing of ['lstat', 'readDirectory']) {
      const { fs: broken } = faultyFileSystem(nodeFileSystem(), ({ verb, args }) =>
        verb === failing && /packs\/../.test(String(args[0])) ? 'EIO' : undefined,
      )
      expect(await rejectionCode(open(root, broken).list('packs'))).toBe('CAIRN_STORAGE_DOWN')
    }
  })
})

describe('LocalBackend whose place is gone', () => {
  const everyCall = (of: Backend) => [
    of.load(pack),
    of.load(pack, { offset: 0, byteCount: 1 }),
    of.list('packs'),
    of.list('marks'),
    of.save(index, bytes),
    of.remove(pack),
    of.sweepTemporary(0),
  ]
  const codes = (of: Backend) => Promise.all(everyCall(of).map(rejectionCode))

  test('a repository that vanished is CAIRN_STORAGE_DOWN for every call, never absent', async () => {
    await backend.save(pack, bytes)
    fs.renameSync(root, join(folder, 'moved'))
    expect(new Set(await codes(backend))).toEqual(new Set(['CAIRN_STORAGE_DOWN']))
    expect(await rejectionCode(backend.flush())).toBe('CAIRN_STORAGE_DOWN')
    expect(fs.existsSync(root)).toBe(false)
    fs.renameSync(join(folder, 'moved'), root)
    await backend.flush()
    expect(await backend.load(pack)).toEqual(bytes)
    await backend.save(index, bytes)
  })

  test('an empty folder where the repository was, as an unmounted disk leaves, is the same', async () => {
    await backend.save(pack, bytes)
    fs.renameSync(root, join(folder, 'moved'))
    fs.mkdirSync(root)
    expect(new Set(await codes(backend))).toEqual(new Set(['CAIRN_STORAGE_DOWN']))
    expect(fs.readdirSync(root)).toEqual([]) // And nothing has been put under the mount point.
  })

  test('a disk that vanishes while it is listed does not make a short listing', async () => {
    for (let number = 0; number < 50; number++) {
      const each = bytesFrom(number, 10)
      await backend.save(fileOf('packs', each), each)
    }
    let count = 0
    const unmounting = faultyFileSystem(nodeFileSystem(), ({ verb }) => {
      if (verb === 'lstat' && ++count === 20) fs.renameSync(root, join(folder, 'moved'))
      return undefined
    })
    expect(await rejectionCode(open(root, unmounting.fs).list('packs'))).toBe('CAIRN_STORAGE_DOWN')
  })

  test('where there has never been one, list() says CAIRN_REPOSITORY_MISSING', async () => {
    const missing = () => open(join(folder, 'nothing', 'here'))
    expect(await rejectionCode(missing().list('config'))).toBe('CAIRN_REPOSITORY_MISSING')
    expect(await rejectionCode(missing().load(pack))).toBe('CAIRN_STORAGE_DOWN')
    expect(await rejectionCode(missing().save(pack, bytes))).toBe('CAIRN_STORAGE_DOWN')
    expect(fs.existsSync(join(folder, 'nothing'))).toBe(false)
    fs.mkdirSync(join(folder, 'nothing', 'here'), { recursive: true })
    expect(await missing().list('config')).toEqual([])
    expect(await missing().load(pack)).toBeUndefined()
    expect(await rejectionCode(missing().save(pack, bytes))).toBe('CAIRN_STORAGE_DOWN')
  })

  test('a path that is a file is refused by every call', async () => {
    const path = join(folder, 'file')
    fs.writeFileSync(path, 'mine')
    expect(new Set(await codes(open(path)))).toEqual(new Set(['CAIRN_STORAGE_REFUSED']))
    fs.rmSync(root, { recursive: true })
    fs.writeFileSync(root, 'mine')
    expect(new Set(await codes(backend))).toEqual(new Set(['CAIRN_STORAGE_REFUSED']))
    expect(fs.readFileSync(path, 'utf8')).toBe('mine')
  })

  test('a disk that really is unmounted', async (ctx) => {
    const mount = mountTmpfs('size=4m')
    if (mount === undefined) return ctx.skip('needs root to mount a tmpfs')
    const mounted = open(mount.path) // The mount point itself is the repository.
    await mounted.create()
    await mounted.save(pack, bytes)
    mount.unmount()
    expect(new Set(await codes(mounted))).toEqual(new Set(['CAIRN_STORAGE_DOWN']))
    expect(fs.readdirSync(mount.path)).toEqual([])
  })
})

/** A small file system of its own, or undefined where that is not allowed. */
function mountTmpfs(options: string) {
  const path = fs.mkdtempSync(join(folder, 'mnt-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  let isMounted = true
  const unmount = () => {
    if (isMounted) execFileSync('umount', [path])
    isMounted = false
  }
  unmounts.push(unmount)
  return {
    path,
    unmount,
    remount: (how: string) => execFileSync('mount', ['-o', `remount,${how}`, path]),
  }
}

describe('LocalBackend on a full or closed disk', () => {
  const large = (seed: number) => bytesFrom(`large ${seed}`, 200_000)

  async function expectWhole(on: Backend, each: Uint8Array): Promise<void> {
    const loaded = await on.load(fileOf('packs', each))
    expect(Buffer.compare(loaded ?? new Uint8Array(), each)).toBe(0)
  }

  async function fill(on: Backend): Promise<{ saved: Uint8Array[]; failure: unknown }> {
    const saved: Uint8Array[] = []
    for (let seed = 0; ; seed++) {
      try {
        await on.save(fileOf('packs', large(seed)), large(seed))
        saved.push(large(seed))
      } catch (failure) {
        return { saved, failure }
      }
    }
  }

  test('space running out leaves whole files only, and reading and removing work', async (ctx) => {
    const mount = mountTmpfs('size=4m')
    if (mount === undefined) return ctx.skip('needs root to mount a tmpfs')
    const path = join(mount.path, 'repo')
    const on = open(path)
    await on.create()
    const { saved, failure } = await fill(on)
    expect(failure).toMatchObject({ code: 'CAIRN_STORAGE_REFUSED', details: { errno: 'ENOSPC' } })
    expect(String(failure)).toMatch(
      /cannot save pack [0-9a-f]{8} in '.*': no space left on the device; free some space/,
    )
    expect(saved.length).toBeGreaterThan(5)
    expect(fs.readdirSync(join(path, 'tmp'))).toEqual([])
    fs.writeFileSync(join(mount.path, 'filler'), '')
    try {
      for (;;) fs.appendFileSync(join(mount.path, 'filler'), new Uint8Array(4096))
    } catch {
      // Not one page is free now.
    }
    await on.flush()
    expect(await on.list('packs')).toHaveLength(saved.length)
    for (const each of saved) await expectWhole(on, each)
    await on.remove(fileOf('packs', saved[0] as Uint8Array))
    await on.flush()
    await on.save(fileOf('packs', saved[0] as Uint8Array), saved[0] as Uint8Array)
  })

  test('a tombstone or mark is saved on a full disk from the reserve, which comes back', async (ctx) => {
    const mount = mountTmpfs('size=4m')
    if (mount === undefined) return ctx.skip('needs root to mount a tmpfs')
    const path = join(mount.path, 'repo')
    const on = open(path)
    await on.create()
    const { saved } = await fill(on)
    const small = bytesFrom('small', 150_000)
    expect(await rejectionCode(on.save(fileOf('index', small), small))).toBe(
      'CAIRN_STORAGE_REFUSED',
    )
    await on.save(fileOf('marks', small), small)
    expect(fs.existsSync(join(path, 'reserve'))).toBe(false)
    await on.save(fileOf('retired', small), small)
    await fill(on)
    expect(await rejectionCode(on.save(fileOf('marks', large(999)), large(999)))).toBe(
      'CAIRN_STORAGE_REFUSED',
    )
    await on.sweepTemporary(0) // Not yet: no space.
    expect(fs.existsSync(join(path, 'reserve'))).toBe(false)
    for (const each of saved) await on.remove(fileOf('packs', each))
    await on.sweepTemporary(0)
    expect(fs.statSync(join(path, 'reserve')).size).toBe(1024 * 1024)
    expect(fs.readdirSync(join(path, 'tmp'))).toEqual([])
  })

  test('no inodes left, and a disk mounted read-only', async (ctx) => {
    const mount = mountTmpfs('size=4m,nr_inodes=20')
    if (mount === undefined) return ctx.skip('needs root to mount a tmpfs')
    const on = open(join(mount.path, 'repo'))
    await on.create()
    const { saved, failure } = await fill(on)
    expect(failure).toMatchObject({ code: 'CAIRN_STORAGE_REFUSED', details: { errno: 'ENOSPC' } })
    expect(await on.list('packs')).toHaveLength(saved.length)
    mount.remount('ro')
    expect(await on.list('packs')).toHaveLength(saved.length)
    for (const each of saved) await expectWhole(on, each)
    const readOnly = { code: 'CAIRN_STORAGE_REFUSED', details: { errno: 'EROFS' } }
    await expect(on.save(index, bytes)).rejects.toMatchObject(readOnly)
    await expect(on.remove(fileOf('packs', large(0)))).rejects.toMatchObject(readOnly)
    mount.remount('rw')
    await on.remove(fileOf('packs', saved[0] as Uint8Array))
    expect(await on.list('packs')).toHaveLength(saved.length - 1)
  })

  test('what another user may not touch is CAIRN_STORAGE_REFUSED, never absent', async (ctx) => {
    if (process.geteuid?.() !== 0) return ctx.skip('needs root to become another user')
    await backend.save(pack, bytes)
    const shard = join(root, 'packs', pack.name.slice(0, 2))
    fs.chmodSync(folder, 0o755)
    const asNobody = async (calls: (of: Backend) => Promise<unknown>[]) => {
      process.seteuid?.(65_534)
      try {
        return await Promise.all(calls(open(root)).map(rejectionCode))
      } finally {
        process.seteuid?.(0)
      }
    }
    const all = (of: Backend) => [
      of.load(pack),
      of.list('packs'),
      of.save(index, bytes),
      of.remove(pack),
      of.create(),
      of.sweepTemporary(0),
    ]
    const allRefused = new Set(['CAIRN_STORAGE_REFUSED'])
    expect(new Set(await asNobody(all))).toEqual(allRefused) // The repository is closed.
    fs.chmodSync(root, 0o755)
    expect(new Set(await asNobody(all))).toEqual(allRefused) // Its folders are.
    for (const each of [join(root, 'packs'), shard, join(root, 'index'), join(root, 'tmp')]) {
      fs.chmodSync(each, 0o755)
    }
    const parts = (of: Backend) => [of.load(pack), of.save(index, bytes), of.remove(pack)]
    expect(new Set(await asNobody(parts))).toEqual(allRefused) // The file is.
    expect(await asNobody((of) => [of.list('packs')])).toEqual(['no rejection'])
    expect(await backend.load(pack)).toEqual(bytes)
  })

  test('a repository in a folder that others may enter but not read can be made', async (ctx) => {
    if (process.geteuid?.() !== 0) return ctx.skip('needs root to become another user')
    const home = join(folder, 'home')
    fs.mkdirSync(join(home, 'user'), { recursive: true })
    fs.chmodSync(folder, 0o755)
    fs.chmodSync(home, 0o711)
    fs.chownSync(join(home, 'user'), 65_534, 65_534)
    process.seteuid?.(65_534)
    try {
      const own = open(join(home, 'user'))
      await own.create()
      await own.save(pack, bytes)
      await own.flush()
      expect(await own.load(pack)).toEqual(bytes)
    } finally {
      process.seteuid?.(0)
    }
  })
})

describe('LocalBackend besides', () => {
  test('sweepTemporary() spares folders and what this process is writing', async () => {
    fs.mkdirSync(join(root, 'tmp', 'folder'))
    let swept: number | undefined
    const real = nodeFileSystem()
    const slow: LocalFileSystem = {
      ...real,
      fsync: async (descriptor) => {
        swept ??= await writer.sweepTemporary(-3_600_000) // Everything up to an hour from now.
        return real.fsync(descriptor)
      },
    }
    const writer = open(root, slow)
    await writer.save(pack, bytes)
    expect(swept).toBe(0)
    expect(await writer.load(pack)).toEqual(bytes)
    expect(fs.readdirSync(join(root, 'tmp'))).toEqual(['folder'])
  })

  test('a save whose temporary file is swept by another process fails and can be repeated', async () => {
    let isFirst = true
    const swept = faultyFileSystem(nodeFileSystem(), ({ verb, args }) => {
      if (verb === 'link' && isFirst) {
        isFirst = false
        fs.unlinkSync(String(args[0]))
      }
      return undefined
    })
    const writer = open(root, swept.fs)
    expect(await rejectionCode(writer.save(pack, bytes))).toBe('CAIRN_STORAGE_DOWN')
    await writer.save(pack, bytes)
    expect(await writer.load(pack)).toEqual(bytes)
  })

  test('listsConsistently is true for the file systems of this kernel alone', () => {
    const shared = {
      nfs: 0x6969,
      smb: 0x517b,
      cifs: 0xff53_4d42,
      smb2: 0xfe53_4d42,
      fuse: 0x6573_5546,
      plan9: 0x0102_1997,
      ceph: 0x00c3_6400,
      afs: 0x5346_414f,
      lustre: 0x0bd0_0bd0,
      gfs2: 0x0116_1970,
      ocfs2: 0x7461_636f,
      autofs: 0x0187,
      vboxsf: 0x786f_4256,
      unknown: 0x1234_5678,
    }
    for (const type of Object.values(shared)) expect(isKeptByThisKernel(type, 'linux')).toBe(false)
    for (const type of [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x9123_683e | 0]) {
      expect(isKeptByThisKernel(type, 'linux')).toBe(true)
      expect(isKeptByThisKernel(type, 'darwin')).toBe(false)
    }
    expect(isKeptByThisKernel(undefined, 'linux')).toBe(false)
    expect(open(join(folder, 'nothing')).listsConsistently).toBe(false)
    const onNfs = { ...nodeFileSystem(), fileSystemType: () => 0x6969 }
    expect(open(root, onNfs).listsConsistently).toBe(false)
  })
})
