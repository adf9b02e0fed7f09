/** E10: the holes of a file are kept as holes, and not read. */

import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { BackupReport } from '../../../src/engine/backup/backup-options.ts'
import {
  isHole,
  referenceCount,
  referenceId,
  referenceLength,
  type TreeEntry,
} from '../../../src/format/tree.ts'
import { dataRuns } from '../../../src/pipeline/data-runs.ts'
import type { BlobReader } from '../../../src/repository/blob-reader.ts'
import { readChunkList } from '../../../src/repository/tree-reader.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import {
  backUp,
  create,
  entriesOf,
  fileContent,
  inlineEnvironment,
  open,
} from '../../support/backup-harness.ts'
import { seeded } from '../../support/seeded.ts'
import { type SourceFaults, withSourceFaults } from '../../support/source-faults.ts'

const MIB = 1 << 20
let root = ''
let disk: MemoryBackend

beforeEach(async () => {
  root = fs.mkdtempSync(join(tmpdir(), 'cairn-sparse-'))
  disk = new MemoryBackend()
  await create(disk)
})
afterEach(() => fs.rmSync(root, { recursive: true, force: true }))

function noise(byteCount: number, seed = 1): Buffer {
  const random = seeded(seed)
  return Buffer.from(Uint8Array.from({ length: byteCount }, () => Math.floor(random() * 256)))
}

/** Makes a file of `size` bytes with these islands in it. */
function island(
  name: string,
  size: number,
  islands: readonly (readonly [number, Buffer])[],
): string {
  const path = join(root, name)
  const descriptor = fs.openSync(path, 'w')
  fs.ftruncateSync(descriptor, size)
  for (const [position, bytes] of islands) {
    fs.writeSync(descriptor, bytes, 0, bytes.length, position)
  }
  fs.closeSync(descriptor)
  return path
}

interface Saved {
  readonly report: BackupReport
  readonly entry: (name: string) => TreeEntry
  readonly blobs: BlobReader
  readonly close: () => Promise<void>
  readonly errors: readonly string[]
}

async function save(faults: SourceFaults = {}): Promise<Saved> {
  const errors: string[] = []
  const report = await backUp(disk, root, {
    environment: withSourceFaults(inlineEnvironment(), faults),
    listener: { onError: (path, error) => errors.push(`${path}: ${error.message}`) },
  })
  const repository = await open(disk)
  const found = await entriesOf(repository, (await repository.snapshots()).at(-1), root)
  return {
    report,
    errors,
    blobs: found.blobs,
    close: found.close,
    entry: (name) => {
      const entry = found.entries.get(name)
      if (entry === undefined) throw new Error(`${name} is not in the snapshot`)
      return entry
    },
  }
}

interface Part {
  readonly start: number
  readonly length: number
  readonly hole: boolean
}

async function partsOf({ blobs }: Saved, entry: TreeEntry): Promise<Part[]> {
  const parts: Part[] = []
  let start = 0
  const add = (references: Uint8Array) => {
    for (let i = 0; i < referenceCount(references); i++) {
      const length = referenceLength(references, i)
      parts.push({ start, length, hole: isHole(referenceId(references, i)) })
      start += length
    }
  }
  if (entry.content !== undefined) add(entry.content)
  if (entry.contentList !== undefined) {
    for await (const leaf of readChunkList(blobs, entry.contentList)) add(leaf)
  }
  return parts
}

test('E10: of 1 TiB with three islands only the islands are read', async () => {
  const size = 2 ** 40
  const islands = [12_345, 2 ** 38 + 77, size - 50_000].map(
    (position, i) => [position, noise(40_000, i)] as const,
  )
  island('big', size, islands)
  let bytesRead = 0
  const saved = await save({
    onRead: (_path, _position, length) => {
      bytesRead += length
    },
  })
  expect(saved.errors).toEqual([])
  // Once to cut it and once to store it, each in whole blocks around the islands.
  expect(bytesRead).toBeLessThan(2 * 3 * 40_000 + 3 * MIB)
  const entry = saved.entry('big')
  expect(entry.size).toBe(size)
  const parts = await partsOf(saved, entry)
  expect(parts.reduce((sum, { length }) => sum + length, 0)).toBe(size)
  expect(parts.length).toBeLessThan(1000)
  for (const [position, bytes] of islands) {
    const covering = parts.filter(
      ({ start, length }) => start < position + bytes.length && start + length > position,
    )
    expect(covering.some(({ hole }) => hole)).toBe(false)
  }
  expect(saved.report.bytesProcessed).toBe(size)
  await saved.close()
})

