/** A backup where the C library cannot be called: the same entries, without extended metadata. */

import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { nodeSourceFiles } from '../../src/source/node-source-files.ts'
import { NO_EXTENDED } from '../../src/source/extended-metadata.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { backUp, create, entriesOf, fileContent, open } from '../support/backup-harness.ts'

vi.mock(import('../../src/source/libc.ts'), () => ({ libc: () => undefined }))

test('E10 E17: everything but extended metadata is saved, and that is said once', async () => {
  const root = fs.mkdtempSync(join(tmpdir(), 'cairn-no-libc-'))
  onTestFinished(() => fs.rmSync(root, { recursive: true, force: true }))
  const path = join(root, 'sparse')
  fs.writeFileSync(path, 'begin')
  fs.truncateSync(path, 3 << 20)
  execFileSync('setfattr', ['-n', 'user.a', '-v', '1', path])
  fs.symlinkSync('target', join(root, 'link'))
  const files = nodeSourceFiles()
  expect(files.hasExtended).toBe(false)
  const opened = files.open(path)
  expect(opened.mayHaveHoles).toBe(false)
  expect(opened.nextData(7)).toEqual({ start: 7, end: 3 << 20 })
  expect(opened.extended()).toBe(NO_EXTENDED)
  opened.close()
  const disk = new MemoryBackend()
  await create(disk)
  const notices: string[] = []
  const report = await backUp(disk, root, {
    listener: { onNotice: (message) => notices.push(message) },
  })
  expect(report.errorCount).toBe(0)
  expect(notices).toEqual([expect.stringContaining('extended attributes')])
  const repository = await open(disk)
  const found = await entriesOf(repository, (await repository.snapshots()).at(-1), root)
  const sparse = found.entries.get('sparse')
  if (sparse === undefined) throw new Error('the file is not in the snapshot')
  const content = await fileContent(found.blobs, sparse)
  expect(content.equals(fs.readFileSync(path))).toBe(true)
  expect(sparse.xattrs).toBeUndefined()
  expect(Buffer.from(found.entries.get('link')?.target ?? []).toString()).toBe('target')
  await found.close()
})
