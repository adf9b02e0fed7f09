import { describe, expect, test } from 'vitest'
import { CairnError } from '../../src/base/errors.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { backendContract, bytesFrom, fileOf, rejectionCode } from '../contract/backend.ts'
import { type Fault, FaultyBackend } from './faulty-backend.ts'

backendContract('FaultyBackend without faults', async () => {
  const inner = new MemoryBackend()
  return { backend: new FaultyBackend(inner), reopen: () => new FaultyBackend(inner) }
})

const bytes = bytesFrom('faulty', 100)
const pack = fileOf('packs', bytes)
const index = fileOf('index', bytes)

function faulty(...faults: Fault[]) {
  const inner = new MemoryBackend()
  return { inner, backend: new FaultyBackend(inner, faults) }
}

describe('FaultyBackend', () => {
  test('fails the n-th call of a verb once, with CAIRN_STORAGE_DOWN', async () => {
    const { backend, inner } = faulty({ verb: 'save', nth: 1 })
    const codes: string[] = []
    for (let call = 0; call < 3; call++) codes.push(await rejectionCode(backend.save(pack, bytes)))
    expect(codes).toEqual(['no rejection', 'CAIRN_STORAGE_DOWN', 'no rejection'])
    expect(backend.log).toEqual([{ verb: 'save', ...pack, what: 'failed' }])
    expect(inner.files.size).toBe(1)
  })

  test('fails for ever, with the given error, for one kind only', async () => {
    const error = new CairnError('CAIRN_STORAGE_REFUSED', 'full')
    const { backend, inner } = faulty({ verb: 'save', kind: 'packs', times: Infinity, error })
    for (let call = 0; call < 3; call++) {
      await expect(backend.save(pack, bytes)).rejects.toBe(error)
    }
    await backend.save(index, bytes)
    expect([...inner.files.keys()]).toEqual([`index/${index.name}`])
    backend.heal()
    await backend.save(pack, bytes)
    expect([inner.files.size, backend.log.length]).toEqual([2, 3])
  })

  test('can let the call have its effect and lose the answer', async () => {
    const { backend, inner } = faulty({ verb: 'save', effect: 'after' })
    expect(await rejectionCode(backend.save(pack, bytes))).toBe('CAIRN_STORAGE_DOWN')
    expect(inner.files.size).toBe(1)
    await backend.save(pack, bytes)
  })

  test('delays a call until it is released, and does not fail it', async () => {
    let release: () => void = () => {}
    const held = new Promise<void>((resolve) => (release = resolve))
    const { backend, inner } = faulty({ verb: 'save', delay: () => held })
    const saving = backend.save(pack, bytes)
    expect(await backend.list('packs')).toEqual([])
    release()
    await saving
    expect(inner.files.size).toBe(1)
    expect(backend.log).toEqual([{ verb: 'save', ...pack, what: 'delayed' }])
  })

  test('strikes every verb', async () => {
    const verbs = ['create', 'flush', 'load', 'list', 'remove', 'sweepTemporary'] as const
    const { backend } = faulty(...verbs.map((verb) => ({ verb })))
    const call = () => [
      backend.create(),
      backend.flush(),
      backend.load(pack),
      backend.list('packs'),
      backend.remove(pack),
      backend.sweepTemporary(0),
    ]
    const struck = await Promise.all(call().map(rejectionCode))
    expect(new Set(struck)).toEqual(new Set(['CAIRN_STORAGE_DOWN']))
    const passed = await Promise.all(call().map(rejectionCode))
    expect(new Set(passed)).toEqual(new Set(['no rejection']))
    expect(backend.log.map(({ verb }) => verb)).toEqual([...verbs])
  })
})
