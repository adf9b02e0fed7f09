import { expect, test } from 'vitest'
import { toHex } from '../../src/base/bytes.ts'
import type { Process } from '../../src/base/seams.ts'
import { unlockSessions } from '../../src/engine/unlock.ts'
import { lookAround, seenStateOf } from '../../src/engine/writer-run.ts'
import { createRepository } from '../../src/repository/initialize.ts'
import { Repository } from '../../src/repository/repository.ts'
import { Session } from '../../src/repository/sessions.ts'
import type { Secret } from '../../src/repository/slots.ts'
import { saveSnapshot } from '../../src/repository/snapshots.ts'
import { timeOf } from '../../src/repository/time.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { emptyContent } from '../support/empty-content.ts'
import { inlineEnvironment } from '../support/backup-harness.ts'

const SECRET: Secret = { kind: 'key', bytes: new Uint8Array(32).fill(1) }
const HOUR_NS = 3600n * 1_000_000_000n
const { clock, random, process } = inlineEnvironment()

/** A repository and a way to open it as another process, here or elsewhere, now or earlier. */
async function newPlace() {
  const backend = new MemoryBackend()
  await createRepository({ backend, clock, random }, { secret: SECRET, label: 'test' })
  const openAs = (other: Partial<Process>, agoNs = 0n) =>
    Repository.open(
      {
        backend,
        random,
        clock: { ...clock, wallNs: () => clock.wallNs() - agoNs },
        process: { ...process, bootId: 'this boot', isAlive: (pid) => pid === 1, ...other },
      },
      { secret: SECRET },
    )
  const beginAs = async (other: Partial<Process>, agoNs = 0n) => {
    const repository = await openAs(other, agoNs)
    await new Session(repository, 'writer').beat()
    return repository
  }
  const sessionCount = () =>
    [...backend.files.keys()].filter((f) => f.startsWith('sessions/')).length
  return { openAs, beginAs, sessionCount }
}

test('removes what is certainly dead, and no more', async () => {
  const { openAs, beginAs, sessionCount } = await newPlace()
  await beginAs({ pid: 1 })
  await beginAs({ pid: 2 })
  await beginAs({ pid: 2, hostname: 'elsewhere' })
  await beginAs({ pid: 3, hostname: 'elsewhere' }, 4n * HOUR_NS)
  const report = await unlockSessions(await openAs({}), { removeAll: false })
  const pids = (sessions: typeof report.removed) =>
    sessions.map(({ beat }) => beat.pid).toSorted((a, b) => a - b)
  expect(pids(report.removed)).toEqual([2, 3])
  expect(pids(report.running)).toEqual([1, 2])
  expect(sessionCount()).toBe(2)
  const all = await unlockSessions(await openAs({}), { removeAll: true })
  expect(pids(all.removed)).toEqual([1, 2])
  expect(sessionCount()).toBe(0)
})

test('leaves the session of an unconfirmed snapshot, whatever is asked', async () => {
  const { openAs, beginAs, sessionCount } = await newPlace()
  const dead = await beginAs({ pid: 2 })
  const time = timeOf(clock.wallNs())
  const seen = seenStateOf(await lookAround(dead, undefined))
  await saveSnapshot(dead, time, emptyContent(time), seen)
  for (const removeAll of [false, true]) {
    const report = await unlockSessions(await openAs({}), { removeAll })
    expect(report.removed).toEqual([])
    expect(report.unconfirmed.map(({ beat }) => toHex(beat.sessionId))).toEqual([
      toHex(dead.sessionId),
    ])
    expect(sessionCount()).toBe(1)
  }
})
