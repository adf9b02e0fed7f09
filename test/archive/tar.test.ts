/** Headers byte by byte; that other programs read them is shown in test/engine/dump. */

import { describe, expect, test } from 'vitest'
import type { ArchiveEntry } from '../../src/archive/archive.ts'
import { aclText } from '../../src/archive/acl-text.ts'
import { TarWriter } from '../../src/archive/tar.ts'

const ENTRY: ArchiveEntry = {
  path: 'file',
  type: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: { seconds: 1_700_000_000, nanoseconds: 0 },
  size: 0,
}

async function tarOf(entry: Partial<ArchiveEntry>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  const writer = new TarWriter(async (bytes) => void parts.push(bytes))
  await writer.add({ ...ENTRY, ...entry })
  await writer.finish()
  return Buffer.concat(parts)
}

/** The records of the extended header that an archive begins with; throws if lengths are wrong. */
function recordsOf(tar: Buffer): Map<string, string> {
  const records = new Map<string, string>()
  if (tar.toString('latin1', 156, 157) !== 'x') return records
  const end = 512 + Number.parseInt(tar.toString('latin1', 124, 135), 8)
  for (let at = 512; at < end; ) {
    const length = Number(tar.toString('latin1', at, tar.indexOf(' ', at)))
    const text = tar.toString('latin1', at, at + length)
    const [, key = '', value = ''] = /^\d+ ([^=]+)=([^]*)\n$/.exec(text) ?? []
    if (key === '') throw new Error(`bad record at ${at}: ${text}`)
    records.set(key, value)
    at += length
  }
  return records
}

describe('extended headers', () => {
  test('say what a header has room for nowhere else', async () => {
    expect(recordsOf(await tarOf({})).size).toBe(0)
    const records = recordsOf(
      await tarOf({
        path: 'ü'.repeat(2),
        uid: 2_097_152,
        gid: 4_294_967_295,
        mtime: { seconds: -2, nanoseconds: 500_000_000 },
        atime: { seconds: 1, nanoseconds: 1 },
        userName: 'Jürgen',
      }),
    )
    expect(Object.fromEntries(records)).toMatchObject({
      uid: '2097152',
      gid: '4294967295',
      mtime: '-1.5',
      atime: '1.000000001',
      uname: Buffer.from('Jürgen').toString('latin1'),
    })
  })

  test('hold the largest numbers that a header still says itself back', async () => {
    expect(recordsOf(await tarOf({ uid: 2_097_151, path: 'n'.repeat(100) })).size).toBe(0)
    expect([...recordsOf(await tarOf({ path: 'n'.repeat(101) })).keys()]).toEqual(['path'])
  })

  test('count themselves in their lengths, at every length', async () => {
    for (let length = 101; length < 1100; length++) {
      const path = 'n'.repeat(length)
      expect(recordsOf(await tarOf({ path })).get('path')).toBe(path)
    }
    for (let length = 1; length < 120; length++) {
      const value = Buffer.alloc(length, 'v')
      const records = recordsOf(await tarOf({ xattrs: [[Buffer.from('user.a'), value]] }))
      expect(records.get('SCHILY.xattr.user.a')).toBe(value.toString())
    }
  })

  test('say sizes from 8 GiB on', async () => {
    const size = 8 * 2 ** 30
    const block = Buffer.alloc(1 << 20)
    const first: Uint8Array[] = []
    let byteCount = 0
    const writer = new TarWriter(async (bytes) => {
      if (byteCount === 0) first.push(bytes)
      byteCount += bytes.length
    })
    async function* content() {
      for (let left = size; left > 0; left -= block.length) yield block
    }
    await writer.add({ ...ENTRY, size }, content())
    await writer.finish()
    expect(recordsOf(Buffer.concat(first)).get('size')).toBe(String(size))
    expect(byteCount).toBe(512 + 512 + 512 + size + 1024)
  })
})

test('content that is longer or shorter than promised is refused', async () => {
  const give = async function* (text: string) {
    yield Buffer.from(text)
  }
  for (const text of ['abc', 'abcde']) {
    const writer = new TarWriter(async () => {})
    await expect(writer.add({ ...ENTRY, size: 4 }, give(text))).rejects.toMatchObject({
      code: 'CAIRN_CORRUPT',
    })
  }
})

test('aclText() reads what Linux keeps and nothing else', () => {
  const acl = Buffer.from(
    '0200000001000600ffffffff02000500390c0000200004 00ffffffff'.replace(' ', ''),
    'hex',
  )
  expect(aclText(acl)).toBe('user::rw-,user:3129:r-x,other::r--')
  expect(aclText(acl.subarray(0, 10))).toBeUndefined()
  expect(aclText(Buffer.from([1, 0, 0, 0]))).toBeUndefined()
  expect(aclText(Buffer.from('0200000003000600ffffffff', 'hex'))).toBeUndefined()
})
