/**
 * `rewrite`: snapshots without some of their files, or with another host or time. The new ones stand
 * beside the old ones, or with `forget` in their place.
 */

import type { ByteString } from '../../base/bytes.ts'
import { CairnError } from '../../base/errors.ts'
import { shortId } from '../../base/ids.ts'
import type { SnapshotContent } from '../../format/snapshot.ts'
import type { Repository } from '../../repository/repository.ts'
import type { Snapshot } from '../../repository/snapshots.ts'
import { nanosecondsOf, timeOf } from '../../repository/time.ts'
import { chooseSettled, type SnapshotChoosing } from '../choose-settled.ts'
import { lookForInterrupted, type ReplacingView, resolveInterrupted } from '../interrupted-runs.ts'
import { originalOf } from '../original.ts'
import { type Replaced, type Replacement, replaceSnapshots } from '../replace-snapshots.ts'
import { TreeStore } from '../tree-store.ts'
import { asWriter, doomedPacks, type WriterState } from '../writer-run.ts'
import { isSameRoot, type RewrittenTree, rewriteTree } from './rewrite-tree.ts'

/** How often it begins again after a prune took what it rests on. */
const PASSES_MAX = 4
const ADDED_TAG = 'rewrite'

export interface RewriteOptions extends SnapshotChoosing {
  /** Absent if no file goes. */
  readonly excludes?: (path: ByteString) => boolean
  readonly newHostname?: string
  readonly newTimeNs?: bigint
  /** Whether to count the files anew even where none goes. */
  readonly countAnew: boolean
  /** Whether the old ones go. */
  readonly forget: boolean
  readonly dryRun: boolean
  readonly cacheDirectory: string | undefined
  readonly onSnapshot?: (snapshot: Snapshot) => void
  readonly onExcluded?: (path: ByteString) => void
  readonly signal?: AbortSignal | undefined
}

export interface RewriteReport {
  /** What changes, or would: old snapshots. */
  readonly changed: readonly Snapshot[]
  /** Empty in a dry run. */
  readonly replaced: readonly Replaced[]
}

/**
 * All or nothing. Throws CAIRN_CORRUPT if a tree cannot be read, CAIRN_CONFLICT beside a prune, or if
 * one that was named is not confirmed.
 */
export async function rewriteSnapshots(
  repository: Repository,
  options: RewriteOptions,
): Promise<RewriteReport> {
  const { signal, dryRun } = options
  const operation = { signal }
  if (dryRun) {
    const view = await lookForInterrupted(repository, operation)
    const { replacements } = await plan(repository, view, options)
    return { changed: replacements.map(({ old }) => old), replaced: [] }
  }
  return await asWriter(repository, signal, async (state) => {
    for (let passes = 1; passes <= PASSES_MAX; passes++) {
      const view = await resolveInterrupted(repository, operation)
      const replaced = await pass(repository, view, options, state)
      if (replaced !== undefined) return { changed: replaced.map(({ old }) => old), replaced }
    }
    throw new CairnError(
      'CAIRN_CONFLICT',
      'cannot rewrite snapshots: a prune keeps removing what they rest on; run it again later',
    )
  })
}

async function pass(
  repository: Repository,
  view: ReplacingView,
  options: RewriteOptions,
  state: WriterState,
): Promise<Replaced[] | undefined> {
  const { replacements, relied } = await plan(repository, view, options)
  if (replacements.length === 0) return []
  return await replaceSnapshots(repository, view, replacements, state, {
    keepOld: !options.forget,
    relied,
    signal: options.signal,
  })
}

/** Writes the trees, durably unless it is a dry run, and says what the snapshots will be. */
async function plan(repository: Repository, view: ReplacingView, options: RewriteOptions) {
  const { signal, dryRun, cacheDirectory } = options
  const doomed = await doomedPacks(repository, signal)
  const store = await TreeStore.open({ repository, doomed, cacheDirectory, dryRun, signal })
  try {
    const replacements: Replacement[] = []
    for (const old of chooseSettled(repository, view, options)) {
      options.onSnapshot?.(old)
      const replacement = await rewritten(store, old, options)
      if (replacement !== undefined) replacements.push(replacement)
    }
    await store.finish()
    return { replacements, relied: store.relied }
  } finally {
    await store.close()
  }
}

async function rewritten(
  store: TreeStore,
  old: Snapshot,
  options: RewriteOptions,
): Promise<Replacement | undefined> {
  const { content, envelope } = old
  if (content === undefined) return undefined
  const tree = await newTree(store, old, content, options)
  const { newHostname, newTimeNs, forget } = options
  const isSameTree = tree === undefined || isSameRoot(tree.root, content.root)
  const isCounted = tree !== undefined && (!isSameTree || options.countAnew)
  const statistics = isCounted ? counted(content, tree) : content.statistics
  const isSame =
    isSameTree &&
    (newHostname ?? content.hostname) === content.hostname &&
    (newTimeNs ?? old.timeNs) === old.timeNs &&
    JSON.stringify(statistics) === JSON.stringify(content.statistics)
  if (isSame) return undefined
  const tags = forget ? content.tags : [...new Set([...content.tags, ADDED_TAG])]
  return {
    old,
    time: newTimeNs === undefined ? envelope.time : timeOf(newTimeNs),
    content: {
      ...content,
      ...(newTimeNs === undefined ? {} : movedTimes(content, newTimeNs)),
      hostname: newHostname ?? content.hostname,
      root: tree?.root ?? content.root,
      tags,
      statistics,
      original: originalOf(old),
    },
  }
}

/** Undefined if files are neither left out nor counted. */
async function newTree(
  store: TreeStore,
  old: Snapshot,
  content: SnapshotContent,
  options: RewriteOptions,
): Promise<RewrittenTree | undefined> {
  const { excludes, countAnew, onExcluded, signal } = options
  if (excludes === undefined && !countAnew) return undefined
  const tree = await rewriteTree(store, content.root, {
    excludes: excludes ?? (() => false),
    ...(onExcluded === undefined ? {} : { onExcluded }),
    signal,
  })
  if (tree.entryCount > 0 || isSameRoot(tree.root, content.root)) return tree
  throw new CairnError(
    'CAIRN_FAILED',
    `cannot rewrite snapshot ${shortId(old.id)}: nothing would be left of it; forget it instead`,
  )
}

function counted({ statistics }: SnapshotContent, tree: RewrittenTree) {
  return { ...statistics, filesProcessed: tree.fileCount, bytesProcessed: tree.byteCount }
}

/** The run took as long as it took. */
function movedTimes({ start, end }: SnapshotContent, newTimeNs: bigint) {
  const lastedNs = nanosecondsOf(end) - nanosecondsOf(start)
  return { start: timeOf(newTimeNs), end: timeOf(newTimeNs + lastedNs) }
}
