/** The kinds of work that a pool can do. Each is loaded only where it is used. */

import type { BackupInit, BackupJob, BackupResult } from './backup-body.ts'
import type { PackInit, PackJob, PackResult } from './pack-body.ts'
import type { RestoreInit, RestoreJob, RestoreResult } from './restore-body.ts'
import type { BodyHost, WorkBody } from './work-pool.ts'

export interface Purposes {
  backup: { init: BackupInit; job: BackupJob; result: BackupResult }
  restore: { init: RestoreInit; job: RestoreJob; result: RestoreResult }
  pack: { init: PackInit; job: PackJob; result: PackResult }
}

export type Purpose = keyof Purposes

type Factories = {
  [P in Purpose]: (
    init: Purposes[P]['init'],
    host: BodyHost,
  ) => Promise<WorkBody<Purposes[P]['job'], Purposes[P]['result']>>
}

const FACTORIES: Factories = {
  backup: async (init, host) => (await import('./backup-body.ts')).createBackupBody(init, host),
  restore: async (init, host) => (await import('./restore-body.ts')).createRestoreBody(init, host),
  pack: async (init, host) => (await import('./pack-body.ts')).createPackBody(init, host),
}

export async function createBody<P extends Purpose>(
  purpose: P,
  init: Purposes[P]['init'],
  host: BodyHost,
): Promise<WorkBody<Purposes[P]['job'], Purposes[P]['result']>> {
  return await FACTORIES[purpose](init, host)
}
