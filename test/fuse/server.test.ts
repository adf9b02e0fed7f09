/** The server against requests as Linux 5.10 and later send them: those in hex were recorded. */

import { constants } from 'node:os'
import { expect, test } from 'vitest'
import { CairnError } from '../../src/base/errors.ts'
import {
  type Attributes,
  type DirectoryRow,
  type Entry,
  FuseError,
  type FuseFileSystem,
} from '../../src/fuse/file-system.ts'
import { INIT_FLAG, OPCODE } from '../../src/fuse/protocol.ts'
import { READ_BYTES_MAX } from '../../src/fuse/server.ts'
import { requestOf, serve, words } from './scripted-device.ts'

const { EINTR, EINVAL, EIO, ENODATA, ENOENT, ENOSYS, ENXIO, EPROTO, ERANGE, EROFS } =
  constants.errno

const RECORDED = {
  init: '680000001a0000000200000000000000000000000000000000000000000000000000000000000000070000002d00000000000200fbffff73fd0500000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000',
  lookup:
    '32000000010000000600000000000000010000000000000000000000000000001053000000000000736e617073686f747300',
  getattr:
    '3800000003000000040000000000000001000000000000000000000000000000105300000000000000000000000000000000000000000000',
  readdirplus:
    '500000002c0000001e0000000000000001000006000000000000000000000000105300000000000007000000000000000000000000000000008000000000000000000000000000000088010000000000',
  read: '500000000f0000003c0000000000000000000006000000000000000000000000135300000000000000000000000000000000000000000000008000000000000000000000000000000080000000000000',
  getxattr:
    '41000000160000001600000000000000010000060000000000000000000000001053000000000000ff0000000000000073656375726974792e73656c696e757800',
  listxattr:
    '300000001700000040000000000000000000000600000000000000000000000015530000000000000000000000000000',
  lseek:
    '400000002e0000004800000000000000040000060000000000000000000000001d53000000000000000000000000000000000000000000000300000000000000',
  batchForget:
    '100100002a0000004c000000000000000000000000000000000000000000000000000000000000000e00000000000000000000020000000001000000000000000400000600000000010000000000000000000007000000000100000000000000010000070000000001000000000000000200000700000000010000000000000003000007000000000100000000000000040000070000000001000000000000000100000600000000010000000000000000000006000000000100000000000000000000050000000001000000000000000',
}

const recorded = (name: keyof typeof RECORDED) => {
  const hex = RECORDED[name]
  return Buffer.from(hex.slice(0, hex.length & ~1), 'hex')
}

const ATTRIBUTES: Attributes = {
  inode: 2 ** 52 + 1,
  byteCount: 5_000_000_000,
  blockCount: 9_765_625,
  atime: { seconds: -1, nanoseconds: 999_999_999 },
  mtime: { seconds: 1_700_000_000, nanoseconds: 123_456_789 },
  ctime: { seconds: 2 ** 33, nanoseconds: 1 },
  mode: 0o104755,
  linkCount: 2,
  uid: 4_294_967_294,
  gid: 1000,
  device: 0,
  blockBytes: 4096,
}
const ENTRY: Entry = { node: 2 ** 40 + 3, attributes: ATTRIBUTES, lifetimeMs: Infinity }

/** A file system that knows nothing, but for what a test gives it. */
function filesWith(parts: Partial<FuseFileSystem>): FuseFileSystem {
  const absent = () => {
    throw new FuseError('ENOENT')
  }
  return {
    lookup: absent,
    forget: () => {},
    attributes: absent,
    readLink: absent,
    openDirectory: absent,
    readDirectory: absent,
    releaseDirectory: () => {},
    read: absent,
    seek: absent,
    xattr: () => undefined,
    xattrNames: () => [],
    statfs: () => ({ byteCount: 10_000, fileCount: 3 }),
    ...parts,
  }
}

