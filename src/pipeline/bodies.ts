/** The kinds of work that a pool can do. Each is loaded only where it is used. */

import type { BackupInit, BackupJob } from './backup-body.ts'
import type { BackupResult } from './backup-result.ts'
import type { PackInit, PackJob, PackResult } from './pack-body.ts'
import type { RepackInit, RepackJob, RepackResult } from './repack-body.ts'
import type { RestoreInit, RestoreJob, RestoreResult } from './restore-body.ts'
import type { SegmentInit, SegmentJob, SegmentResult } from './segment-body.ts'
import type { BodyHost, WorkBody } from './work-pool.ts'

export interface Purposes {
  backup: { init: BackupInit; job: BackupJob; result: BackupResult }
  restore: { init: RestoreInit; job: RestoreJob; result: RestoreResult }
  pack: { init: PackInit; job: PackJob; result: PackResult }
  repack: { init: RepackInit; job: RepackJob; result: RepackResult }
  segment: { init: SegmentInit; job: SegmentJob; result: SegmentResult }
}

export type Purpose = keyof Purposes

type Factories = {
  [P in Purpose]: (
    init: Purposes[P]['init'],
    host: BodyHost,
  ) => Promise<WorkBody<Purposes[P]['job'], Purposes[P]['result']>>
}

const FACTORIES: { [P in Purpose]: () => Promise<Factories[P]> } = {
  backup: async () => (await import('./backup-body.ts')).createBackupBody,
  restore: async () => (await import('./restore-body.ts')).createRestoreBody,
  pack: async () => (await import('./pack-body.ts')).createPackBody,
  repack: async () => (await import('./repack-body.ts')).createRepackBody,
  segment: async () => (await import('./segment-body.ts')).createSegmentBody,
}

/** Loads the code of a body, so that creating it is quick. */
export async function loadBody(purpose: Purpose): Promise<void> {
  await FACTORIES[purpose]()
  if (purpose === 'restore') await (await import('./restore-body.ts')).warmUp()
}

export async function createBody<P extends Purpose>(
  purpose: P,
  init: Purposes[P]['init'],
  host: BodyHost,
): Promise<WorkBody<Purposes[P]['job'], Purposes[P]['result']>> {
  const create = await FACTORIES[purpose]()
  return await create(init, host)
}
