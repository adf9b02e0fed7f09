/** `cairn copy` */

import { CairnError } from '../../base/errors.ts'
import { shortId } from '../../base/ids.ts'
import { formatBytes, formatTime } from '../../base/units.ts'
import { openAccess, openFromAccess } from '../../service/access.ts'
import { type CopyOutcome, runCopy } from '../../service/copy.ts'
import type { ShownSnapshot } from '../../service/snapshots.ts'
import type { CommandContext } from '../command.ts'
import type { CopyArguments } from '../options/copy.ts'
import { COMPRESSION_LEVELS, filterOf } from '../options.ts'
import { writeJsonLine } from '../render/json-lines.ts'
import { printable } from '../render/printable.ts'
import { startProgress } from '../render/progress.ts'

export default async function copy(args: CopyArguments, context: CommandContext): Promise<number> {
  const { json, quiet, stdout } = context
  const say = (line: string) => {
    if (json || quiet) return
    context.status.clear()
    stdout.write(`${line}\n`)
  }
  const access = await openAccess(args, context, args.jobs)
  const from = await openFromAccess(args, context).catch(async (error: unknown) => {
    await access.close()
    throw error
  })
  let state = 'copying'
  const progress = startProgress(context, { lines: () => [state] })
  let outcome: CopyOutcome
  try {
    outcome = await runCopy(access, from, {
      references: args.operands,
      filter: filterOf(args),
      level: COMPRESSION_LEVELS[args.compression ?? 'auto'],
      verify: !args.noExtraVerify,
      packBytes: args.packSize === undefined ? undefined : args.packSize << 20,
      onSkipped: (snapshot, copyId) => {
        if (json) {
          const fields = { source_snapshot_id: snapshot.id, snapshot_id: copyId }
          writeJsonLine(stdout, { message_type: 'skipped', ...fields })
        }
        say(
          `${titleOf(snapshot)}\n  skipping it: it was copied before, to snapshot ${shortId(copyId)}`,
        )
      },
      onSnapshot: (snapshot) => say(`${titleOf(snapshot)}\n  copying it`),
      onProgress: (done, total) => {
        state = `copying: ${done} of ${total} packs`
      },
    })
  } finally {
    progress.stop()
    await from.close()
    await access.close()
  }
  for (const { source, newId } of outcome.copied) {
    if (json) {
      const fields = { source_snapshot_id: source.id, snapshot_id: newId }
      writeJsonLine(stdout, { message_type: 'copied', ...fields })
    }
    say(`snapshot ${shortId(newId)} saved, a copy of ${shortId(source.id)}`)
  }
  const { copied, skippedCount, bytesWritten, isIncomplete } = outcome
  if (json) {
    writeJsonLine(stdout, {
      message_type: 'summary',
      copied_snapshots: copied.length,
      skipped_snapshots: skippedCount,
      bytes_written: bytesWritten,
    })
  }
  say(
    `copied ${copied.length} snapshots, skipped ${skippedCount}, wrote ${formatBytes(bytesWritten)}`,
  )
  if (!isIncomplete) return 0
  throw new CairnError(
    'CAIRN_CORRUPT',
    "not everything could be copied; run 'cairn check' on the other repository",
  )
}

function titleOf({ id, paths, hostname, time }: ShownSnapshot): string {
  const of = `${paths.map(printable).join(', ')} at ${formatTime(time)}`
  return `snapshot ${shortId(id)} of ${of} by ${printable(hostname)}`
}
