/** Key slots and configs as somebody might write them who can write to the storage, or who has a key. */

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isCairnError } from '../../src/base/errors.ts'
import { signer } from '../../src/crypto/sign.ts'
import { encodeConfig, encodeConfigLine, type ConfigBox } from '../../src/format/config.ts'
import { addSlot, replaceSlot } from '../../src/repository/change-keys.ts'
import { createRepository, sealConfig } from '../../src/repository/initialize.ts'
import { configMessage } from '../../src/repository/keyring.ts'
import { nameOf } from '../../src/repository/stored-files.ts'
import { Repository } from '../../src/repository/repository.ts'
import type { Secret } from '../../src/repository/slots.ts'
import type { RepositoryAccess } from '../../src/service/access.ts'
import { listKeys } from '../../src/service/keys.ts'
import type { Backend, FileKind } from '../../src/storage/backend.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { backUp, inlineEnvironment } from '../support/backup-harness.ts'
import { FaultyBackend } from '../support/faulty-backend.ts'

const { clock, random, process } = inlineEnvironment()

/** Raw keys cost no derivation. */
function key(number: number): Secret {
  return { kind: 'key', bytes: new Uint8Array(32).fill(number) }
}

async function newDisk(disk = new MemoryBackend()): Promise<MemoryBackend> {
  await createRepository({ backend: disk, clock, random }, { secret: key(1), label: 'ann@laptop' })
  await disk.flush()
  return disk
}

async function open(backend: Backend, secret = key(1), keyHint?: string) {
  const warnings: string[] = []
  const onWarning = (message: string) => warnings.push(message)
  const hint = keyHint === undefined ? {} : { keyHint }
  const parts = { backend, clock, random, process }
  const repository = await Repository.open(parts, { secret, onWarning, ...hint })
  return { repository, warnings }
}

function filesOf(disk: MemoryBackend, kind: FileKind): string[] {
  return [...disk.files.keys()].filter((name) => name.startsWith(`${kind}/`))
}

/** A revision that the admin of `disk` has signed, whatever it says. */
async function revise(
  disk: MemoryBackend,
  change: { readonly slots?: readonly string[]; readonly box?: Partial<ConfigBox> },
): Promise<void> {
  const { keyring, unlocked, box } = (await open(disk)).repository
  const { config } = unlocked
  const slots = (change.slots as typeof config.slots | undefined) ?? config.slots
  const head = { ...config, revision: config.revision + 1, slots }
  const bytes = sealConfig(head, { ...box, ...change.box }, keyring, random)
  disk.files.set(`config/${nameOf(bytes)}`, bytes)
}

/** Puts a file under its right name, as an attacker who writes to the storage can. */
function plantSlot(disk: MemoryBackend, text: string): string {
  const bytes = Buffer.from(text, 'utf8')
  const name = nameOf(bytes)
  disk.files.set(`keys/${name}`, bytes)
  return name
}

function slotText(kdf: object, salt = Buffer.alloc(32, 7)): string {
  const fields = {
    v: 1,
    repo: 'ab'.repeat(16),
    role: 'admin',
    kdf: { ...kdf, salt: salt.toString('base64') },
    created: '2026-01-01T00:00:00Z',
    box: Buffer.alloc(1040).toString('base64'),
    commit: Buffer.alloc(32).toString('base64'),
  }
  return `${JSON.stringify(fields)}\n`
}

