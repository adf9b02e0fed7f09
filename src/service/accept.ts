/** `accept`: what is missing, and what of it is acknowledged. */

import { CairnError } from '../base/errors.ts'
import { acceptLosses, type Loss, requireNothingLost } from '../engine/rollback.ts'
import type { RepositoryAccess } from './access.ts'

export type { Loss }

const PREFIX_MIN = 4

/** What is missing, as far as snapshots, tombstones and this client's memory tell. */
async function findMissing(access: RepositoryAccess): Promise<readonly Loss[]> {
  const repository = await access.open()
  await repository.history({ signal: access.signal })
  return access.memory()?.losses ?? []
}

/** For whatever removes data: throws CAIRN_CORRUPT unless all that is missing has been accepted. */
export async function requireNothingMissing(access: RepositoryAccess, what: string): Promise<void> {
  requireNothingLost(await findMissing(access), what)
}

function chosenOf(losses: readonly Loss[], text: string): Loss {
  const found = losses.filter(({ id }) => id === text || id.startsWith(text.toLowerCase()))
  const [first] = found
  if (first === undefined || text.length < PREFIX_MIN) {
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot accept '${text}': nothing that is missing has this id`,
    )
  }
  if (found.length > 1) {
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot accept '${text}': ${found.length} missing ids begin with it`,
    )
  }
  return first
}

/** Accepts what is named. Returns that, and what is still missing. */
export async function runAccept(
  access: RepositoryAccess,
  ids: readonly string[],
): Promise<{ readonly accepted: readonly Loss[]; readonly missing: readonly Loss[] }> {
  const losses = await findMissing(access)
  const accepted = [...new Set(ids.map((id) => chosenOf(losses, id)))]
  if (accepted.length === 0) return { accepted, missing: losses }
  await acceptLosses(await access.open(), accepted, access.signal)
  access.memory()?.accept(accepted)
  return { accepted, missing: await findMissing(access) }
}
