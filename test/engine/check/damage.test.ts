/** Every kind of stored file, damaged in every simple way: check names it. */

import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { CairnError } from '../../../src/base/errors.ts'
import type { CheckReport } from '../../../src/engine/check/check-options.ts'
import { encodeEnvelope } from '../../../src/format/snapshot.ts'
import { nameOf } from '../../../src/repository/stored-files.ts'
import { FILE_KINDS } from '../../../src/storage/backend.ts'
import type { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import {
  build,
  buildFull,
  check,
  checkUnlocked,
  copyOf,
  errorsOf,
  filesOf,
  type Fixture,
  noise,
  packsOfKind,
  textOf,
} from './check-support.ts'

let fixture: Fixture
let other: Fixture
let dataPacks: string[]
let metadataPacks: string[]

beforeAll(async () => {
  fixture = await buildFull()
  other = await build({ 'other.bin': noise(9000, 40) })
  dataPacks = await packsOfKind(fixture.repository, 0)
  metadataPacks = await packsOfKind(fixture.repository, 1)
})

type Damage = (bytes: Uint8Array) => Uint8Array

function flip(share: number): Damage {
  return (bytes) => {
    const damaged = Uint8Array.from(bytes)
    const at = Math.round(share * (bytes.length - 1))
    damaged[at] = (damaged[at] ?? 0) ^ 1
    return damaged
  }
}

const DAMAGES: Readonly<Record<string, Damage>> = {
  'the first bit flipped': flip(0),
  'a bit in the middle flipped': flip(0.5),
  'the last bit flipped': flip(1),
  'nothing left': () => new Uint8Array(),
  'one byte left': (bytes) => bytes.slice(0, 1),
  'half of it left': (bytes) => bytes.slice(0, bytes.length >> 1),
  'the last byte cut off': (bytes) => bytes.slice(0, -1),
  'a byte too many': (bytes) => Buffer.concat([bytes, Buffer.alloc(1)]),
  'zeros of its length': (bytes) => new Uint8Array(bytes.length),
}

/** One path of each kind of file; both kinds of packs. */
function victims(): Record<string, string> {
  const paths = FILE_KINDS.filter((kind) => kind !== 'packs').map(
    (kind) => [kind, filesOf(fixture.backend, kind)[0] ?? ''] as const,
  )
  return {
    ...Object.fromEntries(paths),
    'data pack': dataPacks[0] ?? '',
    'metadata pack': metadataPacks[0] ?? '',
  }
}

function damagedCopy(path: string, damage: Damage): MemoryBackend {
  const copy = copyOf(fixture.backend)
  copy.files.set(path, damage(copy.files.get(path) ?? new Uint8Array()))
  return copy
}

/** Names of the objects that errors are about. */
function blamed(report: CheckReport): string[] {
  return errorsOf(report).map(({ object }) => `${object.kind}/${object.name}`)
}

function pathsOf(report: CheckReport): string[] {
  return report.findings.flatMap(({ paths = [] }) => paths)
}

const KINDS = [...FILE_KINDS.filter((kind) => kind !== 'packs'), 'data pack', 'metadata pack']

describe.each(KINDS)('checkRepository() with a damaged file: %s', (kind) => {
  test.each(Object.keys(DAMAGES))('names it, with %s (B1, B2, B9)', async (how) => {
    const path = victims()[kind] ?? ''
    const report = await checkUnlocked(
      fixture.repository,
      damagedCopy(path, DAMAGES[how] ?? ((bytes) => bytes)),
    )
    expect(blamed(report)).toContain(path)
    if (kind.endsWith('pack')) {
      expect(report.summary.broken_packs).toEqual([path.slice('packs/'.length)])
    }
    if (path === dataPacks[0] && how === 'zeros of its length') {
      expect(pathsOf(report)).not.toEqual([])
    }
    expect(textOf(report)).not.toMatch(/\n\s+at |undefined|\[object/)
  })

  test('names both of two that were swapped (B4)', async () => {
    const folder = kind.endsWith('pack') ? 'packs' : kind
    const paths = kind === 'data pack' ? dataPacks : filesOf(fixture.backend, folder as 'packs')
    const [a, b] = paths
    if (a === undefined || b === undefined) return // There is only one of this kind.
    const copy = copyOf(fixture.backend)
    const { files } = fixture.backend
    copy.files.set(a, files.get(b) ?? new Uint8Array())
    copy.files.set(b, files.get(a) ?? new Uint8Array())
    const report = await checkUnlocked(fixture.repository, copy)
    expect(blamed(report)).toEqual(expect.arrayContaining([a, b]))
  })

  test.each(FILE_KINDS)('names it in the folder %s (B5)', async (folder) => {
    const path = victims()[kind] ?? ''
    const [own, name = ''] = path.split('/')
    if (own === folder) return
    const copy = copyOf(fixture.backend)
    copy.files.set(`${folder}/${name}`, copy.files.get(path) ?? new Uint8Array())
    const report = await checkUnlocked(fixture.repository, copy)
    expect(blamed(report)).toContain(`${folder}/${name}`)
    expect(pathsOf(report)).toEqual([])
  })

  test('names one that came from another repository with the same password (B6)', async () => {
    const folder = (victims()[kind] ?? '').split('/')[0] ?? ''
    const [path] = filesOf(other.backend, folder as 'packs')
    if (path === undefined) return
    const copy = copyOf(fixture.backend)
    copy.files.set(path, other.backend.files.get(path) ?? new Uint8Array())
    const report = await checkUnlocked(fixture.repository, copy)
    expect(blamed(report)).toEqual([path])
    expect(errorsOf(report)[0]?.message).toMatch(/another repository/)
  })
})

describe('checkRepository() with a file that is gone (B3)', () => {
  async function checkWithout(...paths: string[]): Promise<CheckReport> {
    const copy = copyOf(fixture.backend)
    for (const path of paths) copy.files.delete(path)
    return await checkUnlocked(fixture.repository, copy)
  }

  test('names a data pack and the paths that need it, without reading data too', async () => {
    const copy = copyOf(fixture.backend)
    for (const path of dataPacks) copy.files.delete(path)
    const report = await checkUnlocked(fixture.repository, copy, { readData: undefined })
    expect(blamed(report)).toEqual(expect.arrayContaining(dataPacks))
    expect(new Set(pathsOf(report))).toEqual(
      new Set(['/big.bin', '/docs/a.txt', '/docs/b.bin', '/docs/deep/c.bin']),
    )
    expect(report.summary.suggest_repair_index).toBe(true)
  })

  test('names a metadata pack and the snapshots that need it', async () => {
    const report = await checkWithout(...metadataPacks)
    expect(blamed(report)).toEqual(expect.arrayContaining(metadataPacks))
    expect(pathsOf(report)).toEqual(['/', '/'])
    expect(errorsOf(report).filter(({ object }) => object.kind === 'snapshots')).toHaveLength(2)
  })

  test('misses an index file by what only it named', async () => {
    const report = await checkWithout(...filesOf(fixture.backend, 'index'))
    expect(report.summary.suggest_repair_index).toBe(true)
    expect(report.summary.suggest_prune).toBe(false) // There is a living session.
    expect(pathsOf(report)).toEqual(['/', '/'])
  })

  test('misses the config in force, and a key that the config lists', async () => {
    const paths = [...filesOf(fixture.backend, 'config'), ...filesOf(fixture.backend, 'keys')]
    expect(blamed(await checkWithout(...paths))).toEqual(paths)
  })

  test('misses a snapshot that a later one names', async () => {
    const [first] = fixture.snapshots
    const report = await checkWithout(`snapshots/${first?.name}`)
    expect(blamed(report)).toEqual([`snapshots/${first?.id}`])
    expect(textOf(report)).toMatch(/snapshot [0-9a-f]{8} is missing \(named by [0-9a-f]{8}\)/)
  })

  test('misses a tombstone by the snapshot that it forgot', async () => {
    const report = await checkWithout(...filesOf(fixture.backend, 'retired'))
    expect(textOf(report)).toContain('is missing (named by')
  })

  test('needs neither marks nor sessions', async () => {
    const paths = [...filesOf(fixture.backend, 'marks'), ...filesOf(fixture.backend, 'sessions')]
    expect(textOf(await checkWithout(...paths))).toBe('')
  })
})

describe('checkRepository() of a repository that cannot be opened', () => {
  test.each(['config', 'keys'] as const)('fails by name without its %s (B1, B3)', async (kind) => {
    for (const damage of [flip(0), flip(0.5), () => new Uint8Array(), undefined]) {
      const copy = copyOf(fixture.backend)
      for (const path of filesOf(copy, kind)) {
        const bytes = copy.files.get(path) ?? new Uint8Array()
        if (damage === undefined) copy.files.delete(path)
        else copy.files.set(path, damage(bytes))
      }
      await expect(check(copy)).rejects.toBeInstanceOf(CairnError)
    }
  })
})

test('checkRepository() names a config that was changed and named anew (B1)', async () => {
  const copy = copyOf(fixture.backend)
  const [path = ''] = filesOf(copy, 'config')
  const text = Buffer.from(copy.files.get(path) ?? []).toString('utf8')
  const forged = Buffer.from(text.replace('"rev":1', '"rev":9'), 'utf8')
  copy.files.set(`config/${nameOf(forged)}`, forged)
  const report = await checkUnlocked(fixture.repository, copy)
  expect(blamed(report)).toEqual([`config/${nameOf(forged)}`])
  expect(textOf(report)).toContain('its signature is not valid')
})

test('checkRepository() blames no path on a damaged pack that no index file names', async () => {
  const copy = copyOf(fixture.backend)
  const bytes = Uint8Array.from(copy.files.get(dataPacks[0] ?? '') ?? [])
  bytes.fill(0, 200, 300)
  copy.files.set(`packs/${'cd'.repeat(32)}`, bytes)
  const report = await checkUnlocked(fixture.repository, copy)
  expect(report.summary.broken_packs).toEqual(['cd'.repeat(32)])
  expect(pathsOf(report)).toEqual([])
})

test('checkRepository() reports any single flipped bit of any file (B1)', async () => {
  const paths = [...fixture.backend.files.keys()].sort()
  await fc.assert(
    fc.asyncProperty(
      fc.nat(paths.length - 1),
      fc.nat(1 << 20),
      fc.nat(7),
      async (file, position, bit) => {
        const path = paths[file] ?? ''
        const copy = copyOf(fixture.backend)
        const bytes = copy.files.get(path) ?? new Uint8Array()
        const at = position % bytes.length
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit)
        expect(blamed(await checkUnlocked(fixture.repository, copy))).toContain(path)
      },
    ),
    { numRuns: 300 },
  )
})

test('checkRepository() notes what is not a file of cairn, and a pack under a second name (B8)', async () => {
  const { backend, repository } = await build()
  const [pack = ''] = filesOf(backend, 'packs')
  backend.files.set('packs/.DS_Store', new Uint8Array(3))
  const copyName = 'ab'.repeat(32)
  backend.files.set(`packs/${copyName}`, backend.files.get(pack) ?? new Uint8Array())
  const structure = await checkUnlocked(repository, backend, { readData: undefined })
  expect(structure.summary.num_errors).toBe(0)
  expect(structure.summary.suggest_prune).toBe(true)
  expect(textOf(structure)).toContain('named by no index file')
  const report = await checkUnlocked(repository, backend)
  expect(blamed(report)).toEqual([`packs/${copyName}`])
  expect(textOf(report)).toContain('its bytes do not have its name')
  expect(backend.files.has('packs/.DS_Store')).toBe(true)
})

test('what a newer version of cairn may have written is not called damage, nor is its removal advised', async () => {
  const { backend, repository, snapshots } = await build()
  const [snapshot] = snapshots
  const [slotPath = ''] = filesOf(backend, 'keys')
  if (snapshot === undefined) throw new Error('there is no snapshot')
  const criticalKey = Buffer.from([0x20, 0x00])
  const body = Buffer.concat([encodeEnvelope(snapshot.envelope), criticalKey])
  body[0] = (body[0] ?? 0) + 1 // A map with one pair more.
  await repository.saveObject('snapshots', body)
  const slot = Buffer.from(backend.files.get(slotPath) ?? []).toString()
  const newerSlot = Buffer.from(slot.replace('"v":1', '"v":2'))
  backend.files.set(`keys/${nameOf(newerSlot)}`, newerSlot)
  const text = textOf(await checkUnlocked(repository, backend))
  expect(text).toMatch(/snapshots\/\w{8} cannot be used: .*newer version of cairn; update cairn/)
  expect(text).toMatch(/keys\/\w{8} cannot be used: .*newer version of cairn; update cairn/)
  expect(text).not.toMatch(/is damaged|remove the file/)
})
