/** Each system call of the local backend fails in turn, with each error that it may fail with. */

import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { nodeClock } from '../../../src/base/node-seams.ts'
import type { Backend } from '../../../src/storage/backend.ts'
import { openLocalBackend } from '../../../src/storage/local/local-backend.ts'
import {
  type LocalFileSystem,
  nodeFileSystem,
  repeatInterrupted,
} from '../../../src/storage/local/local-file-system.ts'
import { bytesFrom, fileOf, rejectionCode } from '../../contract/backend.ts'
import { faultyFileSystem } from './faulty-file-system.ts'
import { countingRandomness, diskWithFolder, systemError } from './simulated-disk.ts'

const ROOT = '/disk/repo'
const random = countingRandomness()

const EXPECTED = {
  EIO: 'CAIRN_STORAGE_DOWN',
  ENOSPC: 'CAIRN_STORAGE_REFUSED',
  EDQUOT: 'CAIRN_STORAGE_REFUSED',
  EROFS: 'CAIRN_STORAGE_REFUSED',
  EACCES: 'CAIRN_STORAGE_REFUSED',
  EPERM: 'CAIRN_STORAGE_REFUSED',
  EFBIG: 'CAIRN_STORAGE_REFUSED',
  EMFILE: 'CAIRN_STORAGE_DOWN',
  ESTALE: 'CAIRN_STORAGE_DOWN',
  EINTR: 'CAIRN_STORAGE_DOWN',
  EAGAIN: 'CAIRN_STORAGE_DOWN',
  EINVAL: 'CAIRN_STORAGE_DOWN',
  UNKNOWN: 'CAIRN_STORAGE_DOWN',
} as const

const contents = [0, 1, 2, 3].map((number) => bytesFrom(number, 3000 + number))
const packs = contents.map((bytes) => fileOf('packs', bytes))
const indexFile = fileOf('index', contents[0] as Uint8Array)

function open(path: string, fileSystem: LocalFileSystem): Backend {
  return openLocalBackend({ path, fileSystem, clock: nodeClock(), random })
}

/** Everything that a backend does, as steps that can each be repeated. */
function stepsOn(backend: Backend): (() => Promise<unknown>)[] {
  const save = (index: number) => () =>
    backend.save(packs[index] as (typeof packs)[number], contents[index] as Uint8Array)
  return [
    () => backend.create(),
    save(0),
    save(1),
    () => backend.save(indexFile, contents[0] as Uint8Array),
    () => backend.flush(),
    () => backend.load(indexFile),
    () => backend.load(packs[0] as (typeof packs)[number], { offset: 10, byteCount: 2000 }),
    () => backend.list('packs'),
    save(2),
    () => backend.remove(packs[0] as (typeof packs)[number]),
    () => backend.flush(),
    () => backend.sweepTemporary(0),
    save(3),
    () => backend.flush(),
  ]
}

const WHOLE = new Map(packs.map(({ name }, index) => [name as string, contents[index]]))

/** What is not as it must be: partial files under final names, and `leftovers` in tmp. */
function wrongFiles(files: ReadonlyMap<string, Uint8Array>) {
  const partial: string[] = []
  const leftovers: string[] = []
  for (const [path, bytes] of files) {
    const name = path.slice(path.lastIndexOf('/') + 1)
    const isWhole =
      name === 'reserve'
        ? bytes.byteLength === 1024 * 1024
        : name === 'README.txt'
          ? bytes.byteLength > 100
          : Buffer.compare(bytes, WHOLE.get(name) ?? new Uint8Array()) === 0
    if (path.includes('/repo/tmp/')) leftovers.push(path)
    else if (!isWhole) partial.push(path)
  }
  return { partial, leftovers }
}

const NOTHING_WRONG = { partial: [], leftovers: [] }

/** What all calls lead to when none of them fails. */
async function expectFinished(backend: Backend, files: ReadonlyMap<string, Uint8Array>) {
  expect(wrongFiles(files)).toEqual(NOTHING_WRONG)
  const listed = (await backend.list('packs')).map(({ name }) => name)
  expect(listed.sort()).toEqual(
    packs
      .slice(1)
      .map(({ name }) => name)
      .sort(),
  )
  expect(await backend.load(indexFile)).toEqual(contents[0])
  expect([...files.keys()].some((path) => path.endsWith('/reserve'))).toBe(true)
}

/** One of each behaviour; the others differ by their message alone. */
const TRIED = ['EIO', 'ENOSPC', 'EPERM', 'EINTR', 'EINVAL']

