import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { encodeIndexFile } from '../../src/format/index-file.ts'
import { openIndex, prepareIndex } from '../../src/repository/open-index.ts'
import type { Repository } from '../../src/repository/repository.ts'
import { build } from '../engine/check/check-support.ts'

let root = ''
let cacheDirectory = ''
const { signal } = new AbortController()

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-open-index-'))
  cacheDirectory = join(root, 'index')
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const views = () => readdirSync(cacheDirectory).filter((name) => name.startsWith('view-'))

async function filled(): Promise<Repository> {
  const { repository } = await build()
  const opened = await openIndex(repository, { cacheDirectory, bulk: false })
  await opened.close()
  return repository
}

async function prepared(repository: Repository) {
  const { backend, keyring } = repository
  const made = await prepareIndex(backend, keyring.repositoryId, { cacheDirectory, signal })
  if (made === undefined) throw new Error('the cache is not ready')
  return made
}

test('an index that was prepared is used, and leaves nothing behind', async () => {
  const repository = await filled()
  const before = await prepared(repository)
  const opened = await openIndex(repository, { cacheDirectory, bulk: false, prepared: before })
  expect(opened.index).toBe(before.index)
  expect(opened.listed.size).toBeGreaterThan(0)
  expect(opened.orphans).toEqual([])
  await opened.close()
  expect(views()).toEqual([])
})

test('an index that was prepared before another index file came is not used, and closed', async () => {
  const repository = await filled()
  const before = await prepared(repository)
  await repository.saveObject('index', encodeIndexFile({ superseded: [], packs: [] }))
  const opened = await openIndex(repository, { cacheDirectory, bulk: false, prepared: before })
  expect(opened.index).not.toBe(before.index)
  expect(opened.orphans).toEqual([])
  await opened.close()
  expect(views()).toEqual([])
})

test('an index that was prepared is closed where all of it is wanted in memory', async () => {
  const repository = await filled()
  const before = await prepared(repository)
  const opened = await openIndex(repository, { cacheDirectory, bulk: true, prepared: before })
  await opened.close()
  expect(views()).toEqual([])
})
