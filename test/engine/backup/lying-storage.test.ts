/** A storage that says one thing and does another, and calls that have their effect late. */

import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { CairnError, isCairnError } from '../../../src/base/errors.ts'
import { BEAT_PERIOD_MS } from '../../../src/repository/sessions.ts'
import type { FileKind, FileRef } from '../../../src/storage/backend.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { backUp, create, inlineEnvironment } from '../../support/backup-harness.ts'
import { FaultyBackend, type Verb } from '../../support/faulty-backend.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import { Client } from '../prune/interleave.ts'
import {
  copyOf,
  forget,
  names,
  newProcess,
  openAgain,
  plant,
  requireRestorable,
  runPrune,
  take,
  type Taken,
} from '../prune/prune-harness.ts'

const root = temporaryFolder('cairn-lying-')
let base: MemoryBackend
let first: Taken

beforeAll(async () => {
  plant(join(root, 'one'), [1, 2, 3, 4])
  plant(join(root, 'two'), [2, 4, 6, 8])
  base = new MemoryBackend()
  await create(base)
  first = await take(base, join(root, 'one'))
})

/** Takes what it is given and keeps some of it only in part, or not at all. */
class LossyBackend extends MemoryBackend {
  /** The share that is kept; undefined keeps all. */
  keeps: (file: FileRef) => number | undefined = () => undefined

  override async save(...[file, bytes, options]: Parameters<MemoryBackend['save']>) {
    const share = this.keeps(file)
    if (share === undefined) return await super.save(file, bytes, options)
    if (share === 0) return
    this.files.set(`${file.kind}/${file.name}`, bytes.slice(0, bytes.length * share))
  }
}

function lossy(): LossyBackend {
  const disk = new LossyBackend()
  for (const [path, bytes] of base.files) disk.files.set(path, bytes)
  return disk
}

describe('B20: a save that is said to have worked and has not', () => {
  test.each(['packs', 'snapshots'] as const)(
    'of %s: once it is made up for, or it is said; never reported as done and gone',
    async (kind) => {
      for (const share of kind === 'packs' ? [0] : [0, 0.5]) {
        for (let nth = 0; nth < 4; nth++) {
          for (const times of [1, Number.POSITIVE_INFINITY]) {
            const disk = lossy()
            let count = 0
            disk.keeps = (file) => {
              if (file.kind !== kind) return undefined
              const at = count++
              return at >= nth && at < nth + times ? share : undefined
            }
            const environment = newProcess()
            const taken = await take(disk, join(root, 'two'), environment).catch(
              (error: unknown) => {
                expect(isCairnError(error), String(error)).toBe(true)
                return undefined
              },
            )
            const honest = copyOf(disk)
            await requireRestorable(honest, taken === undefined ? [first] : [first, taken], root)
            const again = await take(honest, join(root, 'two'))
            await requireRestorable(honest, [first, again], root)
          }
        }
      }
    },
  )

  test('of index files: the packs are read without them', async () => {
    const disk = lossy()
    disk.keeps = ({ kind }) => (kind === 'index' ? 0 : undefined)
    const taken = await take(disk, join(root, 'two'))
    await requireRestorable(copyOf(disk), [first, taken], root)
  })

  test.each<Verb>(['save', 'flush', 'remove'])(
    'B20: a %s that worked and is said to have failed is repeated without harm',
    async (verb) => {
      for (let nth = 0; ; nth++) {
        const disk = copyOf(base)
        const faulty = new FaultyBackend(disk, [{ verb, nth, effect: 'after' }])
        const environment = newProcess()
        const opening = openAgain(faulty, environment)
        await backUp(faulty, join(root, 'two'), { environment, opening }).catch((error: unknown) =>
          expect(isCairnError(error, 'CAIRN_STORAGE_DOWN')).toBe(true),
        )
        const again = await take(disk, join(root, 'two'), newProcess())
        await requireRestorable(disk, [first, again], root)
        if (faulty.log.length === 0) break
        expect(nth).toBeLessThan(60)
      }
    },
  )
})

