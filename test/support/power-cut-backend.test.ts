import { describe, expect, test } from 'vitest'
import { CairnError } from '../../src/base/errors.ts'
import type { Backend } from '../../src/storage/backend.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { backendContract, bytesFrom, fileOf } from '../contract/backend.ts'
import { isPowerCut, PowerCut, PowerCutBackend, type PowerCutOptions } from './power-cut-backend.ts'

backendContract('PowerCutBackend that is never cut', async () => {
  const inner = new MemoryBackend()
  const wrap = () => new PowerCutBackend(inner, { cutAt: Infinity, mode: 'before' })
  return { backend: wrap(), reopen: wrap }
})

const bytes = [0, 1, 2, 3].map((number) => bytesFrom(number, 50_000 + number))
const files = bytes.map((each) => fileOf('packs', each))

/** create, save 0, save 1, flush, save 2, remove 0, flush, save 3: eight changing calls. */
async function work(backend: Backend): Promise<void> {
  const save = (index: number) =>
    backend.save(files[index] as (typeof files)[number], bytes[index] as Uint8Array)
  await backend.create()
  await save(0)
  await save(1)
  await backend.flush()
  await backend.list('packs')
  await save(2)
  await backend.remove(files[0] as (typeof files)[number])
  await backend.flush()
  await save(3)
}

async function interrupted(options: PowerCutOptions) {
  const disk = new MemoryBackend()
  const backend = new PowerCutBackend(disk, options)
  let failure: unknown
  try {
    await work(backend)
  } catch (error) {
    failure = error
  }
  const present = files.map(({ name }) => disk.files.has(`packs/${name}`))
  return { disk, backend, failure, present: present.map(Number).join('') }
}

describe('PowerCutBackend', () => {
  test('counts the changing calls and cuts at none beyond the last', async () => {
    const { backend, failure, present } = await interrupted({ cutAt: 8, mode: 'before' })
    expect([failure, backend.calls, backend.isCut, present]).toEqual([undefined, 8, false, '0111'])
  })

  test('before: the call at the cut has no effect', async () => {
    const found: string[] = []
    for (let cutAt = 0; cutAt < 8; cutAt++) {
      const { failure, present, backend } = await interrupted({ cutAt, mode: 'before' })
      expect([isPowerCut(failure), backend.calls]).toEqual([true, cutAt + 1])
      found.push(present)
    }
    expect(found).toEqual(['0000', '0000', '1000', '1100', '1100', '1110', '0110', '0110'])
  })

  test('after: the call at the cut has had its effect', async () => {
    const found: string[] = []
    for (let cutAt = 0; cutAt < 8; cutAt++) {
      const { failure, present } = await interrupted({ cutAt, mode: 'after' })
      expect(isPowerCut(failure)).toBe(true)
      found.push(present)
    }
    expect(found).toEqual(['0000', '1000', '1100', '1100', '1110', '0110', '0110', '0111'])
  })

  test('torn: what was flushed survives, the rest is kept or lost, and nothing is partial', async () => {
    const found = Array.from({ length: 8 }, () => new Set<string>())
    for (let cutAt = 0; cutAt < 8; cutAt++) {
      for (let seed = 0; seed < 40; seed++) {
        const { disk, present } = await interrupted({ cutAt, mode: 'torn', seed })
        found[cutAt]?.add(present)
        for (const [index, file] of files.entries()) {
          const left = disk.files.get(`packs/${file.name}`)
          if (left !== undefined) expect(Buffer.compare(left, bytes[index] ?? left)).toBe(0)
        }
        const isSave = [1, 2, 4, 7].includes(cutAt)
        expect(disk.temporary.size).toBe(isSave ? 1 : 0)
      }
    }
    const sorted = found.map((set) => [...set].sort().join(' '))
    expect(sorted).toEqual([
      '0000',
      '0000 1000',
      '0000 0100 1000 1100',
      '0000 0100 1000 1100',
      '1100 1110',
      '0100 0110 1100 1110',
      '0100 0110 1100 1110',
      '0110 0111',
    ])
  })

  test('torn: the same seed tears the same way', async () => {
    for (let seed = 0; seed < 5; seed++) {
      const runs = [0, 1].map(() => interrupted({ cutAt: 7, mode: 'torn', seed }))
      const [first, second] = await Promise.all(runs)
      expect(first?.present).toBe(second?.present)
      expect(first?.disk.temporary).toEqual(second?.disk.temporary)
    }
  })

  test('after the cut every call fails with PowerCut, and only close() works', async () => {
    const { backend } = await interrupted({ cutAt: 1, mode: 'after' })
    const file = files[0] as (typeof files)[number]
    const calls: Promise<unknown>[] = [
      backend.create(),
      backend.save(file, new Uint8Array()),
      backend.flush(),
      backend.remove(file),
      backend.load(file),
      backend.list('packs'),
      backend.sweepTemporary(0),
    ]
    const failures = await Promise.all(calls.map((call) => call.catch((error: unknown) => error)))
    expect(failures.every((failure) => failure instanceof PowerCut)).toBe(true)
    await backend.close()
    expect(backend.calls).toBe(2)
  })

  test('the answer to a call that was under way at the cut is lost', async () => {
    const inner = new MemoryBackend()
    let answer: () => void = () => {}
    inner.list = () => new Promise((resolve) => (answer = () => resolve([])))
    const backend = new PowerCutBackend(inner, { cutAt: 0, mode: 'before' })
    const listing = backend.list('packs')
    await expect(backend.create()).rejects.toBeInstanceOf(PowerCut)
    answer()
    await expect(listing).rejects.toBeInstanceOf(PowerCut)
  })

  test('isPowerCut() finds a cut behind other errors', () => {
    const wrapped = new CairnError('CAIRN_FAILED', 'x', { cause: new PowerCut() })
    expect(isPowerCut(wrapped)).toBe(true)
    expect(isPowerCut(new AggregateError([new Error('y'), wrapped]))).toBe(true)
    expect(isPowerCut(new Error('z'))).toBe(false)
    expect(isPowerCut(undefined)).toBe(false)
  })
})
