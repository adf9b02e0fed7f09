import { describe, expect, test } from 'vitest'
import { isCairnError } from '../../src/base/errors.ts'
import type { FileName } from '../../src/base/ids.ts'
import type { Role } from '../../src/format/constants.ts'
import { decodeConfig } from '../../src/format/config.ts'
import { addSlot, type NewSlot, removeSlot, replaceSlot } from '../../src/repository/change-keys.ts'
import { createRepository } from '../../src/repository/initialize.ts'
import { nameOf } from '../../src/repository/stored-files.ts'
import { Repository } from '../../src/repository/repository.ts'
import type { Secret } from '../../src/repository/slots.ts'
import type { Backend, FileRef, OpOptions } from '../../src/storage/backend.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { inlineEnvironment } from '../support/backup-harness.ts'
import { isPowerCut, PowerCutBackend } from '../support/power-cut-backend.ts'

/** Raw keys cost no derivation. */
function key(number: number): Secret {
  return { kind: 'key', bytes: new Uint8Array(32).fill(number) }
}

const FIRST = key(1)
const environment = inlineEnvironment()
const { clock, random, process } = environment

async function newDisk(): Promise<MemoryBackend> {
  const backend = new MemoryBackend()
  await createRepository({ backend, clock, random }, { secret: FIRST, label: 'ann@laptop' })
  await backend.flush()
  return backend
}

function open(
  backend: Backend,
  secret: Secret,
  onWarning: (message: string) => void = () => {},
): Promise<Repository> {
  return Repository.open({ backend, clock, random, process }, { secret, onWarning })
}

async function opens(backend: Backend, secret: Secret): Promise<boolean> {
  try {
    await open(backend, secret)
    return true
  } catch (error) {
    if (isCairnError(error, 'CAIRN_WRONG_SECRET')) return false
    throw error
  }
}

function slot(secret: Secret, role: Role = 'admin', label = 'bob@server'): NewSlot {
  return { secret, role, label }
}

function copyOf(disk: MemoryBackend): MemoryBackend {
  const copy = new MemoryBackend()
  for (const [name, bytes] of disk.files) copy.files.set(name, bytes)
  return copy
}

function filesOf(disk: MemoryBackend, folder: string): string[] {
  return [...disk.files.keys()].filter((name) => name.startsWith(`${folder}/`))
}

async function failureOf(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!isCairnError(error)) throw new Error('no CairnError', { cause: error })
  return `${error.code}: ${error.message}`
}

describe('a slot that is added', () => {
  test('opens the same repository, with an author of its own', async () => {
    const disk = await newDisk()
    const admin = await open(disk, FIRST)
    const name = await addSlot(admin, slot(key(2)))
    const second = await open(disk, key(2))
    expect(second.id).toBe(admin.id)
    expect(second.unlocked.slotName).toBe(name)
    expect(second.keyring.authorId).not.toEqual(admin.keyring.authorId)
    expect(second.box.authors.map(({ label, role }) => [label, role])).toEqual([
      ['ann@laptop', 'admin'],
      ['bob@server', 'admin'],
    ])
    expect(await opens(disk, FIRST)).toBe(true)
    expect(await opens(disk, key(3))).toBe(false)
  })

  test.each(['reader', 'writer'] as const)(
    'as a %s has only the keys of its role',
    async (role) => {
      const disk = await newDisk()
      const admin = await open(disk, FIRST)
      await addSlot(admin, slot(key(2), role))
      const { keyring, unlocked } = await open(disk, key(2))
      expect(keyring.role).toBe(role)
      expect(unlocked.payload.roots.size).toBe(0)
      expect(keyring.current.adminSeed).toBeUndefined()
      expect(keyring.current.sealSecret === undefined).toBe(role === 'writer')
      expect(keyring.current.sealPublic).toEqual(admin.keyring.current.sealPublic)
      expect(keyring.ids).toEqual(admin.keyring.ids)
      const lesser = await open(disk, key(2))
      for (const change of [addSlot(lesser, slot(key(3))), replaceSlot(lesser, slot(key(3)))]) {
        expect(await failureOf(change)).toMatch(/^CAIRN_WRONG_SECRET: .*use an admin key$/)
      }
    },
  )

  test('is refused where no more would be tried', async () => {
    const disk = await newDisk()
    for (let count = 2; count <= 64; count++)
      await addSlot(await open(disk, FIRST), slot(key(count)))
    expect(await opens(disk, key(64))).toBe(true)
    const before = disk.files.size
    expect(await failureOf(addSlot(await open(disk, FIRST), slot(key(65))))).toMatch(
      /^CAIRN_FAILED: cannot add a key: there are 64/,
    )
    expect(disk.files.size).toBe(before)
  })

  test('takes a passphrase as well', async () => {
    const disk = await newDisk()
    const secret: Secret = { kind: 'passphrase', bytes: Buffer.from('battery staple') }
    const scryptCost = { N: 2 ** 14, r: 8, p: 1 }
    await addSlot(await open(disk, FIRST), { ...slot(secret), scryptCost })
    expect(await opens(disk, secret)).toBe(true)
  })
})

