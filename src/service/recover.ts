/** `recover`: from the arguments to the engine. */

import { recover } from '../engine/recover.ts'
import type { RepositoryAccess } from './access.ts'

export interface RecoveredTrees {
  readonly rootCount: number
  /** Absent if nothing was found. */
  readonly snapshotId?: string
  readonly lostCount: number
}

export async function runRecover(
  access: RepositoryAccess,
  request: { readonly program: string; readonly onFound: (count: number) => void },
): Promise<RecoveredTrees> {
  const repository = await access.open()
  const report = await recover(repository, { ...request, signal: access.signal })
  const { rootCount, lostCount, snapshot } = report
  if (snapshot !== undefined) access.memory()?.addOwn(snapshot.id)
  return { rootCount, lostCount, ...(snapshot === undefined ? {} : { snapshotId: snapshot.id }) }
}
