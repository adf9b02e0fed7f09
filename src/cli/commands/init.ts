/** `cairn init` */

import { CairnError } from '../../base/errors.ts'
import { openAccess, openFromAccess } from '../../service/access.ts'
import { createAt } from '../../service/create.ts'
import type { CommandContext } from '../command.ts'
import type { InitArguments } from '../options/init.ts'
import { writeJsonLine } from '../render/json-lines.ts'
import { shortId } from '../../base/ids.ts'

export default async function init(args: InitArguments, context: CommandContext): Promise<number> {
  const { repositoryVersion } = args
  if (repositoryVersion !== undefined && !['1', 'stable', 'latest'].includes(repositoryVersion)) {
    throw new CairnError(
      'CAIRN_USAGE',
      `'${repositoryVersion}' is not a version of the format: there is 1`,
    )
  }
  const access = await openAccess(args, context)
  const from = args.copyChunkerParams ? await openFromAccess(args, context) : undefined
  try {
    const id = await createAt(access, {
      ...(from === undefined ? {} : { like: await from.open() }),
      chunkSize: args.chunkSize,
      cipher: args.cipher,
      packBytes: args.packSize === undefined ? undefined : args.packSize << 20,
    })
    const { location } = access.backend
    if (context.json) {
      writeJsonLine(context.stdout, { message_type: 'initialized', id, repository: location })
      return 0
    }
    if (context.quiet) return 0
    context.stdout.write(
      `created cairn repository ${shortId(id)} at ${location}\n\n` +
        'Whoever loses the password or key file that opens it has lost the data in it.\n' +
        "It is the only key: 'cairn key add' makes another, 'cairn key export' prints a copy to keep elsewhere.\n",
    )
    return 0
  } finally {
    await from?.close()
    await access.close()
  }
}