test.each(Object.entries(EXPECTED))('%s is %s', async (errno, expected) => {
  const disk = await diskWithFolder()
  await open(ROOT, disk).create()
  const faulty = faultyFileSystem(disk, () => errno)
  const backend = open(ROOT, faulty.fs)
  for (const step of stepsOn(backend)) {
    expect(await rejectionCode(step())).toMatch(new RegExp(`^(${expected}|no rejection)$`))
  }
  const failure = await backend.list('packs').catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: expected, details: { errno } })
})

describe.each([{ hasLinks: true }, { hasLinks: false }])('with %o', ({ hasLinks }) => {
  test.each(TRIED)(
    'call n fails once with %s, for every n: a clear error, nothing partial, a retry works',
    async (errno) => {
      const seen = new Set<string>()
      for (let failAt = 0; ; failAt++) {
        const disk = await diskWithFolder({ hasLinks })
        const faulty = faultyFileSystem(disk, (_, number) =>
          number === failAt ? errno : undefined,
        )
        const backend = open(ROOT, faulty.fs)
        for (const step of stepsOn(backend)) {
          const code = await rejectionCode(step())
          const failed = faulty.calls[failAt]
          const where = `call ${failAt}, ${failed?.verb}`
          seen.add(code)
          if (code !== 'no rejection') {
            expect([where, code]).toEqual([where, EXPECTED[errno as keyof typeof EXPECTED]])
            await step() // Repeating what failed works.
          }
          const wrong = wrongFiles(disk.files())
          if (wrong.partial.length + wrong.leftovers.length > 0) expect([where, wrong]).toEqual([])
        }
        await expectFinished(open(ROOT, disk), disk.files())
        expect(disk.openCount).toBe(0)
        if (failAt >= faulty.calls.length) break
      }
      expect(seen.has(EXPECTED[errno as keyof typeof EXPECTED])).toBe(true)
    },
  )

  test('every call from n on fails, for every n: nothing partial, and all works once it heals', async () => {
    for (const errno of ['EIO', 'ENOSPC', 'EROFS']) {
      for (let failFrom = 0; ; failFrom++) {
        const disk = await diskWithFolder({ hasLinks })
        let isBroken = true
        const faulty = faultyFileSystem(disk, (_, number) =>
          isBroken && number >= failFrom ? errno : undefined,
        )
        const backend = open(ROOT, faulty.fs)
        let failureCount = 0
        for (const step of stepsOn(backend)) {
          if ((await rejectionCode(step())) !== 'no rejection') failureCount++
          expect(wrongFiles(disk.files()).partial).toEqual([])
        }
        isBroken = false
        for (const step of stepsOn(backend)) await step()
        await backend.sweepTemporary(0)
        await expectFinished(open(ROOT, disk), disk.files())
        expect(disk.openCount).toBe(0)
        if (failureCount === 0) break
      }
    }
  })
})

test('EINTR and EAGAIN are repeated, except for fsync and close', async () => {
  for (const errno of ['EINTR', 'EAGAIN']) {
    const disk = await diskWithFolder()
    const failedOnce = new Set<string>()
    const faulty = faultyFileSystem(disk, ({ verb, args }) => {
      const key = `${verb} ${args.map(String).join(' ').slice(0, 200)}`
      if (verb === 'fsync' || verb === 'close' || failedOnce.has(key)) return undefined
      failedOnce.add(key)
      return errno
    })
    const backend = open(ROOT, faulty.fs)
    for (const step of stepsOn(backend)) await step()
    await expectFinished(open(ROOT, disk), disk.files())
  }
  const forEver = faultyFileSystem(await diskWithFolder(), () => 'EINTR')
  expect(await rejectionCode(open(ROOT, forEver.fs).list('packs'))).toBe('CAIRN_STORAGE_DOWN')
})

test('B14: a failed fsync is final: not repeated on its descriptor, and the file is never named', async () => {
  for (const errno of ['EIO', 'EINTR', 'ENOSPC', 'EINVAL']) {
    const disk = await diskWithFolder()
    await open(ROOT, disk).create()
    let isBroken = true
    const faulty = faultyFileSystem(disk, ({ verb }) => {
      if (verb !== 'fsync' || !isBroken) return undefined
      isBroken = false
      return errno
    })
    const backend = open(ROOT, faulty.fs)
    const file = packs[0] as (typeof packs)[number]
    const code = await rejectionCode(backend.save(file, contents[0] as Uint8Array))
    expect(code).toMatch(/^CAIRN_STORAGE_/)
    const verbs = faulty.calls.map(({ verb }) => verb)
    expect(verbs.slice(verbs.indexOf('fsync'))).toEqual(['fsync', 'close', 'unlink'])
    expect(await backend.load(file)).toBeUndefined()
    await backend.save(file, contents[0] as Uint8Array)
    const created = faulty.calls.filter(({ verb }) => verb === 'createFile')
    expect(new Set(created.map(({ args }) => args[0])).size).toBe(2) // Written anew, elsewhere.
  }
})