describe('a slot that is removed', () => {
  test('opens nothing any more, also when its file is put back', async () => {
    const disk = await newDisk()
    const admin = await open(disk, FIRST)
    const name = await addSlot(admin, slot(key(2)))
    const stolen = disk.files.get(`keys/${name}`) ?? Buffer.alloc(0)
    const configs = new Map(disk.files)
    await removeSlot(await open(disk, FIRST), name)
    expect(filesOf(disk, 'keys')).toHaveLength(1)
    expect(await opens(disk, key(2))).toBe(false)
    disk.files.set(`keys/${name}`, stolen)
    for (const [file, bytes] of configs) if (file.startsWith('config/')) disk.files.set(file, bytes)
    expect(await opens(disk, key(2))).toBe(false)
    const warnings: string[] = []
    await open(disk, FIRST, (message) => warnings.push(message))
    expect(warnings).toEqual([expect.stringContaining('was removed, but its file is there')])
  })

  test('is never the one in use', async () => {
    const disk = await newDisk()
    const admin = await open(disk, FIRST)
    const before = [...disk.files.keys()]
    expect(await failureOf(removeSlot(admin, admin.unlocked.slotName))).toMatch(
      /^CAIRN_FAILED: .*use another key to remove it$/,
    )
    expect([...disk.files.keys()]).toEqual(before)
  })

  test('may be a file that no revision lists', async () => {
    const disk = await newDisk()
    const orphan = 'ab'.repeat(32) as FileName
    disk.files.set(`keys/${orphan}`, Buffer.from('left over'))
    await removeSlot(await open(disk, FIRST), orphan)
    expect(filesOf(disk, 'keys')).toHaveLength(1)
    expect(await opens(disk, FIRST)).toBe(true)
  })
})

test('a new secret takes the place of the old, with the same author', async () => {
  const disk = await newDisk()
  const before = await open(disk, FIRST)
  await replaceSlot(before, slot(key(2)))
  expect(await opens(disk, FIRST)).toBe(false)
  const after = await open(disk, key(2))
  expect(after.keyring.authorId).toEqual(before.keyring.authorId)
  expect(after.box.authors).toHaveLength(1)
  expect(filesOf(disk, 'keys')).toHaveLength(1)
})

test('old revisions do not pile up', async () => {
  const disk = await newDisk()
  for (let i = 1; i <= 10; i++) await replaceSlot(await open(disk, key(i)), slot(key(i + 1)))
  expect(filesOf(disk, 'config')).toHaveLength(4)
  const warnings: string[] = []
  await open(disk, key(11), (message) => warnings.push(message))
  expect(warnings).toEqual([])
})

describe.each(['before', 'after', 'torn'] as const)('a power cut, %s each call', (mode) => {
  /** Runs `change` under a cut at every call until it finishes. */
  async function atEveryCall(
    base: MemoryBackend,
    change: (repository: Repository) => Promise<unknown>,
    expectSound: (disk: MemoryBackend) => Promise<void>,
  ): Promise<void> {
    for (let cutAt = 0; ; cutAt++) {
      const disk = copyOf(base)
      const cut = new PowerCutBackend(disk, { cutAt, mode, seed: cutAt })
      const finished = await change(await open(cut, FIRST)).then(
        () => true,
        (error: unknown) => {
          if (!isPowerCut(error)) throw error
          return false
        },
      )
      await expectSound(disk)
      if (finished) {
        expect(cutAt).toBeGreaterThan(3)
        return
      }
    }
  }

  test('A8: passwd locks nobody out', async () => {
    const base = await newDisk()
    await atEveryCall(
      base,
      (repository) => replaceSlot(repository, slot(key(2))),
      async (disk) => {
        const [old, fresh] = [await opens(disk, FIRST), await opens(disk, key(2))]
        expect(old !== fresh).toBe(true)
        // And it can be done again, which leaves nothing behind.
        const repository = await open(disk, old ? FIRST : key(2))
        await replaceSlot(repository, slot(key(3)))
        expect([await opens(disk, FIRST), await opens(disk, key(2))]).toEqual([false, false])
        expect(await opens(disk, key(3))).toBe(true)
      },
    )
  })

  test('A8: adding and removing a key takes no other', async () => {
    const base = await newDisk()
    await atEveryCall(
      base,
      (repository) => addSlot(repository, slot(key(2))),
      async (disk) => expect(await opens(disk, FIRST)).toBe(true),
    )
    const name = await addSlot(await open(base, FIRST), slot(key(2)))
    await addSlot(await open(base, FIRST), slot(key(3)))
    await atEveryCall(
      base,
      (repository) => removeSlot(repository, name),
      async (disk) => {
        expect([await opens(disk, FIRST), await opens(disk, key(3))]).toEqual([true, true])
      },
    )
  })
})

