/** `backup`: from the arguments to the engine, and what it may not back up: itself. */

import { spawn } from 'node:child_process'
import { lstatSync } from 'node:fs'
import { addAbortSignal, type Readable } from 'node:stream'
import { byteStringOf, type ByteString, toHex } from '../base/bytes.ts'
import { CairnError, throwIfAborted } from '../base/errors.ts'
import type { BackupInput, BackupListener, BackupReport } from '../engine/backup/backup-options.ts'
import type { ExclusionRules } from '../engine/backup/exclusions.ts'
import { sourceRoots } from '../engine/backup/source-roots.ts'
import { matchesFilter } from '../engine/snapshot-filter.ts'
import { parseSnapshotReference, resolveSnapshotReference } from '../engine/snapshot-reference.ts'
import { parseTimeReference } from '../engine/time-reference.ts'
import { sha256 } from '../crypto/sha256.ts'
import { devicesOfType } from '../fuse/mount-table.ts'
import type { Snapshot } from '../repository/snapshots.ts'
import { CACHE_TAG, parseDirectoryTag } from '../source/exclude-rules.ts'
import { parseFilesFrom, parseFilesFromRaw, parseFilesFromVerbatim } from '../source/files-from.ts'
import type { PatternMatcher } from '../source/patterns.ts'
import type { Access } from './access.ts'
import { MOUNT_TYPE } from './mount/mount-type.ts'
import { listOfPatterns, readListFile } from './patterns.ts'
import { candidateOf } from './select-snapshots.ts'

export interface GroupBy {
  readonly host: boolean
  readonly paths: boolean
  readonly tags: boolean
}

/** As the command line has them. */
export interface BackupArguments {
  readonly operands: readonly string[]
  readonly dryRun: boolean
  readonly force: boolean
  readonly parent: string | undefined
  readonly groupBy: GroupBy | undefined
  readonly host: string | undefined
  readonly tag: readonly string[]
  readonly time: string | undefined
  readonly oneFileSystem: boolean
  readonly exclude: readonly string[]
  readonly iexclude: readonly string[]
  readonly excludeFile: readonly string[]
  readonly iexcludeFile: readonly string[]
  readonly excludeCaches: boolean
  readonly excludeIfPresent: readonly string[]
  readonly excludeLargerThan: number | undefined
  readonly filesFrom: readonly string[]
  readonly filesFromVerbatim: readonly string[]
  readonly filesFromRaw: readonly string[]
  readonly stdin: boolean
  readonly stdinFilename: string | undefined
  readonly stdinFromCommand: boolean
  readonly ignoreCtime: boolean
  readonly ignoreInode: boolean
  readonly withAtime: boolean
  readonly skipIfUnchanged: boolean
  readonly noExtraVerify: boolean
}

export interface BackupRequest {
  readonly args: BackupArguments
  readonly level: number | undefined
  readonly packBytes: number | undefined
  readonly program: string
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Backed up as one file instead of what the arguments name. */
  readonly stream?: { readonly name: string; readonly chunks: AsyncIterable<Uint8Array> }
  readonly listener: BackupListener
  /** Called when the repository is being opened, and there is time to spare until the keys are there. */
  readonly onOpening?: () => void
}

export type { BackupListener, BackupReport }

/** The repository, mounts of one and the cache, wherever the source reaches them. */
function forbiddenDirectories(access: Access, cachePath: string | undefined) {
  const found: { dev: bigint; ino?: bigint; what: string }[] = []
  const add = (path: string | undefined, what: string) => {
    const stat =
      path === undefined ? undefined : lstatSync(path, { bigint: true, throwIfNoEntry: false })
    if (stat?.isDirectory()) found.push({ dev: stat.dev, ino: stat.ino, what })
  }
  add(access.path, 'the repository')
  add(cachePath, 'the cache')
  for (const dev of devicesOfType(MOUNT_TYPE)) found.push({ dev, what: 'a mounted repository' })
  return found
}

function exclusionsOf(
  request: BackupRequest,
  access: Access,
  cachePath: string | undefined,
  matchers: readonly PatternMatcher[],
): ExclusionRules {
  const { args } = request
  return {
    patterns: matchers,
    tags: [
      ...(args.excludeCaches ? [CACHE_TAG] : []),
      ...args.excludeIfPresent.map(parseDirectoryTag),
    ],
    largerThan: args.excludeLargerThan,
    oneFileSystem: args.oneFileSystem,
    forbidden: forbiddenDirectories(access, cachePath),
  }
}

/** What a stream gives, until `signal` aborts: then it ends at once, whatever it waits for. */
async function* abortable(stream: Readable, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  addAbortSignal(signal, stream)
  try {
    for await (const chunk of stream) yield chunk as Uint8Array
  } catch (error) {
    throwIfAborted(signal)
    throw error
  }
}

