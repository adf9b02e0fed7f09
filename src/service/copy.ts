/** `copy`: from the arguments to the engine. */

import { errorChain } from '../base/errors.ts'
import { shortId } from '../base/ids.ts'
import { copySnapshots } from '../engine/copy/copy.ts'
import type { SnapshotFilter } from '../engine/snapshot-filter.ts'
import type { Access, RepositoryAccess } from './access.ts'
import { chooseSnapshots } from './select-snapshots.ts'
import { type ShownSnapshot, shownSnapshot } from './snapshots.ts'

export interface CopyRequest {
  readonly references: readonly string[]
  readonly filter: SnapshotFilter
  readonly level: number | undefined
  readonly verify: boolean
  readonly packBytes: number | undefined
  readonly onSkipped: (snapshot: ShownSnapshot, copyId: string) => void
  readonly onSnapshot: (snapshot: ShownSnapshot) => void
  readonly onProgress: (done: number, total: number) => void
}

export interface CopyOutcome {
  readonly copied: readonly { readonly source: ShownSnapshot; readonly newId: string }[]
  readonly skippedCount: number
  readonly bytesWritten: number
  /** Whether something was left out, which has been told. */
  readonly isIncomplete: boolean
}

const NONE: ReadonlySet<string> = new Set()

export async function runCopy(
  access: Access,
  from: RepositoryAccess,
  request: CopyRequest,
): Promise<CopyOutcome> {
  const source = await from.open()
  const target = await access.open()
  const cache = await access.cache()
  const nowNs = source.clock.wallNs()
  const { level, verify, packBytes, onProgress } = request
  const report = await copySnapshots({
    environment: access.seams,
    source,
    target,
    choose: (snapshots) => chooseSnapshots(snapshots, request, nowNs),
    level,
    verify,
    ...(packBytes === undefined ? {} : { packBytes }),
    cacheDirectory: cache === undefined ? undefined : `${cache.path}/index`,
    listener: {
      onSkipped: (snapshot, copy) => request.onSkipped(shownSnapshot(snapshot, NONE), copy.id),
      onSnapshot: (snapshot) => request.onSnapshot(shownSnapshot(snapshot, NONE)),
      onProgress,
      onNotice: (message) => access.warn(message),
    },
    signal: access.signal,
  })
  const { copied, failed, refused, skippedCount, bytesWritten, damagedCount } = report
  for (const { snapshot } of copied) access.memory()?.addOwn(snapshot.id)
  for (const {
    source: { id },
    error,
  } of failed) {
    access.warn(`snapshot ${shortId(id)} is not copied: ${errorChain(error)}`)
  }
  for (const { problem } of refused)
    access.warn(`an entry was left out: its name is refused: ${problem}`)
  return {
    copied: copied.map((one) => ({
      source: shownSnapshot(one.source, NONE),
      newId: one.snapshot.id,
    })),
    skippedCount,
    bytesWritten,
    isIncomplete: failed.length + refused.length + damagedCount > 0,
  }
}