test('an error of close counts as an error of writing: the file is not there', async () => {
  for (const errno of ['ENOSPC', 'EIO', 'EDQUOT']) {
    const disk = await diskWithFolder()
    await open(ROOT, disk).create()
    const faulty = faultyFileSystem(disk, ({ verb }) => (verb === 'close' ? errno : undefined))
    const saving = open(ROOT, faulty.fs).save(indexFile, contents[0] as Uint8Array)
    expect(await rejectionCode(saving)).toMatch(/^CAIRN_STORAGE_/)
    expect(await open(ROOT, disk).list('index')).toEqual([])
    expect(disk.openCount).toBe(0)
  }
})

test('without hard links, what another process saved meanwhile is not replaced', async () => {
  const other = contents[1] as Uint8Array
  for (const planted of [contents[0] as Uint8Array, other]) {
    const disk = await diskWithFolder({ hasLinks: false })
    await open(ROOT, disk).create()
    const racing: LocalFileSystem = {
      ...repeatInterrupted(disk),
      link: async (_, to) => {
        const descriptor = await disk.createFile(to)
        let at = 0
        while (at < planted.byteLength) {
          const byteCount = planted.byteLength - at
          at += await disk.write(descriptor, planted, { at, byteCount })
        }
        await disk.close(descriptor)
        throw systemError('EPERM')
      },
    }
    const saving = open(ROOT, racing).save(indexFile, contents[0] as Uint8Array)
    expect(await rejectionCode(saving)).toBe(planted === other ? 'CAIRN_CORRUPT' : 'no rejection')
    expect(await open(ROOT, disk).load(indexFile)).toEqual(planted)
  }
})

test('a directory whose sync failed is synced again by the next flush, others are not', async () => {
  const disk = await diskWithFolder()
  await open(ROOT, disk).create()
  const broken = new Set<string>()
  const faulty = faultyFileSystem(disk, ({ verb, args }) =>
    verb === 'openDirectory' && broken.has(String(args[0])) ? 'EIO' : undefined,
  )
  const backend = open(ROOT, faulty.fs)
  await backend.save(indexFile, contents[0] as Uint8Array)
  await backend.save(fileOf('marks', contents[1] as Uint8Array), contents[1] as Uint8Array)
  broken.add(`${ROOT}/index`)
  expect(await rejectionCode(backend.flush())).toBe('CAIRN_STORAGE_DOWN')
  expect(await rejectionCode(backend.flush())).toBe('CAIRN_STORAGE_DOWN')
  broken.clear()
  await backend.flush()
  faulty.calls.length = 0
  await backend.flush()
  expect(faulty.calls).toEqual([])
})

test('a flush that begins while another one runs waits for it, and tells its own failure', async () => {
  const disk = await diskWithFolder()
  await open(ROOT, disk).create()
  let failNext = 1
  const faulty = faultyFileSystem(disk, ({ verb }) =>
    verb === 'fsync' && failNext-- > 0 ? 'EIO' : undefined,
  )
  failNext = 0
  const backend = open(ROOT, faulty.fs)
  await backend.save(indexFile, contents[0] as Uint8Array)
  failNext = 1
  const results = await Promise.allSettled([backend.flush(), backend.flush()])
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled'])
})

describe('on a real file system', () => {
  let folder = ''
  afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

  function realFiles(root: string): Map<string, Uint8Array> {
    const entries = fs.readdirSync(root, { recursive: true, withFileTypes: true })
    return new Map(
      entries
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .map((path) => [path, fs.readFileSync(path)]),
    )
  }

  test('call n fails once with EIO, for every n: nothing partial, a retry works', async () => {
    for (let failAt = 0; ; failAt++) {
      folder = fs.mkdtempSync(join(tmpdir(), 'cairn-faults-'))
      const root = join(folder, 'repo')
      const faulty = faultyFileSystem(nodeFileSystem(), (_, number) =>
        number === failAt ? 'EIO' : undefined,
      )
      const backend = open(root, faulty.fs)
      for (const step of stepsOn(backend)) {
        const code = await rejectionCode(step())
        if (code !== 'no rejection') {
          expect(code).toBe('CAIRN_STORAGE_DOWN')
          await step()
        }
      }
      await expectFinished(open(root, nodeFileSystem()), realFiles(root))
      fs.rmSync(folder, { recursive: true })
      if (failAt >= faulty.calls.length) break
    }
  })
})
