/** `cairn mount` */

import { resolve } from 'node:path'
import { openAccess } from '../../service/access.ts'
import { runMount } from '../../service/mount.ts'
import { tuneForReading } from '../../service/node-environment.ts'
import type { CommandContext } from '../command.ts'
import { browseRequestOf } from '../browse-request.ts'
import type { MountArguments } from '../options/mount.ts'
import { filterOf } from '../options.ts'
import { writeJsonLine } from '../render/json-lines.ts'

export default async function mount(
  args: MountArguments,
  context: CommandContext,
): Promise<number> {
  tuneForReading()
  const access = await openAccess(args, context)
  try {
    await runMount(access, {
      ...browseRequestOf(args),
      mountpoint: resolve(args.operands[0] ?? ''),
      filter: filterOf(args),
      allowOther: args.allowOther,
      defaultPermissions: !args.noDefaultPermissions,
      ownerRoot: args.ownerRoot,
      onMounted: (mountpoint) => say(mountpoint, context),
    })
  } finally {
    await access.close()
  }
  return 0
}

function say(mountpoint: string, { json, quiet, stdout }: CommandContext): void {
  if (json) writeJsonLine(stdout, { message_type: 'mounted', mountpoint })
  else if (!quiet) {
    stdout.write(
      `now serving the repository at ${mountpoint}\n` +
        `use another terminal or a file manager to look around; ` +
        `Ctrl-C here or 'umount ${mountpoint}' ends it\n`,
    )
  }
}
