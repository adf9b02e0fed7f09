/**
 * Before a second copy of a blob goes, the one that stays is read: an index may say of a pack what
 * is not so, and a damaged copy is none.
 */

import { shortId, type FileName } from '../../base/ids.ts'
import type { IdTable } from '../id-table.ts'
import type { Choice } from './choose-packs.ts'
import type { PackUsage, Usage } from './pack-usage.ts'
import type { PruneContext } from './prune-options.ts'
import { longestBlob, Repacker, type RepackItem } from './repacker.ts'

export interface VerifyInput {
  readonly usage: Usage
  readonly choice: Choice
  readonly used: IdTable
  /** Gets the numbers of blobs that are damaged. */
  readonly bad: Map<FileName, Set<number>>
}

/** Reads what was not read before; false if any of it is damaged, so that it has to be chosen anew. */
export async function verifyKeptCopies(
  context: PruneContext,
  input: VerifyInput,
): Promise<boolean> {
  const leaving = [...input.choice.remove, ...input.choice.repack]
  if (!leaving.some(({ duplicateBlobs }) => duplicateBlobs > 0)) return true
  const items = keptCopies(input)
  const repacker = await Repacker.open({
    ...context,
    byteCount: items.reduce((sum, { claim }) => sum + claim.byteCount, 0),
    blobBytesMax: longestBlob(items),
  })
  let isSound = true
  try {
    await repacker.each('verify', items, ({ claim }, { damaged, problems }) => {
      if (damaged.length === 0) return
      isSound = false
      const known = input.bad.get(claim.name) ?? new Set()
      for (const blob of damaged) known.add(blob)
      input.bad.set(claim.name, known)
      context.listener.onNotice?.(
        `pack ${shortId(claim.name)} is damaged (${problems.join('; ')}); another copy is kept`,
      )
    })
  } finally {
    await repacker.close()
  }
  return isSound
}

/** The kept copies of blobs of which a pack that leaves has another. */
function keptCopies({ usage, used }: VerifyInput): RepackItem[] {
  const items: RepackItem[] = []
  for (const { claim, wanted } of usage.packs) {
    if (claim === undefined) continue
    const several = severalCopies({ claim, wanted }, usage, used)
    if (several !== undefined) items.push({ claim, wanted: several })
  }
  return items
}

function severalCopies(
  {
    claim,
    wanted,
  }: { readonly claim: NonNullable<PackUsage['claim']>; readonly wanted: Uint8Array },
  { copies }: Usage,
  used: IdTable,
): Uint8Array | undefined {
  let several: Uint8Array | undefined
  for (let blob = 0; blob < wanted.length; blob++) {
    if (wanted[blob] !== 1) continue
    if ((copies[used.find(claim.directory.id(blob))] ?? 0) < 2) continue
    several ??= new Uint8Array(wanted.length)
    several[blob] = 1
  }
  return several
}
