import assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import { decodePaths, encodeFiles, metadataOf, NO_OWNER } from '../../src/pipeline/restore-job.ts'
import { hasZeroRun, writeAroundZeros } from '../../src/pipeline/zero-runs.ts'

describe('encodeFiles()', () => {
  test('keeps odd names, owners that stay, and times before 1970', () => {
    const xattrs = [
      ['user.\xff', Buffer.from([0, 255])],
      ['user.empty', Buffer.alloc(0)],
    ] as const
    const selects = () => true
    const facts = [
      { path: 'a/\n b', size: 2 ** 40, mode: 0o4755, uid: 1, gid: NO_OWNER },
      {
        path: '\xff',
        size: 0,
        mode: 0,
        uid: NO_OWNER,
        gid: 0,
        atime: { seconds: -1, nanoseconds: 1 },
      },
    ].map((file, index) => ({
      ...file,
      mtime: { seconds: -5, nanoseconds: 999_999_999 },
      flags: index === 0 ? 0x40 : 0,
      xattrs: index === 0 ? xattrs : undefined,
    }))
    const columns = encodeFiles(facts)
    assert.deepEqual(decodePaths(columns), ['a/\n b', '\xff'])
    assert.deepEqual([...columns.sizes], [2 ** 40, 0])
    const mtimeNs = -4_000_000_001n
    const all = { xattrs: { list: xattrs, selects } }
    assert.deepEqual(metadataOf(columns, 0, selects), {
      mode: 0o4755,
      uid: 1,
      mtimeNs,
      flags: 0x40,
      ...all,
    })
    assert.deepEqual(metadataOf(columns, 1, selects), {
      mode: 0,
      gid: 0,
      mtimeNs,
      atimeNs: -999_999_999n,
      flags: 0,
    })
    assert.deepEqual(decodePaths(encodeFiles([])), [])
  })
})

describe('writeAroundZeros()', () => {
  /** What a file holds after the writes, and how many bytes were written. */
  function written(content: Uint8Array, position: number, offset: number) {
    const bytes = Buffer.concat([Buffer.alloc(offset, 0xee), content, Buffer.alloc(9, 0xee)])
    const file = Buffer.alloc(position + content.length)
    let byteCount = 0
    const write = (from: Uint8Array, at: number, length: number, to: number) => {
      file.set(from.subarray(at, at + length), to)
      byteCount += length
    }
    writeAroundZeros({ write }, bytes, { offset, length: content.length, position })
    return { content: file.subarray(position), byteCount }
  }

  test('writes everything but whole blocks of zeros, wherever the range begins', () => {
    const content = Buffer.alloc(50_000, 1)
    content.fill(0, 4096, 20_000)
    content.fill(0, 30_000, 31_000)
    content.fill(0, 49_000)
    for (const position of [0, 1, 4095, 4096, 1_000_003]) {
      for (const offset of [0, 7]) {
        const found = written(content, position, offset)
        assert.ok(found.content.equals(content))
        assert.ok(found.byteCount <= content.length - 8192, `${position} ${found.byteCount}`)
      }
    }
    assert.equal(written(Buffer.alloc(10_000), 5, 3).byteCount, 0)
    assert.equal(written(Buffer.alloc(10_000, 9), 5, 3).byteCount, 10_000)
  })

  test('hasZeroRun() sees aligned blocks only', () => {
    assert.equal(hasZeroRun(Buffer.alloc(4096)), true)
    assert.equal(hasZeroRun(Buffer.alloc(4095)), false)
    const shifted = Buffer.alloc(8191, 1).fill(0, 1, 8190)
    assert.equal(hasZeroRun(shifted), false)
  })
})
