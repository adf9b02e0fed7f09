/** Targets that cannot hold everything, files that are mostly nothing, and names that mean to harm. */

import assert from 'node:assert/strict'
import { chmodSync, closeSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { futimesSync, readSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'vitest'
import { REFERENCE_BYTES } from '../../../src/format/constants.ts'
import type { Target } from '../../../src/source/target-files.ts'
import { buildRepository, RepositoryBuilder } from '../../support/repository-builder.ts'
import { overriding, restore, targetDirectory, testEnvironment } from './restore-harness.ts'
import { wrappedTargets } from './restore-harness.ts'

const TIB = 2 ** 40
const HOLE_BYTES = 2 ** 31

/** References of a file of 1 TiB with these bytes at three places, and holes between them. */
function islands(builder: RepositoryBuilder, island: Buffer) {
  const references: Buffer[] = []
  const add = (id: Uint8Array, length: number) => {
    const reference = Buffer.alloc(REFERENCE_BYTES)
    reference.set(id)
    reference.writeUInt32LE(length, 32)
    references.push(reference)
  }
  const hole = (byteCount: number) => {
    for (let left = byteCount; left > 0; left -= HOLE_BYTES) {
      add(Buffer.alloc(32), Math.min(left, HOLE_BYTES))
    }
  }
  const places = [0, TIB / 2, TIB - island.length]
  let position = 0
  for (const place of places) {
    hole(place - position)
    add(builder.blob(island), island.length)
    position = place + island.length
  }
  const { size = 0, content, contentList } = builder.content(TIB, Buffer.concat(references))
  return {
    places,
    size,
    ...(content === undefined ? {} : { content }),
    ...(contentList === undefined ? {} : { contentList }),
  }
}

describe('restoreSnapshot() of a file of 1 TiB that is nearly all hole', () => {
  test.each([
    [0, false],
    [2, false],
    [2, true],
  ])('E16 P8: with %i threads, sparse: %s', async (threads, sparse) => {
    const builder = await RepositoryBuilder.create()
    const island = Buffer.alloc(64 * 1024, 'island')
    const { places, ...content } = islands(builder, island)
    const built = await builder.finish(
      builder.tree({
        disk: { type: 'file', ...content },
        zeros: { type: 'file', bytes: Buffer.alloc(1 << 20) },
      }),
    )
    const target = targetDirectory()
    const environment = testEnvironment({ threads })
    // The second run compares what is there: that must not read a terabyte either.
    for (const kept of [0, 2]) {
      const { report } = await restore(built, { target, environment, sparse, verify: true })
      assert.equal(report.isComplete, true)
      assert.equal(report.counts.files_skipped, kept)
      assert.equal(report.verifiedFiles, kept === 0 ? 2 : 0)
    }
    const { size, blocks } = statSync(join(target, 'disk'))
    assert.equal(size, TIB)
    assert.ok(blocks * 512 < 1 << 20)
    assert.equal(statSync(join(target, 'zeros')).blocks * 512 < 1 << 20, sparse)
    const descriptor = openSync(join(target, 'disk'), 'r')
    for (const place of places) {
      const found = Buffer.alloc(island.length)
      readSync(descriptor, found, 0, found.length, place)
      assert.ok(found.equals(island))
    }
    closeSync(descriptor)
  })

  test('R2: an island where a hole belongs is found, and the file written anew', async () => {
    const builder = await RepositoryBuilder.create()
    const { places: _, ...content } = islands(builder, Buffer.alloc(4096, 1))
    const built = await builder.finish(builder.tree({ disk: { type: 'file', ...content } }))
    const target = targetDirectory()
    await restore(built, { target })
    const { atime, mtime } = statSync(join(target, 'disk'))
    const descriptor = openSync(join(target, 'disk'), 'r+')
    writeSync(descriptor, Buffer.from('changed'), 0, 7, TIB / 4)
    futimesSync(descriptor, atime, mtime)
    closeSync(descriptor)
    const { items } = await restore(built, { target })
    assert.ok(items.includes('updated /disk'))
  })
})

/** A file system that takes names for the same whatever their case. */
function foldingCase(target: Target): Target {
  const fold = (path: string) => path.toLowerCase()
  return overriding(target, {
    makeDirectory: (path) => target.makeDirectory(fold(path)),
    createFile: (path) => target.createFile(fold(path)),
    lstat: (path) => target.lstat(fold(path)),
    readDirectory: (path) => target.readDirectory(fold(path)),
    writeWholeFile: (path, ...rest) => target.writeWholeFile(fold(path), ...rest),
    makeSymlink: (path, ...rest) => target.makeSymlink(fold(path), ...rest),
    setMetadata: (path, ...rest) => target.setMetadata(fold(path), ...rest),
  })
}

describe('restoreSnapshot() into a target that cannot hold all names', () => {
  test('R9: of names that are one there, the first is restored and the others are told', async () => {
    const built = await buildRepository({
      files: {
        'A.txt': Buffer.from('first'),
        'a.txt': Buffer.from('second'),
        'Dir/f': Buffer.from('in Dir'),
        'dir/f': Buffer.from('in dir'),
        'dir/g': Buffer.from('in dir'),
        other: Buffer.from('other'),
      },
    })
    const target = targetDirectory()
    const environment = testEnvironment({ target: wrappedTargets(foldingCase) })
    const { report, errors } = await restore(built, { target, environment })
    assert.equal(report.isComplete, false)
    assert.deepEqual(new Set(errors.map((line) => line.split(':')[0])), new Set(['/a.txt', '/dir']))
    assert.deepEqual(readdirSync(target).sort(), ['a.txt', 'dir', 'other'])
    assert.equal(readFileSync(join(target, 'a.txt'), 'utf8'), 'first')
    assert.deepEqual(readdirSync(join(target, 'dir')), ['f'])
    assert.equal(readFileSync(join(target, 'dir/f'), 'utf8'), 'in Dir')
  })

  test('R9 M1: names that are too long for it are told one by one', async () => {
    const long = 'n'.repeat(300)
    const built = await buildRepository({
      files: {
        [long]: Buffer.from('f'),
        [`${long}/below`]: Buffer.from('f'),
        ok: Buffer.from('ok'),
      },
    })
    const target = targetDirectory()
    const { errors } = await restore(built, { target })
    assert.ok(errors.length >= 1)
    assert.ok(errors.every((line) => line.includes('ENAMETOOLONG')))
    assert.deepEqual(readdirSync(target), ['ok'])
  })
})

describe('restoreSnapshot() over files in use', () => {
  test('R2: a file that cannot be written, and one that somebody reads', async () => {
    const built = await buildRepository({
      files: { 'd/locked': Buffer.from('new'), 'd/open': Buffer.from('new') },
    })
    const target = targetDirectory()
    mkdirSync(join(target, 'd'))
    writeFileSync(join(target, 'd/locked'), 'old', { mode: 0o444 })
    writeFileSync(join(target, 'd/open'), 'older')
    chmodSync(join(target, 'd'), 0o555)
    const descriptor = openSync(join(target, 'd/open'), 'r')
    const { report } = await restore(built, { target })
    assert.equal(report.isComplete, true)
    assert.equal(readFileSync(join(target, 'd/locked'), 'utf8'), 'new')
    assert.equal(readFileSync(join(target, 'd/open'), 'utf8'), 'new')
    // Who reads it goes on with what was there: it is replaced, not written over.
    assert.equal(readFileSync(descriptor, 'utf8'), 'older')
    closeSync(descriptor)
  })
})