test('INIT agrees on 7.31 with what the kernel has of what is wanted, and on whole megabytes', async () => {
  let isReady = false
  const served = serve(filesWith({}), { onReady: () => (isReady = true) })
  const [reply] = await served.exchange(recorded('init'))
  expect(reply).toMatchObject({ unique: 2, errno: 0 })
  const body = reply?.body ?? Buffer.alloc(0)
  expect(body.length).toBe(64)
  expect([body.readUInt32LE(0), body.readUInt32LE(4)]).toEqual([7, 31])
  expect(body.readUInt32LE(8)).toBe(1 << 20)
  const flags = body.readUInt32LE(12)
  for (const flag of Object.values(INIT_FLAG)) expect(flags & flag, String(flag)).toBe(flag)
  expect(flags).toBe(Object.values(INIT_FLAG).reduce((sum, flag) => sum | flag, 0))
  expect(body.readUInt16LE(28)).toBe(256) // max_pages
  expect(isReady).toBe(true)
  await served.end()
})

test('INIT leaves out what the kernel does not offer', async () => {
  const served = serve(filesWith({}))
  const request = recorded('init')
  request.writeUInt32LE(INIT_FLAG.asyncRead | INIT_FLAG.maxPages, 40 + 12)
  const [reply] = await served.exchange(request)
  expect(reply?.body.readUInt32LE(12)).toBe(INIT_FLAG.asyncRead | INIT_FLAG.maxPages)
  await served.end()
})

test('INIT does not ask for ACLs where modes are not to be checked: the kernel would check both', async () => {
  const served = serve(filesWith({}), { checksAccess: false })
  const [reply] = await served.exchange(recorded('init'))
  expect((reply?.body.readUInt32LE(12) ?? 0) & INIT_FLAG.posixAcl).toBe(0)
  await served.end()
})

test('INIT refuses a kernel before 7.31', async () => {
  const served = serve(filesWith({}))
  const request = recorded('init')
  request.writeUInt32LE(30, 40 + 4)
  expect(await served.exchange(request)).toMatchObject([{ errno: EPROTO }])
  await served.end()
})

test('LOOKUP gives node, lifetimes and all attributes to the nanosecond', async () => {
  const asked: unknown[] = []
  const served = serve(
    filesWith({
      lookup: (parent, name) => {
        asked.push(parent, name)
        return ENTRY
      },
    }),
  )
  const [reply] = await served.exchange(recorded('lookup'))
  expect(asked).toEqual([1, 'snapshots'])
  const body = reply?.body ?? Buffer.alloc(0)
  expect(body.length).toBe(128)
  expect(body.readBigUInt64LE(0)).toBe(2n ** 40n + 3n)
  expect(body.readBigUInt64LE(16)).toBe(0x7fff_ffffn)
  const attributes = body.subarray(40)
  expect(attributes.readBigUInt64LE(0)).toBe(2n ** 52n + 1n)
  expect(attributes.readBigUInt64LE(8)).toBe(5_000_000_000n)
  expect(attributes.readBigUInt64LE(16)).toBe(9_765_625n)
  expect(attributes.readBigInt64LE(24)).toBe(-1n)
  expect(attributes.readBigInt64LE(32)).toBe(1_700_000_000n)
  expect(attributes.readBigInt64LE(40)).toBe(2n ** 33n)
  expect([48, 52, 56].map((at) => attributes.readUInt32LE(at))).toEqual([
    999_999_999, 123_456_789, 1,
  ])
  expect([60, 64, 68, 72].map((at) => attributes.readUInt32LE(at))).toEqual([
    0o104755, 2, 4_294_967_294, 1000,
  ])
  await served.end()
})

test('LOOKUP of what is not there is remembered as long as it is true', async () => {
  let lifetimeMs = Infinity
  const served = serve(filesWith({ lookup: () => ({ node: 0, lifetimeMs }) }))
  const [remembered] = await served.exchange(recorded('lookup'))
  expect(remembered?.errno).toBe(0)
  expect(remembered?.body.readBigUInt64LE(0)).toBe(0n)
  expect(remembered?.body.readBigUInt64LE(16)).toBe(0x7fff_ffffn)
  lifetimeMs = 0
  expect(await served.exchange(recorded('lookup'))).toMatchObject([{ errno: ENOENT }])
  await served.end()
})

