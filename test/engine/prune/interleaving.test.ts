/**
 * P3: a prune never takes anything from under a backup, in whatever order their calls come. The
 * backup stops before each of its calls, the prune before each of its own, and either goes on first. The
 * harder half takes the backup for dead, as of a machine that sleeps, so that only the order of writes and
 * listings protects it. Strides bound the time; `w % stride` sees to it that every call of each has its turn.
 * Files, random numbers and so the calls of each are the same in every run.
 */

import { beforeAll, describe, expect, test } from 'vitest'
import { toHex } from '../../../src/base/bytes.ts'
import { isCairnError } from '../../../src/base/errors.ts'
import type { BackupReport } from '../../../src/engine/backup/backup-options.ts'
import { idsOfSessions, listSessions } from '../../../src/repository/sessions.ts'
import type { Backend } from '../../../src/storage/backend.ts'
import { changeTags } from '../../../src/engine/tag.ts'
import type { Environment } from '../../../src/engine/environment.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { memoizeKeys } from '../../simulation/memoized-keys.ts'
import { SeededRandom } from '../../simulation/seeded-random.ts'
import { SimFiles } from '../../simulation/sim-files.ts'
import { type Fault, FaultyBackend } from '../../support/faulty-backend.ts'
import { backUp, contentsOf, create } from '../../support/backup-harness.ts'
import { Client } from './interleave.ts'
import {
  copyOf,
  forget,
  names,
  newProcess,
  noise,
  openAgain,
  runPrune,
  take,
} from './prune-harness.ts'

/** Signatures of the same few keys are most of what a run here costs. */
beforeAll(() => memoizeKeys())

const ONE = '/one'
const TWO = '/two'
const NOW_NS = 1_795_219_200_000_000_000n
const files = new SimFiles(() => NOW_NS)

/** One snapshot that is forgotten, whose packs are still there, and one beside it. */
let base: MemoryBackend
/** The same before it was forgotten. */
let unforgotten: MemoryBackend
let goneId: string
let expected: ReadonlyMap<string, string>
let other: ReadonlyMap<string, string>

beforeAll(async () => {
  fill(ONE, [1, 2])
  fill(TWO, [2, 3])
  base = new MemoryBackend()
  await create(base, someone('creator'))
  const gone = await take(base, ONE, someone('first-4'))
  const stays = await take(base, TWO, someone('second-4'))
  expected = gone.contents
  other = stays.contents
  goneId = gone.id
  unforgotten = copyOf(base)
  await forget(await openAgain(base, someone('forgetter')), [goneId])
  await base.flush()
})

function fill(directory: string, seeds: readonly number[]): void {
  for (const seed of seeds) {
    files.writeFile(`${directory}/${seed % 2 === 0 ? 'even' : 'odd'}/file`, noise(2000, seed))
  }
}

/** A process of which every run of a test has the like: time stands still for it. */
function someone(who: string, alive = new Set<number>()): Environment {
  const random = SeededRandom.of('interleaving', who)
  const pid = random.between(1, 1_000_000)
  alive.add(pid)
  const environment = newProcess()
  return {
    ...environment,
    clock: { ...environment.clock, wallNs: () => NOW_NS, monotonicMs: () => 0 },
    process: { ...environment.process, pid, isAlive: (other) => alive.has(other) },
    random,
    source: files,
  }
}

/** The backup of what was forgotten: everything it needs is in packs that a prune removes. */
function writer(disk: MemoryBackend, alive: Set<number>, faults: readonly Fault[] = []): Client {
  return new Client(disk).start(async (client) => {
    const backend = faults.length === 0 ? client : new FaultyBackend(client, faults)
    const environment = someone('writer', alive)
    const opening = openAgain(backend, environment)
    return await backUp(backend, ONE, { environment, opening })
  })
}