describe('B21 C9: what was thought to have failed happens an hour later', () => {
  /** Saves and removals fail from the n-th on; `land` makes them happen. */
  class LateBackend extends MemoryBackend {
    readonly late: (() => Promise<void>)[] = []
    isLate = (_verb: Verb, _kind: FileKind): boolean => false

    override async save(...args: Parameters<MemoryBackend['save']>) {
      await this.#maybeLate('save', args[0].kind, async () => await super.save(...args))
    }

    override async remove(...args: Parameters<MemoryBackend['remove']>) {
      await this.#maybeLate('remove', args[0].kind, async () => await super.remove(...args))
    }

    async #maybeLate(verb: Verb, kind: FileKind, call: () => Promise<void>): Promise<void> {
      if (!this.isLate(verb, kind)) return await call()
      this.late.push(call)
      throw new CairnError('CAIRN_STORAGE_DOWN', 'no answer in time')
    }

    async land(): Promise<void> {
      this.isLate = () => false
      for (const call of this.late.splice(0)) await call()
    }
  }

  test('after another backup, and after a prune, at every call of a backup and of a prune', async () => {
    for (const work of ['backup', 'prune'] as const) {
      for (let nth = 0; ; nth++) {
        const disk = new LateBackend()
        for (const [path, bytes] of base.files) disk.files.set(path, bytes)
        const gone = await take(disk, join(root, 'two'), newProcess())
        if (work === 'prune') await forget(await openAgain(disk), [gone.id])
        let count = 0
        disk.isLate = () => count++ >= nth
        const environment = newProcess()
        const repository = await openAgain(disk, environment)
        const running =
          work === 'backup'
            ? backUp(disk, join(root, 'two'), {
                environment,
                opening: Promise.resolve(repository),
              })
            : runPrune(disk, {}, { environment, repository })
        await running.catch((error: unknown) => expect(isCairnError(error)).toBe(true))
        const wasStruck = disk.late.length > 0
        const { late } = disk
        disk.isLate = () => false
        const second = await take(disk, join(root, 'two'), newProcess())
        await runPrune(disk)
        disk.late.push(...late.splice(0))
        await disk.land()
        await requireRestorable(disk, [first, second], root)
        await runPrune(disk)
        await requireRestorable(disk, [first, second], root)
        if (!wasStruck) break
      }
    }
  })
})

describe('B19: a storage that gives something else than is asked for', () => {
  const answers: Readonly<Record<string, (bytes: Uint8Array) => Uint8Array>> = {
    'fewer bytes': (bytes) => bytes.subarray(0, bytes.length - 1),
    'no bytes': () => new Uint8Array(),
    'more bytes': (bytes) => Buffer.concat([bytes, bytes]),
    'a page of a login': () => Buffer.from('<html><body>Please log in</body></html>'),
    'other bytes': (bytes) => Buffer.alloc(bytes.length, 'x'),
  }
  test.each(Object.keys(answers))('%s: an error, and never wrong contents', async (title) => {
    const answer = answers[title] ?? ((bytes: Uint8Array) => bytes)
    for (const kind of ['packs', 'index', 'snapshots'] as const) {
      const disk = copyOf(base)
      const load = disk.load.bind(disk)
      disk.load = async (file, range, options) => {
        const bytes = await load(file, range, options)
        return bytes === undefined || file.kind !== kind ? bytes : answer(bytes)
      }
      const reading = requireRestorable(disk, [first], root)
      // An index file is not needed: packs have footers. Of a pack exactly what is asked for is used.
      const isHarmless = kind === 'index' || (kind === 'packs' && title === 'more bytes')
      if (isHarmless) await reading
      else await expect(reading).rejects.toThrow(/damaged|not listed|cannot|does not|is missing/)
    }
  })
})

