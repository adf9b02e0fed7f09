/** A prune from its session to its report: plan, execute, and try again where two have met. */

import { CairnError, isCairnError } from '../../base/errors.ts'
import type { FileName } from '../../base/ids.ts'
import { SESSION_ROLE } from '../../format/session.ts'
import { requireAdmin } from '../../repository/keyring.ts'
import type { Repository } from '../../repository/repository.ts'
import { BEAT_PERIOD_MS, listSessions, Session } from '../../repository/sessions.ts'
import { executePrune, type PruneResult } from './execute.ts'
import { planPrune, type PrunePlan } from './plan.ts'
import type { PruneContext, PruneOptions, PruneReport } from './prune-options.ts'

const ATTEMPTS_MAX = 5
const DELAY_MS_MIN = 500
/** A pack that is needed again while it is removed is emptied in another round. */
const ROUNDS_MAX = 3
const TEMPORARY_AGE_MS = 24 * 3600 * 1000

/** Throws CAIRN_CONFLICT if other prunes keep meeting this one. */
export async function prune(options: PruneOptions): Promise<PruneReport> {
  const { repository, dryRun } = options
  requireAdmin(repository.keyring, 'prune')
  repository.requirePrunable()
  const context: PruneContext = {
    ...options,
    operation: { signal: options.signal },
  }
  if (dryRun) return reportOf(await announce(context), undefined)
  for (let attempt = 1; ; attempt++) {
    try {
      return await withSession(context)
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CONFLICT') || attempt === ATTEMPTS_MAX) throw error
      if ('vanished' in error.details) throw error
      await context.environment.clock.sleep(randomDelayMs(repository, attempt), options.signal)
    }
  }
}

function randomDelayMs({ random }: Repository, attempt: number): number {
  const [high = 0, low = 0] = random.bytes(2)
  return DELAY_MS_MIN + ((high * 256 + low) / 65_536) * DELAY_MS_MIN * 2 ** attempt
}

async function withSession(context: PruneContext): Promise<PruneReport> {
  const { repository, environment, listener } = context
  const session = new Session(repository, 'pruner')
  let beatFailure: unknown
  const beat = () =>
    session.beat(context.signal).catch((error: unknown) => {
      beatFailure = error
    })
  const stopBeats = environment.clock.every(BEAT_PERIOD_MS, () => void beat())
  try {
    await firstBeat(context, session)
    const report = await rounds(context)
    await removeDeadPruners(context)
    await repository.backend.sweepTemporary(TEMPORARY_AGE_MS, context.operation)
    if (beatFailure !== undefined) listener.onNotice?.('the session could not be kept alive')
    return report
  } finally {
    stopBeats()
    // Without its beats the session is dead; a failure to remove the last changes nothing.
    await session.end().catch(() => {})
  }
}

/** On a full disk there is no room for a session. Marks, which may use the reserve, do without. */
async function firstBeat({ signal }: PruneContext, session: Session): Promise<void> {
  try {
    await session.beat(signal)
  } catch (error) {
    if (!isCairnError(error, 'CAIRN_STORAGE_REFUSED')) throw error
  }
}

async function announce(context: PruneContext): Promise<PrunePlan> {
  const plan = await planOnce(context)
  context.listener.onPlan?.(plan.statistics)
  return plan
}

/**
 * Throws CAIRN_CONFLICT where the repository makes no sense because somebody has changed it between
 * two listings: a snapshot that was forgotten after it was listed, and its packs gone before they were.
 */
async function planOnce(context: PruneContext): Promise<PrunePlan> {
  const before = await stateOf(context)
  try {
    return await planPrune(context)
  } catch (error) {
    if (!isCairnError(error, 'CAIRN_CORRUPT') || (await stateOf(context)) === before) throw error
    throw new CairnError(
      'CAIRN_CONFLICT',
      'cannot plan the prune: another run keeps changing what is there; run this again when it is done',
      { cause: error },
    )
  }
}

/** Equal as long as nothing has come or gone that says what is needed and where it is. */
async function stateOf({ repository, operation }: PruneContext): Promise<string> {
  const names: FileName[] = []
  for (const kind of ['retired', 'snapshots', 'index'] as const) {
    for (const { name } of await repository.backend.list(kind, operation)) names.push(name)
  }
  return names.sort().join(' ')
}

async function rounds(context: PruneContext): Promise<PruneReport> {
  const first = await announce(context)
  const byteCounts = bytesOf(first)
  const results = [await executePrune(context, first)]
  while ((results.at(-1)?.spared.length ?? 0) > 0 && results.length < ROUNDS_MAX) {
    const plan = await planOnce(context)
    for (const [name, byteCount] of bytesOf(plan)) byteCounts.set(name, byteCount)
    results.push(await executePrune(context, plan))
  }
  return reportOf(first, results, byteCounts)
}

function bytesOf({ view }: PrunePlan): Map<FileName, number> {
  const packs = view.inventory.packs.values()
  return new Map([...packs].map(({ name, byteCount }) => [name, byteCount]))
}

function reportOf(
  plan: PrunePlan,
  results: readonly PruneResult[] | undefined,
  byteCounts: ReadonlyMap<FileName, number> = new Map(),
): PruneReport {
  const removed = (results ?? []).flatMap((result) => result.removed)
  const gone = new Set(removed)
  const marked = new Set((results ?? []).flatMap((result) => result.marked))
  for (const name of gone) marked.delete(name)
  const bytes = (names: Iterable<FileName>) =>
    [...names].reduce((sum, name) => sum + (byteCounts.get(name) ?? 0), 0)
  const last = results?.at(-1)
  return {
    statistics: plan.statistics,
    packsRemoved: gone.size,
    bytesRemoved: bytes(gone),
    packsMarked: marked.size,
    bytesMarked: bytes(marked),
    bytesWritten: (results ?? []).reduce((sum, { bytesWritten }) => sum + bytesWritten, 0),
    damaged: last?.damaged ?? plan.damaged,
  }
}

/** Their packs are as their marks say; of the session nothing is needed. */
async function removeDeadPruners({ repository, operation }: PruneContext): Promise<void> {
  for (const { beat, isAlive, files } of await listSessions(repository, operation.signal)) {
    if (isAlive || beat.role !== SESSION_ROLE.pruner) continue
    for (const name of files) await repository.backend.remove({ kind: 'sessions', name }, operation)
  }
}
