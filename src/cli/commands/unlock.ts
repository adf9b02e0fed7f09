/** `cairn unlock` */

import { formatRfc3339Ns, formatTime } from '../../base/units.ts'
import { openRepositoryAccess } from '../../service/access.ts'
import { type ShownSession, unlock, type UnlockSummary } from '../../service/unlock.ts'
import type { CommandContext } from '../command.ts'
import type { UnlockArguments } from '../options/unlock.ts'
import { type JsonValue, writeJsonLine } from '../render/json-lines.ts'
import { printable } from '../render/printable.ts'

function sessionJson({ id, hostname, pid, timeNs }: ShownSession): JsonValue {
  return { id, hostname, pid, time: formatRfc3339Ns(timeNs) }
}

function describe({ hostname, pid, timeNs }: ShownSession): string {
  return `process ${pid} on '${printable(hostname)}', last seen ${formatTime(timeNs)}`
}

function summaryLines({ removed, running, unconfirmed }: UnlockSummary): string[] {
  return [
    ...removed.map((session) => `removed the session of ${describe(session)}`),
    ...running.map((session) => `left alone, it may be running: ${describe(session)}`),
    ...unconfirmed.map(
      (session) =>
        `left alone, its snapshot is not confirmed: ${describe(session)}; 'cairn check' resolves it`,
    ),
    removed.length === 0 ? 'nothing to remove' : `successfully removed ${removed.length} sessions`,
  ]
}

export default async function unlockCommand(
  args: UnlockArguments,
  context: CommandContext,
): Promise<number> {
  const access = await openRepositoryAccess(args, context)
  let summary: UnlockSummary
  try {
    summary = await unlock(access, args.removeAll)
  } finally {
    await access.close()
  }
  const { removed, running, unconfirmed } = summary
  if (context.json) {
    writeJsonLine(context.stdout, {
      message_type: 'summary',
      removed: removed.map(sessionJson),
      running: running.map(sessionJson),
      unconfirmed: unconfirmed.map(sessionJson),
    })
  } else if (!context.quiet) context.stdout.write(`${summaryLines(summary).join('\n')}\n`)
  return 0
}
