import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { repairIndex } from '../../../src/engine/repair/repair-index.ts'
import { repairPacks } from '../../../src/engine/repair/repair-packs.ts'
import { repairSnapshots } from '../../../src/engine/repair/repair-snapshots.ts'
import type { Backend } from '../../../src/storage/backend.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { create } from '../../support/backup-harness.ts'
import { isPowerCut, PowerCutBackend } from '../../support/power-cut-backend.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
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

const root = temporaryFolder('cairn-repair-crash-')
let sound: MemoryBackend
let taken: Taken[]

beforeAll(async () => {
  plant(join(root, 'one'), [1, 2, 3, 4, 5])
  plant(join(root, 'two'), [2, 4, 6])
  plant(join(root, 'three'), [21])
  sound = new MemoryBackend()
  await create(sound)
  taken = []
  for (const name of ['one', 'two', 'three']) taken.push(await take(sound, join(root, name)))
})

async function contextOf(backend: Backend) {
  const environment = newProcess()
  const repository = await openAgain(backend, environment)
  return { environment, repository, dryRun: false, onNotice: () => {}, operation: {} }
}

async function repair(backend: Backend): Promise<void> {
  await repairIndex({ ...(await contextOf(backend)), readAllPacks: true })
}

async function repairAll(backend: Backend): Promise<void> {
  await repairPacks({
    ...(await contextOf(backend)),
    packs: undefined,
    level: 3,
    verify: true,
  })
  await repairSnapshots({
    ...(await contextOf(backend)),
    choose: (snapshots) => snapshots,
    forget: true,
    level: 3,
    onLost: () => {},
  })
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

  test('B34: repair packs, then snapshots, of a damaged pack: a cut at any call loses no more', async () => {
    for (let cutAt = 0; ; cutAt++) {
      const disk = copyOf(sound)
      const [largest = ''] = names(disk, 'packs').toSorted(
        (a, b) => sizeOf(disk, b) - sizeOf(disk, a),
      )
      const bytes = Buffer.from(disk.files.get(`packs/${largest}`) ?? [])
      bytes.fill(0, 192, 400)
      disk.files.set(`packs/${largest}`, bytes)
      const soundBefore = await restorable(disk)
      expect(soundBefore.length).toBeGreaterThan(0)
      expect(soundBefore.length).toBeLessThan(taken.length)
      const cut = new PowerCutBackend(disk, { cutAt, mode, seed: cutAt })
      const finished = await repairAll(cut).then(
        () => true,
        (error: unknown) => {
          if (!isPowerCut(error)) throw error
          return false
        },
      )
      await requireRestorable(disk, soundBefore, root)
      await repairAll(disk)
      await requireRestorable(disk, soundBefore, root)
      // A pack that no index file names yet is taken in by the next backup or prune.
      expect((await indexProblems(disk)).filter((one) => one.startsWith('missing'))).toEqual([])
      if (!finished) continue
      expect(cutAt).toBeGreaterThan(4)
      break
    }
  })
})

function sizeOf(disk: MemoryBackend, name: string): number {
  return disk.files.get(`packs/${name}`)?.length ?? 0
}

/** Of the snapshots those that restore as they were. */
async function restorable(disk: MemoryBackend): Promise<Taken[]> {
  const found: Taken[] = []
  for (const one of taken) {
    await requireRestorable(disk, [one], root).then(
      () => found.push(one),
      () => {},
    )
  }
  return found
}
