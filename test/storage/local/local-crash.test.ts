/**
 * A13: the power goes after every single change that the local backend makes to the disk, and the
 * disk keeps as little, as much, or whatever part it may of what has not been synced. After each:
 * what a flush has acknowledged is there, what is listed is whole, and work goes on.
 */

import { describe, expect, test } from 'vitest'
import { nodeClock } from '../../../src/base/node-seams.ts'
import type { Backend, FileRef } from '../../../src/storage/backend.ts'
import { FILE_KINDS } from '../../../src/storage/backend.ts'
import {
  type LocalFileSystem,
  repeatInterrupted,
} from '../../../src/storage/local/local-file-system.ts'
import { openLocalBackend } from '../../../src/storage/local/local-backend.ts'
import { bytesFrom, fileOf } from '../../contract/backend.ts'
import { faultyFileSystem } from './faulty-file-system.ts'
import {
  type Chance,
  countingRandomness,
  diskWithFolder,
  type SimulatedDisk,
} from './simulated-disk.ts'

const ROOT = '/disk/new/repo'
const random = countingRandomness()

const nothing = () => 0

function open(disk: LocalFileSystem): Backend {
  return openLocalBackend({
    path: ROOT,
    fileSystem: disk,
    clock: nodeClock(),
    random,
  })
}

function seeded(seed: number): Chance {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return ((state >>> 8) & 0xffff) / 0x1_0000
  }
}

/** What survives a cut: names and contents, each as a chance. */
function outcomes(moment: number): { readonly names: Chance; readonly contents: Chance }[] {
  const everything = () => 0.99
  return [
    { names: nothing, contents: nothing },
    { names: everything, contents: nothing }, // Names without bytes: the zero-length files of ext4.
    { names: everything, contents: () => 0.6 }, // The right length, and zeros.
    { names: everything, contents: everything },
    ...[1, 2, 3, 4].map((seed) => ({
      names: seeded(moment * 101 + seed),
      contents: seeded(moment * 211 + seed),
    })),
  ]
}

interface Stored {
  readonly file: FileRef
  readonly bytes: Uint8Array
}

/** What has been promised, moment by moment. */
class Promised {
  isCreated = false
  readonly saved = new Map<string, Stored>()
  readonly durable = new Map<string, Stored>()
  readonly removed = new Map<string, Stored>()
  readonly durablyRemoved = new Map<string, Stored>()

  copy(): Pick<Promised, 'isCreated'> & { durable: Stored[]; durablyRemoved: Stored[] } {
    return {
      isCreated: this.isCreated,
      durable: [...this.durable.values()],
      durablyRemoved: [...this.durablyRemoved.values()],
    }
  }
}

const all: Stored[] = Array.from({ length: 14 }, (_, number) => {
  const bytes = bytesFrom(`crash ${number}`, 500 + number)
  const kind = FILE_KINDS[number % FILE_KINDS.length] ?? 'packs'
  return { file: fileOf(number % 2 === 0 ? 'packs' : kind, bytes), bytes }
})

/** Creates, saves in parallel with flushes running, removes, flushes. */
async function work(backend: Backend, promised: Promised): Promise<void> {
  const flush = async () => {
    const saved = [...promised.saved]
    const removed = [...promised.removed]
    await backend.flush()
    for (const [name, stored] of saved) {
      if (!promised.removed.has(name)) promised.durable.set(name, stored)
    }
    for (const [name, stored] of removed) promised.durablyRemoved.set(name, stored)
  }
  const save = async (stored: Stored) => {
    await backend.save(stored.file, stored.bytes)
    promised.saved.set(stored.file.name, stored)
  }
  const remove = async (stored: Stored) => {
    promised.saved.delete(stored.file.name)
    promised.durable.delete(stored.file.name)
    await backend.remove(stored.file)
    promised.removed.set(stored.file.name, stored)
  }
  await backend.create()
  promised.isCreated = true
  for (const stored of all.slice(0, 2)) await save(stored)
  await flush()
  await Promise.all([...all.slice(2, 7).map(save), flush(), flush()])
  await Promise.all([flush(), ...all.slice(7, 10).map(save)])
  await flush()
  await remove(all[0] as Stored)
  await Promise.all([flush(), remove(all[3] as Stored), save(all[10] as Stored)])
  await flush()
  await Promise.all(all.slice(11).map(save))
  await flush()
}

