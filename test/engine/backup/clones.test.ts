import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Environment } from '../../../src/engine/environment.ts'
import { PREAMBLE_BYTES } from '../../../src/format/constants.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { backUp, create, inlineEnvironment, open } from '../../support/backup-harness.ts'
import { withSteadyParents } from '../../support/source-faults.ts'
import { copyOf, plant } from '../prune/prune-harness.ts'

let root = ''
let base: MemoryBackend

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'cairn-clones-'))
  plant(join(root, 'one'), [1, 2, 3])
  plant(join(root, 'two'), [4, 5, 6])
  // Begins as the first does, and goes on differently.
  plant(join(root, 'three'), [1, 2, 3])
  plant(join(root, 'three', 'z'), [7])
  base = new MemoryBackend()
  await create(base)
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** A machine that was cloned while it ran: its clock, its process and its random numbers repeat. */
function clone(): Environment {
  const environment = inlineEnvironment()
  let drawn = 0
  const random = {
    ...environment.random,
    bytes: (count: number) => new Uint8Array(count).fill(++drawn & 0xff),
  }
  const { clock } = environment
  const frozen = Object.assign(Object.create(clock) as typeof clock, {
    wallNs: () => 1_800_000_000_000_000_000n,
    monotonicMs: () => 1000,
    every: () => () => {},
  })
  const process = { ...environment.process, pid: 4242, bootId: 'boot', isAlive: () => false }
  return withSteadyParents({ ...environment, clock: frozen, random, process }, root)
}

test('M15: two clones of a running machine never seal different contents with one key', async () => {
  const sealed = new Map<string, Buffer>()
  let repeated = 0
  for (const name of ['one', 'two', 'three', 'one']) {
    const disk = copyOf(base)
    const environment = clone()
    await backUp(disk, join(root, name), { environment, opening: open(disk, environment) })
    for (const [path, bytes] of disk.files) {
      if (base.files.has(path) || !/^(packs|index|snapshots)\//.test(path)) continue
      // The key of a file is made of these bytes, and everything in it is sealed at its position.
      const head = Buffer.from(bytes.subarray(0, PREAMBLE_BYTES)).toString('hex')
      const known = sealed.get(head)
      if (known !== undefined) repeated++
      if (known !== undefined) expect(Buffer.from(bytes).equals(known), path).toBe(true)
      sealed.set(head, Buffer.from(bytes))
    }
  }
  expect(sealed.size).toBeGreaterThan(5)
  // The same clone with the same contents repeats everything: the clones are as alike as they can be.
  expect(repeated).toBeGreaterThan(0)
})
