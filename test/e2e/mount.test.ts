import { spawn, spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import {
  canMount,
  hasProgram,
  MOUNT_NEEDS,
  mountBox,
  outputOf,
  runProgram,
} from '../support/mount.ts'
import { type Box, isRoot, newRepository, settle } from '../support/run-cairn.ts'

const RANGES = new URL('../support/read-ranges.mjs', import.meta.url).pathname
const OTHER_UID = 65_534
const THIRD_UID = 65_533

/** `byteCount` bytes that no compressor makes smaller, the same at every run. */
function noise(byteCount: number, seed: number): Buffer {
  const bytes = Buffer.alloc(byteCount)
  let state = seed
  for (let at = 0; at + 4 <= byteCount; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes.writeUInt32LE((state ^ (state >>> 13)) >>> 0, at)
  }
  return bytes
}

/** The programs, and a file system that keeps what they set. */
const canSetExtended = ['setfattr', 'getfattr', 'setfacl'].every((program) =>
  hasProgram(program, '--version'),
)

function succeedIn(cwd: string, program: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}: ${stderr}`)
}

/** Attributes and ACLs of everything below, each in full. */
async function extendedBelow(path: string): Promise<string> {
  const script = 'cd "$1" && find . -print0 | LC_ALL=C sort -z | xargs -0 getfattr -hd -m - -e hex'
  return await outputOf('sh', ['-c', script, 'sh', path])
}

/** What is hard to show as it was. */
function writeFidelityTree(box: Box): void {
  box.write('empty', '')
  box.write('large', noise(9_000_000, 1))
  box.write('zeros', Buffer.alloc(3_000_000))
  for (let i = 0; i < 300; i++) box.write(`many/file ${i}`, `content of ${i}\n`.repeat(i))
  box.write(`${'deep/'.repeat(60)}bottom`)
  box.write(`long/${'n'.repeat(255)}`)
  box.write('odd/line\nend', 'x')
  box.write('odd/ blanks \\and"quotes\'', 'y')
  writeFileSync(Buffer.from(`${box.source}/odd/\xff\xfe`, 'latin1'), 'no text')
  box.write('modes/secret', 's')
  chmodSync(join(box.source, 'modes/secret'), 0o4600)
  mkdirSync(join(box.source, 'modes/sticky'))
  chmodSync(join(box.source, 'modes/sticky'), 0o1777)
  box.write('times/old', 'o')
  utimesSync(join(box.source, 'times/old'), -1.5, -1_000_000.25)
  box.write('times/fine', 'f')
  spawnSync('touch', ['-d', '2001-02-03T04:05:06.123456789Z', join(box.source, 'times/fine')])
  box.write('links/a', 'linked')
  linkSync(join(box.source, 'links/a'), join(box.source, 'links/b'))
  symlinkSync('a', join(box.source, 'links/to-a'))
  symlinkSync(Buffer.from('nowhere/\xff', 'latin1'), join(box.source, 'links/dangling'))
  spawnSync('mkfifo', [join(box.source, 'fifo')])
  const sparse = box.write('sparse', 'begin')
  truncateSync(sparse, 20_000_000)
  appendFileSync(sparse, 'end')
  if (canSetExtended) {
    const note = ['-n', 'user.note', '-v', '0x00ff6e6f7465']
    succeedIn(box.source, 'setfattr', [...note, 'times/old', 'odd', 'sparse'])
    succeedIn(box.source, 'setfattr', ['-n', 'user.large', '-v', 'v'.repeat(3_000), 'links/a'])
    succeedIn(box.source, 'setfacl', ['-m', 'u:1000:rw,g:100:r', 'times/fine'])
    succeedIn(box.source, 'setfacl', ['-d', '-m', 'u:1000:rx', 'odd'])
  }
  if (!isRoot) return
  box.write('owners/other', 'w')
  chownSync(join(box.source, 'owners/other'), 12_345, 54_321)
  spawnSync('mknod', [join(box.source, 'device'), 'c', '300', '70000'])
}

async function backedUp(): Promise<Box> {
  const box = await newRepository()
  await box.succeed(['backup', box.source])
  return box
}

describe.skipIf(!canMount)(`mount (needs ${MOUNT_NEEDS})`, () => {
  test('T1 every file and attribute is as it was, by 8 readers at once', async () => {
    const box = await newRepository()
    writeFidelityTree(box)
    await box.succeed(['backup', box.source])
    const mount = await mountBox(box)
    const shown = join(mount.path, 'snapshots/latest', box.source)
    const readers = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        runProgram(process.execPath, [RANGES, box.source, shown, `${i + 1}`, '60']),
      ),
    )
    expect(readers).toEqual(readers.map(() => ({ code: 0, stdout: '', stderr: '' })))
    const format = '%P %y %m %U %G %s %T@ %n %l\n'
    const attributes = (path: string) =>
      // Links of directories are not stored.
      outputOf('find', [path, '!', '-type', 'd', '-printf', format])
    const sorted = (text: string) => text.split('\n').toSorted()
    expect(sorted(await attributes(shown))).toEqual(sorted(await attributes(box.source)))
    const directories = (path: string) =>
      outputOf('find', [path, '-mindepth', '1', '-type', 'd', '-printf', '%P %m %U %G %T@\n'])
    expect(sorted(await directories(shown))).toEqual(sorted(await directories(box.source)))
    const extended = canSetExtended ? await extendedBelow(box.source) : ''
    if (canSetExtended) {
      for (const name of ['user.note', 'user.large', 'system.posix_acl_access', 'acl_default']) {
        expect(extended).toContain(name)
      }
      expect(await extendedBelow(shown)).toBe(extended)
    }
    // Holes take no room.
    expect(Number(await outputOf('stat', ['-c', '%b', join(shown, 'sparse')]))).toBeLessThan(2_000)
    // Inode numbers: shared by links, by nothing else, and the same when asked again.
    const inodes = await outputOf('find', [shown, '-printf', '%i %P\n'])
    const byInode = new Map<string, string[]>()
    for (const line of inodes.split('\n')) {
      const [inode = '', path] = line.split(' ')
      if (path !== undefined) byInode.set(inode, [...(byInode.get(inode) ?? []), path])
    }
    const shared = [...byInode.values()].filter((paths) => paths.length > 1)
    expect(shared.map((paths) => paths.toSorted())).toEqual([['links/a', 'links/b']])
    if (isRoot) {
      expect(await outputOf('stat', ['-c', '%t:%T', join(shown, 'device')])).toBe('12c:11170\n')
    }
    expect((await mount.end()).code).toBe(0)
  })

  test.skipIf(!hasProgram('rsync', '--version'))(
    'T1 rsync with checksums, links, ACLs and extended attributes finds no difference (needs rsync)',
    async () => {
      const box = await newRepository()
      writeFidelityTree(box)
      await box.succeed(['backup', box.source])
      const mount = await mountBox(box)
      const shown = join(mount.path, 'ids')
      const [id = ''] = (await outputOf('ls', [shown])).split('\n')
      const args = ['-aHAXni', '--checksum', '--delete', `${box.source}/`]
      expect(await outputOf('rsync', [...args, `${join(shown, id, box.source)}/`])).toBe('')
      // It can fail.
      box.write('empty', 'no more')
      expect(await outputOf('rsync', [...args, `${join(shown, id, box.source)}/`])).toContain(
        'empty',
      )
    },
  )

  test('what has holes is as large as it was, and they can be skipped', async () => {
    const box = await newRepository()
    const path = box.write('sparse', 'begin')
    truncateSync(path, 50_000_000)
    await box.succeed(['backup', box.source])
    const mount = await mountBox(box)
    const shown = join(mount.path, 'snapshots/latest', path)
    expect(await outputOf('stat', ['-c', '%s', shown])).toBe('50000000\n')
    expect(await outputOf('cmp', [shown, path])).toBe('')
  })

  test('ids, snapshots, hosts, tags and latest are there, and new snapshots come', async () => {
    const box = await newRepository()
    const backup = (...more: readonly string[]) =>
      box.succeed(['backup', '--host', 'alpha', box.source, ...more])
    await backup('--tag', 'first', '--time', '2024-03-01 10:00:00')
    const mount = await mountBox(box)
    const list = (path: string) => outputOf('ls', [join(mount.path, path)])
    expect(await list('')).toBe('at\nhosts\nids\nsnapshots\ntags\nversions\n')
    expect(await list('hosts/alpha')).toBe('2024-03-01T10:00:00Z\nlatest\n')
    expect(await list('tags/first')).toBe('2024-03-01T10:00:00Z\nlatest\n')
    const latest = join(mount.path, 'snapshots/latest')
    expect(await outputOf('readlink', [latest])).toBe('2024-03-01T10:00:00Z\n')
    const [{ short_id: shortId }] = await box.snapshots()
    expect(await list('ids')).toBe(`${shortId}\n`)
    box.write('second', 'new')
    await backup('--time', '2024-03-02 10:00:00')
    // Looked for every five seconds at most; the kernel remembers for one.
    const found = await outputOf('sh', [
      '-c',
      'for i in $(seq 100); do [ -e "$1/second" ] && exec cat "$1/second"; sleep 0.2; done; exit 1',
      'sh',
      join(latest, box.source),
    ])
    expect(found).toBe('new')
    expect(await outputOf('readlink', [latest])).toBe('2024-03-02T10:00:00Z\n')
    expect(await list('tags')).toBe('first\n')
  })

  test('templates and filters say what is where', async () => {
    const box = await newRepository()
    for (const host of ['alpha', 'beta']) {
      await box.succeed(['backup', '--host', host, '--time', '2024-03-01 10:00:00', box.source])
    }
    const layout = ['--path-template', 'by/%h/%T', '--time-template', '2006_01_02']
    const mount = await mountBox(box, [...layout, '--host', 'beta'])
    const list = (path: string) => outputOf('ls', [join(mount.path, path)])
    expect(await list('')).toBe('at\nby\nversions\n')
    expect(await list('by')).toBe('beta\n')
    expect(await list('by/beta')).toBe('2024_03_01\nlatest\n')
  })

  test('at/TIME is what was there at that time, listed or not', async () => {
    const box = await newRepository()
    await box.succeed(['backup', box.source])
    await settle()
    const between = `${new Date().toISOString().slice(0, 19)}Z`
    await settle()
    box.write('a.txt', 'beta, later')
    await box.succeed(['backup', box.source])
    const mount = await mountBox(box)
    const at = (time: string) =>
      runProgram('cat', [join(mount.path, 'at', time, box.source, 'a.txt')])
    expect(await at(between)).toMatchObject({ stdout: 'alpha' })
    expect(await at('now')).toMatchObject({ stdout: 'beta, later' })
    expect(await at('2020-01-01')).toMatchObject({ code: 1 })
    expect(await at('nonsense')).toMatchObject({ code: 1 })
    expect(await outputOf('ls', [join(mount.path, 'at')])).toBe('')
  })

  test('versions/PATH has every version of a file once, and files that are gone', async () => {
    const box = await newRepository()
    const file = box.write('letter', 'draft')
    const gone = box.write('gone', 'g')
    const backup = (time: string) =>
      box.succeed(['backup', '--time', `${time} 10:00:00`, box.source])
    await backup('2024-03-01')
    rmSync(gone)
    await backup('2024-03-02')
    box.write('letter', 'final')
    await backup('2024-03-03')
    const mount = await mountBox(box)
    const versions = join(mount.path, 'versions')
    expect(await outputOf('ls', [join(versions, box.source)])).toBe('a.txt\ngone\nletter\n')
    const names = await outputOf('ls', [join(versions, file)])
    expect(names).toBe('2024-03-01T10:00:00Z\n2024-03-03T10:00:00Z\n')
    const contents = await outputOf('sh', ['-c', 'cat "$1"/*', 'sh', join(versions, file)])
    expect(contents).toBe('draftfinal')
    expect(await outputOf('ls', [join(versions, gone)])).toBe('2024-03-01T10:00:00Z\n')
  })

  test.each(['SIGINT', 'SIGTERM'] as const)('%s unmounts', async (name) => {
    const box = await backedUp()
    const mount = await mountBox(box)
    mount.signal(name)
    expect(await mount.finished).toMatchObject({ code: 0 })
    expect((await runProgram('mountpoint', ['-q', mount.path])).code).not.toBe(0)
  })

  test('in use, it is gone from the tree at once, and ends with its last user', async () => {
    const box = await backedUp()
    const mount = await mountBox(box)
    const user = spawn('sleep', ['60'], { cwd: join(mount.path, 'snapshots'), stdio: 'ignore' })
    onTestFinished(() => void user.kill('SIGKILL'))
    await new Promise((resolve) => user.once('spawn', resolve))
    mount.signal('SIGTERM')
    const left = ['-c', 'while mountpoint -q "$1"; do sleep 0.1; done', 'sh', mount.path]
    await outputOf('sh', left)
    user.kill('SIGKILL')
    const finished = await mount.finished
    expect(finished).toMatchObject({ code: 0, stderr: expect.stringContaining('still in use') })
  })

  test('umount ends the command, and --json says where it was mounted', async () => {
    const box = await backedUp()
    const mount = await mountBox(box, ['--json'])
    await outputOf(isRoot ? 'umount' : 'fusermount3', isRoot ? [mount.path] : ['-u', mount.path])
    const finished = await mount.finished
    expect(finished.code).toBe(0)
    expect(JSON.parse(finished.stdout)).toEqual({ message_type: 'mounted', mountpoint: mount.path })
  })

  test('T2 after kill -9 readers get an error, and the mountpoint can be mounted again', async () => {
    const box = await backedUp()
    const mount = await mountBox(box)
    mount.signal('SIGKILL')
    await mount.finished
    const { code, stderr } = await runProgram('ls', [mount.path])
    expect([code, stderr]).toEqual([2, expect.stringContaining('not connected')])
    const again = await mountBox(box)
    expect(await outputOf('cat', [join(again.path, 'snapshots/latest', box.source, 'a.txt')])).toBe(
      'alpha',
    )
  })

  test('T2 a damaged and a missing pack are EIO for what they hold, and named', async () => {
    const box = await newRepository()
    box.write('first', noise(3_000_000, 1))
    await box.succeed(['backup', box.source])
    const before = new Set(box.repositoryFiles('packs'))
    box.write('second', noise(3_000_000, 2))
    await box.succeed(['backup', box.source])
    const sizeOf = (path: string) => readFileSync(join(box.repository, path)).length
    const added = box.repositoryFiles('packs').filter((path) => !before.has(path))
    const pack = added.toSorted((a, b) => sizeOf(b) - sizeOf(a))[0] ?? ''
    const packPath = join(box.repository, pack)
    const good = readFileSync(packPath)
    const sum = async (mountPath: string, name: string) =>
      await runProgram('cmp', [
        join(mountPath, 'snapshots/latest', box.source, name),
        join(box.source, name),
      ])

    chmodSync(packPath, 0o600)
    const damagedPack = Buffer.from(good)
    damagedPack[good.length >> 1] = (good[good.length >> 1] ?? 0) ^ 1
    writeFileSync(packPath, damagedPack)
    const mount = await mountBox(box)
    const damaged = await sum(mount.path, 'second')
    expect(damaged.stderr).toContain('Input/output error')
    expect(await sum(mount.path, 'first')).toMatchObject({ code: 0 })
    const { stderr } = await mount.end()
    expect(stderr).toMatch(
      /error: cannot read 'snapshots\/.*\/second': .*blob [0-9a-f]{8} is damaged/,
    )

    rmSync(packPath)
    const second = await mountBox(box)
    expect((await sum(second.path, 'second')).stderr).toContain('Input/output error')
    expect(await sum(second.path, 'first')).toMatchObject({ code: 0 })
    // What is good again is shown again, without mounting anew.
    writeFileSync(packPath, good)
    await outputOf('sleep', ['6'])
    expect(await sum(second.path, 'second')).toMatchObject({ code: 0 })
    await second.end()
  })

  test('T3 it is ro, nosuid and nodev, and nothing can be written', async () => {
    const box = await backedUp()
    const mount = await mountBox(box)
    const options = await outputOf('findmnt', ['-no', 'FSTYPE,OPTIONS', mount.path])
    for (const one of ['fuse.cairn', 'ro', 'nosuid', 'nodev', 'default_permissions']) {
      expect(options).toMatch(new RegExp(`\\b${one}\\b`))
    }
    expect(options).not.toContain('allow_other')
    const shown = join(mount.path, 'snapshots/latest', box.source, 'a.txt')
    for (const args of [
      ['touch', shown],
      ['rm', '-f', shown],
      ['ln', shown, `${shown}2`],
    ]) {
      const [program = '', ...rest] = args
      expect((await runProgram(program, rest)).stderr).toContain('Read-only file system')
    }
  })

  test.runIf(isRoot)(
    'T3 others see nothing, and with --allow-other what modes let them',
    async () => {
      const box = await newRepository()
      chmodSync(box.path, 0o755)
      chmodSync(box.write('private', 'p'), 0o600)
      chmodSync(box.write('public', 'q'), 0o644)
      await box.succeed(['backup', box.source])
      const reading = (path: string, name: string) =>
        runProgram('cat', [join(path, 'snapshots/latest', box.source, name)], { uid: OTHER_UID })

      const closed = await mountBox(box)
      expect(await reading(closed.path, 'public')).toMatchObject({ code: 1, stdout: '' })
      await closed.end()
      const open = await mountBox(box, ['--allow-other'])
      expect(await reading(open.path, 'public')).toMatchObject({ code: 0, stdout: 'q' })
      expect(await reading(open.path, 'private')).toMatchObject({ code: 1, stdout: '' })
      await open.end()
      const free = await mountBox(box, ['--allow-other', '--no-default-permissions'])
      expect(await reading(free.path, 'private')).toMatchObject({ code: 0, stdout: 'p' })
      await free.end()
    },
  )

  test.runIf(isRoot)('--owner-root shows everything as belonging to root', async () => {
    const box = await newRepository()
    chownSync(box.write('file'), 1234, 1234)
    await box.succeed(['backup', box.source])
    const owner = (path: string) =>
      outputOf('stat', ['-c', '%u:%g', join(path, 'snapshots/latest', box.source, 'file')])
    const plain = await mountBox(box)
    expect(await owner(plain.path)).toBe('1234:1234\n')
    await plain.end()
    const changed = await mountBox(box, ['--owner-root'])
    expect(await owner(changed.path)).toBe('0:0\n')
  })

  test.runIf(isRoot)('an ordinary user mounts, reads and unmounts by fusermount3', async () => {
    const box = await newRepository()
    const mountpoint = join(box.path, 'mine')
    mkdirSync(mountpoint)
    spawnSync('chown', ['-R', `${OTHER_UID}:${OTHER_UID}`, box.path])
    await box.succeed(['backup', box.source], { asOther: true })
    const mount = await mountBox(box, [], { asOther: true, mountpoint })
    const file = join(mount.path, 'snapshots/latest', box.source, 'a.txt')
    chmodSync(box.path, 0o755)
    expect(await runProgram('cat', [file], { uid: OTHER_UID })).toMatchObject({ stdout: 'alpha' })
    expect(await runProgram('cat', [file], { uid: THIRD_UID })).toMatchObject({
      code: 1,
      stdout: '',
    })
    expect(await runProgram('cat', [file])).toMatchObject({ code: 1, stdout: '' })
    expect(await runProgram('fusermount3', ['-u', mountpoint], { uid: OTHER_UID })).toMatchObject({
      code: 0,
    })
    expect(await mount.finished).toMatchObject({ code: 0 })
    const again = await mountBox(box, [], { asOther: true, mountpoint })
    expect(await again.end()).toMatchObject({ code: 0 })
    expect((await runProgram('mountpoint', ['-q', mountpoint])).code).not.toBe(0)
  })

  test('T6 it is refused inside a source and over the repository', async () => {
    const box = await backedUp()
    mkdirSync(join(box.source, 'inside'))
    const inside = await box.run(['mount', join(box.source, 'inside')])
    expect(inside).toMatchObject({ code: 1 })
    expect(inside.stderr).toContain('which is backed up')
    for (const path of [box.repository, join(box.repository, 'packs'), box.path]) {
      const refused = await box.run(['mount', path])
      expect(refused).toMatchObject({ code: 1 })
      expect(refused.stderr).toContain('overlaps the repository')
    }
    const missing = await box.run(['mount', join(box.path, 'missing')])
    expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining('make it first') })
    const file = await box.run(['mount', join(box.source, 'a.txt')])
    expect(file).toMatchObject({ code: 1, stderr: expect.stringContaining('is no directory') })
  })

  test('T6 a backup leaves a mounted repository out, and says so', async () => {
    const box = await backedUp()
    const above = join(box.path, 'above')
    mkdirSync(above)
    writeFileSync(join(above, 'file'), 'f')
    const mount = await mountBox(box, [], { mountpoint: join(above, 'mnt') })
    const finished = await box.succeed(['backup', above])
    expect(finished.stdout + finished.stderr).toContain(
      'a mounted repository lies inside the source',
    )
    const { stdout } = await box.succeed(['ls', '-q', '--recursive', 'latest', above])
    expect(stdout.split('\n').filter((path) => path.startsWith(`${above}/`))).toEqual([
      join(above, 'file'),
    ])
    await mount.end()
  })
})
