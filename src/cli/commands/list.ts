/** `cairn list` */

import { openRepositoryAccess } from '../../service/access.ts'
import { listObjects } from '../../service/list-objects.ts'
import type { CommandContext } from '../command.ts'
import { type ListArguments, listOperands } from '../options/list.ts'
import { filterOf } from '../options.ts'
import { writeJsonLine } from '../render/json-lines.ts'

export default async function list(args: ListArguments, context: CommandContext): Promise<number> {
  const { json, stdout } = context
  const access = await openRepositoryAccess(args, context)
  try {
    await listObjects(access, {
      ...listOperands(args),
      filter: filterOf(args),
      onObject: ({ id, type, byteCount }) => {
        if (json) writeJsonLine(stdout, { id, type, size: byteCount })
        else stdout.write(type === undefined ? `${id}\n` : `${type} ${id}\n`)
      },
      drain: () => stdout.drain(),
    })
  } finally {
    await access.close()
  }
  return 0
}