test('GETATTR answers fractions of a second of a lifetime', async () => {
  const served = serve(
    filesWith({ attributes: () => ({ attributes: ATTRIBUTES, lifetimeMs: 1_500 }) }),
  )
  const [reply] = await served.exchange(recorded('getattr'))
  expect(reply?.body.length).toBe(104)
  expect(reply?.body.readBigUInt64LE(0)).toBe(1n)
  expect(reply?.body.readUInt32LE(8)).toBe(500_000_000)
  await served.end()
})

function row(name: string, next: number): DirectoryRow {
  return { name, inode: next, mode: 0o100644, next, entry: () => ({ ...ENTRY, node: 100 + next }) }
}

/** The names in a reply to READDIRPLUS. */
function namesOf(body: Buffer): string[] {
  const names: string[] = []
  for (let at = 0; at < body.length; ) {
    const length = body.readUInt32LE(at + 128 + 16)
    names.push(body.toString('latin1', at + 152, at + 152 + length))
    at += (152 + length + 7) & ~7
  }
  return names
}

test('READDIRPLUS gives what fits, aligned, with names as bytes', async () => {
  const served = serve(
    filesWith({
      readDirectory: (handle, offset, sink) => {
        expect([handle, offset]).toEqual([7, 0])
        for (let i = 1; sink.add(row(`\xff${'n'.repeat(i % 200)}`, i)); i++);
      },
    }),
  )
  const [reply] = await served.exchange(recorded('readdirplus'))
  const body = reply?.body ?? Buffer.alloc(0)
  expect(body.length).toBeLessThanOrEqual(0x8000)
  expect(body.length).toBeGreaterThan(0x8000 - 400)
  const names = namesOf(body)
  expect(names[4]).toBe('\xffnnnnn')
  expect(body[152]).toBe(0xff)
  await served.end()
})

test('READDIRPLUS shows what was found before an error, and the error next time', async () => {
  const served = serve(
    filesWith({
      readDirectory: async (_handle, offset, sink) => {
        if (offset === 0) sink.add(row('found', 1))
        await Promise.resolve()
        throw new CairnError('CAIRN_CORRUPT', 'damaged')
      },
    }),
  )
  const [first] = await served.exchange(recorded('readdirplus'))
  expect(namesOf(first?.body ?? Buffer.alloc(0))).toEqual(['found'])
  const again = recorded('readdirplus')
  again.writeUInt32LE(1, 48)
  expect(await served.exchange(again)).toMatchObject([{ errno: EIO }])
  expect(served.errors).toHaveLength(1)
  await served.end()
})

test('READ gives the bytes, at once or later, of requests that overtake each other', async () => {
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const served = serve(
    filesWith({
      read: (node, offset, byteCount, send) => {
        const bytes = Buffer.alloc(byteCount, offset === 0 ? 1 : 2)
        if (node === 1) return send([bytes.subarray(0, 5), bytes.subarray(5)])
        return held.then(() => send([bytes.subarray(0, 10)]))
      },
    }),
  )
  const late = recorded('read')
  const early = requestOf(OPCODE.read, { unique: 61 }, words(0n, 4096n, 20, 0, 0n, 0, 0))
  expect(await served.exchange(late, early)).toMatchObject([{ unique: 61, errno: 0 }])
  release()
  const [reply] = await served.exchange()
  expect(reply).toMatchObject({ unique: 60, errno: 0 })
  expect(reply?.body).toEqual(Buffer.alloc(10, 1))
  await served.end()
})

test('READ of more than was agreed on is cut, not overrun', async () => {
  const served = serve(
    filesWith({ read: (_node, _offset, byteCount, send) => send([Buffer.alloc(byteCount)]) }),
  )
  const [reply] = await served.exchange(
    requestOf(OPCODE.read, { unique: 9 }, words(0n, 0n, 0xffff_ffff, 0, 0n, 0, 0)),
  )
  expect(reply?.body.length).toBe(READ_BYTES_MAX)
  await served.end()
})

