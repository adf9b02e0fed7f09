/** `repair`: from the arguments to the engine. */

import { CairnError } from '../base/errors.ts'
import type { FileName } from '../base/ids.ts'
import {
  repairIndex,
  type RepairIndexOptions,
  type RepairIndexReport,
} from '../engine/repair/repair-index.ts'
import {
  repairPacks,
  type RepairPacksOptions,
  type RepairPacksReport,
} from '../engine/repair/repair-packs.ts'
import {
  repairSnapshots,
  type RepairSnapshotsOptions,
  type RepairSnapshotsReport,
} from '../engine/repair/repair-snapshots.ts'
import type { SnapshotFilter } from '../engine/snapshot-filter.ts'
import type { RepairContext } from '../engine/repair/repair-options.ts'
import type { Access } from './access.ts'
import { chooseSnapshots } from './select-snapshots.ts'

export type { RepairIndexReport, RepairPacksReport, RepairSnapshotsReport }

type Own<Options extends RepairContext> = Omit<
  Options,
  'environment' | 'repository' | 'operation' | 'signal'
>

async function contextOf(access: Access) {
  const { signal } = access
  const repository = await access.open()
  return { environment: access.seams, repository, operation: { signal }, signal }
}

export async function runRepairIndex(
  access: Access,
  request: Own<RepairIndexOptions>,
): Promise<RepairIndexReport> {
  return await repairIndex({ ...(await contextOf(access)), ...request })
}

/** `references` are names of packs, or beginnings of names; none means all. */
export async function runRepairPacks(
  access: Access,
  request: Omit<Own<RepairPacksOptions>, 'packs'> & { readonly references: readonly string[] },
): Promise<RepairPacksReport> {
  const context = await contextOf(access)
  const { references, ...rest } = request
  const listed = [...(await context.repository.listPacks(access.signal)).keys()]
  const packs = references.length === 0 ? undefined : references.map((text) => packOf(text, listed))
  return await repairPacks({ ...context, ...rest, packs })
}

export async function runRepairSnapshots(
  access: Access,
  request: Omit<Own<RepairSnapshotsOptions>, 'choose'> & {
    readonly references: readonly string[]
    readonly filter: SnapshotFilter
  },
): Promise<RepairSnapshotsReport> {
  const context = await contextOf(access)
  const nowNs = access.seams.clock.wallNs()
  return await repairSnapshots({
    ...context,
    ...request,
    choose: (snapshots) => chooseSnapshots(snapshots, request, nowNs),
  })
}

const PREFIX_LENGTH_MIN = 4

function packOf(reference: string, listed: readonly FileName[]): FileName {
  const found =
    reference.length < PREFIX_LENGTH_MIN ? [] : listed.filter((name) => name.startsWith(reference))
  const [name] = found
  if (name !== undefined && found.length === 1) return name
  const problem = found.length === 0 ? 'no pack begins with' : 'more than one pack begins with'
  throw new CairnError('CAIRN_FAILED', `${problem} '${reference}'`)
}
