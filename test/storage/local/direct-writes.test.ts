/** Large files go past the page cache where that can be: whole all the same, whatever it takes of them. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { nodeClock } from '../../../src/base/node-seams.ts'
import { pageAligned } from '../../../src/pipeline/page-aligned.ts'
import type { Backend } from '../../../src/storage/backend.ts'
import { openLocalBackend } from '../../../src/storage/local/local-backend.ts'
import {
  type LocalFileSystem,
  nodeFileSystem,
  takesDirectWrites,
} from '../../../src/storage/local/local-file-system.ts'
import { bytesFrom, fileOf, rejectionCode } from '../../contract/backend.ts'
import { type FileSystemCall, faultyFileSystem } from './faulty-file-system.ts'
import { countingRandomness, diskWithFolder, type SimulatedDisk } from './simulated-disk.ts'

const ROOT = '/disk/repo'
const MIB = 1 << 20
const random = countingRandomness()
const nothing = () => 0

function open(path: string, fileSystem: LocalFileSystem): Backend {
  return openLocalBackend({ path, fileSystem, clock: nodeClock(), random })
}

async function made(disk: SimulatedDisk): Promise<SimulatedDisk> {
  await open(ROOT, disk).create()
  return disk
}

/** Saves bytes as a pack, and returns what the disk has then and the calls that it took. */
async function saved(
  disk: SimulatedDisk,
  bytes: Uint8Array,
): Promise<{ content: Uint8Array | undefined; calls: FileSystemCall[] }> {
  const file = fileOf('packs', bytes)
  const { fs, calls } = faultyFileSystem(disk, () => undefined)
  await open(ROOT, fs).save(file, bytes)
  const found = [...disk.files()].filter(([path]) => path.endsWith(file.name))
  expect(found.length).toBe(1)
  expect(disk.openCount).toBe(0)
  return { content: found[0]?.[1], calls }
}

/** `toEqual` looks at each byte by itself. */
function isSame(found: Uint8Array | undefined, expected: Uint8Array): boolean {
  return found !== undefined && Buffer.compare(found, expected) === 0
}

const isDirectOpen = ({ verb }: FileSystemCall) => verb === 'openDirect'

test.each([true, false])(
  'sizes around blocks and slices, direct writes known: %s',
  async (hasDirect) => {
    const disk = await made(await diskWithFolder({ hasDirect }))
    for (const byteCount of [
      2 * MIB - 1,
      2 * MIB,
      2 * MIB + 1,
      2 * MIB + 4095,
      2 * MIB + 4096,
      9 * MIB + 7,
    ]) {
      const bytes = bytesFrom(byteCount, byteCount)
      const { content, calls } = await saved(disk, bytes)
      expect(isSame(content, bytes), String(byteCount)).toBe(true)
      expect(calls.some(isDirectOpen), String(byteCount)).toBe(byteCount >= 2 * MIB)
      // Synced once, after everything was written.
      const verbs = calls.map(({ verb }) => verb)
      expect(verbs.lastIndexOf('write')).toBeLessThan(verbs.indexOf('fsync'))
    }
  },
)

test('what a disk takes only a part of is finished in the other way', async () => {
  for (const directBytesMax of [512, 4096, 4608, 700 * 512, MIB - 512]) {
    const disk = await made(await diskWithFolder())
    disk.directBytesMax = directBytesMax
    const bytes = bytesFrom('short', 2 * MIB + 20_000)
    expect(isSame((await saved(disk, bytes)).content, bytes), String(directBytesMax)).toBe(true)
  }
})

test('where a disk cannot take bytes from that memory, they are written in the other way', async () => {
  const disk = await made(await diskWithFolder())
  const bytes = bytesFrom('misaligned', 2 * MIB + 5)
  let writeCount = 0
  const { fs } = faultyFileSystem(disk, ({ verb }) =>
    verb === 'write' && writeCount++ === 0 ? 'EINVAL' : undefined,
  )
  const file = fileOf('packs', bytes)
  await open(ROOT, fs).save(file, bytes)
  expect(isSame(await open(ROOT, disk).load(file), bytes)).toBe(true)
})

