/** Runs the real copy inline, between small repositories with different keys. */

import { copySnapshots } from '../../../src/engine/copy/copy.ts'
import type { CopyOptions, CopyReport } from '../../../src/engine/copy/copy-options.ts'
import { createRepository } from '../../../src/repository/initialize.ts'
import type { Backend } from '../../../src/storage/backend.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { contentsOf, create, inlineEnvironment, SECRET } from '../../support/backup-harness.ts'
import { newProcess, openAgain } from '../prune/prune-harness.ts'

export async function runCopy(
  from: Backend,
  to: Backend,
  overrides: Partial<CopyOptions> = {},
): Promise<CopyReport> {
  const environment = overrides.environment ?? newProcess()
  return await copySnapshots({
    environment,
    source: await openAgain(from),
    target: await openAgain(to, environment),
    choose: (snapshots) => snapshots,
    level: 3,
    verify: true,
    cacheDirectory: undefined,
    listener: {},
    ...overrides,
  })
}

/** An empty repository; with `like`, one that cuts and names as that one does. */
export async function newTarget(like?: Backend): Promise<MemoryBackend> {
  const disk = new MemoryBackend()
  if (like === undefined) {
    await create(disk)
    return disk
  }
  const { clock, random } = inlineEnvironment()
  const { box, keyring } = await openAgain(like)
  await createRepository(
    { backend: disk, clock, random },
    {
      secret: SECRET,
      label: 'test',
      chunker: box.chunker,
      idKeys: keyring.ids,
      dataPackBytes: box.dataPackBytes,
      scryptCost: { N: 2 ** 14, r: 8, p: 1 },
    },
  )
  return disk
}

/** Every snapshot with the contents of its files, oldest first. */
export async function everything(disk: Backend) {
  const repository = await openAgain(disk)
  const all = []
  for (const snapshot of await repository.snapshots()) {
    const { hostname, paths, tags, statistics } = snapshot.content ?? {}
    const facts = { hostname, paths, tags, statistics, timeNs: snapshot.timeNs }
    all.push({ ...facts, contents: await contentsOf(repository, snapshot) })
  }
  return all
}
