/** `cairn __complete`: the answer to a shell. See render/completion-scripts.ts. */

import { formatTime } from '../../base/units.ts'
import { shortId } from '../../base/ids.ts'
import { openRepositoryAccess } from '../../service/access.ts'
import { listSnapshots } from '../../service/snapshots.ts'
import type { CommandContext } from '../command.ts'
import { type Candidate, complete, type Completion } from '../completions.ts'
import type { CompleteArguments } from '../options/complete.ts'
import { SNAPSHOTS } from '../options/snapshots.ts'
import { parseArguments } from '../parse-arguments.ts'
import { COMMANDS } from '../registry.ts'
import { printable } from '../render/printable.ts'

/** Who waits for a shell does not wait for long. */
const QUERY_MS_MAX = 5000

/** Of the newest first; nothing if that fails, or would take a prompt or run a command. */
async function snapshotCandidates(
  globalWords: readonly string[],
  context: CommandContext,
): Promise<Candidate[]> {
  const args = parseArguments([...globalWords], SNAPSHOTS, context.environment)
  const variable = context.environment['CAIRN_PASSWORD_COMMAND']
  const isAsked = args.passwordFile !== undefined || args.keyFile !== undefined
  if (args.passwordCommand !== undefined || (variable && !isAsked)) return []
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(QUERY_MS_MAX)])
  // As with --json, nothing is asked on the terminal.
  const silent = { ...context, json: true, signal, warn: () => {} }
  const access = await openRepositoryAccess(args, silent)
  try {
    const filter = { hosts: [], paths: [], tags: [] }
    const found = await listSnapshots(await access.open(), { filter, references: [], signal })
    return found.toReversed().map(({ id, time, hostname, paths }) => ({
      text: shortId(id),
      meaning: printable([formatTime(time), hostname, ...paths].join(' ')),
    }))
  } finally {
    await access.close()
  }
}

async function candidatesOf(
  completion: Completion,
  current: string,
  context: CommandContext,
): Promise<readonly Candidate[]> {
  if (completion.also !== 'snapshots') return completion.candidates
  const typed = current.slice(completion.prefix.length)
  const latest = { text: 'latest', meaning: 'the newest' }
  const ids = await snapshotCandidates(completion.globalWords, context).catch(() => [])
  return [latest, ...ids].filter(({ text }) => text.startsWith(typed))
}

export default async function completeCommand(
  { operands }: CompleteArguments,
  context: CommandContext,
): Promise<number> {
  const completion = await complete(operands, COMMANDS)
  const candidates = await candidatesOf(completion, operands.at(-1) ?? '', context)
  const lines = candidates.map(({ text, meaning }) => `${completion.prefix}${text}\t${meaning}\n`)
  const also = completion.also === 'snapshots' ? 'nothing' : completion.also
  context.stdout.write(`${lines.join('')}:${also}\n`)
  return 0
}
