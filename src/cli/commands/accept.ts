/** `cairn accept` */

import { CairnError } from '../../base/errors.ts'
import { shortId } from '../../base/ids.ts'
import { type Loss, runAccept } from '../../service/accept.ts'
import { openRepositoryAccess } from '../../service/access.ts'
import type { CommandContext } from '../command.ts'
import type { AcceptArguments } from '../options/accept.ts'
import { writeJsonLine } from '../render/json-lines.ts'
import { printable } from '../render/printable.ts'

export default async function accept(
  args: AcceptArguments,
  context: CommandContext,
): Promise<number> {
  const { json, quiet, stdout } = context
  const access = await openRepositoryAccess(args, context)
  let result: Awaited<ReturnType<typeof runAccept>>
  try {
    result = await runAccept(access, args.operands)
  } finally {
    await access.close()
  }
  const { accepted, missing } = result
  const jsonOf = (losses: readonly Loss[]) => losses.map((loss) => ({ ...loss }))
  if (json) writeJsonLine(stdout, { accepted: jsonOf(accepted), missing: jsonOf(missing) })
  else if (!quiet) {
    for (const { kind, id } of accepted) stdout.write(`accepted: ${kind} ${shortId(id)}\n`)
    for (const { id, message } of missing) stdout.write(`${shortId(id)}  ${printable(message)}\n`)
    if (missing.length === 0) stdout.write('nothing is missing\n')
  }
  if (missing.length > 0) {
    throw new CairnError('CAIRN_CORRUPT', `${missing.length} things are missing and not accepted`)
  }
  return 0
}
