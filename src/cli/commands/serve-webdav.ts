/** `cairn serve webdav` */

import { openAccess } from '../../service/access.ts'
import { tuneForReading } from '../../service/node-environment.ts'
import { runServeWebdav } from '../../service/serve-webdav.ts'
import type { CommandContext } from '../command.ts'
import { browseRequestOf } from '../browse-request.ts'
import type { ServeWebdavArguments } from '../options/serve-webdav.ts'
import { filterOf } from '../options.ts'
import { writeJsonLine } from '../render/json-lines.ts'

export default async function serveWebdav(
  args: ServeWebdavArguments,
  context: CommandContext,
): Promise<number> {
  tuneForReading()
  const access = await openAccess(args, context)
  try {
    await runServeWebdav(access, {
      ...browseRequestOf(args),
      filter: filterOf(args),
      listen: args.listen,
      user: args.serveUser ?? 'cairn',
      password: context.environment['CAIRN_SERVE_PASSWORD'],
      passwordFile: args.servePasswordFile,
      onListening: (url) => say(url, context),
    })
  } finally {
    await access.close()
  }
  return 0
}

function say(url: string, { json, quiet, stdout }: CommandContext): void {
  if (json) writeJsonLine(stdout, { message_type: 'listening', url })
  else if (!quiet) stdout.write(`now serving the repository at ${url}\nCtrl-C ends it\n`)
}
