/** Many operations on one opened repository, each a run of its own with its own signal. */

import { Repository } from '../repository/repository.ts'
import type { Access } from './access.ts'

export interface OperationContext {
  readonly signal: AbortSignal
  warn(message: string): void
}

/**
 * What one operation gets of `base`, whose secret is asked for and derived once. Closing it closes
 * nothing: whoever opened `base` closes that.
 */
export function operationAccess(base: Access, { signal, warn }: OperationContext): Access {
  let repository: Promise<Repository> | undefined
  const open = async () => {
    const opened = await base.open()
    const { unlocked, backend, clock, random, process } = opened
    // A session of its own: two backups through one opening are two runs (FORMAT.md 16).
    const cache = () => base.cache()
    const repository = new Repository({ backend, clock, random, process, cache }, unlocked, warn)
    repository.onHistory = opened.onHistory
    return repository
  }
  return {
    backend: base.backend,
    path: base.path,
    seams: base.seams,
    signal,
    warn,
    secret: (prompt) => base.secret(prompt),
    open: () => (repository ??= open()),
    cache: () => base.cache(),
    prepareIndex: () => {},
    takeIndex: () => Promise.resolve(undefined),
    memory: () => base.memory(),
    forgetPlace: () => base.forgetPlace(),
    close: () => Promise.resolve(),
  }
}
