/** Names of one file, told by device and inode, which are not the same for ever (FORMAT.md 12, key 20). */

import { linkSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { ByteString } from '../../../src/base/bytes.ts'
import type { SourceFiles, SourceStat } from '../../../src/source/source-files.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import {
  backUp,
  create,
  entriesOf,
  inlineEnvironment,
  MemoryCache,
  open,
} from '../../support/backup-harness.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const folder = temporaryFolder('cairn-hard-links-')

/** Two names of one file, in a directory of their own. Returns the inode. */
function plantPair(directory: string, text: string): bigint {
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'one'), text)
  linkSync(join(directory, 'one'), join(directory, 'two'))
  return statSync(join(directory, 'one'), { bigint: true }).ino
}

/** Files have the device and inode that `identify` gives them. */
function sourceWith(
  source: SourceFiles,
  identify: (stat: SourceStat) => Partial<SourceStat>,
): SourceFiles {
  const shown = (stat: SourceStat) => (stat.type === 'file' ? { ...stat, ...identify(stat) } : stat)
  return {
    ...source,
    lstat: (path) => {
      const stat = source.lstat(path)
      return stat && shown(stat)
    },
    openDirectory: (path, follow) => {
      const directory = source.openDirectory(path, follow)
      const look = (name: ByteString, followsName: boolean) => {
        const stat = directory.look(name, followsName)
        return stat && shown(stat)
      }
      return Object.setPrototypeOf({ look, stat: directory.stat, ...bound(directory) }, null)
    },
    open: (path) => {
      const file = source.open(path)
      return Object.create(file, {
        stat: { value: shown(file.stat) },
        statNow: { value: () => shown(file.statNow()) },
        read: { value: file.read.bind(file) },
        nextData: { value: file.nextData.bind(file) },
        extended: { value: file.extended.bind(file) },
        close: { value: file.close.bind(file) },
        mayHaveHoles: { value: file.mayHaveHoles },
      }) as typeof file
    },
  }
}

function bound(directory: ReturnType<SourceFiles['openDirectory']>) {
  return {
    names: directory.names.bind(directory),
    readLink: directory.readLink.bind(directory),
    extended: directory.extended.bind(directory),
    ownExtended: directory.ownExtended.bind(directory),
    close: directory.close.bind(directory),
  }
}

test.each([
  { name: 'the devices have changed places', ignoreInode: false },
  { name: 'inodes are ignored, and another file has the old one', ignoreInode: true },
])('two files are not taken for one after a run with a scan cache: $name', async (how) => {
  const { ignoreInode } = how
  const root = join(folder, String(ignoreInode))
  const first = plantPair(join(root, 'a'), 'the first file')
  const disk = new MemoryBackend()
  await create(disk)
  const environment = inlineEnvironment()
  const { clock } = environment
  const run = async (identify: (stat: SourceStat) => Partial<SourceStat>) => {
    const source = sourceWith(environment.source, identify)
    // What was written just now is old enough to be trusted.
    const later = { ...clock, wallNs: () => clock.wallNs() + 10_000_000_000n }
    return await backUp(disk, root, {
      environment: { ...environment, source, clock: later },
      scanCache,
      input: { kind: 'paths', paths: ['.'], workingDirectory: root },
      ignoreInode,
      ignoreCtime: ignoreInode,
    })
  }
  const scanCache = { files: new MemoryCache(), name: 'scan' }
  const numbered = (dev: bigint, ino: bigint) => ({ dev, ino })
  await run(() => numbered(1n, 100n))
  const second = plantPair(join(root, 'b'), 'a second file, which is another')
  const report = await run(({ ino }) => {
    if (ino === first) return ignoreInode ? numbered(1n, 200n) : numbered(2n, 100n)
    if (ino === second) return numbered(1n, 100n)
    throw new Error('not a file of this test')
  })
  expect(report.errorCount).toBe(0)
  const snapshot = (await (await open(disk)).history()).snapshots.at(-1)
  const { entries, close } = await entriesOf(await open(disk), snapshot, '')
  await close()
  const groupOf = (path: string) => entries.get(path)?.linkGroup
  expect(groupOf('a/one')).toBeDefined()
  expect(groupOf('a/two')).toBe(groupOf('a/one'))
  expect(groupOf('b/two')).toBe(groupOf('b/one'))
  expect(groupOf('b/one')).not.toBe(groupOf('a/one'))
  // As long as they stay what they are, nothing is read again.
  const again = await run(({ ino }) => {
    if (ino === second) return numbered(1n, 100n)
    return ignoreInode ? numbered(1n, 200n) : numbered(2n, 100n)
  })
  expect(again.files).toMatchObject({ new: 0, modified: 0, unchanged: 4 })
})
