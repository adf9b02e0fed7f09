/** `cairn head` */

import { openRepositoryAccess } from '../../service/access.ts'
import { type ShownHead, showHead } from '../../service/head.ts'
import type { CommandContext } from '../command.ts'
import type { HeadArguments } from '../options/head.ts'
import { writeJsonLine } from '../render/json-lines.ts'

export default async function headCommand(
  args: HeadArguments,
  context: CommandContext,
): Promise<number> {
  const access = await openRepositoryAccess(args, context)
  let shown: ShownHead
  try {
    shown = await showHead(access)
  } finally {
    await access.close()
  }
  const { head, repositoryId, snapshotCount } = shown
  if (context.json) {
    writeJsonLine(context.stdout, {
      message_type: 'head',
      head,
      repository_id: repositoryId,
      snapshots_count: snapshotCount,
    })
  } else context.stdout.write(`${head}\n`)
  return 0
}
