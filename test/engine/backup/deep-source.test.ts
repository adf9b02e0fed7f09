/** E13: a source that is deeper than a snapshot may be (FORMAT.md 20). */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { LIMIT } from '../../../src/format/constants.ts'
import type { SourceFiles } from '../../../src/source/source-files.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { backUp, create, entriesOf, inlineEnvironment, open } from '../../support/backup-harness.ts'

const DEPTH = LIMIT.depthMax + 10

/** `root` and each directory below it holds a file, and a directory that is `root` again. */
function deep(source: SourceFiles, root: string): SourceFiles {
  return {
    ...source,
    hasExtended: source.hasExtended,
    openDirectory: (path, follow) => {
      if (!path.startsWith(root)) return source.openDirectory(path, follow)
      const directory = source.openDirectory(root, follow)
      return {
        stat: directory.stat,
        names: () => (path.split('/d').length > DEPTH ? ['file'] : ['d', 'file']),
        look: (name, followLink) =>
          name === 'd' ? directory.stat : directory.look(name, followLink),
        readLink: (name) => directory.readLink(name),
        extended: (name, stat) => directory.extended(name, stat),
        ownExtended: () => directory.ownExtended(),
        close: () => directory.close(),
      }
    },
    open: (path) => source.open(`${root}/${path.slice(path.lastIndexOf('/') + 1)}`),
  }
}

test('what is too deep for a snapshot is left out and named, and all above it is in', async () => {
  const root = mkdtempSync(join(tmpdir(), 'cairn-deep-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  writeFileSync(join(root, 'file'), 'content')
  const disk = new MemoryBackend()
  await create(disk)
  const environment = inlineEnvironment()
  const errors: string[] = []
  const report = await backUp(disk, root, {
    input: { kind: 'paths', paths: ['.'], workingDirectory: root },
    environment: { ...environment, source: deep(environment.source, root) },
    listener: { onError: (path, error) => errors.push(path.slice(root.length), error.message) },
  })
  const deepest = '/d'.repeat(LIMIT.depthMax)
  expect(errors).toEqual([`${deepest}/d`, `it is more than ${LIMIT.depthMax} directories deep`])
  expect(report).toMatchObject({ errorCount: 1, filesProcessed: LIMIT.depthMax + 1 })
  const repository = await open(disk)
  const { entries, close } = await entriesOf(repository, (await repository.snapshots())[0], '')
  await close()
  const depths = [...entries.keys()].filter((path) => path.endsWith('d')).length
  expect({ depths, isFileThere: entries.has(`${deepest.slice(1)}/file`) }).toEqual({
    depths: LIMIT.depthMax,
    isFileThere: true,
  })
})