describe('M9: a key slot that asks for too much, or too little, is refused unopened', () => {
  const kdfs: readonly (readonly [string, object])[] = [
    ['scrypt with N = 2^30', { n: 'scrypt', N: 2 ** 30, r: 8, p: 1 }],
    ['scrypt with a huge r', { n: 'scrypt', N: 2 ** 14, r: 2 ** 40, p: 1 }],
    ['scrypt with a huge p', { n: 'scrypt', N: 2 ** 14, r: 8, p: 2 ** 31 }],
    ['scrypt with N = 2', { n: 'scrypt', N: 2, r: 8, p: 1 }],
    ['argon2id with 64 GiB', { n: 'argon2id', m: 64 * 2 ** 20, t: 3, p: 4 }],
    ['argon2id with 2^32 passes', { n: 'argon2id', m: 65_536, t: 2 ** 32, p: 4 }],
    ['argon2id with 8 KiB', { n: 'argon2id', m: 8, t: 1, p: 1 }],
    ['an unknown derivation', { n: 'md5' }],
    ['no derivation', {}],
    ['figures that are text', { n: 'scrypt', N: '131072', r: '8', p: '1' }],
  ]
  test.each(kdfs)('%s', async (_, kdf) => {
    const disk = await newDisk()
    const passphrase: Secret = { kind: 'passphrase', bytes: Buffer.from('x') }
    await addSlot((await open(disk)).repository, {
      secret: passphrase,
      role: 'admin',
      label: 'bob',
      scryptCost: { N: 2 ** 14, r: 8, p: 1 },
    })
    // Listed, and the first to be tried.
    const own = filesOf(disk, 'keys').map((name) => name.slice('keys/'.length))
    const name = plantSlot(disk, slotText(kdf))
    await revise(disk, { slots: [...own, name] })
    const { warnings } = await open(disk, passphrase, name)
    expect(warnings.join('\n')).toMatch(new RegExp(`${name.slice(0, 8)}.*(refused|cannot be used)`))
  })

  test('a slot file of 2 MiB is not read as JSON', async () => {
    const disk = await newDisk()
    plantSlot(disk, slotText({ n: 'raw' }).padStart(2 << 20))
    const { warnings } = await open(disk)
    expect(warnings.join('\n')).toMatch(/it has 2097152 bytes/)
  })
})

describe('M10: very many key slots', () => {
  test('that no config lists cost no derivation', async () => {
    const disk = await newDisk()
    // Each would take a second or so.
    for (let i = 0; i < 3000; i++) {
      plantSlot(disk, slotText({ n: 'scrypt', N: 2 ** 20, r: 8, p: 1 }, Buffer.alloc(32, `${i} `)))
    }
    const wrong: Secret = { kind: 'passphrase', bytes: Buffer.from('wrong') }
    await expect(open(disk, wrong)).rejects.toMatchObject({ code: 'CAIRN_WRONG_SECRET' })
    await open(disk)
  })

  test('that the config lists: 64 are tried, the one hinted at first', async () => {
    const disk = await newDisk()
    const [own = ''] = filesOf(disk, 'keys').map((name) => name.slice('keys/'.length))
    const planted: string[] = []
    // Of those that are tried before the good one, by name, there are more than 64.
    for (let i = 0; planted.filter((name) => name < own).length < 70; i++) {
      planted.push(plantSlot(disk, slotText({ n: 'raw' }, Buffer.alloc(32, `${i} `))))
    }
    await revise(disk, { slots: [own, ...planted] })
    await expect(open(disk)).rejects.toMatchObject({ code: 'CAIRN_WRONG_SECRET' })
    await open(disk, key(1), own.slice(0, 8))
  })
})