describe('C4: the parent is forgotten, and pruned away, while a backup is made on top of it', () => {
  test('at any moment', async () => {
    const turns = await (async () => {
      const client = start(copyOf(base))
      await client.turnsUntilDone()
      await client.result
      return client.turns
    })()
    expect(turns).toBeGreaterThan(8)
    for (let at = 0; at <= turns; at++) {
      const disk = copyOf(base)
      const running = start(disk)
      await running.take(at)
      await forget(await openAgain(disk), [first.id])
      await runPrune(disk, {}, { environment: newProcess() })
      await running.turnsUntilDone()
      const { id, contents } = await reported(running)
      await requireRestorable(disk, [{ id, contents }], root)
    }
  })

  function start(disk: MemoryBackend): Client {
    return new Client(disk).start(async (backend) => {
      const environment = newProcess()
      const opening = openAgain(backend, environment)
      return await backUp(backend, join(root, 'one'), { environment, opening })
    })
  }

  async function reported(client: Client): Promise<Taken> {
    const report = (await client.result) as { readonly snapshotId: string }
    return { id: report.snapshotId, contents: first.contents }
  }
})

describe('sessions', () => {
  test('C10: beats that fail, and fail for good, do not stop a backup that is complete', async () => {
    const disk = copyOf(base)
    const environment = newProcess()
    let tick: () => void = () => {}
    const clock = Object.assign(Object.create(environment.clock) as typeof environment.clock, {
      every: (period: number, action: () => void) => {
        if (period === BEAT_PERIOD_MS) tick = action
        return () => {}
      },
    })
    const faulty = new FaultyBackend(disk, [
      { verb: 'save', kind: 'sessions', nth: 1, times: Number.POSITIVE_INFINITY },
      { verb: 'list', kind: 'packs', nth: 0, delay: () => Promise.resolve(tick()) },
    ])
    const own = { ...environment, clock }
    const opening = openAgain(faulty, own)
    const report = await backUp(faulty, join(root, 'two'), { environment: own, opening })
    expect(faulty.log.filter(({ what }) => what === 'failed').length).toBeGreaterThan(0)
    const snapshots = await (await openAgain(disk)).snapshots()
    expect(snapshots.map(({ id }) => id)).toContain(report.snapshotId)
  })

  test('C18: session files that are empty, cut off or junk stop nobody and are no session', async () => {
    const junk: readonly Uint8Array[] = [
      new Uint8Array(),
      Buffer.alloc(300),
      Buffer.from('CAIRNOB1'),
      base.files.get(`snapshots/${names(base, 'snapshots')[0]}`) ?? new Uint8Array(),
    ]
    const disk = copyOf(base)
    for (const [i, bytes] of junk.entries()) {
      disk.files.set(`sessions/${`${i}e`.repeat(32)}`, bytes)
      disk.files.set(`marks/${`${i}f`.repeat(32)}`, bytes)
    }
    const second = await take(disk, join(root, 'two'), newProcess())
    await forget(await openAgain(disk), [first.id])
    expect((await runPrune(disk)).packsRemoved).toBeGreaterThan(0)
    await requireRestorable(disk, [second], root)
  })

  test('C14: two clones of a machine, with the same process id and boot id, are two sessions', async () => {
    const disk = copyOf(base)
    const environment = inlineEnvironment()
    const process = { ...environment.process, pid: 77, bootId: 'boot', isAlive: () => true }
    const clones = [1, 2].map(() => ({ ...environment, process }))
    const [a, b] = await Promise.all(
      clones.map(async (clone, i) => {
        const repository = await openAgain(disk, clone)
        return await take(disk, join(root, i === 0 ? 'one' : 'two'), {
          ...clone,
          process: repository.process,
        })
      }),
    )
    if (a === undefined || b === undefined) throw new Error('two backups')
    expect(a.id).not.toBe(b.id)
    await requireRestorable(disk, [first, a, b], root)
    expect(names(disk, 'sessions')).toEqual([])
  })
})
