/** The library's options as the services take them. */

import { CairnError } from '../base/errors.ts'
import { parseDuration } from '../base/units.ts'
import type { BackupArguments } from '../service/backup.ts'
import type { RestoreArguments, RestoreRequest } from '../service/restore.ts'
import type { ForgetRequest } from '../service/forget.ts'
import type { PruneRequest } from '../service/prune.ts'
import type {
  BackupOptions,
  ForgetOptions,
  KeepRules,
  PruneOptions,
  RestoreOptions,
  SnapshotChoice,
} from './operations.ts'

export function filterOf({ hosts, paths, tags }: SnapshotChoice): RestoreRequest['filter'] {
  return { hosts: hosts ?? [], paths: paths ?? [], tags: tags ?? [] }
}

export function backupArguments(options: BackupOptions): BackupArguments {
  const { paths = [], stream } = options
  if ((paths.length === 0) === (stream === undefined)) {
    throw new CairnError('CAIRN_USAGE', 'nothing to back up: give either paths or a stream')
  }
  return {
    operands: paths,
    dryRun: options.dryRun ?? false,
    force: options.force ?? false,
    parent: undefined,
    groupBy: undefined,
    host: options.hostname,
    tag: options.tags ?? [],
    time: undefined,
    oneFileSystem: options.oneFileSystem ?? false,
    exclude: options.exclude ?? [],
    iexclude: [],
    excludeFile: [],
    iexcludeFile: [],
    excludeCaches: false,
    excludeIfPresent: [],
    excludeLargerThan: undefined,
    filesFrom: [],
    filesFromVerbatim: [],
    filesFromRaw: [],
    stdin: false,
    stdinFilename: undefined,
    stdinFromCommand: false,
    ignoreCtime: false,
    ignoreInode: false,
    withAtime: false,
    skipIfUnchanged: options.skipIfUnchanged ?? false,
    noExtraVerify: false,
  }
}

export function restoreArguments(snapshot: string, options: RestoreOptions): RestoreArguments {
  const { include = [], exclude = [] } = options
  if (include.length > 0 && exclude.length > 0) {
    throw new CairnError('CAIRN_USAGE', 'include and exclude exclude each other')
  }
  return {
    operands: [snapshot],
    target: options.target,
    include,
    iinclude: [],
    includeFile: [],
    iincludeFile: [],
    exclude,
    iexclude: [],
    excludeFile: [],
    iexcludeFile: [],
    overwrite: options.overwrite,
    delete: options.delete ?? false,
    dryRun: options.dryRun ?? false,
    sparse: options.sparse ?? false,
    includeXattr: [],
    excludeXattr: [],
    ownershipByName: false,
    verify: options.verify ?? false,
    at: undefined,
    atMode: undefined,
  }
}

const COUNTS = ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const

function policyOf(keep: KeepRules): ForgetRequest['policy'] {
  for (const rule of COUNTS) {
    const count = keep[rule]
    if (count === undefined || (Number.isInteger(count) && count >= -1)) continue
    throw new CairnError('CAIRN_USAGE', `keep.${rule} is a whole number, or -1 for all`)
  }
  const { last, within, tags = [], ...counts } = keep
  return {
    ...(last === undefined ? {} : { last }),
    counts,
    ...(within === undefined ? {} : { within: parseDuration(within) }),
    withinCounts: {},
    tags,
  }
}

export function forgetRequest(options: ForgetOptions, signal: AbortSignal): ForgetRequest {
  const { snapshots = [], keep = {} } = options
  if (snapshots.length > 0 && options.keep !== undefined) {
    throw new CairnError('CAIRN_USAGE', 'snapshots and keep exclude each other')
  }
  return {
    references: snapshots,
    filter: filterOf(options),
    policy: policyOf(keep),
    groupBy: { host: true, paths: true, tags: false },
    allowRemoveAll: options.allowRemoveAll ?? false,
    dryRun: options.dryRun ?? false,
    signal,
  }
}

const UNUSED_PERCENT = 5

export function pruneArguments(options: PruneOptions): Omit<PruneRequest, 'level' | 'listener'> {
  const { maxUnusedPercent: percent = UNUSED_PERCENT, graceMs } = options
  if (!(percent >= 0 && percent < 100)) {
    throw new CairnError('CAIRN_USAGE', 'maxUnusedPercent is from 0 to below 100')
  }
  if (graceMs !== undefined && !(graceMs >= 0))
    throw new CairnError('CAIRN_USAGE', 'graceMs is not negative')
  return {
    maxUnused: { kind: 'percent', percent },
    maxRepackBytes: options.maxRepackBytes,
    repackSmall: false,
    repackSmallerThan: undefined,
    repackCacheableOnly: false,
    repackUncompressed: false,
    isDiskFull: false,
    graceMs,
    dryRun: options.dryRun ?? false,
    verify: true,
    packBytes: undefined,
  }
}