function pruner(disk: MemoryBackend, alive: Set<number>, who = 'pruner'): Client {
  return new Client(disk).start(async (backend: Backend) => {
    const environment = someone(who, alive)
    return await runPrune(backend, {}, { environment })
  })
}

/** What was reported restores; what failed said that a prune was in the way. */
async function expectWhole(disk: MemoryBackend, written: Client, schedule: string): Promise<void> {
  const repository = await openAgain(disk)
  const snapshots = await repository.snapshots()
  const report = (await written.result.catch((error: unknown) => {
    expect(isCairnError(error, 'CAIRN_CONFLICT'), schedule).toBe(true)
    return undefined
  })) as BackupReport | undefined
  for (const snapshot of snapshots) {
    const found = await contentsOf(repository, snapshot)
    const wanted = snapshot.id === report?.snapshotId ? expected : other
    for (const [path, content] of wanted)
      expect(found.get(path), `${schedule}: ${path}`).toBe(content)
  }
  if (report !== undefined) {
    expect(
      snapshots.map(({ id }) => id),
      schedule,
    ).toContain(report.snapshotId)
  }
}

/** Afterwards nothing is in the way of anybody, and space is freed. */
async function expectConverged(disk: MemoryBackend): Promise<void> {
  await runPrune(disk)
  await runPrune(disk)
  expect(names(disk, 'marks')).toEqual([])
}

async function turnsOf(start: (disk: MemoryBackend) => Client): Promise<number> {
  const client = start(copyOf(base))
  await client.turnsUntilDone()
  await client.result
  return client.turns
}

describe.each(['alive', 'taken for dead'] as const)('the backup is %s', (how) => {
  /** A prune knows of its own kind alone if the others are taken for dead. */
  const processes = () => {
    const all = new Set<number>()
    return { writers: how === 'alive' ? all : new Set<number>(), pruners: all }
  }

  test.each(['backup', 'prune'] as const)(
    'C2: %s begins, the other comes in between',
    async (first) => {
      const writes = await turnsOf((disk) => writer(disk, new Set()))
      const prunes = await turnsOf((disk) => pruner(disk, new Set()))
      expect(writes).toBeGreaterThan(8)
      expect(prunes).toBeGreaterThan(15)
      const stride = how === 'taken for dead' && first === 'backup' ? 2 : 7
      for (let w = 0; w <= writes; w++) {
        for (let p = w % stride; p <= prunes; p += stride) {
          const schedule = `backup ${w}, prune ${p}, ${first} first`
          const disk = copyOf(base)
          const { writers, pruners } = processes()
          const written = writer(disk, writers)
          const pruned = pruner(disk, pruners)
          if (first === 'backup') {
            await written.take(w)
            await pruned.take(p)
            await written.turnsUntilDone()
            // Here the prune may as well have died.
            await expectWhole(disk, written, schedule)
            await pruned.turnsUntilDone()
          } else {
            await pruned.take(p)
            await written.take(w)
            await pruned.turnsUntilDone()
            await written.turnsUntilDone()
          }
          await pruned.result.catch((error: unknown) =>
            expect(isCairnError(error, 'CAIRN_CONFLICT'), schedule).toBe(true),
          )
          await expectWhole(disk, written, schedule)
          if ((w * 7 + p) % 29 === 0) await expectConverged(disk)
        }
      }
    },
  )
})

async function callsOf(client: Client): Promise<string[]> {
  const calls: string[] = []
  for (let next = await client.next(); next !== undefined; next = await client.next()) {
    calls.push(next)
    await client.turn()
  }
  return calls
}

/** The prune's calls from its first intent to the last removal of that sweep. */
function sweepOf(calls: readonly string[]): { readonly intent: number; readonly end: number } {
  const intent = calls.lastIndexOf('save marks', calls.indexOf('remove packs'))
  const end = Math.max(calls.indexOf('remove packs'), calls.indexOf('remove marks')) + 1
  return { intent, end }
}