interface Moment {
  readonly disk: SimulatedDisk
  readonly promised: ReturnType<Promised['copy']>
  readonly label: string
}

type DiskOptions = Parameters<typeof diskWithFolder>[0]

async function everyMoment(options: DiskOptions) {
  const disk = await diskWithFolder(options)
  const promised = new Promised()
  const moments: Moment[] = []
  let count = 0
  disk.afterChange = () => {
    const moment = count++
    for (const [variant, { names, contents }] of outcomes(moment).entries()) {
      const label = `after change ${moment}, outcome ${variant}`
      moments.push({
        disk: disk.afterPowerCut(names, contents),
        promised: promised.copy(),
        label,
      })
    }
  }
  await work(open(disk), promised)
  disk.afterChange = () => {}
  moments.push({
    disk: disk.afterPowerCut(nothing, nothing),
    promised: promised.copy(),
    label: 'at the end',
  })
  return moments
}

/** What is wrong with the disk at this moment; empty if all promises hold. */
async function violations({ disk, promised, label }: Moment): Promise<string[]> {
  const found: string[] = []
  const backend = open(disk)
  if (promised.isCreated || disk.files().size > 0) {
    for (const { file, bytes } of promised.durable) {
      const loaded = await backend.load(file).catch((error: unknown) => String(error))
      if (loaded === undefined || typeof loaded === 'string') {
        found.push(`${label}: ${file.kind} ${file.name.slice(0, 8)} is lost (${loaded})`)
      } else if (Buffer.compare(loaded, bytes) !== 0) {
        found.push(`${label}: ${file.kind} ${file.name.slice(0, 8)} is damaged`)
      }
    }
  }
  for (const { file } of promised.durablyRemoved) {
    const loaded = await backend.load(file).catch(() => undefined)
    if (loaded !== undefined) found.push(`${label}: a removed file is back`)
  }
  await backend.create() // A new run after the cut, whatever is left.
  for (const kind of FILE_KINDS) {
    for (const { name } of await backend.list(kind)) {
      const stored = all.find(({ file }) => file.name === name && file.kind === kind)
      const loaded = await backend.load({ kind, name })
      const isWhole = stored && loaded && Buffer.compare(loaded, stored.bytes) === 0
      if (!isWhole) found.push(`${label}: ${kind} ${name.slice(0, 8)} is partial`)
    }
  }
  const reserve = disk.files().get(`${ROOT}/reserve`)
  if (reserve?.byteLength !== 1024 * 1024) found.push(`${label}: the reserve is partial`)
  if (found.length > 0) return found
  await work(backend, new Promised())
  await backend.sweepTemporary(-1000)
  const left = [...disk.files().keys()].filter((path) => path.includes('/repo/tmp/'))
  return left.map((path) => `${label}: ${path} is left`)
}

async function allViolations(options: DiskOptions) {
  const moments = await everyMoment(options)
  const found: string[] = []
  for (const moment of moments) found.push(...(await violations(moment)))
  return { momentCount: moments.length, found }
}

