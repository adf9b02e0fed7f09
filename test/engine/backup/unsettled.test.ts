/** What a run may still take back: nobody names it, and nothing is given up for it (FORMAT.md 14). */

import { rmSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { byteStringOf } from '../../../src/base/bytes.ts'
import { CairnError } from '../../../src/base/errors.ts'
import { idBytes } from '../../../src/base/ids.ts'
import type { BackupOptions } from '../../../src/engine/backup/backup-options.ts'
import { CHECKPOINT_PERIOD_MS } from '../../../src/engine/backup/checkpoints.ts'
import { executeForget } from '../../../src/engine/forget/forget.ts'
import { readHead } from '../../../src/engine/head.ts'
import { findLosses, remembered, seenHistory } from '../../../src/engine/rollback.ts'
import type { Snapshot } from '../../../src/repository/snapshots.ts'
import type { Backend, FileKind } from '../../../src/storage/backend.ts'
import { encodeMark, MARK_PHASE } from '../../../src/format/session.ts'
import { Repository } from '../../../src/repository/repository.ts'
import { addSlot } from '../../../src/repository/change-keys.ts'
import { timeOf } from '../../../src/repository/time.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { backUp, contentsOf, create } from '../../support/backup-harness.ts'
import { FaultyBackend, type Fault } from '../../support/faulty-backend.ts'
import { tickingEnvironment } from '../../support/ticking.ts'
import {
  copyOf,
  laterProcess,
  names,
  newProcess,
  openAgain,
  plant,
  runPrune,
} from '../prune/prune-harness.ts'

let root = ''
let source = ''
/** Processes that live. */
const alive = new Set<number>()

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-unsettled-'))
  source = join(root, 'source')
  const seeds = Array.from({ length: 120 }, (_, seed) => seed)
  plant(source, seeds, 300)
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

function always(verb: Fault['verb'], kind: FileKind, nth = 0): Fault {
  const error = new CairnError('CAIRN_STORAGE_REFUSED', 'not now')
  return { verb, kind, nth, times: Number.POSITIVE_INFINITY, error }
}

type RunOptions = Partial<BackupOptions> & { readonly isSlow?: boolean; readonly path?: string }

async function run(
  backend: Backend,
  faults: readonly Fault[],
  { isSlow = false, path = source, ...overrides }: RunOptions = {},
) {
  const { pid, ...environment } = newProcess(alive)
  const slow = isSlow
    ? { ...tickingEnvironment(CHECKPOINT_PERIOD_MS), process: environment.process }
    : environment
  const faulty = new FaultyBackend(backend, faults)
  const opening = openAgain(faulty, slow)
  const report = await backUp(faulty, path, { ...overrides, environment: slow, opening })
  if (report.snapshotId === undefined) throw new Error('no snapshot')
  return { pid, id: report.snapshotId }
}

/** A run that has stored its snapshot and not yet said that it is complete. */
async function unsettledRun(backend: Backend, path = source, overrides: RunOptions = {}) {
  const faults = [always('remove', 'sessions'), always('remove', 'snapshots')]
  return await run(backend, faults, { ...overrides, path })
}

/** Does something once, when a file of this kind is there and durable. */
function onceFlushed(disk: MemoryBackend, kind: FileKind, act: () => void | Promise<void>): void {
  const flush = disk.flush.bind(disk)
  let isDone = false
  disk.flush = async () => {
    await flush()
    if (isDone || names(disk, kind).length === 0) return
    isDone = true
    await act()
  }
}

async function snapshotsOf(backend: Backend): Promise<Snapshot[]> {
  return await (await openAgain(backend)).snapshots()
}

/** Takes the snapshot back, as its run does. */
async function takeBack(disk: MemoryBackend, id: string): Promise<void> {
  const snapshot = (await snapshotsOf(disk)).find((one) => one.id === id)
  if (snapshot === undefined) throw new Error('no such snapshot')
  disk.files.delete(`snapshots/${snapshot.name}`)
  endSessions(disk)
}

function endSessions(disk: MemoryBackend): void {
  for (const name of names(disk, 'sessions')) disk.files.delete(`sessions/${name}`)
}

async function lossesOf(backend: Backend) {
  const repository = await openAgain(backend)
  return findLosses(repository, seenHistory(await repository.history()), undefined)
}

test('no snapshot names it, so that it can go without being missed', async () => {
  const disk = new MemoryBackend()
  await create(disk)
  const first = await run(disk, [])
  const before = await readHead(await openAgain(disk))
  const unsettled = await unsettledRun(disk)
  // Until it is settled the head is what it was.
  expect((await readHead(await openAgain(disk))).digest).toBe(before.digest)
  const second = await run(disk, [])
  const written = (await snapshotsOf(disk)).find(({ id }) => id === second.id)
  expect(written?.envelope.previous.map((id) => Buffer.from(id).toString('hex'))).toEqual([
    first.id,
  ])

  const takenBack = copyOf(disk)
  await takeBack(takenBack, unsettled.id)
  expect(await lossesOf(takenBack)).toEqual([])

  // Had it been settled, the next snapshot would have named it, and it would be missed.
  endSessions(disk)
  const third = await run(disk, [])
  const last = (await snapshotsOf(disk)).find(({ id }) => id === third.id)
  expect(last?.envelope.previous).toContainEqual(idBytes(unsettled.id))
  expect((await readHead(await openAgain(disk))).goesOnFrom(before.digest)).toBe(true)
  await takeBack(disk, unsettled.id)
  expect((await lossesOf(disk)).map(({ kind }) => kind)).toEqual(['snapshot'])
})

test('what it replaces is kept until it is settled', async () => {
  const disk = new MemoryBackend()
  await create(disk)
  await expect(run(disk, [always('save', 'snapshots', 1)], { isSlow: true })).rejects.toThrow(
    /not now/,
  )
  const [partial] = await snapshotsOf(disk)
  if (partial === undefined) throw new Error('no partial snapshot')
  expect(partial.envelope.partial).toBe(true)
  const expected = await contentsOf(await openAgain(disk), partial, source)
  const { pid, id } = await unsettledRun(disk)
  alive.delete(pid) // It sleeps: everybody takes it for dead.
  expect((await snapshotsOf(disk)).map((one) => one.id)).toEqual([id])

  const settled = copyOf(disk)
  endSessions(settled)
  for (const each of [disk, settled]) {
    await runPrune(each)
    await executeForget(await openAgain(each), { groups: [], remove: [] })
  }
  expect(names(disk, 'snapshots')).toHaveLength(2)
  await takeBack(disk, id)
  expect((await snapshotsOf(disk)).map((one) => one.id)).toEqual([partial.id])
  expect(await contentsOf(await openAgain(disk), partial, source)).toEqual(expected)

  // Once it is settled, neither the file nor the data of the partial one is kept.
  expect(names(settled, 'snapshots')).toHaveLength(1)
  await expect(contentsOf(await openAgain(settled), partial, source)).rejects.toThrow()
})

test('skip-if-unchanged does not rely on a snapshot that may be taken back', async () => {
  const disk = new MemoryBackend()
  await create(disk)
  // Without the directories above the source, which others change meanwhile.
  const input = { kind: 'paths', paths: [byteStringOf('.')], workingDirectory: source } as const
  const { id } = await unsettledRun(disk, source, { input })
  const again = async () => {
    const environment = newProcess(alive)
    const opening = openAgain(disk, environment)
    return await backUp(disk, source, { environment, opening, input, skipIfUnchanged: true })
  }
  const report = await again()
  expect(report.parentId).toBe(id)
  expect(report.snapshotId).toBeDefined()
  await takeBack(disk, id)
  expect((await snapshotsOf(disk)).map((one) => one.id)).toEqual([report.snapshotId])
  // On one that is settled it does.
  expect((await again()).snapshotId).toBeUndefined()
})

test('skip-if-unchanged does not rely on a partial snapshot, even if it is named', async () => {
  const disk = new MemoryBackend()
  await create(disk)
  const { id } = await run(disk, [])
  const report = await backUp(disk, source, {
    opening: openAgain(disk),
    skipIfUnchanged: true,
    chooseParent: (snapshots) =>
      snapshots
        .filter((one) => one.id === id)
        .map((one) => ({ ...one, envelope: { ...one.envelope, partial: true } }))
        .at(-1),
  })
  expect(report.snapshotId).toBeDefined()
})

test('a partial snapshot is not counted, and not missed when it is gone', async () => {
  const disk = new MemoryBackend()
  await create(disk)
  await expect(run(disk, [always('save', 'snapshots', 1)], { isSlow: true })).rejects.toThrow(
    /not now/,
  )
  const repository = await openAgain(disk)
  expect(await readHead(repository)).toMatchObject({ snapshotCount: 0, missing: [] })
  const history = seenHistory(await repository.history())
  const memory = remembered(repository, history, () => true, [], undefined)
  expect(memory.snapshots).toEqual([])
  await run(disk, [])
  expect(names(disk, 'snapshots')).toHaveLength(1)
  const after = seenHistory(await repository.history())
  expect(findLosses(repository, after, memory)).toEqual([])
})

test.each(['whole', 'broken'] as const)(
  'of a run that dies while another is at work the snapshot, which is %s, is not just believed',
  async (how) => {
    const other = join(root, how)
    plant(other, [1000, 1001, 1002])
    const disk = new MemoryBackend()
    await create(disk)
    await run(disk, [])
    let left = ''
    const save = disk.save.bind(disk)
    // The one at work has listed the snapshots long ago.
    disk.save = async (file, bytes, options) => {
      if (file.kind === 'snapshots') {
        disk.save = save
        const known = new Set(names(disk, 'packs'))
        const { pid, id } = await unsettledRun(disk, other)
        alive.delete(pid)
        left = id
        if (how === 'broken') {
          // A prune removes them that had not seen the snapshot.
          for (const name of names(disk, 'packs')) {
            if (!known.has(name)) disk.files.delete(`packs/${name}`)
          }
        }
      }
      await save(file, bytes, options)
    }
    const { id } = await run(disk, [])
    expect((await snapshotsOf(disk)).map((one) => one.id).sort()).toEqual(
      expect.arrayContaining([id, left]),
    )
    expect(names(disk, 'sessions')).toHaveLength(how === 'whole' ? 0 : 1)
    // It is in nobody's way.
    await runPrune(disk)
  },
)

test('a run that slept, and whose session somebody removed, is there again before its snapshot', async () => {
  const disk = new MemoryBackend()
  await create(disk)
  await run(disk, [])
  const other = join(root, 'slept')
  plant(other, [2000, 2001])
  const { pid: _, ...environment } = newProcess(alive)
  const { clock, process } = environment
  let sleptNs = 0n
  environment.clock = { ...clock, wallNs: () => clock.wallNs() + sleptNs }
  const elsewhere = { ...process, hostname: 'elsewhere', isAlive: () => false }
  const save = disk.save.bind(disk)
  let seen: number | undefined
  disk.save = async (file, bytes, options) => {
    if (file.kind === 'packs' && sleptNs === 0n) {
      sleptNs = 8n * 24n * 3_600_000_000_000n
      const meanwhile = { ...environment, process: elsewhere }
      const opening = openAgain(disk, meanwhile)
      await backUp(disk, source, { environment: meanwhile, opening })
      expect(names(disk, 'sessions')).toEqual([])
      seen = undefined
    }
    if (file.kind === 'snapshots') seen = names(disk, 'sessions').length
    await save(file, bytes, options)
  }
  await backUp(disk, other, { environment, opening: openAgain(disk, environment) })
  expect(seen).toBe(1)
  expect(names(disk, 'sessions')).toEqual([])
})

test('a run that dies right after its snapshot, and whose session somebody had removed, left it unconfirmed', async () => {
  const disk = new MemoryBackend()
  await create(disk)
  const environment = newProcess(alive)
  const opening = openAgain(disk, environment)
  // Whoever takes the run for dead may prune what nobody needs yet.
  onceFlushed(disk, 'index', () => endSessions(disk))
  let left: MemoryBackend | undefined
  const save = disk.save.bind(disk)
  disk.save = async (file, bytes, options) => {
    await save(file, bytes, options)
    if (file.kind === 'snapshots') left = copyOf(disk)
  }
  await backUp(disk, source, { environment, opening })
  if (left === undefined) throw new Error('no snapshot')
  expect(names(left, 'sessions')).toHaveLength(1)
})

test('a prune leaves the session of a dead run, whose snapshot it does not confirm', async () => {
  const disk = new MemoryBackend()
  await create(disk)
  const { pid } = await unsettledRun(disk)
  alive.delete(pid)
  const left = names(disk, 'sessions')
  expect(left).toHaveLength(1)
  await runPrune(disk, {}, { environment: laterProcess() })
  expect(names(disk, 'sessions')).toEqual(left)
})

/** Lets somebody take the run that writes the first snapshot for dead, name it, and doom its data. */
function takenForDead(disk: MemoryBackend): void {
  onceFlushed(disk, 'snapshots', async () => {
    const packs = names(disk, 'packs')
    endSessions(disk)
    await run(disk, [], { path: join(source, 'even') })
    const other = await openAgain(disk)
    const time = timeOf(other.clock.wallNs())
    const { sessionId } = other
    await other.saveObject('marks', encodeMark({ phase: MARK_PHASE.sweep, time, packs, sessionId }))
  })
}

test('a run that others took for dead, and whose snapshot they name, forgets it', async () => {
  const disk = new MemoryBackend()
  await create(disk)
  takenForDead(disk)
  const { id } = await run(disk, [])
  expect(await lossesOf(disk)).toEqual([])
  const [other, own, ...more] = await snapshotsOf(disk)
  expect(more).toEqual([])
  expect([other?.id, own?.id]).toContain(id)
  expect(names(disk, 'retired')).toHaveLength(1)
})

test('a writer that others took for dead leaves its snapshot, unconfirmed', async () => {
  const disk = new MemoryBackend()
  await create(disk)
  const secret = { kind: 'passphrase', bytes: Buffer.from('of a writer') } as const
  await addSlot(await openAgain(disk), { secret, role: 'writer', label: 'a writer' })
  const { clock, random, process } = newProcess(alive)
  const opening = Repository.open({ backend: disk, clock, random, process }, { secret })
  await opening
  takenForDead(disk)
  await expect(backUp(disk, source, { opening })).rejects.toMatchObject({
    code: 'CAIRN_CONFLICT',
    message: expect.stringMatching(/cannot take back snapshot [0-9a-f]{8}/) as string,
  })
  expect(await snapshotsOf(disk)).toHaveLength(2)
  expect(names(disk, 'sessions')).toHaveLength(1)
  expect(await lossesOf(disk)).toEqual([])
})
