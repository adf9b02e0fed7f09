import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'vitest'
import { findEntry } from '../../../src/repository/tree-reader.ts'
import { BlobReader } from '../../../src/repository/blob-reader.ts'
import { openIndex } from '../../../src/repository/open-index.ts'
import { compilePatterns } from '../../../src/source/patterns.ts'
import { buildRepository } from '../../support/repository-builder.ts'
import {
  describeTree,
  noise,
  overriding,
  restore,
  targetDirectory,
  temporaryNames,
  testEnvironment,
  wrappedTargets,
} from './restore-harness.ts'

const files = {
  'etc/fstab': Buffer.from('root'),
  'home/ann/etc/fstab': Buffer.from('other'),
  'home/ann/Photo.JPG': Buffer.from('p'),
  'home/ann/notes.txt': Buffer.from('n'),
  'var/log/a.log': Buffer.from('l'),
}

async function restored(settings: object): Promise<string[]> {
  const built = await buildRepository({ files })
  const target = targetDirectory()
  await restore(built, { target, ...settings })
  return Object.entries(describeTree(target))
    .filter(([, what]) => !what.startsWith('directory'))
    .map(([path]) => path)
}

describe('restoreSnapshot() of a part', () => {
  test('R10: only what is asked for, not its namesakes', async () => {
    const include = (...patterns: string[]) => ({ include: [compilePatterns(patterns)] })
    assert.deepEqual(await restored(include('/etc/fstab')), ['etc/fstab'])
    assert.deepEqual(await restored(include('/home/ann/etc')), ['home/ann/etc/fstab'])
    assert.deepEqual(await restored(include('fstab')), ['etc/fstab', 'home/ann/etc/fstab'])
    const both = [compilePatterns(['*.txt']), compilePatterns(['*.jpg'], { caseInsensitive: true })]
    assert.deepEqual(await restored({ include: both }), [
      'home/ann/Photo.JPG',
      'home/ann/notes.txt',
    ])
  })

  test('R10: directories on the way are made; of others there is no trace', async () => {
    const built = await buildRepository({ files })
    const target = targetDirectory()
    mkdirSync(join(target, 'home'), { mode: 0o711 })
    await restore(built, { target, include: [compilePatterns(['/home/ann/notes.txt'])] })
    assert.equal(existsSync(join(target, 'etc')), false)
    assert.equal(statSync(join(target, 'home')).mode & 0o777, 0o711)
    assert.equal(statSync(join(target, 'home/ann')).mode & 0o777, 0o755)
  })

  test('excluded files and directories are left out', async () => {
    const exclude = [compilePatterns(['/home/ann/etc', '*.log'])]
    assert.deepEqual(await restored({ exclude }), [
      'etc/fstab',
      'home/ann/Photo.JPG',
      'home/ann/notes.txt',
    ])
  })

  test('R10: a directory of the snapshot becomes the target', async () => {
    const built = await buildRepository({ files })
    const repository = await built.reopen()
    const { index } = await openIndex(repository, { cacheDirectory: undefined, bulk: true })
    const entry = await findEntry(new BlobReader(repository, index), built.root, ['home', 'ann'])
    assert.ok(entry?.subtree)
    const target = targetDirectory()
    writeFileSync(join(target, 'extra'), 'x')
    const { report } = await restore(
      { ...built, root: entry.subtree },
      { target, rootPath: '/home/ann', sourcePaths: ['/home'], delete: true },
    )
    assert.equal(readFileSync(join(target, 'etc/fstab'), 'utf8'), 'other')
    assert.equal(report.counts.files_deleted, 1)
  })
})

describe('restoreSnapshot() with a file system that fails', () => {
  test('R11: --verify finds bytes that were changed while they were written', async () => {
    const built = await buildRepository({
      files: { a: Buffer.from('aaaa'), b: noise(20_000_000, 1), c: Buffer.from('c') },
    })
    const flip = wrappedTargets((target) =>
      overriding(target, {
        writeWholeFile: (path, bytes, metadata, options) => {
          const wrong = Buffer.from(bytes)
          if (path === 'a') wrong[1] = 0
          return target.writeWholeFile(path, wrong, metadata, options)
        },
        writeShared: (shared, bytes, { offset, length, position }) => {
          const wrong = Buffer.from(bytes.subarray(offset, offset + length))
          if (position <= 12_345_678 && position + length > 12_345_678) {
            wrong[12_345_678 - position] = (wrong[12_345_678 - position] ?? 0) ^ 1
          }
          target.writeShared(shared, wrong, { offset: 0, length, position })
        },
      }),
    )
    const environment = testEnvironment({ target: flip })
    const target = targetDirectory()
    const { report, errors } = await restore(built, { target, environment, verify: true })
    assert.deepEqual(errors.map((error) => error.slice(0, 24)).sort(), [
      '/a: verification failed:',
      '/b: verification failed:',
    ])
    assert.equal(report.verifiedFiles, 1)
    assert.equal(report.isComplete, false)
  })

  test('R1: a full disk is told per file and leaves nothing half written', async () => {
    const built = await buildRepository({
      files: { a: Buffer.from('a'), big: noise(20_000_000, 1), many: noise(200_000, 2) },
    })
    const full = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
    const targets = wrappedTargets((target) =>
      overriding(target, {
        createFile: (path) => {
          const file = target.createFile(path)
          return {
            shared: file.shared,
            write: () => {
              throw full
            },
            truncate: (byteCount) => file.truncate(byteCount),
            setMetadata: (metadata) => file.setMetadata(metadata),
            commit: (options) => file.commit(options),
            discard: () => file.discard(),
          }
        },
        writeShared: () => {
          throw full
        },
      }),
    )
    const target = targetDirectory()
    const environment = testEnvironment({ target: targets })
    const { errors } = await restore(built, { target, environment })
    assert.equal(errors.length, 2)
    assert.deepEqual(Object.keys(describeTree(target)), ['a'])
    assert.deepEqual(temporaryNames(target), [])
    assert.equal((await restore(built, { target })).report.isComplete, true)
  })

  test('R7: metadata that cannot be set is counted by kind, the data is there', async () => {
    const built = await buildRepository({
      files: { ...files, link: { type: 'symlink', target: 'x' } },
    })
    const error = Object.assign(new Error('EPERM: not permitted'), { code: 'EPERM' })
    const targets = wrappedTargets((target) =>
      overriding(target, {
        writeWholeFile: (path, bytes, metadata, options) => {
          target.writeWholeFile(path, bytes, metadata, options)
          return [{ what: 'owner', error }]
        },
        setMetadata: () => [{ what: 'times', error }],
      }),
    )
    const target = targetDirectory()
    const environment = testEnvironment({ target: targets })
    const { report, errors } = await restore(built, { target, environment })
    assert.equal(report.unset.get('owner')?.count, 5)
    assert.equal(report.unset.get('owner')?.examples.length, 4)
    assert.ok((report.unset.get('times')?.count ?? 0) > 1)
    assert.equal(report.isComplete, false)
    assert.equal(report.errorCount, 0)
    // Owners are summed up, the others named one by one.
    assert.ok(errors.every((line) => line.includes('cannot set times')))
    assert.equal(readFileSync(join(target, 'etc/fstab'), 'utf8'), 'root')
  })
})
