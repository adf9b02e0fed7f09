/** `cairn rewrite` */

import { shortId } from '../../base/ids.ts'
import { formatTime } from '../../base/units.ts'
import { openRepositoryAccess } from '../../service/access.ts'
import { runRewrite } from '../../service/change-snapshots.ts'
import type { CommandContext } from '../command.ts'
import type { RewriteArguments } from '../options/rewrite.ts'
import { filterOf } from '../options.ts'
import { writeJsonLine } from '../render/json-lines.ts'
import { printable, printableName } from '../render/printable.ts'

export default async function rewrite(
  args: RewriteArguments,
  context: CommandContext,
): Promise<number> {
  const { json, quiet, stdout } = context
  const say = (line: string) => {
    if (!json && !quiet) stdout.write(`${line}\n`)
  }
  const access = await openRepositoryAccess(args, context)
  let report: Awaited<ReturnType<typeof runRewrite>>
  try {
    report = await runRewrite(access, {
      args,
      filter: filterOf(args),
      environment: context.environment,
      onSnapshot: ({ id, paths, hostname, time }) => {
        const of = `${paths.map(printable).join(', ')} at ${formatTime(time)}`
        say(`snapshot ${shortId(id)} of ${of} by ${printable(hostname)}`)
      },
      onExcluded: (path) => say(`excluding ${printableName(path)}`),
    })
  } finally {
    await access.close()
  }
  const { changed, count } = report
  for (const { oldId, newId } of changed) {
    if (json) {
      const fields = { old_snapshot_id: oldId, new_snapshot_id: newId }
      writeJsonLine(stdout, { message_type: 'changed', ...fields })
    } else say(`saved new snapshot ${shortId(newId)} for ${shortId(oldId)}`)
  }
  if (json) writeJsonLine(stdout, { message_type: 'summary', changed_snapshots: count })
  else say(`${args.dryRun ? 'would modify' : 'modified'} ${count} snapshots`)
  return 0
}
