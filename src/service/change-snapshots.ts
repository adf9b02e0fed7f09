/** `tag`, `rewrite` and `undelete`: from the arguments to the engine. */

import type { ByteString } from '../base/bytes.ts'
import type { Replaced } from '../engine/replace-snapshots.ts'
import { rewriteSnapshots } from '../engine/rewrite/rewrite.ts'
import type { SnapshotFilter } from '../engine/snapshot-filter.ts'
import { changeTags, type TagChange } from '../engine/tag.ts'
import { parseTimeReference } from '../engine/time-reference.ts'
import { undelete, undeletable } from '../engine/undelete.ts'
import type { Repository } from '../repository/repository.ts'
import type { FilelessSnapshot } from '../repository/snapshots.ts'
import type { RepositoryAccess } from './access.ts'
import { listOfPatterns } from './patterns.ts'
import { chooseSnapshots } from './select-snapshots.ts'
import { type ShownSnapshot, shownSnapshot } from './snapshots.ts'

export interface ChangedSnapshot {
  readonly oldId: string
  readonly newId: string
}

function changedIds({ old, snapshot }: Replaced): ChangedSnapshot {
  return { oldId: old.id, newId: snapshot.id }
}

export async function runTag(
  repository: Repository,
  request: {
    readonly references: readonly string[]
    readonly filter: SnapshotFilter
    readonly change: TagChange
    readonly signal: AbortSignal
  },
): Promise<ChangedSnapshot[]> {
  const nowNs = repository.clock.wallNs()
  const changed = await changeTags(repository, {
    choose: (snapshots) => chooseSnapshots(snapshots, request, nowNs),
    isNamed: request.references.length > 0,
    change: request.change,
    signal: request.signal,
  })
  return changed.map(changedIds)
}

export interface ForgottenSnapshot {
  readonly snapshot: ShownSnapshot
  readonly forgottenNs: bigint
}

/** What could be brought back, oldest first. */
export async function listForgotten(
  repository: Repository,
  signal: AbortSignal,
): Promise<ForgottenSnapshot[]> {
  const found = await undeletable(repository, await repository.history({ signal }), { signal })
  return found.map(({ snapshot, forgottenNs }) => ({
    snapshot: shownSnapshot(snapshot, new Set()),
    forgottenNs,
  }))
}

export async function runUndelete(
  repository: Repository,
  references: readonly string[],
  signal: AbortSignal,
): Promise<ChangedSnapshot[]> {
  const nowNs = repository.clock.wallNs()
  const filter = { hosts: [], paths: [], tags: [] }
  const choose = (candidates: readonly { readonly snapshot: FilelessSnapshot }[]) => {
    const snapshots = candidates.map(({ snapshot }) => snapshot)
    return chooseSnapshots(snapshots, { references, filter }, nowNs)
  }
  const restored = await undelete(repository, { choose, signal })
  return restored.map(({ forgotten, snapshot }) => ({ oldId: forgotten.id, newId: snapshot.id }))
}

/** As the command line has them. */
export interface RewriteArguments {
  readonly operands: readonly string[]
  readonly exclude: readonly string[]
  readonly iexclude: readonly string[]
  readonly excludeFile: readonly string[]
  readonly iexcludeFile: readonly string[]
  readonly newHost: string | undefined
  readonly newTime: string | undefined
  readonly snapshotSummary: boolean
  readonly forget: boolean
  readonly dryRun: boolean
}

export interface RewriteRequest {
  readonly args: RewriteArguments
  readonly filter: SnapshotFilter
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly onSnapshot: (snapshot: ShownSnapshot) => void
  readonly onExcluded: (path: ByteString) => void
}

/** Returns what was rewritten; in a dry run without new ids. */
export async function runRewrite(
  access: RepositoryAccess,
  { args, filter, environment, onSnapshot, onExcluded }: RewriteRequest,
): Promise<{ readonly changed: readonly ChangedSnapshot[]; readonly count: number }> {
  const matchers = listOfPatterns(
    { plain: args.exclude, folded: args.iexclude },
    { plain: args.excludeFile, folded: args.iexcludeFile },
    environment,
  )
  const repository = await access.open()
  const nowNs = repository.clock.wallNs()
  const { newHost, newTime, operands } = args
  const newTimeNs = newTime === undefined ? undefined : parseTimeReference(newTime, nowNs).startNs
  const cache = await access.cache()
  const { changed, replaced } = await rewriteSnapshots(repository, {
    choose: (snapshots) => chooseSnapshots(snapshots, { references: operands, filter }, nowNs),
    isNamed: operands.length > 0,
    ...(matchers.length === 0
      ? {}
      : { excludes: (path: ByteString) => matchers.some((matcher) => matcher.matches(path)) }),
    ...(newHost === undefined ? {} : { newHostname: newHost }),
    ...(newTimeNs === undefined ? {} : { newTimeNs }),
    countAnew: args.snapshotSummary,
    forget: args.forget,
    dryRun: args.dryRun,
    cacheDirectory: cache === undefined ? undefined : `${cache.path}/index`,
    onSnapshot: (snapshot) => onSnapshot(shownSnapshot(snapshot, new Set())),
    onExcluded,
    signal: access.signal,
  })
  return { changed: replaced.map(changedIds), count: changed.length }
}
