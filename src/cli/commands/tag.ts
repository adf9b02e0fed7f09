/** `cairn tag` */

import { shortId } from '../../base/ids.ts'
import { openRepositoryAccess } from '../../service/access.ts'
import { runTag } from '../../service/change-snapshots.ts'
import type { CommandContext } from '../command.ts'
import type { TagArguments } from '../options/tag.ts'
import { filterOf } from '../options.ts'
import { writeJsonLine } from '../render/json-lines.ts'

export default async function tag(args: TagArguments, context: CommandContext): Promise<number> {
  const { json, quiet, stdout, signal } = context
  const access = await openRepositoryAccess(args, context)
  let changed: Awaited<ReturnType<typeof runTag>>
  try {
    changed = await runTag(await access.open(), {
      references: args.operands,
      filter: filterOf(args),
      change: {
        ...(args.set === undefined ? {} : { set: args.set }),
        add: args.add ?? [],
        remove: args.remove ?? [],
      },
      signal,
    })
  } finally {
    await access.close()
  }
  for (const { oldId, newId } of changed) {
    if (json) {
      const fields = { old_snapshot_id: oldId, new_snapshot_id: newId }
      writeJsonLine(stdout, { message_type: 'changed', ...fields })
    } else if (context.verbosity > 0) {
      stdout.write(`old snapshot ${shortId(oldId)}, new snapshot ${shortId(newId)}\n`)
    }
  }
  const count = changed.length
  if (json) writeJsonLine(stdout, { message_type: 'summary', changed_snapshots: count })
  else if (!quiet) stdout.write(`modified tags on ${count} snapshots\n`)
  return 0
}
