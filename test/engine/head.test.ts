import { beforeEach, expect, test } from 'vitest'
import { isCairnError } from '../../src/base/errors.ts'
import type { FileName, SnapshotId } from '../../src/base/ids.ts'
import { idBytes } from '../../src/base/ids.ts'
import { readHead, requireHead } from '../../src/engine/head.ts'
import { lookAround, seenStateOf } from '../../src/engine/writer-run.ts'
import { encodeTombstone } from '../../src/format/session.ts'
import { addSlot } from '../../src/repository/change-keys.ts'
import { createRepository } from '../../src/repository/initialize.ts'
import { Repository } from '../../src/repository/repository.ts'
import type { Secret } from '../../src/repository/slots.ts'
import { saveSnapshot } from '../../src/repository/snapshots.ts'
import { timeOf } from '../../src/repository/time.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { inlineEnvironment } from '../support/backup-harness.ts'
import { emptyContent } from '../support/empty-content.ts'

const ADMIN: Secret = { kind: 'key', bytes: new Uint8Array(32).fill(1) }
const OTHER: Secret = { kind: 'key', bytes: new Uint8Array(32).fill(2) }
const { clock, random, process } = inlineEnvironment()
let disk = new MemoryBackend()

beforeEach(async () => {
  disk = new MemoryBackend()
  const parts = { backend: disk, clock, random }
  await createRepository(parts, { secret: ADMIN, label: 'a' })
  await addSlot(await open(), { secret: OTHER, role: 'writer', label: 'b' })
})

function open(secret = ADMIN): Promise<Repository> {
  return Repository.open({ backend: disk, clock, random, process }, { secret })
}

interface Saved {
  readonly id: SnapshotId
  readonly name: FileName
}

async function snapshot(secret = ADMIN): Promise<Saved> {
  const repository = await open(secret)
  const time = timeOf(clock.wallNs())
  const seen = seenStateOf(await lookAround(repository, undefined))
  return await saveSnapshot(repository, time, emptyContent(time), seen)
}

async function forget(saved: Saved): Promise<void> {
  const repository = await open()
  const object = await repository.loadObject('snapshots', saved.name)
  const known = (await repository.tombstones()).map(({ id }) => id)
  const forgotten = [
    {
      snapshot: idBytes(saved.id),
      replacement: new Uint8Array(),
      body: object?.body ?? new Uint8Array(),
      author: object?.author.id ?? new Uint8Array(),
      aead: object?.aead ?? 0,
    },
  ]
  await repository.saveObject(
    'retired',
    encodeTombstone({ forgotten, time: timeOf(clock.wallNs()), known, merged: [] }),
  )
  lose('snapshots', saved.name)
}

function lose(folder: string, name: string): void {
  expect(disk.files.delete(`${folder}/${name}`)).toBe(true)
}

async function digest(): Promise<string> {
  return (await readHead(await open())).digest
}

/** 'goes on', or the code and message of the refusal. */
async function against(expected: string, secret = ADMIN): Promise<string> {
  try {
    await requireHead(await open(secret), expected)
    return 'goes on'
  } catch (error) {
    if (!isCairnError(error)) throw error
    return `${error.code}: ${error.message}`
  }
}

test('every state that a snapshot saw or made stays good, for every role', async () => {
  const states = [await digest()]
  for (const secret of [ADMIN, OTHER, ADMIN, ADMIN, OTHER]) {
    await snapshot(secret)
    states.push(await digest())
  }
  expect(new Set(states).size).toBe(6)
  for (const state of states) {
    expect(state).toMatch(/^[0-9a-f]{32}$/)
    expect(await against(state)).toBe('goes on')
    expect(await against(state, OTHER)).toBe('goes on')
  }
  expect(await against('0'.repeat(32))).toMatch(
    /^CAIRN_CORRUPT: .*does not go on from the head 0000/,
  )
})

test('a storage that goes back to an older state shows', async () => {
  await snapshot()
  const older = new Map(disk.files)
  await snapshot()
  const noted = await digest()
  disk.files.clear()
  for (const [name, bytes] of older) disk.files.set(name, bytes)
  expect(await against(noted)).toMatch(/^CAIRN_CORRUPT: .*gone back to an older state/)
})

test('a snapshot that is taken out shows, the newest and any other', async () => {
  const first = await snapshot()
  const second = await snapshot(OTHER)
  const noted = await digest()
  const third = await snapshot()
  const whole = new Map(disk.files)
  lose('snapshots', third.name)
  expect(await against(noted)).toBe('goes on')
  for (const taken of [first, second]) {
    disk.files.clear()
    for (const [name, bytes] of whole) disk.files.set(name, bytes)
    lose('snapshots', taken.name)
    expect(await against(noted)).toMatch(/^CAIRN_CORRUPT: the history is not whole: snapshot/)
  }
})

test('what is forgotten is not missing, and forgetting has a state of its own', async () => {
  const first = await snapshot()
  const before = await digest()
  const second = await snapshot()
  await forget(first)
  const after = await digest()
  expect(after).not.toBe(before)
  await snapshot()
  for (const state of [before, after]) expect(await against(state)).toBe('goes on')
  // Also where only the tombstones know the snapshots around it.
  await forget(second)
  expect(await against(before)).toBe('goes on')
  for (const tombstone of [...disk.files.keys()].filter((name) => name.startsWith('retired/'))) {
    const bytes = disk.files.get(tombstone) ?? Buffer.alloc(0)
    disk.files.delete(tombstone)
    expect(await against(before)).toMatch(/^CAIRN_CORRUPT/)
    disk.files.set(tombstone, bytes)
  }
})

test('a damaged snapshot is not whole', async () => {
  const { name } = await snapshot()
  const noted = await digest()
  disk.files.set(`snapshots/${name}`, Buffer.alloc(500))
  expect(await against(noted)).toMatch(/^CAIRN_CORRUPT: .*is damaged/)
})
