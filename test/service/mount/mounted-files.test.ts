import { describe, expect, test } from 'vitest'
import { BLOB_TYPE, REFERENCE_BYTES } from '../../../src/format/constants.ts'
import type { TreeEntry } from '../../../src/format/tree.ts'
import { encodeXattrs } from '../../../src/format/xattrs.ts'
import type { Entry } from '../../../src/fuse/file-system.ts'
import type { MountedFiles } from '../../../src/service/mount/mounted-files.ts'
import { mountedFilesOf } from '../../support/mounted-files.ts'
import { RepositoryBuilder } from '../../support/repository-builder.ts'

const ROOT = 1

/** What the builder takes of an entry's content. */
function contentOf({ size = 0, content, contentList }: Partial<TreeEntry>) {
  return {
    size,
    ...(content === undefined ? {} : { content }),
    ...(contentList === undefined ? {} : { contentList }),
  }
}

async function lookup(files: MountedFiles, ...names: readonly string[]): Promise<Entry> {
  let node = ROOT
  let found: Entry | undefined
  for (const name of names) {
    const entry = await files.lookup(node, name)
    if (entry.node === 0) throw new Error(`there is no ${name}`)
    found = entry as Entry
    node = entry.node
  }
  if (found === undefined) throw new Error('no names')
  return found
}

