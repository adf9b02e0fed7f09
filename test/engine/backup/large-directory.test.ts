/** Directories of more entries than a scan may have open at a time. */

import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { SourceFiles } from '../../../src/source/source-files.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { backUp, create, inlineEnvironment } from '../../support/backup-harness.ts'

const LINKS = 66_000
/** A run of these entries yields some hundred times. */
const YIELDS_MAX = 20_000

/** `root` has as many links as that, all of them the one that is there. */
function withManyLinks(source: SourceFiles, root: string): SourceFiles {
  const links = Array.from({ length: LINKS }, (_, n) => `link${String(n).padStart(6, '0')}`)
  const real = (name: string) => (name.startsWith('link') ? 'link' : name)
  return {
    ...source,
    hasExtended: source.hasExtended,
    openDirectory: (path, follow) => {
      const directory = source.openDirectory(path, follow)
      if (path !== root) return directory
      return {
        stat: directory.stat,
        names: () => ['file', ...links],
        look: (name, followLink) => directory.look(real(name), followLink),
        readLink: (name) => directory.readLink(real(name)),
        extended: (name, stat) => directory.extended(real(name), stat),
        ownExtended: () => directory.ownExtended(),
        close: () => directory.close(),
      }
    },
  }
}

test('a small file is read although what comes behind it is as much as a scan may be ahead', async () => {
  const root = mkdtempSync(join(tmpdir(), 'cairn-large-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  writeFileSync(join(root, 'file'), 'content')
  symlinkSync('somewhere', join(root, 'link'))
  const disk = new MemoryBackend()
  await create(disk)
  const environment = inlineEnvironment()
  const stuck = new AbortController()
  let yields = 0
  const report = await backUp(disk, root, {
    signal: stuck.signal,
    environment: {
      ...environment,
      source: withManyLinks(environment.source, root),
      yield: async () => {
        if (++yields > YIELDS_MAX) stuck.abort()
        await environment.yield()
      },
    },
  })
  expect(report).toMatchObject({ filesProcessed: 1, bytesProcessed: 7, errorCount: 0 })
})