test('any call fails once: a clear error or none, nothing partial, and a second try works', async () => {
  const bytes = bytesFrom('faults', 2 * MIB + 100)
  const file = fileOf('packs', bytes)
  const failed = new Set<string>()
  for (const errno of ['EIO', 'ENOSPC', 'EINVAL', 'EACCES']) {
    for (let failAt = 0; ; failAt++) {
      const disk = await made(await diskWithFolder())
      const { fs, calls } = faultyFileSystem(disk, (_, number) =>
        number === failAt ? errno : undefined,
      )
      const backend = open(ROOT, fs)
      const code = await rejectionCode(backend.save(file, bytes))
      if (failAt >= calls.length) break
      failed.add(`${calls[failAt]?.verb} ${code === 'no rejection' ? 'done' : 'refused'}`)
      expect([...disk.files().keys()].filter((path) => path.includes('/tmp/'))).toEqual([])
      await backend.save(file, bytes)
      expect(isSame(await open(ROOT, disk).load(file), bytes)).toBe(true)
      expect(disk.openCount).toBe(0)
    }
  }
  expect([...failed]).toEqual(expect.arrayContaining(['openDirect refused', 'write refused']))
})

test('A13: the power goes after any change: what is listed is whole, what was flushed is there', async () => {
  const bytes = bytesFrom('power', 2 * MIB + 5000)
  const file = fileOf('packs', bytes)
  const isListed = async (after: SimulatedDisk) => {
    const backend = open(ROOT, after)
    if ((await backend.list('packs')).length === 0) return false
    expect(isSame(await backend.load(file), bytes)).toBe(true)
    return true
  }
  const kept = [0, 0.3, 0.6, 0.99].map((chance) => () => chance)
  for (let cutAfter = 1; ; cutAfter++) {
    const disk = await made(await diskWithFolder())
    let changeCount = 0
    let found: SimulatedDisk[] = []
    disk.afterChange = () => {
      if (++changeCount !== cutAfter) return
      found = kept.flatMap((names) => kept.map((contents) => disk.afterPowerCut(names, contents)))
    }
    const backend = open(ROOT, disk)
    await backend.save(file, bytes)
    await backend.flush()
    for (const after of found) await isListed(after)
    if (changeCount >= cutAfter) continue
    expect(await isListed(disk.afterPowerCut(nothing, nothing))).toBe(true)
    break
  }
})

test('a network file system is not asked to go without its cache', async () => {
  const disk = await made(await diskWithFolder())
  disk.fileSystemType = () => 0x6969
  const { calls } = await saved(disk, bytesFrom('nfs', 2 * MIB))
  expect(calls.some(isDirectOpen)).toBe(false)
})

test('on a real disk: bytes arrive whole; from memory at a page the disk takes them by itself', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cairn-direct-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const real = nodeFileSystem()
  let directCount = 0
  let refusedCount = 0
  const backend = open(join(folder, 'repo'), {
    ...real,
    openDirect: async (path) => {
      const descriptor = await real.openDirect(path)
      if (descriptor !== undefined) directCount++
      return descriptor
    },
    write: async (...args) => {
      try {
        return await real.write(...args)
      } catch (error) {
        refusedCount++
        throw error
      }
    },
  })
  await backend.create()
  const save = async (beyond: number) => {
    const byteCount = 3 * MIB + 1111 + beyond
    const room = pageAligned(byteCount + beyond, (count) => new ArrayBuffer(count))
    const bytes = room.subarray(beyond, beyond + byteCount)
    bytes.set(bytesFrom(beyond, byteCount))
    const file = fileOf('packs', bytes)
    await backend.save(file, bytes)
    expect(isSame(readFileSync(backend.localPath?.(file) ?? ''), bytes)).toBe(true)
  }
  await save(0)
  const isExpected = takesDirectWrites(real.fileSystemType(folder), process.platform)
  expect({ directCount, refusedCount }).toEqual({
    directCount: isExpected ? 1 : 0,
    refusedCount: 0,
  })
  await save(1)
})