test('GETXATTR and LISTXATTR ask for sizes first', async () => {
  const value = Buffer.from('colour')
  const served = serve(
    filesWith({
      xattr: (_node, name) => (name === 'security.selinux' ? value : undefined),
      xattrNames: () => ['user.a', 'security.selinux'],
    }),
  )
  expect((await served.exchange(recorded('getxattr')))[0]?.body).toEqual(value)
  const asking = (size: number, name: string) =>
    requestOf(OPCODE.getxattr, { unique: 5 }, Buffer.concat([words(size, 0), Buffer.from(name)]))
  const [size, short, none, list] = await served.exchange(
    asking(0, 'security.selinux\0'),
    asking(3, 'security.selinux\0'),
    asking(100, 'user.none\0'),
    recorded('listxattr'),
  )
  expect(size?.body.readUInt32LE(0)).toBe(6)
  expect(short?.errno).toBe(ERANGE)
  expect(none?.errno).toBe(ENODATA)
  expect(list?.body.readUInt32LE(0)).toBe('user.a\0security.selinux\0'.length)
  await served.end()
})

test('LSEEK finds data and holes, and refuses other directions', async () => {
  const served = serve(
    filesWith({
      seek: (_node, offset, what) => {
        if (offset > 10) throw new FuseError('ENXIO')
        return what === 'data' ? 2 ** 33 : 5
      },
    }),
  )
  const seeking = (offset: bigint, whence: number) =>
    requestOf(OPCODE.lseek, { unique: 3 }, words(0n, offset, whence, 0))
  const [data, hole, behind, other] = await served.exchange(
    recorded('lseek'),
    seeking(0n, 4),
    seeking(11n, 3),
    seeking(0n, 0),
  )
  expect(data?.body.readBigUInt64LE(0)).toBe(2n ** 33n)
  expect(hole?.body.readBigUInt64LE(0)).toBe(5n)
  expect([behind?.errno, other?.errno]).toEqual([ENXIO, EINVAL])
  await served.end()
})

test('FORGET and BATCH_FORGET are counted, and not answered', async () => {
  const forgotten: [number, number][] = []
  const served = serve(filesWith({ forget: (node, count) => void forgotten.push([node, count]) }))
  const one = requestOf(OPCODE.forget, { unique: 1, node: 77 }, words(3n))
  const many = recorded('batchForget')
  many.writeUInt32LE(many.length, 0)
  many.writeUInt32LE(2, 40)
  expect(await served.exchange(one, many)).toEqual([])
  expect(forgotten).toEqual([
    [77, 3],
    [0x0200_0000, 1],
    [0x0600_0004, 1],
  ])
  await served.end()
})

test('INTERRUPT answers what is under way with EINTR, once, and takes back what nobody got', async () => {
  const forgotten: unknown[] = []
  let release = (_entry: Entry) => {}
  const served = serve(
    filesWith({
      lookup: () => new Promise((resolve) => (release = resolve)),
      forget: (node, count) => void forgotten.push([node, count]),
    }),
  )
  const interrupt = requestOf(OPCODE.interrupt, { unique: 7 }, words(6n))
  expect(await served.exchange(recorded('lookup'), interrupt)).toMatchObject([
    { unique: 6, errno: EINTR },
  ])
  release(ENTRY)
  expect(await served.exchange(interrupt)).toEqual([])
  expect(forgotten).toEqual([[ENTRY.node, 1]])
  await served.end()
})

test('a reply that nobody waits for takes its lookups back', async () => {
  const forgotten: number[] = []
  const served = serve(
    filesWith({
      lookup: () => ENTRY,
      readDirectory: (_handle, _offset, sink) =>
        void (sink.add(row('a', 1)) && sink.add(row('b', 2))),
      openDirectory: () => ({ handle: 9, isImmutable: true }),
      releaseDirectory: (handle) => void forgotten.push(handle),
      forget: (node) => void forgotten.push(node),
    }),
  )
  served.device.isDeaf = true
  await served.exchange(
    recorded('lookup'),
    recorded('readdirplus'),
    requestOf(OPCODE.opendir, { unique: 4 }, words(0, 0)),
  )
  expect(forgotten).toEqual([ENTRY.node, 101, 102, 9])
  await served.end()
})

