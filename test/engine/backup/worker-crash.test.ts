import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { backUp, create, inlineEnvironment, open } from '../../support/backup-harness.ts'
import { copyOf, names } from '../prune/prune-harness.ts'

const REAL_ENTRY = new URL('../../../dist/pipeline/worker-entry.js', import.meta.url)

let root = ''
let source = ''
let base: MemoryBackend

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'cairn-worker-crash-'))
  source = mkdtempSync(join(root, 'source-'))
  // So many that threads are started for them.
  for (let i = 0; i < 1500; i++) writeFileSync(join(source, `file-${i}`), `content ${i} `.repeat(9))
  base = new MemoryBackend()
  await create(base)
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** The real entry of a thread, where something happens at the n-th job besides. */
function entryThat(what: string, nth: number): URL {
  const path = join(root, `entry-${nth}-${Buffer.from(what).toString('hex').slice(0, 16)}.mjs`)
  writeFileSync(
    path,
    `import { parentPort } from 'node:worker_threads'
let count = 0
parentPort.on('message', ({ kind }) => {
  if (kind === 'job' && count++ === ${nth}) { ${what} }
})
await import(${JSON.stringify(REAL_ENTRY.href)})
`,
  )
  return pathToFileURL(path)
}

async function backUpWith(disk: MemoryBackend, workerEntry: URL) {
  const environment = { ...inlineEnvironment(), threads: 2, workerEntry }
  return await backUp(disk, source, { environment, opening: open(disk, environment) })
}

describe('A17: a worker thread ends in a way that nobody foresaw', () => {
  test.each([
    ['throws', "setImmediate(() => { throw new Error('planted') })", /planted/],
    ['rejects', "void Promise.reject(new Error('planted'))", /planted/],
    ['exits', 'process.exit(3)', /ended with code 3/],
  ])('it %s: the backup fails, says so, and no snapshot is made', async (_, what, message) => {
    for (const nth of [0, 1]) {
      const disk = copyOf(base)
      await expect(backUpWith(disk, entryThat(what, nth))).rejects.toThrow(message)
      expect(names(disk, 'snapshots')).toEqual([])
      await backUpWith(disk, REAL_ENTRY)
      expect(names(disk, 'snapshots')).toHaveLength(1)
    }
  })
})
