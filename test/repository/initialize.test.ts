import { expect, test } from 'vitest'
import { toHex } from '../../src/base/bytes.ts'
import type { ChunkerSettings } from '../../src/format/config.ts'
import { createRepository } from '../../src/repository/initialize.ts'
import { unlockRepository } from '../../src/repository/open-repository.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { inlineEnvironment } from '../support/backup-harness.ts'

const SOUND: ChunkerSettings = { algorithm: 1, minBytes: 256, averageBytes: 512, maxBytes: 2048 }

test.each<readonly [string, Partial<ChunkerSettings>]>([
  ['an average that is no power of two', { averageBytes: 600 }],
  ['an average below the least', { minBytes: 1024 }],
  ['a most that is the average', { maxBytes: 512 }],
  ['a least of nothing', { minBytes: 0 }],
  ['a most beyond what a blob may have', { maxBytes: 128 << 20 }],
  ['a fraction', { minBytes: 256.5 }],
])('no repository is created with %s', async (_, wrong) => {
  const { clock, random } = inlineEnvironment()
  const backend = new MemoryBackend()
  await expect(
    createRepository(
      { backend, clock, random },
      {
        secret: { kind: 'key', bytes: new Uint8Array(32) },
        label: 'test',
        chunker: { ...SOUND, ...wrong },
      },
    ),
  ).rejects.toMatchObject({ code: 'CAIRN_USAGE' })
  expect(backend.files.size).toBe(0)
})

test.each([
  [true, 1],
  [false, 2],
])(
  'a key that an attempt left which died before its config goes where listings are whole: %s',
  async (listsConsistently, slotCount) => {
    const { clock, random } = inlineEnvironment()
    const backend = new MemoryBackend({ listsConsistently })
    const create = () =>
      createRepository(
        { backend, clock, random },
        { secret: { kind: 'key', bytes: new Uint8Array(32) }, label: 'test' },
      )
    await create()
    for (const path of backend.files.keys()) {
      if (path.startsWith('config/')) backend.files.delete(path)
    }
    await create()
    const slots = [...backend.files.keys()].filter((path) => path.startsWith('keys/'))
    expect(slots).toHaveLength(slotCount)
  },
)

test('a config that an attempt sent and that lands late takes over nothing', async () => {
  const { clock, random } = inlineEnvironment()
  const secret = { kind: 'key' as const, bytes: new Uint8Array(32) }
  const createdAt = async (second: bigint) => {
    const backend = new MemoryBackend({ listsConsistently: false })
    const at = { ...clock, wallNs: () => second * 1_000_000_000n }
    const id = await createRepository({ backend, clock: at, random }, { secret, label: 'test' })
    return { backend, id }
  }
  // Names are by chance: one of them would be right by luck.
  for (let at = 0; at < 8; at++) {
    const dead = await createdAt(1_800_000_000n)
    const { backend, id } = await createdAt(1_800_000_060n)
    for (const [path, file] of dead.backend.files) backend.files.set(path, file)
    const { config } = await unlockRepository(backend, { secret })
    expect(toHex(config.repositoryId)).toBe(toHex(id))
  }
})
