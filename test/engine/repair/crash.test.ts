import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { repairIndex } from '../../../src/engine/repair/repair-index.ts'
import type { Backend } from '../../../src/storage/backend.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { create } from '../../support/backup-harness.ts'
import { isPowerCut, PowerCutBackend } from '../../support/power-cut-backend.ts'
import {
  copyOf,
  indexProblems,
  names,
  newProcess,
  openAgain,
  plant,
  requireRestorable,
  take,
  type Taken,
} from '../prune/prune-harness.ts'

let root = ''
let sound: MemoryBackend
let taken: Taken[]

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'cairn-repair-crash-'))
  plant(join(root, 'one'), [1, 2, 3, 4, 5])
  plant(join(root, 'two'), [2, 4, 6])
  sound = new MemoryBackend()
  await create(sound)
  taken = [await take(sound, join(root, 'one')), await take(sound, join(root, 'two'))]
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

async function repair(backend: Backend): Promise<void> {
  const environment = newProcess()
  const repository = await openAgain(backend, environment)
  const context = { environment, repository, dryRun: false, onNotice: () => {}, operation: {} }
  await repairIndex({ ...context, readAllPacks: true })
}

/** One index file is damaged, and one lacks. */
function damaged(): MemoryBackend {
  const disk = copyOf(sound)
  const [first = '', second = ''] = names(disk, 'index')
  disk.files.set(`index/${first}`, Buffer.alloc(400))
  disk.files.delete(`index/${second}`)
  return disk
}

describe.each(['before', 'after', 'torn'] as const)('power cut, %s the call', (mode) => {
  test.each(['sound', 'damaged'] as const)(
    'A11 A10: repair index of a %s repository survives a cut at every call',
    async (state) => {
      for (let cutAt = 0; ; cutAt++) {
        const disk = state === 'sound' ? copyOf(sound) : damaged()
        const cut = new PowerCutBackend(disk, { cutAt, mode, seed: cutAt })
        const finished = await repair(cut).then(
          () => true,
          (error: unknown) => {
            if (!isPowerCut(error)) throw error
            return false
          },
        )
        await requireRestorable(disk, taken, root)
        await repair(disk)
        await requireRestorable(disk, taken, root)
        expect(await indexProblems(disk)).toEqual([])
        if (!finished) continue
        expect(cutAt).toBeGreaterThanOrEqual(state === 'sound' ? 0 : 2)
        break
      }
    },
  )
})
