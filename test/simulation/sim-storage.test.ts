/** The simulated storage keeps the contract, and does to clients what the real ones may. */

import { describe, expect, test } from 'vitest'
import type { Backend } from '../../src/storage/backend.ts'
import { backendContract, bytesFrom, fileOf, rejectionCode } from '../contract/backend.ts'
import type { FaultRates } from './faults.ts'
import { DAY_MS, HOUR_MS, Kernel } from './kernel.ts'
import { SeededRandom } from './seeded-random.ts'
import { SimPlace, type PlaceTraits } from './sim-place.ts'
import { type Interruption, SimProcess } from './sim-process.ts'
import { SimStorage } from './sim-storage.ts'

interface World {
  readonly kernel: Kernel
  readonly place: SimPlace
  client(name: string, options?: ClientOptions): { storage: SimStorage; process: SimProcess }
}

interface ClientOptions {
  readonly rates?: FaultRates
  readonly interruption?: Interruption
}

function world(traits: Partial<PlaceTraits> = {}): World {
  const kernel = new Kernel({ keepTrace: true, stepsMax: 1_000_000 })
  const place = new SimPlace({
    traits: {
      listingLagMs: 0,
      listMsMax: 60,
      losesUnflushed: false,
      byteCountMax: Number.POSITIVE_INFINITY,
      ...traits,
    },
    now: () => kernel.nowMs,
    seed: 'test',
  })
  return {
    kernel,
    place,
    client: (name, { rates = {}, interruption } = {}) => {
      const process = new SimProcess({
        kernel,
        client: name,
        pid: 1,
        random: SeededRandom.of('test', name),
        interruption,
        onCall: () => {},
        onSleep: () => {},
        onDeath: () => {},
      })
      const onFault = () => {}
      const storage = new SimStorage({ place, kernel, process, rates: () => rates, onFault })
      return { storage, process }
    },
  }
}

/** Lets time pass until each call has settled. */
function pumped(kernel: Kernel, storage: SimStorage): Backend {
  return new Proxy(storage, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return async (...args: unknown[]) => {
        const call = Promise.resolve(Reflect.apply(value, target, args) as unknown)
        let isOver = false
        const end = () => {
          isOver = true
        }
        call.then(end, end)
        await kernel.run(() => isOver)
        return await call
      }
    },
  })
}

describe.each([
  { name: 'SimStorage', traits: {} },
  { name: 'SimStorage on a local disk', traits: { losesUnflushed: true } },
])('$name', ({ name, traits }) => {
  backendContract(name, async () => {
    const { kernel, place, client } = world(traits)
    const open = (of: string) => pumped(kernel, client(of).storage)
    return {
      backend: open('a'),
      reopen: () => open('b'),
      plant: async (path, bytes) => place.plant(path, bytes),
    }
  })
})

const bytes = bytesFrom('a', 100)
const file = fileOf('packs', bytes)

describe('SimStorage', () => {
  test('a lost reply is a failure with an effect, a refused call one without', async () => {
    const { kernel, place, client } = world()
    const losing = pumped(kernel, client('a', { rates: { 'lost-reply': 1 } }).storage)
    expect(await rejectionCode(losing.save(file, bytes))).toBe('CAIRN_STORAGE_DOWN')
    expect(place.bytesOf(file)).toEqual(bytes)
    const refusing = pumped(kernel, client('b', { rates: { refused: 1 } }).storage)
    expect(await rejectionCode(refusing.remove(file))).toBe('CAIRN_STORAGE_DOWN')
    await kernel.pass(DAY_MS)
    expect(place.bytesOf(file)).toEqual(bytes)
  })

  test('a late effect comes after its failure has been told', async () => {
    const { kernel, place, client } = world()
    const late = pumped(kernel, client('a', { rates: { late: 1 } }).storage)
    expect(await rejectionCode(late.save(file, bytes))).toBe('CAIRN_STORAGE_DOWN')
    expect(place.bytesOf(file)).toBeUndefined()
    await kernel.pass(DAY_MS)
    expect(place.bytesOf(file)).toEqual(bytes)
  })

  test.each(['crash-before', 'crash-after'] as const)(
    'nobody hears from a client again after its %s',
    async (kind) => {
      const { kernel, place, client } = world()
      const { storage, process } = client('a', { interruption: { atCall: 1, kind, forMs: 0 } })
      await pumped(kernel, storage).list('packs')
      let hasSettled = false
      const end = () => {
        hasSettled = true
      }
      storage.save(file, bytes).then(end, end)
      await kernel.pass(DAY_MS)
      expect(process.isDead).toBe(true)
      expect(hasSettled).toBe(false)
      if (kind === 'crash-after') expect(place.bytesOf(file)).toEqual(bytes)
    },
  )

  test('a client that sleeps hears of its call when it wakes', async () => {
    const { kernel, client } = world()
    const forMs = 5 * HOUR_MS
    const { storage } = client('a', { interruption: { atCall: 0, kind: 'pause', forMs } })
    await pumped(kernel, storage).save(file, bytes)
    expect(kernel.nowMs).toBeGreaterThanOrEqual(forMs)
  })

  test('a lagging listing shows files late and removed files long, but not to their own client', async () => {
    const { kernel, client } = world({ listingLagMs: HOUR_MS })
    const [own, other] = [client('a'), client('b')].map(({ storage }) => pumped(kernel, storage))
    if (own === undefined || other === undefined) throw new Error('there are two')
    const files = Array.from({ length: 40 }, (_, at) => bytesFrom(`lag ${at}`, 10))
    for (const each of files) await own.save(fileOf('packs', each), each)
    expect(await own.list('packs')).toHaveLength(40)
    const early = (await other.list('packs')).length
    expect(early).toBeGreaterThan(0)
    expect(early).toBeLessThan(40)
    await kernel.pass(2 * HOUR_MS)
    expect(await other.list('packs')).toHaveLength(40)
    for (const each of files) await own.remove(fileOf('packs', each))
    expect((await other.list('packs')).length).toBeGreaterThan(0)
    await kernel.pass(2 * HOUR_MS)
    expect(await other.list('packs')).toEqual([])
  })

  test('a power cut takes back what its own client has not flushed, and nothing else', async () => {
    const { kernel, place, client } = world({ losesUnflushed: true })
    const [a, b] = [client('a'), client('b')].map(({ storage }) => pumped(kernel, storage))
    if (a === undefined || b === undefined) throw new Error('there are two')
    const lost = Array.from({ length: 20 }, (_, at) => bytesFrom(`lost ${at}`, 10))
    for (const each of lost) await a.save(fileOf('index', each), each)
    await b.save(file, bytes)
    await b.flush()
    place.powerCut(SeededRandom.of('cut'))
    expect(place.bytesOf(file)).toEqual(bytes)
    const left = (await a.list('index')).length
    expect(left).toBeGreaterThan(0)
    expect(left).toBeLessThan(20)
  })

  test('a full disk refuses everything but what frees space', async () => {
    const { kernel, place, client } = world()
    const backend = pumped(kernel, client('a').storage)
    place.limit(50)
    expect(await rejectionCode(backend.save(file, bytes))).toBe('CAIRN_STORAGE_REFUSED')
    await backend.save(fileOf('marks', bytes), bytes)
    expect(await backend.list('marks')).toHaveLength(1)
  })
})
