/** `cairn dump` */

import { errorChain } from '../../base/errors.ts'
import { openRepositoryAccess } from '../../service/access.ts'
import { runDump } from '../../service/dump.ts'
import type { CommandContext } from '../command.ts'
import type { DumpArguments } from '../options/dump.ts'
import { usage } from '../option.ts'
import { filterOf } from '../options.ts'
import { errorJson, writeJsonLine } from '../render/json-lines.ts'
import { printable } from '../render/printable.ts'

export default async function dump(args: DumpArguments, context: CommandContext): Promise<number> {
  const { json, quiet, stdout, stderr } = context
  const [path = '', reference = ''] = args.operands.toReversed()
  const access = await openRepositoryAccess(args, context)
  try {
    await runDump(access, {
      reference,
      at: args.at,
      atMode: args.atMode,
      filter: filterOf(args),
      path,
      format: args.archive ?? 'tar',
      target: args.target,
      output: (bytes) => stdout.writeBytes(bytes),
      requireArchiveWanted: () => {
        if (stdout.isTerminal) {
          throw usage('an archive is nothing for a terminal: redirect it, or write --target')
        }
      },
      onSnapshot: (distance) => {
        if (distance !== undefined && !quiet && !json) stderr.write(`the snapshot ${distance}\n`)
      },
      onLeftOut: (name, type) => {
        if (!quiet) context.warn(`${printable(name)}: left out: the archive holds no ${type}`)
      },
      onProblem: (name, error) => {
        const message = errorChain(error)
        if (json) writeJsonLine(stderr, errorJson(message, 'dump', name))
        else context.warn(`error: ${printable(name)}: ${printable(message)}`)
      },
    })
  } finally {
    await access.close()
  }
  return 0
}