async function expectDoneOrConflict({ result }: Client, schedule: string): Promise<void> {
  await result.catch((error: unknown) =>
    expect(isCairnError(error, 'CAIRN_CONFLICT'), `${schedule}: ${String(error)}`).toBe(true),
  )
}

/**
 * The narrowest place: the backup's looks before and after it saves its snapshot, and the prune's between
 * its intent and the last removal. Every schedule in which the turn goes over four times there.
 */
test('C2: a backup at its last looks, a prune at its own, and back', async () => {
  const writes = await callsOf(writer(copyOf(base), new Set()))
  const prunes = await callsOf(pruner(copyOf(base), new Set()))
  const saved = writes.indexOf('save snapshots')
  const { intent, end } = sweepOf(prunes)
  for (let before = saved - 2; before <= saved; before++) {
    for (let p = intent; p <= end; p++) {
      for (let w = 1; before + w <= saved + 4; w++) {
        const schedule = `backup ${before}, prune ${p}, backup ${w}`
        const disk = copyOf(base)
        const written = writer(disk, new Set())
        const pruned = pruner(disk, new Set())
        await written.take(before)
        expect(await written.next(), schedule).toBe(writes[before])
        await pruned.take(p)
        await written.take(w)
        await pruned.turnsUntilDone()
        await written.turnsUntilDone()
        await expectDoneOrConflict(pruned, schedule)
        await expectWhole(disk, written, schedule)
      }
    }
  }
  // These schedules are all that there are.
  const around = [...writes.slice(saved - 2, saved), ...writes.slice(saved + 1, saved + 3)]
  expect(around).toEqual(['list marks', 'list packs', 'list marks', 'list packs'])
  expect(intent).toBeLessThan(end - 6)
})

test('C2: a snapshot whose run could not look again is not taken for a confirmed one', async () => {
  const writes = await callsOf(writer(copyOf(base), new Set()))
  const saved = writes.indexOf('save snapshots')
  const looks = writes.slice(0, saved).filter((call) => call === 'list marks').length
  const fault: Fault = { verb: 'list', kind: 'marks', nth: looks }
  const { intent, end } = sweepOf(await callsOf(pruner(copyOf(base), new Set())))
  let broken = 0
  for (let p = intent; p <= end; p++) {
    const schedule = `prune ${p}`
    const disk = copyOf(base)
    const written = writer(disk, new Set(), [fault])
    const pruned = pruner(disk, new Set())
    await written.take(saved)
    await pruned.take(p)
    await written.turnsUntilDone()
    await pruned.turnsUntilDone()
    await expect(written.result, schedule).rejects.toMatchObject({ code: 'CAIRN_STORAGE_DOWN' })
    await expectDoneOrConflict(pruned, schedule)
    const repository = await openAgain(disk)
    const open = idsOfSessions(await listSessions(repository))
    for (const snapshot of await repository.snapshots()) {
      if (
        await contentsOf(repository, snapshot).then(
          () => true,
          () => false,
        )
      )
        continue
      broken++
      expect(open, schedule).toContain(toHex(snapshot.envelope.sessionId))
    }
  }
  expect(broken).toBeGreaterThan(0)
})

test('C2: a snapshot that takes the place of another while a prune looks is needed as that one was', async () => {
  const prunes = await callsOf(pruner(copyOf(base), new Set()))
  const { end } = sweepOf(prunes)
  const tag = async (disk: MemoryBackend, name: string) => {
    const repository = await openAgain(disk, someone(name))
    const change = { add: [name], remove: [] }
    expect(await changeTags(repository, { choose: (all) => all, change })).toHaveLength(1)
  }
  for (let first = 0; first < end; first++) {
    for (let second = first + 1; second <= end; second++) {
      const schedule = `prune ${first}, tag, prune ${second}, tag`
      const disk = copyOf(base)
      const pruned = pruner(disk, new Set())
      await pruned.take(first)
      await tag(disk, 'once')
      await pruned.take(second - first)
      await tag(disk, 'twice')
      await pruned.turnsUntilDone()
      await expectDoneOrConflict(pruned, schedule)
      const repository = await openAgain(disk)
      const snapshots = await repository.snapshots()
      expect(snapshots.map(({ content }) => content?.tags)).toEqual([['once', 'twice']])
      for (const snapshot of snapshots) {
        const found = await contentsOf(repository, snapshot)
        for (const [path, content] of other) expect(found.get(path), schedule).toBe(content)
      }
    }
  }
})

