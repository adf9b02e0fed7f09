/** Marks and sweep intents (FORMAT.md 16): which packs a prune is about to remove. */

import type { FileName } from '../base/ids.ts'
import { decodeMark, encodeMark, type Mark, MARK_PHASE } from '../format/session.ts'
import type { Repository } from './repository.ts'
import { nanosecondsOf, timeOf } from './time.ts'

export interface StoredMark {
  readonly name: FileName
  readonly mark: Mark
}

/** Every valid mark and sweep intent; what does not open is told and left out. */
export async function listMarks(
  repository: Repository,
  signal?: AbortSignal,
): Promise<StoredMark[]> {
  const objects = await repository.loadObjects('marks', { signal })
  return objects.map(({ name, body }) => ({ name, mark: decodeMark(body) }))
}

/** Every pack that one of these names. */
export function doomedBy(marks: readonly StoredMark[]): Set<FileName> {
  return new Set(marks.flatMap(({ mark }) => mark.packs))
}

/** Saves a mark or an intent; durable when this resolves. */
export async function saveMark(
  repository: Repository,
  phase: keyof typeof MARK_PHASE,
  packs: readonly FileName[],
  signal?: AbortSignal,
): Promise<StoredMark> {
  const mark: Mark = {
    phase: MARK_PHASE[phase],
    time: timeOf(repository.clock.wallNs()),
    packs,
    sessionId: repository.sessionId,
  }
  const { name } = await repository.saveObject('marks', encodeMark(mark), signal)
  await repository.backend.flush({ signal })
  return { name, mark }
}

/** Nanoseconds since a mark was made; 0 for one from the future. */
export function markAgeNs(repository: Repository, { mark }: StoredMark): bigint {
  const age = repository.clock.wallNs() - nanosecondsOf(mark.time)
  return age > 0n ? age : 0n
}