describe('LocalBackend and power cuts', () => {
  test.each([{ hasLinks: true }, { hasLinks: false }])(
    'A13: at every moment nothing acknowledged is lost and nothing is partial, with %o',
    async (options) => {
      const { momentCount, found } = await allViolations(options)
      expect(found).toEqual([])
      expect(momentCount).toBeGreaterThan(500)
    },
  )

  test('A14: the same test notices a disk that ignores the sync of directories', async () => {
    const { found } = await allViolations({ ignoresSync: 'directories' })
    expect(found.some((each) => each.includes('is lost'))).toBe(true)
  })

  test('A14: the same test notices a disk that ignores the sync of files', async () => {
    const { found } = await allViolations({ ignoresSync: 'files' })
    expect(found.some((each) => each.includes('is partial'))).toBe(true)
    expect(found.some((each) => each.includes('is damaged'))).toBe(true)
  })

  test('A8: create() stopped at any call and repeated is durable and whole', async () => {
    for (let failFrom = 0; ; failFrom++) {
      const disk = await diskWithFolder()
      const broken = faultyFileSystem(disk, (_, number) => (number >= failFrom ? 'EIO' : undefined))
      const outcome = await open(broken.fs).create().catch(String)
      await open(disk).create()
      const after = disk.afterPowerCut(nothing, nothing)
      const files = [...after.files().keys()].filter((path) => !path.includes('/repo/tmp/')).sort()
      expect(files).toEqual([`${ROOT}/README.txt`, `${ROOT}/reserve`])
      for (const kind of [...FILE_KINDS, 'tmp']) {
        expect((await after.stat(`${ROOT}/${kind}`)).type).toBe('directory')
      }
      if (outcome === undefined) break
    }
  })

  test('a save that ends while its folder is being synced is durable after the next flush', async () => {
    const disk = await diskWithFolder()
    await open(disk).create()
    const [early, late] = all.filter(({ file }) => file.kind === 'index') as [Stored, Stored]
    let during: (() => Promise<void>) | undefined
    const backend = open({
      ...repeatInterrupted(disk),
      fsync: async (descriptor) => {
        await disk.fsync(descriptor)
        const isDirectory = (await disk.fstat(descriptor)).type === 'directory'
        if (!isDirectory || during === undefined) return
        const act = during
        during = undefined
        await act() // The kernel is done, and the answer is on its way.
      },
    })
    await backend.save(early.file, early.bytes)
    await backend.flush()
    await backend.remove(early.file)
    during = () => backend.save(late.file, late.bytes)
    await backend.flush()
    await backend.flush()
    const after = open(disk.afterPowerCut(nothing, nothing))
    expect(await after.load(late.file)).toEqual(late.bytes)
  })

  test('a flush does not return before an earlier one has made durable what both are to', async () => {
    const disk = await diskWithFolder()
    await open(disk).create()
    const { file, bytes } = all[0] as Stored
    const held: (() => void)[] = []
    let isHolding = false
    const backend = open({
      ...repeatInterrupted(disk),
      fsync: async (descriptor) => {
        if (isHolding) await new Promise<void>((release) => held.push(release))
        await disk.fsync(descriptor)
      },
    })
    await backend.save(file, bytes)
    isHolding = true
    const first = backend.flush()
    while (held.length === 0) await new Promise((resolve) => setImmediate(resolve))
    let isSecondDone = false
    const second = backend.flush().then(() => {
      isSecondDone = true
    })
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect(isSecondDone).toBe(false)
    isHolding = false
    for (const release of held) release()
    await Promise.all([first, second])
    expect(await open(disk.afterPowerCut(nothing, nothing)).load(file)).toEqual(bytes)
  })

  test('a file that was there before save() is durable after flush(), also if another made it', async () => {
    const disk = await diskWithFolder()
    const [first, second] = [open(disk), open(disk)]
    await first.create()
    const { file, bytes } = all[0] as Stored
    await first.save(file, bytes) // Its process dies here, without a flush.
    await second.save(file, bytes)
    await second.flush()
    const after = open(disk.afterPowerCut(nothing, nothing))
    expect(await after.load(file)).toEqual(bytes)
  })

  test('a removal whose answer was lost is durable after remove() again and flush()', async () => {
    const disk = await diskWithFolder()
    const [first, second] = [open(disk), open(disk)]
    const { file, bytes } = all[0] as Stored
    await first.create()
    await first.save(file, bytes)
    await first.flush()
    await first.remove(file)
    await second.remove(file)
    await second.flush()
    const after = open(disk.afterPowerCut(nothing, nothing))
    expect(await after.load(file)).toBeUndefined()
  })
})

test('A13: a flush also makes durable what another run left without one, if it was listed', async () => {
  const disk = await diskWithFolder()
  const bytes = bytesFrom('left behind', 500)
  const file = fileOf('retired', bytes)
  await open(disk).create()
  await open(disk).save(file, bytes)
  const next = open(disk)
  expect((await next.list('retired')).map(({ name }) => name)).toEqual([file.name])
  await next.flush()
  const after = disk.afterPowerCut(nothing, nothing)
  expect(await open(after).load(file)).toEqual(bytes)
})