/** What is there is two days old: a prune need not spare it for the sake of who is at work. */
function aged(disk: MemoryBackend): MemoryBackend {
  const old = new Set(disk.files.keys())
  const list = disk.list.bind(disk)
  const mtimeMs = Number(NOW_NS / 1_000_000n) - 48 * 3_600_000
  disk.list = async (kind, options) => {
    const files = await list(kind, options)
    return files.map((file) => (old.has(`${kind}/${file.name}`) ? { ...file, mtimeMs } : file))
  }
  return disk
}

/** The backup of a stream, which cannot be read twice: nothing may be taken from under it. */
function streamer(disk: MemoryBackend, alive: Set<number>): Client {
  return new Client(disk).start(async (backend) => {
    const environment = someone('streamer', alive)
    const opening = openAgain(backend, environment)
    async function* chunks() {
      for (const seed of [1, 2]) yield noise(2000, seed)
    }
    const input = { kind: 'stream', name: '/dump', chunks: chunks() } as const
    return await backUp(backend, ONE, { environment, opening, input })
  })
}

test.each(['begins after it', 'has its plan before it begins'] as const)(
  'C2: a stream ends as it should beside a prune that %s',
  async (when) => {
    const writes = await callsOf(streamer(copyOf(base), new Set()))
    const prunes = await callsOf(pruner(copyOf(base), new Set()))
    const plan = when === 'begins after it' ? 0 : prunes.indexOf('save marks')
    for (let w = writes.indexOf('save sessions') + 1; w < writes.length; w++) {
      for (let p = plan === 0 ? w % 3 : prunes.length; p <= prunes.length; p += 3) {
        const schedule = `prune ${plan}, stream ${w}, prune ${p}`
        const disk = aged(copyOf(base))
        const alive = new Set<number>()
        const pruned = pruner(disk, alive)
        await pruned.take(plan)
        const written = streamer(disk, alive)
        await written.take(w)
        await pruned.take(p)
        await written.turnsUntilDone()
        await pruned.turnsUntilDone()
        const report = (await written.result.catch((error: unknown) => {
          expect.fail(`${schedule}: ${String(error)}`)
        })) as BackupReport
        await expectDoneOrConflict(pruned, schedule)
        const repository = await openAgain(disk)
        const snapshots = await repository.snapshots()
        expect(snapshots.map(({ id }) => id)).toContain(report.snapshotId)
        for (const snapshot of snapshots) await contentsOf(repository, snapshot)
      }
    }
  },
)

