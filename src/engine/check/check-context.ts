/** What the parts of one check share. */

import { type CairnError, isDamage, throwIfAborted } from '../../base/errors.ts'
import type { Repository } from '../../repository/repository.ts'
import type { FindingList } from './finding.ts'

export interface CheckContext {
  readonly repository: Repository
  readonly findings: FindingList
  readonly transient: TransientCount
  readonly signal: AbortSignal | undefined
}

export interface TransientCount {
  count: number
}

/**
 * Does something that reads from the storage, once more if what came was damaged: a bit that
 * flipped on the way is no damage. Returns the error of the second time; throws any other kind.
 */
export async function readTwice<T>(
  context: Pick<CheckContext, 'transient' | 'signal'>,
  read: () => Promise<T>,
): Promise<T | CairnError> {
  throwIfAborted(context.signal)
  try {
    return await read()
  } catch (error) {
    if (!isDamage(error)) throw error
  }
  try {
    const result = await read()
    context.transient.count++
    return result
  } catch (error) {
    if (isDamage(error)) return error
    throw error
  }
}
