import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Clock } from '../../../src/base/seams.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import {
  type BackendUnderTest,
  backendContract,
  bytesFrom,
  fileOf,
} from '../../contract/backend.ts'

function clockAt(nowMs: number): Clock {
  return {
    wallNs: () => BigInt(nowMs) * 1_000_000n,
    monotonicMs: () => nowMs,
    sleep: async () => {},
    every: () => () => {},
  }
}

async function memoryPlace(): Promise<BackendUnderTest> {
  const nowMs = 1_700_000_000_000
  const backend = new MemoryBackend({ clock: clockAt(nowMs) })
  return {
    backend,
    reopen: () => backend,
    plant: async (path, bytes) => {
      backend.files.set(path, bytes)
    },
    leaveTemporary: async (ageMs) => {
      const mtimeMs = nowMs - ageMs
      backend.temporary.set(`left-${ageMs}`, { bytes: new Uint8Array(3), mtimeMs })
    },
  }
}

backendContract('MemoryBackend', memoryPlace)

const a = bytesFrom('a', 100)
const b = bytesFrom('b', 200)
const fileA = fileOf('packs', a)
const fileB = fileOf('index', b)

describe('MemoryBackend', () => {
  test('powerCut() loses what no flush has made durable, and nothing else', async () => {
    const backend = new MemoryBackend()
    await backend.save(fileA, a)
    await backend.flush()
    await backend.save(fileB, b)
    await backend.remove(fileA)
    expect(backend.pending.map(({ verb }) => verb)).toEqual(['save', 'remove'])
    backend.powerCut()
    expect(await backend.load(fileA)).toEqual(a)
    expect(await backend.load(fileB)).toBeUndefined()
    expect(backend.pending).toEqual([])
  })

  test('powerCut() keeps the changes it is told to', async () => {
    const backend = new MemoryBackend()
    await backend.save(fileA, a)
    await backend.save(fileB, b)
    backend.powerCut(({ path }) => path.startsWith('index/'))
    expect([...backend.files.keys()]).toEqual([`index/${fileB.name}`])
  })

  test('powerCut() leaves each file in one of the states it has had since the flush', async () => {
    const step = fc.record({ which: fc.nat(2), verb: fc.constantFrom('save', 'remove', 'flush') })
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 30 }),
        fc.infiniteStream(fc.boolean()),
        async (steps, keeps) => {
          const backend = new MemoryBackend()
          const states = new Map<string, Set<boolean>>()
          const pool = [0, 1, 2].map((number) => bytesFrom(number, 10 + number))
          const note = () => {
            for (const bytes of pool) {
              const key = `packs/${fileOf('packs', bytes).name}`
              const seen = states.get(key) ?? new Set<boolean>()
              states.set(key, seen.add(backend.files.has(key)))
            }
          }
          note()
          for (const { which, verb } of steps) {
            const bytes = pool[which] as Uint8Array
            if (verb === 'save') await backend.save(fileOf('packs', bytes), bytes)
            else if (verb === 'remove') await backend.remove(fileOf('packs', bytes))
            else {
              await backend.flush()
              states.clear()
            }
            note()
          }
          backend.powerCut(() => keeps.next().value === true)
          for (const bytes of pool) {
            const file = fileOf('packs', bytes)
            const found = await backend.load(file)
            expect(states.get(`packs/${file.name}`)?.has(found !== undefined)).toBe(true)
            if (found !== undefined) expect(found).toEqual(bytes)
          }
        },
      ),
      { numRuns: 100 },
    )
  })

  test('files can be damaged by a test, and have an mtime only with a clock', async () => {
    const backend = new MemoryBackend({ listsConsistently: false, location: 'here' })
    await backend.save(fileA, a)
    backend.files.set(`packs/${fileA.name}`, a.slice(0, 50))
    expect(await backend.list('packs')).toEqual([{ name: fileA.name, byteCount: 50 }])
    expect([backend.listsConsistently, backend.location]).toEqual([false, 'here'])
    const timed = new MemoryBackend({ clock: clockAt(5000) })
    await timed.save(fileA, a)
    expect(await timed.list('packs')).toEqual([{ name: fileA.name, byteCount: 100, mtimeMs: 5000 }])
  })
})