/** Each blob of the snapshots twice, in packs of their own. */
async function doubled(start: MemoryBackend, who = 'third'): Promise<MemoryBackend> {
  const disk = copyOf(start)
  const hidden = [...disk.files].filter(([path]) => /^(?:index|packs)\//.test(path))
  for (const [path] of hidden) disk.files.delete(path)
  // Its random numbers decide the names of packs, and so which of two copies a prune keeps.
  await take(disk, TWO, someone(who))
  for (const [path, bytes] of hidden) disk.files.set(path, bytes)
  await disk.flush()
  return disk
}

/** The packs of `start` that a prune of it leaves. */
async function keptBy(start: MemoryBackend): Promise<readonly string[]> {
  const disk = copyOf(start)
  await pruner(disk, new Set()).turnsUntilDone()
  return names(start, 'packs').filter((name) => names(disk, 'packs').includes(name))
}

/**
 * As `doubled`, such that each of two prunes, one before and one after a snapshot is forgotten, keeps
 * what the other removes. Names of packs decide that.
 */
async function doubledDifferently(start: MemoryBackend): Promise<MemoryBackend> {
  for (let i = 0; i < 30; i++) {
    const twice = await doubled(start, `third-${i}`)
    const fewer = copyOf(twice)
    await forget(await openAgain(fewer, someone('forgetter')), [goneId])
    const [first, second] = [await keptBy(twice), await keptBy(fewer)]
    const isOneWay = first.filter((name) => !second.includes(name)).length !== 2
    if (!isOneWay && second.some((name) => !first.includes(name))) return twice
  }
  throw new Error('no two prunes keep different copies')
}

test.each([true, false])(
  'C3: two prunes never remove both copies of a blob (they know of each other: %s)',
  async (isKnown) => {
    const twice = await doubled(base)
    const turns = await (async () => {
      const client = pruner(copyOf(twice), new Set())
      await client.turnsUntilDone()
      return client.turns
    })()
    const stride = isKnown ? 5 : 4
    for (let a = 0; a <= turns; a++) {
      for (let b = a % stride; b <= turns; b += stride) {
        const schedule = `prune ${a}, prune ${b}`
        const disk = copyOf(twice)
        const alive = new Set<number>()
        const first = pruner(disk, alive)
        const second = pruner(disk, isKnown ? alive : new Set(), 'other pruner')
        await first.take(a)
        await second.take(b)
        await first.turnsUntilDone()
        await second.turnsUntilDone()
        for (const { result } of [first, second]) {
          await result.catch((error: unknown) =>
            expect(isCairnError(error, 'CAIRN_CONFLICT'), `${schedule}: ${String(error)}`).toBe(
              true,
            ),
          )
        }
        const repository = await openAgain(disk)
        for (const snapshot of await repository.snapshots()) {
          const found = await contentsOf(repository, snapshot)
          for (const [path, content] of other) expect(found.get(path), schedule).toBe(content)
        }
        if ((a * 7 + b) % 29 === 0) await expectConverged(disk)
      }
    }
  },
)

/**
 * Two prunes that plan at different times keep different copies, since what is needed has changed. The
 * first stops before it dooms anything; the second decides what it removes; then the first looks again,
 * and both go on.
 */
test('C3: of two prunes at their last looks, each with another copy in mind, none takes the last', async () => {
  const twice = await doubledDifferently(unforgotten)
  const firsts = await callsOf(pruner(copyOf(twice), new Set()))
  const until = async (start: number) => {
    const disk = copyOf(twice)
    const one = pruner(disk, new Set())
    await one.take(start)
    await forget(await openAgain(disk, someone('forgetter')), [goneId])
    return { disk, one, another: pruner(disk, new Set(), 'other pruner') }
  }
  const start = firsts.indexOf('save marks')
  const { intent, end } = sweepOf(await callsOf((await until(start)).another))
  const lastOfFirst = firsts.indexOf('remove packs', start)
  for (let b = intent + 1; b < end; b++) {
    for (let a = start + 1; a <= lastOfFirst; a++) {
      const schedule = `prune ${start}, forget, other prune ${b}, prune ${a}`
      const { disk, one, another } = await until(start)
      await another.take(b)
      await one.take(a - start)
      // Were it to go on now, it would find the first one's intent, and save what that names.
      await another.take(end + 1 - b)
      await one.turnsUntilDone()
      await another.turnsUntilDone()
      for (const client of [one, another]) await expectDoneOrConflict(client, schedule)
      const repository = await openAgain(disk)
      for (const snapshot of await repository.snapshots()) {
        const found = await contentsOf(repository, snapshot)
        for (const [path, content] of other) expect(found.get(path), schedule).toBe(content)
      }
    }
  }
})
