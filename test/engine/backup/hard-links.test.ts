/** Names of one file, told by device and inode, which are not the same for ever (FORMAT.md 12, key 20). */

import { linkSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { ByteString } from '../../../src/base/bytes.ts'
import type { SourceStat } from '../../../src/source/source-files.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import {
  backUp,
  create,
  entriesOf,
  inlineEnvironment,
  MemoryCache,
  open,
} from '../../support/backup-harness.ts'
import { withSourceFaults } from '../../support/source-faults.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const folder = temporaryFolder('cairn-hard-links-')

/** Two names of one file, in a directory of their own. Returns the inode. */
function plantPair(directory: string, text: string): bigint {
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'one'), text)
  linkSync(join(directory, 'one'), join(directory, 'two'))
  return statSync(join(directory, 'one'), { bigint: true }).ino
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
    // What was written just now is old enough to be trusted.
    const later = { ...clock, wallNs: () => clock.wallNs() + 10_000_000_000n }
    const stat = (_path: ByteString, found: SourceStat) =>
      found.type === 'file' ? { ...found, ...identify(found) } : found
    return await backUp(disk, root, {
      environment: withSourceFaults({ ...environment, clock: later }, { stat }),
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
