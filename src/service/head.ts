/** `head` */

import { readHead, requireNothingMissing } from '../engine/head.ts'
import type { RepositoryAccess } from './access.ts'

export interface ShownHead {
  readonly repositoryId: string
  /** 32 hex digits. */
  readonly head: string
  readonly snapshotCount: number
}

/** Throws CAIRN_CORRUPT where something is missing: such a state is not one to note. */
export async function showHead(access: RepositoryAccess): Promise<ShownHead> {
  const repository = await access.open()
  const head = await readHead(repository, access.signal)
  requireNothingMissing(head)
  return {
    repositoryId: repository.id,
    head: head.digest,
    snapshotCount: head.snapshotCount,
  }
}