test('a storage that hangs is EIO after the limit, and what it gives later is dropped', async () => {
  let release = () => {}
  const served = serve(
    filesWith({
      read: (_node, _offset, _byteCount, send) =>
        new Promise((resolve) => {
          release = () => resolve(send([Buffer.alloc(5)]))
        }),
    }),
  )
  expect(await served.exchange(recorded('read'))).toEqual([])
  served.time.nowMs = 59_999
  served.tick()
  expect(await served.exchange()).toEqual([])
  served.time.nowMs = 60_000
  served.tick()
  expect(await served.exchange()).toMatchObject([{ unique: 60, errno: EIO }])
  expect(served.errors).toMatchObject([{ code: 'CAIRN_STORAGE_DOWN' }])
  release()
  expect(await served.exchange()).toEqual([])
  await served.end()
})

test('promises get their turn however many requests come', async () => {
  const order: string[] = []
  const served = serve(
    filesWith({
      read: async (_node, _offset, _byteCount, send) => {
        await new Promise((resolve) => setImmediate(resolve))
        order.push('late')
        send([])
      },
      statfs: () => {
        order.push('at once')
        return { byteCount: 0, fileCount: 0 }
      },
    }),
  )
  const flood = Array.from({ length: 200 }, (_, i) => requestOf(OPCODE.statfs, { unique: 100 + i }))
  await served.exchange(recorded('read'), ...flood)
  expect(order).toHaveLength(201)
  expect(order.indexOf('late')).toBeLessThan(150)
  await served.end()
})

test('what would change anything is EROFS, what is not known is ENOSYS', async () => {
  const served = serve(filesWith({}))
  const errnos = async (opcodes: readonly number[]) =>
    (await served.exchange(...opcodes.map((opcode) => requestOf(opcode, { unique: opcode })))).map(
      ({ errno }) => errno,
    )
  // SETATTR, SYMLINK, MKNOD, MKDIR, UNLINK, RMDIR, RENAME, LINK, WRITE, SETXATTR, REMOVEXATTR,
  // CREATE, FALLOCATE, RENAME2, COPY_FILE_RANGE, TMPFILE.
  const changing = [4, 6, 8, 9, 10, 11, 12, 13, 16, 21, 24, 35, 43, 45, 47, 51]
  expect(await errnos(changing)).toEqual(changing.map(() => EROFS))
  expect(await errnos([34, 39, 4096])).toEqual([ENOSYS, ENOSYS, ENOSYS])
  await served.end()
})

test('a request that is not as long as it says is refused', async () => {
  const served = serve(filesWith({}))
  const request = recorded('getattr')
  request.writeUInt32LE(100, 0)
  expect(await served.exchange(request)).toMatchObject([{ unique: 4, errno: EIO }])
  await served.end()
})

test('OPEN is left to a kernel that can do without', async () => {
  const served = serve(filesWith({}))
  const open = requestOf(OPCODE.open, { unique: 8 }, words(0, 0))
  const [asked] = await served.exchange(open)
  expect(asked?.body.readUInt32LE(8)).toBe(2) // FOPEN_KEEP_CACHE
  const [, left] = await served.exchange(recorded('init'), open)
  expect(left?.errno).toBe(ENOSYS)
  await served.end()
})

test('STATFS is full, in whole blocks', async () => {
  const served = serve(filesWith({}))
  const [reply] = await served.exchange(requestOf(OPCODE.statfs, { unique: 3 }))
  expect(reply?.body.length).toBe(80)
  expect(reply?.body.readBigUInt64LE(0)).toBe(3n)
  expect(reply?.body.readBigUInt64LE(8)).toBe(0n)
  expect(reply?.body.readUInt32LE(40)).toBe(4096)
  await served.end()
})

test('DESTROY ends it', async () => {
  const served = serve(filesWith({}))
  expect(await served.exchange(requestOf(OPCODE.destroy, { unique: 5 }))).toMatchObject([
    { unique: 5, errno: 0 },
  ])
  await served.end()
})