describe('M11: figures of a config that nothing can be done with', () => {
  let source = ''
  beforeAll(() => {
    source = mkdtempSync(join(tmpdir(), 'cairn-hostile-config-'))
    writeFileSync(join(source, 'file'), Buffer.alloc(3000, 'abc'))
  })
  afterAll(() => rmSync(source, { recursive: true, force: true }))

  const chunkers: readonly (readonly [string, number, number, number])[] = [
    ['a least chunk of nothing', 0, 512, 2048],
    ['a largest chunk of 2^50 bytes', 256, 512, 2 ** 50],
    ['an average below the least', 1024, 512, 2048],
    ['an average above the largest', 256, 4096, 2048],
    ['an average that is no power of two', 256, 600, 2048],
  ]
  const boxes: readonly (readonly [string, Partial<ConfigBox>])[] = [
    ...chunkers.map(([title, minBytes, averageBytes, maxBytes]) => {
      const chunker = { algorithm: 1, minBytes, averageBytes, maxBytes }
      return [title, { chunker }] as const
    }),
    [
      'a way to cut that is not known',
      { chunker: { algorithm: 2, minBytes: 256, averageBytes: 512, maxBytes: 2048 } },
    ],
    ['data packs of 2^50 bytes', { dataPackBytes: 2 ** 50 }],
    ['metadata packs of 2^50 bytes', { metadataPackBytes: 2 ** 50 }],
    ['a cipher that is not known', { aead: 99 }],
    ['a padding that is not known', { padding: 77 }],
    ['blobs of others not to be relied on', { dedupTrust: 1 }],
  ]
  test.each(boxes)('%s: refused, with a reason, and nothing is stored', async (_, box) => {
    const disk = await newDisk()
    await revise(disk, { box })
    const opening = open(disk).then(({ repository }) => repository)
    opening.catch(() => {})
    const failure: unknown = await backUp(disk, source, { opening }).catch(
      (error: unknown) => error,
    )
    expect(isCairnError(failure, 'CAIRN_CORRUPT'), String(failure)).toBe(true)
    expect(filesOf(disk, 'snapshots')).toEqual([])
    expect(filesOf(disk, 'packs')).toEqual([])
  })

  test('a run that may not write leaves no directory of the source open', async () => {
    const disk = await newDisk()
    await revise(disk, { box: { padding: 77 } })
    const descriptors = () => readdirSync('/proc/self/fd').length
    const before = descriptors()
    const opening = open(disk).then(({ repository }) => repository)
    await expect(backUp(disk, source, { opening })).rejects.toThrow('padding 77')
    expect(descriptors()).toBe(before)
  })

  test('packs of one byte are only small', async () => {
    const disk = await newDisk()
    await revise(disk, { box: { dataPackBytes: 1, metadataPackBytes: 1 } })
    await backUp(disk, source, { opening: open(disk).then(({ repository }) => repository) })
    expect(filesOf(disk, 'snapshots')).toHaveLength(1)
  })

  test('a format that is newer than this program is said so, also before it is signed', async () => {
    const disk = new MemoryBackend()
    await newDisk(disk)
    const { config } = (await open(disk)).repository.unlocked
    const line = Buffer.from(encodeConfigLine(config))
      .toString()
      .replace('"format":1', '"format":999')
    const bytes = encodeConfig(Buffer.from(line), config.signatures)
    for (const path of filesOf(disk, 'config')) disk.files.delete(path)
    disk.files.set(`config/${nameOf(bytes)}`, bytes)
    await expect(open(disk)).rejects.toMatchObject({ code: 'CAIRN_FORMAT_TOO_NEW' })
  })

  test('a newer format that an admin has signed counts, although revisions of this one are left', async () => {
    const disk = await newDisk()
    const { repository } = await open(disk)
    const { keyring, unlocked } = repository
    const line = Buffer.from(
      Buffer.from(encodeConfigLine(unlocked.config))
        .toString()
        .replace('"format":1', '"format":2')
        .replace('"rev":1', '"rev":2'),
    )
    const { adminSeed } = keyring.current
    if (adminSeed === undefined) throw new Error('not an admin')
    const signature = signer(adminSeed).sign(configMessage(line))
    const forged = encodeConfig(line, [{ epoch: 1, signature: new Uint8Array(64) }])
    disk.files.set(`config/${nameOf(forged)}`, forged)
    const { warnings } = await open(disk)
    expect(warnings.join()).toMatch(/cannot be used.*newer than this program/)
    const bytes = encodeConfig(line, [{ epoch: 1, signature }])
    disk.files.set(`config/${nameOf(bytes)}`, bytes)
    await expect(open(disk)).rejects.toMatchObject({ code: 'CAIRN_FORMAT_TOO_NEW' })
    const addition = { secret: key(2), role: 'admin', label: 'bob@desk' } as const
    await expect(addSlot(repository, addition)).rejects.toMatchObject({
      code: 'CAIRN_FORMAT_TOO_NEW',
    })
  })

  test('a slot that is newer than this program is left out, and listed all the same', async () => {
    const disk = await newDisk()
    const [slotPath = ''] = filesOf(disk, 'keys')
    const text = Buffer.from(disk.files.get(slotPath) ?? []).toString()
    const newer = plantSlot(disk, text.replace('"v":1', '"v":2'))
    await revise(disk, { slots: [slotPath.slice('keys/'.length), newer] })
    const { repository, warnings } = await open(disk)
    expect(warnings.join()).toContain('a key slot was made by a newer version of cairn')
    const access = { open: async () => await Promise.resolve(repository), signal: undefined }
    const keys = await listKeys(access as unknown as RepositoryAccess)
    expect(keys.map(({ id }) => id)).toContain(newer)
    expect(keys).toHaveLength(2)
  })

  test('names that mean something to JavaScript are only names', async () => {
    const disk = await newDisk()
    for (const kind of ['config', 'keys'] as const) {
      const [path = ''] = filesOf(disk, kind)
      const text = Buffer.from(disk.files.get(path) ?? []).toString()
      const hostile = Buffer.from(`{"__proto__":{"polluted":1},"constructor":{},${text.slice(1)}`)
      disk.files.set(`${kind}/${nameOf(hostile)}`, hostile)
      const deep = Buffer.from(`${'['.repeat(100_000)}${']'.repeat(100_000)}\n`)
      disk.files.set(`${kind}/${nameOf(deep)}`, deep)
    }
    const { warnings } = await open(disk)
    expect(warnings.length).toBeGreaterThanOrEqual(4)
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
  })
})