/** Runs `other` to its end just before the n-th save of a config through it. */
class MeetingBackend extends PowerCutBackend {
  readonly #other: () => Promise<void>
  #hasMet = false

  constructor(inner: Backend, other: () => Promise<void>) {
    super(inner, { cutAt: Number.POSITIVE_INFINITY, mode: 'before' })
    this.#other = other
  }

  override async save(file: FileRef, bytes: Uint8Array, options?: OpOptions): Promise<void> {
    if (file.kind === 'config' && !this.#hasMet) {
      this.#hasMet = true
      await this.#other()
    }
    await super.save(file, bytes, options)
  }
}

describe('two administrators at once', () => {
  async function twoAdmins(): Promise<{ disk: MemoryBackend; names: FileName[] }> {
    const disk = await newDisk()
    const second = await addSlot(await open(disk, FIRST), slot(key(2)))
    const { slotName } = (await open(disk, FIRST)).unlocked
    return { disk, names: [slotName, second] }
  }

  test('lose neither of two keys that they add', async () => {
    // Which of two revisions of one number is in force depends on their names: so, several times.
    for (let i = 0; i < 8; i++) {
      const { disk } = await twoAdmins()
      const other = await open(disk, key(2))
      const meeting = new MeetingBackend(disk, async () => {
        await addSlot(other, slot(key(4)))
      })
      await addSlot(await open(meeting, FIRST), slot(key(3)))
      for (const secret of [FIRST, key(2), key(3), key(4)]) {
        expect(await opens(disk, secret)).toBe(true)
      }
      const warnings: string[] = []
      const { unlocked } = await open(disk, FIRST, (message) => warnings.push(message))
      expect(unlocked.config.slots).toHaveLength(4)
      expect(warnings).toEqual([])
    }
  })

  test('are both heard where the later one dies before it has joined the revisions', async () => {
    for (let i = 0; i < 8; i++) {
      const { disk } = await twoAdmins()
      const other = await open(disk, key(2))
      const meeting = new MeetingBackend(disk, async () => {
        await replaceSlot(other, slot(key(4)))
      })
      // Its calls: save slot, flush, save config, flush; then the power goes.
      const cut = new PowerCutBackend(meeting, { cutAt: 4, mode: 'before' })
      const dying = await open(cut, FIRST)
      await expect(addSlot(dying, slot(key(3)))).rejects.toSatisfy(isPowerCut)
      for (const secret of [FIRST, key(3), key(4)]) expect(await opens(disk, secret)).toBe(true)
      expect(await opens(disk, key(2))).toBe(false)
    }
  })

  test('do not both remove the key of the other', async () => {
    for (let i = 0; i < 4; i++) {
      const { disk, names } = await twoAdmins()
      const [first, second] = names
      if (first === undefined || second === undefined) throw new Error('two slots')
      const other = await open(disk, key(2))
      const meeting = new MeetingBackend(disk, () => removeSlot(other, first))
      const removal = removeSlot(await open(meeting, FIRST), second)
      expect(await failureOf(removal)).toMatch(/^CAIRN_CONFLICT: .*removed meanwhile$/)
      expect([await opens(disk, FIRST), await opens(disk, key(2))]).toEqual([false, true])
    }
  })
})

test('a repository opens while a key is being changed', async () => {
  const disk = await newDisk()
  await addSlot(await open(disk, FIRST), slot(key(2)))
  // Between the listing of the config and that of the keys, the secret is changed.
  const meeting = new MemoryBackend()
  meeting.list = async (kind, options) => {
    if (kind === 'keys' && (await opens(disk, key(2)))) {
      await replaceSlot(await open(disk, key(2)), slot(key(3)))
    }
    return await disk.list(kind, options)
  }
  meeting.load = (file, range, options) => disk.load(file, range, options)
  expect(await opens(meeting, key(3))).toBe(true)
})

test('a revision that the admin key has not signed changes nothing', async () => {
  const disk = await newDisk()
  const [file = ''] = filesOf(disk, 'config')
  const bytes = disk.files.get(file) ?? Buffer.alloc(0)
  const { slots } = decodeConfig(bytes)
  const forged = Buffer.from(
    Buffer.from(bytes)
      .toString()
      .replace('"rev":1', '"rev":2')
      .replace(',"salt"', `,"removed":["${slots[0] ?? ''}"],"salt"`),
  )
  disk.files.set(`config/${nameOf(forged)}`, forged)
  const warnings: string[] = []
  const { unlocked } = await open(disk, FIRST, (message) => warnings.push(message))
  expect(unlocked.config.revision).toBe(1)
  expect(warnings).toEqual([expect.stringContaining('its signature is not valid')])
})
