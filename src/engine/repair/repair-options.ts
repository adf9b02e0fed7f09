/** What the repairs share. */

import { CairnError } from '../../base/errors.ts'
import { shortId } from '../../base/ids.ts'
import { requireAdmin } from '../../repository/keyring.ts'
import type { Repository } from '../../repository/repository.ts'
import { listSessions } from '../../repository/sessions.ts'
import type { Environment } from '../environment.ts'

export interface RepairContext {
  readonly environment: Environment
  readonly repository: Repository
  readonly dryRun: boolean
  /** What is found and done, in words. */
  readonly onNotice: (message: string) => void
  readonly signal?: AbortSignal | undefined
  readonly operation: { readonly signal?: AbortSignal | undefined }
}

/** Throws unless this key and this program may replace files, and nobody is writing now. */
export async function requireRepairable(context: RepairContext): Promise<void> {
  const { repository, operation } = context
  requireAdmin(repository.keyring, 'repair')
  repository.requirePrunable()
  const sessions = await listSessions(repository, operation.signal)
  const other = sessions.find(({ isAlive }) => isAlive)
  if (other === undefined) return
  const { pid, hostname } = other.beat
  throw new CairnError(
    'CAIRN_CONFLICT',
    `cannot repair while somebody writes (process ${pid} on '${hostname}'); run this again when that is done`,
  )
}

export function packLabel(name: string): string {
  return `pack ${shortId(name)}`
}