async function* commandOutput(
  command: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const [program = '', ...rest] = command
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<string | undefined>((resolve) => {
    child.on('error', (error) => resolve(error.message))
    child.on('close', (code, signal) => {
      resolve(code === 0 ? undefined : signal === null ? `exit code ${code}` : `signal ${signal}`)
    })
  })
  let isAtEnd = false
  try {
    yield* abortable(child.stdout, signal)
    isAtEnd = true
  } finally {
    // The backup has given up: the command must not go on for nobody. At the end of its output it
    // is about to exit by itself, and its own exit code is what counts.
    if (!isAtEnd) child.kill()
  }
  const problem = await ended
  if (problem !== undefined) {
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot back up the output of '${program}': ${problem}; no snapshot was made`,
    )
  }
}

function inputOf({ args, stream }: BackupRequest, access: Access): BackupInput {
  if (stream !== undefined) {
    return { kind: 'stream', name: byteStringOf(stream.name), chunks: stream.chunks }
  }
  if (args.stdin || args.stdinFromCommand) {
    const name = byteStringOf(args.stdinFilename ?? 'stdin')
    const chunks = args.stdinFromCommand
      ? commandOutput(args.operands, access.signal)
      : abortable(process.stdin, access.signal)
    return { kind: 'stream', name, chunks }
  }
  const paths: ByteString[] = args.operands.map(byteStringOf)
  const { source } = access.seams
  for (const file of args.filesFrom) {
    const { paths: found, unmatched } = parseFilesFrom(readListFile(file), source)
    for (const pattern of unmatched) access.warn(`nothing matches '${pattern}' of '${file}'`)
    paths.push(...found)
  }
  for (const file of args.filesFromVerbatim)
    paths.push(...parseFilesFromVerbatim(readListFile(file)))
  for (const file of args.filesFromRaw) paths.push(...parseFilesFromRaw(readListFile(file)))
  if (paths.length === 0) {
    throw new CairnError('CAIRN_USAGE', 'nothing to back up: the lists name no files')
  }
  return { kind: 'paths', paths, workingDirectory: process.cwd() }
}

/**
 * restic's rule: the newest snapshot of the same host and paths that is not newer than the one to be
 * made, unless one is named.
 */
function parentChooser(request: BackupRequest, hostname: string, nowNs: bigint, timeNs: bigint) {
  const { args } = request
  return (snapshots: readonly Snapshot[], paths: readonly ByteString[]): Snapshot | undefined => {
    const readable = snapshots.filter(({ content }) => content !== undefined)
    const complete = readable.filter(({ envelope }) => !envelope.partial)
    if (args.parent !== undefined) {
      const reference = parseSnapshotReference(args.parent, nowNs)
      return resolveSnapshotReference(reference, readable.map(candidateOf), {}).snapshot.snapshot
    }
    const group = args.groupBy ?? { host: true, paths: true, tags: false }
    const samePaths = (snapshot: Snapshot) =>
      JSON.stringify(snapshot.content?.paths) === JSON.stringify(paths)
    return complete
      .filter((snapshot) => snapshot.timeNs <= timeNs)
      .filter((snapshot) => !group.paths || samePaths(snapshot))
      .filter((snapshot) =>
        matchesFilter(candidateOf(snapshot), {
          hosts: group.host ? [hostname] : [],
          paths: [],
          tags: group.tags ? [args.tag] : [],
        }),
      )
      .at(-1)
  }
}

/** The scan cache belongs to one set of sources. */
function scanCacheName(input: BackupInput): string | undefined {
  if (input.kind !== 'paths') return undefined
  const { paths } = sourceRoots(input.paths, input.workingDirectory)
  return `scan-${toHex(sha256(Buffer.from(paths.join('\0'), 'latin1'))).slice(0, 32)}`
}

export async function runBackup(access: Access, request: BackupRequest): Promise<BackupReport> {
  const { args, environment } = request
  const matchers = listOfPatterns(
    { plain: args.exclude, folded: args.iexclude },
    { plain: args.excludeFile, folded: args.iexcludeFile },
    environment,
  )
  const input = inputOf(request, access)
  const nowNs = access.seams.clock.wallNs()
  const timeNs = args.time === undefined ? undefined : parseTimeReference(args.time, nowNs).startNs
  // Before the cache, so that a missing repository is said first.
  const opening = access.open()
  opening.catch(() => {})
  // Not before: it is much code, and the derivation of the keys should be under way meanwhile.
  const { backup } = await import('../engine/backup/backup.ts')
  request.onOpening?.()
  const cache = await access.cache()
  const cacheName = scanCacheName(input)
  const hostname = args.host ?? access.seams.process.hostname
  const isDryRun = args.dryRun
  const report = await backup({
    environment: access.seams,
    opening,
    scanCache:
      cache === undefined || cacheName === undefined
        ? undefined
        : { files: cache, name: cacheName },
    cacheDirectory: cache === undefined ? undefined : `${cache.path}/index`,
    input,
    exclusions: exclusionsOf(request, access, cache?.path, matchers),
    excludePatterns: [...args.exclude, ...args.iexclude],
    tags: args.tag,
    hostname,
    ...(timeNs === undefined ? {} : { timeNs }),
    chooseParent: parentChooser(request, hostname, nowNs, timeNs ?? nowNs),
    force: args.force,
    ignoreInode: args.ignoreInode,
    ignoreCtime: args.ignoreCtime || args.ignoreInode,
    withAtime: args.withAtime,
    dryRun: isDryRun,
    skipIfUnchanged: args.skipIfUnchanged,
    level: request.level,
    ...(request.packBytes === undefined ? {} : { packBytes: request.packBytes }),
    verify: !args.noExtraVerify,
    program: request.program,
    signal: access.signal,
    listener: request.listener,
  })
  if (report.snapshotId !== undefined) access.memory()?.addOwn(report.snapshotId)
  return report
}