test('E10: a smaller file with holes at its beginning, middle and end is the same when it is read back', async () => {
  const bytes = Buffer.alloc(12 * MIB)
  const islands = [
    [2 * MIB, noise(70_000)],
    [2 * MIB + 80_000, noise(5)],
    [6 * MIB + 1, noise(4097)],
  ] as const
  for (const [position, part] of islands) part.copy(bytes, position)
  island('file', bytes.length, islands)
  island('hole', 5 * MIB, [])
  const saved = await save()
  expect(saved.errors).toEqual([])
  expect((await fileContent(saved.blobs, saved.entry('file'))).equals(bytes)).toBe(true)
  const parts = await partsOf(saved, saved.entry('file'))
  expect(parts[0]).toMatchObject({ start: 0, length: 2 * MIB, hole: true })
  expect(parts.at(-1)?.hole).toBe(true)
  expect(parts.filter(({ hole }) => hole)).toHaveLength(3)
  expect(await partsOf(saved, saved.entry('hole'))).toEqual([
    { start: 0, length: 5 * MIB, hole: true },
  ])
  await saved.close()
})

test('E10: a large file that ends in data has the same content and no hole that is none', async () => {
  const size = 70 * MIB
  const islands = [
    [0, noise(3000)],
    [30 * MIB - 7, noise(20_000)],
    [size - 1, noise(1)],
  ] as const
  const bytes = Buffer.alloc(size)
  for (const [position, part] of islands) part.copy(bytes, position)
  island('file', size, islands)
  const saved = await save()
  expect((await fileContent(saved.blobs, saved.entry('file'))).equals(bytes)).toBe(true)
  await saved.close()
})

test.each([2, 70])(
  'E1: a file of %i MiB with holes that is written to while it is read is named as changed',
  async (mebibytes) => {
    const path = island('file', mebibytes * MIB, [[0, noise(3000)]])
    let isDone = false
    const saved = await save({
      onRead: () => {
        if (isDone) return
        isDone = true
        // Into a hole, and with the times set back: only ctime tells.
        execFileSync('dd', [
          'if=/dev/zero',
          `of=${path}`,
          'bs=1',
          'count=1',
          'seek=1900000',
          'conv=notrunc',
          'status=none',
        ])
      },
    })
    expect(saved.errors).toEqual([`${path}: it changed while it was read`])
    expect(saved.entry('file').changedWhileRead).toBe(true)
    await saved.close()
  },
)

test('dataRuns() takes short holes for data, and only what is before the end', () => {
  const runs = [
    { start: 10, end: 20 },
    { start: 30, end: 3 * MIB },
    { start: 5 * MIB, end: 6 * MIB },
    { start: 6 * MIB + 1, end: 9 * MIB },
  ]
  const file = {
    mayHaveHoles: true,
    nextData: (position: number) =>
      runs
        .map(({ start, end }) => ({ start: Math.max(start, position), end }))
        .find(({ start, end }) => start < end),
  }
  expect([...dataRuns(file, 0, 20 * MIB)]).toEqual([
    { start: 0, end: 3 * MIB },
    { start: 5 * MIB, end: 9 * MIB },
  ])
  expect([...dataRuns(file, 4 * MIB, 5.5 * MIB)]).toEqual([{ start: 5 * MIB, end: 5.5 * MIB }])
  expect([...dataRuns(file, 0, 3 * MIB + 5)]).toEqual([{ start: 0, end: 3 * MIB + 5 }])
  expect([...dataRuns(file, 9 * MIB, 20 * MIB)]).toEqual([])
  expect([...dataRuns({ ...file, mayHaveHoles: false }, 5, 7)]).toEqual([{ start: 5, end: 7 }])
})