/** Says that it has stored what it has not, or not all of it. */
class LossyBackend extends MemoryBackend {
  lossy: FileKind | undefined
  share = 0

  override async save(...[file, bytes, options]: Parameters<MemoryBackend['save']>) {
    if (file.kind !== this.lossy) return await super.save(file, bytes, options)
    if (this.share > 0) {
      this.files.set(`${file.kind}/${file.name}`, bytes.slice(0, bytes.length * this.share))
    }
  }
}

describe('A7: a storage that has not stored what it says', () => {
  test.each(['keys', 'config'] as const)(
    'passwd keeps the old secret unless all of %s opens',
    async (kind) => {
      for (const share of [0, 0.5, 0.999]) {
        const disk = new LossyBackend()
        await newDisk(disk)
        const { repository } = await open(disk)
        disk.lossy = kind
        disk.share = share
        const change = replaceSlot(repository, { secret: key(2), label: 'ann' })
        await expect(change).rejects.toSatisfy((error) => isCairnError(error))
        disk.lossy = undefined
        await open(disk, key(1))
      }
    },
  )
})

describe('A9: init where there is a repository that does not show', () => {
  test('the listing of the config fails, or is empty once', async () => {
    const disk = await newDisk()
    const before = new Map(disk.files)
    for (let nth = 0; nth < 12; nth++) {
      const faulty = new FaultyBackend(disk, [{ verb: 'list', nth }])
      await expect(newDisk(faulty as unknown as MemoryBackend)).rejects.toSatisfy((error) =>
        isCairnError(error),
      )
      expect(disk.files).toEqual(before)
    }
    const list = disk.list.bind(disk)
    let isFirst = true
    disk.list = async (kind, options) => {
      if (kind !== 'config' || !isFirst) return await list(kind, options)
      isFirst = false
      return []
    }
    await expect(newDisk(disk)).rejects.toSatisfy((error) => isCairnError(error))
    expect(disk.files).toEqual(before)
    await open(disk)
  })

  test('it has lost its config: no other is made in its place', async () => {
    const disk = await newDisk()
    const source = mkdtempSync(join(tmpdir(), 'cairn-init-again-'))
    await backUp(disk, source, { opening: open(disk).then(({ repository }) => repository) })
    rmSync(source, { recursive: true })
    for (const path of filesOf(disk, 'config')) disk.files.delete(path)
    const before = new Map(disk.files)
    await expect(newDisk(disk)).rejects.toThrow(/damaged repository/)
    expect(disk.files).toEqual(before)
  })
})
