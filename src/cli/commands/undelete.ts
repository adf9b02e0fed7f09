/** `cairn undelete` */

import { shortId } from '../../base/ids.ts'
import { formatRfc3339Ns, formatTime } from '../../base/units.ts'
import { openRepositoryAccess } from '../../service/access.ts'
import { listForgotten, runUndelete } from '../../service/change-snapshots.ts'
import type { CommandContext } from '../command.ts'
import type { UndeleteArguments } from '../options/undelete.ts'
import { writeJsonLine } from '../render/json-lines.ts'
import { snapshotJson, snapshotsTable } from '../render/snapshots-text.ts'

async function list(args: UndeleteArguments, context: CommandContext): Promise<void> {
  const { json, stdout, signal } = context
  const access = await openRepositoryAccess(args, context)
  try {
    const forgotten = await listForgotten(await access.open(), signal)
    if (json) {
      writeJsonLine(
        stdout,
        forgotten.map(({ snapshot, forgottenNs }) => ({
          snapshot: snapshotJson(snapshot),
          forgotten: formatRfc3339Ns(forgottenNs),
        })),
      )
    } else if (forgotten.length === 0) stdout.write('nothing was forgotten\n')
    else {
      const reasons = new Map(
        forgotten.map(({ snapshot, forgottenNs }) => [
          snapshot.id,
          [`forgotten ${formatTime(forgottenNs)}`],
        ]),
      )
      const snapshots = forgotten.map(({ snapshot }) => snapshot)
      stdout.write(`${snapshotsTable(snapshots, { reasons }).join('\n')}\n`)
    }
  } finally {
    await access.close()
  }
}

export default async function undelete(
  args: UndeleteArguments,
  context: CommandContext,
): Promise<number> {
  const { json, quiet, stdout, signal } = context
  if (args.operands.length === 0) {
    await list(args, context)
    return 0
  }
  const access = await openRepositoryAccess(args, context)
  try {
    const restored = await runUndelete(await access.open(), args.operands, signal)
    for (const { oldId, newId } of restored) {
      if (json) {
        const fields = { old_snapshot_id: oldId, new_snapshot_id: newId }
        writeJsonLine(stdout, { message_type: 'restored', ...fields })
      } else if (!quiet) {
        stdout.write(`snapshot ${shortId(oldId)} is back as ${shortId(newId)}\n`)
      }
    }
  } finally {
    await access.close()
  }
  return 0
}
