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
  const access = await openAccess(args, context, args.jobs)
  const from = await openFromAccess(args, context).catch(async (error: unknown) => {
    await access.close()
    throw error
  })
  const report = new CopyReport(context)
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
      onSkipped: (snapshot, copyId) => report.skipped(snapshot, copyId),
      onSnapshot: (snapshot) => report.begins(snapshot),
      onProgress: (done, total) => {
        state = `copying: ${done} of ${total} packs`
      },
    })
  } finally {
    progress.stop()
    await from.close()
    await access.close()
  }
  report.end(outcome)
  if (!outcome.isIncomplete) return 0
  throw new CairnError(
    'CAIRN_CORRUPT',
    "not everything could be copied; run 'cairn check' on the other repository",
  )
}

/** Tells what becomes of each snapshot, as text or as lines of JSON. */
class CopyReport {
  readonly #context: CommandContext

  constructor(context: CommandContext) {
    this.#context = context
  }

  #say(line: string): void {
    const { json, quiet, status, stdout } = this.#context
    if (json || quiet) return
    status.clear()
    stdout.write(`${line}\n`)
  }

  #message(type: string, fields: object): void {
    if (this.#context.json) writeJsonLine(this.#context.stdout, { message_type: type, ...fields })
  }

  skipped(snapshot: ShownSnapshot, copyId: string): void {
    this.#message('skipped', { source_snapshot_id: snapshot.id, snapshot_id: copyId })
    const to = shortId(copyId)
    this.#say(`${titleOf(snapshot)}\n  skipping it: it was copied before, to snapshot ${to}`)
  }

  begins(snapshot: ShownSnapshot): void {
    this.#say(`${titleOf(snapshot)}\n  copying it`)
  }

  end({ copied, skippedCount, bytesWritten }: CopyOutcome): void {
    for (const { source, newId } of copied) {
      this.#message('copied', { source_snapshot_id: source.id, snapshot_id: newId })
      this.#say(`snapshot ${shortId(newId)} saved, a copy of ${shortId(source.id)}`)
    }
    this.#message('summary', {
      copied_snapshots: copied.length,
      skipped_snapshots: skippedCount,
      bytes_written: bytesWritten,
    })
    const written = formatBytes(bytesWritten)
    this.#say(`copied ${copied.length} snapshots, skipped ${skippedCount}, wrote ${written}`)
  }
}

function titleOf({ id, paths, hostname, time }: ShownSnapshot): string {
  const of = `${paths.map(printable).join(', ')} at ${formatTime(time)}`
  return `snapshot ${shortId(id)} of ${of} by ${printable(hostname)}`
}