describe('MountedFiles', () => {
  test('shows holes in blocks, devices by number and links by one inode', async () => {
    const builder = await RepositoryBuilder.create({ chunkBytes: 4_096 })
    const references = builder.references(Buffer.alloc(8_192, 'data'))
    const hole = Buffer.alloc(REFERENCE_BYTES)
    hole.writeUInt32LE(1_000_000, 32)
    const size = 1_008_192
    const sparse = builder.content(size, Buffer.concat([references, hole]))
    const many = Buffer.concat(Array.from({ length: 200 }, () => Buffer.concat([references, hole])))
    const listed = builder.content(200 * size, many)
    expect(listed.contentList).toBeDefined()
    const root = builder.tree({
      sparse: { ...contentOf(sparse), type: 'file' },
      listed: { ...contentOf(listed), type: 'file' },
      device: { type: 'blockdevice', device: { major: 300, minor: 70_000 } },
      'd/one': { type: 'file', linkGroup: 7n },
      'e/two': { type: 'file', linkGroup: 7n },
      single: { type: 'file' },
    })
    const files = await mountedFilesOf(builder, root)
    const attributes = async (...names: readonly string[]) =>
      (await lookup(files, ...names)).attributes
    expect(await attributes('sparse')).toMatchObject({ byteCount: size, blockCount: 16 })
    expect(await attributes('listed')).toMatchObject({ blockCount: 200 * 16 })
    // 12 bits of the major number at bit 8, the minor one around them.
    const device = ((70_000 & 0xff) | (300 << 8) | ((70_000 & 0xfff00) << 12)) >>> 0
    expect(await attributes('device')).toMatchObject({ device, mode: 0o060644 })
    const [one, two, single] = [
      await attributes('d', 'one'),
      await attributes('e', 'two'),
      await attributes('single'),
    ]
    expect(one.inode).toBe(two.inode)
    expect([one.linkCount, single.linkCount]).toEqual([2, 1])
    expect(single.inode).not.toBe(one.inode)
  })

  test('gives extended attributes, from the entry or a blob of their own', async () => {
    const builder = await RepositoryBuilder.create()
    const pairs: [Buffer, Buffer][] = [
      [Buffer.from('user.colour'), Buffer.from([0, 255])],
      [Buffer.from('system.posix_acl_access'), Buffer.from('acl')],
    ]
    const xattrsId = builder.blob(encodeXattrs(pairs), { type: BLOB_TYPE.aux })
    const root = builder.tree({
      inline: { type: 'file', xattrs: pairs },
      apart: { type: 'file', xattrsId },
      none: { type: 'file' },
    })
    const files = await mountedFilesOf(builder, root)
    for (const name of ['inline', 'apart']) {
      const { node } = await lookup(files, name)
      expect([...(await files.xattrNames(node))].toSorted()).toEqual([
        'system.posix_acl_access',
        'user.colour',
      ])
      expect(Buffer.from((await files.xattr(node, 'user.colour')) ?? [])).toEqual(pairs[0]?.[1])
      expect(await files.xattr(node, 'user.other')).toBeUndefined()
    }
    expect(await files.xattrNames((await lookup(files, 'none')).node)).toEqual([])
  })

  test('forgets a directory once the kernel knows nothing in it, in whatever order it forgets', async () => {
    const builder = await RepositoryBuilder.create()
    const paths = Array.from({ length: 50 }, (_, i) => `a/b${i}/c/file`)
    const root = builder.tree(Object.fromEntries(paths.map((path) => [path, Buffer.from('x')])))
    const files = await mountedFilesOf(builder, root)
    const looked: number[] = []
    for (const path of paths) {
      let node = ROOT
      for (const name of path.split('/')) {
        node = (await files.lookup(node, name)).node
        looked.push(node)
      }
    }
    expect(files.knownDirectoryCount).toBe(1 + 1 + 50 + 50)
    const handle = await files.openDirectory(looked[0] ?? 0)
    // Parents before what is in them, and some together: as eviction happens to have it.
    const counts = new Map<number, number>()
    for (const node of looked) counts.set(node, (counts.get(node) ?? 0) + 1)
    for (const [node, count] of counts) files.forget(node, count)
    expect(files.knownDirectoryCount).toBe(2)
    files.releaseDirectory(handle.handle)
    expect(files.knownDirectoryCount).toBe(1)
    // All of it can be found again.
    expect((await lookup(files, 'a', 'b7', 'c', 'file')).attributes.byteCount).toBe(1)
  })

  test('lists with . and .., goes on where it stopped, and counts what it hands out', async () => {
    const builder = await RepositoryBuilder.create()
    const names = Array.from({ length: 1_000 }, (_, i) => `n${String(i).padStart(4, '0')}`)
    const root = builder.tree(
      Object.fromEntries(names.map((name) => [`d/${name}`, Buffer.from('x')])),
    )
    const files = await mountedFilesOf(builder, root)
    const { node } = await lookup(files, 'd')
    const { handle, isImmutable } = await files.openDirectory(node)
    expect(isImmutable).toBe(true)
    const seen: string[] = []
    let offset = 0
    for (let before = -1; before < seen.length; ) {
      before = seen.length
      let room = 7
      await files.readDirectory(handle, offset, {
        add: (row) => {
          if (room-- === 0) return false
          seen.push(row.name)
          offset = row.next
          return true
        },
      })
    }
    expect(seen).toEqual(['.', '..', ...names])
  })

  test('a node of what was forgotten is stale, not something else', async () => {
    const builder = await RepositoryBuilder.create()
    const root = builder.tree({ 'd/f': Buffer.from('x') })
    const files = await mountedFilesOf(builder, root)
    const directory = await lookup(files, 'd')
    const { node } = await lookup(files, 'd', 'f')
    files.forget(node, 1)
    files.forget(directory.node, 2)
    expect(() => files.attributes(node)).toThrow('ESTALE')
  })

  test('a damaged file is named in the error', async () => {
    const builder = await RepositoryBuilder.create()
    const missing = Buffer.alloc(REFERENCE_BYTES, 1)
    missing.writeUInt32LE(5, 32)
    const entry: Partial<TreeEntry> = builder.content(5, missing)
    const root = builder.tree({ 'd/bad': { ...contentOf(entry), type: 'file' } })
    const files = await mountedFilesOf(builder, root)
    const { node } = await lookup(files, 'd', 'bad')
    const reading = async () => await files.read(node, 0, 5, () => {})
    await expect(reading()).rejects.toMatchObject({
      message: 'EIO',
      cause: { code: 'CAIRN_CORRUPT', message: "cannot read 'd/bad'" },
    })
  })
})
