import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { idBytes } from '../../src/base/ids.ts'
import { ID_BYTES } from '../../src/base/ids.ts'
import { SEGMENT_HEADER_BYTES } from '../../src/format/constants.ts'
import type { IndexedPack } from '../../src/format/index-file.ts'
import { createPackBody, type PackJob, type PackResult } from '../../src/pipeline/pack-body.ts'
import type { WorkBody } from '../../src/pipeline/work-pool.ts'
import type { Repository } from '../../src/repository/repository.ts'
import { noise, testEnvironment } from '../engine/check/check-support.ts'
import { buildRepository } from '../support/repository-builder.ts'

let repository: Repository
let body: WorkBody<PackJob, PackResult>
let packs: { indexed: IndexedPack; bytes: Uint8Array }[]
const directory = mkdtempSync(join(tmpdir(), 'cairn-pack-body-'))

beforeAll(async () => {
  const built = await buildRepository({
    files: { 'big.bin': noise(2_500_000, 1), a: noise(999, 2), b: Buffer.from('b'.repeat(5000)) },
    chunkBytes: 1 << 20,
  })
  repository = built.repository
  packs = []
  for (const { name } of await built.backend.list('index')) {
    for (const indexed of (await repository.loadIndexFile(name))?.packs ?? []) {
      const bytes = await built.backend.load({ kind: 'packs', name: indexed.name })
      packs.push({ indexed, bytes: bytes ?? new Uint8Array() })
    }
  }
  const { clock, random, process, source } = testEnvironment()
  const environment = { clock, random, pid: process.pid, source }
  body = await createPackBody({}, { environment, post: () => {} })
})

afterAll(() => rmSync(directory, { recursive: true }))

function jobOf(indexed: IndexedPack, source: PackJob['source'], kind: PackJob['kind']): PackJob {
  const { data, metadata } = repository.keyring.ids
  const job = { kind, source, name: idBytes(indexed.name), byteCount: indexed.byteCount }
  if (kind === 'hash') return job
  const claim = {
    key: repository.packKey(indexed.preamble),
    idKeys: { data, metadata },
    preamble: indexed.preamble,
    directory: indexed.directory.bytes,
  }
  return { ...job, claim }
}

function changed(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}

describe('the body for packs', () => {
  test.each(['hash', 'decode', 'hash+decode'] as const)(
    'finds nothing in sound ones: %s',
    (kind) => {
      for (const { indexed, bytes } of packs) {
        const path = join(directory, indexed.name)
        writeFileSync(path, bytes)
        for (const source of [{ path }, { bytes }]) {
          const result = body.run(jobOf(indexed, source, kind))
          expect(result.unreadable).toBeUndefined()
          expect(result.problems).toEqual([])
          expect(result.damagedIds).toHaveLength(0)
          expect(result.blobCount).toBe(kind === 'hash' ? 0 : indexed.directory.blobCount)
        }
      }
    },
  )

  test('names each blob of a damaged segment and goes on after it', () => {
    for (const { indexed, bytes } of packs) {
      let first = 0
      for (let s = 0; s < indexed.directory.segmentCount; s++) {
        const segment = indexed.directory.segment(s)
        const stored = changed(bytes, segment.offset + SEGMENT_HEADER_BYTES + 1)
        const result = body.run(jobOf(indexed, { bytes: stored }, 'decode'))
        expect(result.problems).toHaveLength(1)
        const expected = Array.from({ length: segment.blobCount }, (_, i) =>
          Buffer.from(indexed.directory.id(first + i)).toString('hex'),
        )
        const found = Array.from({ length: result.damagedIds.length / ID_BYTES }, (_, i) =>
          Buffer.from(result.damagedIds.subarray(i * ID_BYTES, (i + 1) * ID_BYTES)).toString('hex'),
        )
        expect(found).toEqual(expected)
        first += segment.blobCount
      }
    }
  })

  test('tells an index that claims another id from a damaged pack', () => {
    const [{ indexed, bytes } = { indexed: undefined, bytes: undefined }] = packs
    if (indexed === undefined || bytes === undefined) throw new Error('there is no pack')
    const job = jobOf(indexed, { bytes }, 'hash+decode')
    const idAt = 8 + indexed.directory.segmentCount * 20
    const lie = changed(indexed.directory.bytes, idAt)
    if (job.claim === undefined) throw new Error('a claim was made')
    const result = body.run({ ...job, claim: { ...job.claim, directory: lie } })
    expect(result.differsFromIndex).toBe(true)
    expect(result.damagedIds).toHaveLength(ID_BYTES)
    expect(Buffer.from(result.damagedIds)).toEqual(Buffer.from(lie.subarray(idAt, idAt + 32)))
  })

  test('reads a pack by its footer where no index is', () => {
    for (const { indexed, bytes } of packs) {
      const job = jobOf(indexed, { bytes }, 'decode')
      if (job.claim === undefined) throw new Error('a claim was made')
      const result = body.run({ ...job, claim: { ...job.claim, directory: undefined } })
      expect(result.problems).toEqual([])
      expect(result.blobCount).toBe(indexed.directory.blobCount)
    }
  })

  test('says why a file cannot be read, and nothing else', () => {
    const [{ indexed } = { indexed: undefined }] = packs
    if (indexed === undefined) throw new Error('there is no pack')
    const result = body.run(jobOf(indexed, { path: join(directory, 'absent') }, 'hash'))
    expect(result.unreadable).toMatch(/ENOENT/)
    expect(result.problems).toEqual([])
  })
})
