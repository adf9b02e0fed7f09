/** An opened repository and what can be done with it. */

import { textOf } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import type { Access } from '../service/access.ts'
import { runBackup } from '../service/backup.ts'
import { findingText, runCheck } from '../service/check.ts'
import { runDump } from '../service/dump.ts'
import { runForget } from '../service/forget.ts'
import { listTree } from '../service/list-tree.ts'
import { runPrune } from '../service/prune.ts'
import { runRestore } from '../service/restore.ts'
import { restorePatterns } from '../service/restore-patterns.ts'
import { listSnapshots } from '../service/snapshots.ts'
import { runStats } from '../service/stats.ts'
import {
  backupArguments,
  filterOf,
  forgetRequest,
  pruneArguments,
  restoreArguments,
} from './arguments.ts'
import { Operations } from './running-operations.ts'
import { backupResult, entryOf, pruneResult, snapshotOf, statsResult } from './results.ts'
import type {
  BackupOptions,
  BackupResult,
  CheckOptions,
  CheckResult,
  DumpOptions,
  Entry,
  Finding,
  ForgetOptions,
  ForgetResult,
  ListOptions,
  OperationOptions,
  PruneOptions,
  PruneResult,
  RestoreOptions,
  RestoreResult,
  Snapshot,
  SnapshotChoice,
  StatsOptions,
  StatsResult,
} from './operations.ts'

const DEFAULT_LEVEL = 3
/** How far what gives may be ahead of what takes. */
const ENTRIES_AHEAD = 1024
const PIECES_AHEAD = 4

/**
 * A repository that was opened with `openRepository` or `createRepository`. Operations may run at the
 * same time. A snapshot is named as on the command line: an id or its beginning, `latest`, `latest~1`
 * or a time such as `@2026-11-20T14:00`.
 */
export class CairnRepository {
  /** 32 hex digits. */
  readonly id: string
  readonly location: string
  readonly #warn: (message: string) => void
  readonly #operations: Operations

  /** @internal */
  constructor(access: Access, id: string, warn: (message: string) => void) {
    this.id = id
    this.location = access.backend.location
    this.#warn = warn
    this.#operations = new Operations(access, warn)
  }

  /**
   * Makes a snapshot. What could not be read is counted in `errorCount` and told to `onError`.
   * Rejects with CAIRN_FAILED if nothing could be read, with CAIRN_CONFLICT if something keeps
   * removing what it rests on.
   */
  async backup(options: BackupOptions): Promise<BackupResult> {
    const { stream, compression = DEFAULT_LEVEL, onError, onProgress } = options
    return await this.#operations.run(options, async (access) => {
      const report = await runBackup(access, {
        args: backupArguments(options),
        level: compression === false ? undefined : compression,
        packBytes: undefined,
        program: 'cairn library',
        environment: {},
        ...(stream === undefined ? {} : { stream: { name: stream.path, chunks: stream.content } }),
        listener: {
          onError: (path, error) => onError?.(textOf(path), error),
          onNotice: (message) => this.#warn(message),
          onProgress: (progress) => onProgress?.(progress),
        },
      })
      return backupResult(report)
    })
  }

  /**
   * Restores a snapshot, or the directory of one behind a colon, as in `latest:/home/ann`. What
   * could not be restored is counted and told to `onError`.
   */
  async restore(snapshot: string, options: RestoreOptions): Promise<RestoreResult> {
    return await this.#operations.run(options, async (access) => {
      let snapshotId = ''
      const { onError, onProgress } = options
      const args = restoreArguments(snapshot, options)
      const { counts, errorCount, isComplete } = await runRestore(access, {
        args,
        filter: filterOf(options),
        patterns: restorePatterns(args, {}),
        onSnapshot: (found) => {
          snapshotId = found.id
        },
        listener: {
          onError: (path, error) => onError?.(textOf(path), error),
          onProgress: (progress) =>
            onProgress?.({
              filesDone: progress.files_restored + progress.files_skipped,
              totalFiles: progress.total_files,
              bytesDone: progress.bytes_restored + progress.bytes_skipped,
              totalBytes: progress.total_bytes,
            }),
        },
      })
      return {
        snapshotId,
        filesRestored: counts.files_restored,
        filesSkipped: counts.files_skipped,
        filesDeleted: counts.files_deleted,
        bytesRestored: counts.bytes_restored,
        errorCount,
        isComplete,
      }
    })
  }

  /** The snapshots there are, oldest first. */
  async snapshots(options: OperationOptions & SnapshotChoice = {}): Promise<Snapshot[]> {
    return await this.#operations.run(options, async (access) => {
      const query = { filter: filterOf(options), references: [], signal: access.signal }
      const found = await listSnapshots(await access.open(), query)
      return found.map(snapshotOf)
    })
  }

  /**
   * The entries of a snapshot, directories before what is in them. Rejects with CAIRN_CORRUPT at the
   * first part of the listing that is damaged. Memory does not depend on the number of entries.
   */
  async *ls(snapshot: string, options: ListOptions = {}): AsyncGenerator<Entry, void> {
    yield* this.#operations.stream<Entry>(options, ENTRIES_AHEAD, async (access, queue) => {
      await listTree(access, {
        reference: snapshot,
        at: undefined,
        atMode: undefined,
        filter: filterOf(options),
        directories: options.directories ?? [],
        recursive: options.recursive ?? false,
        listener: {
          onSnapshot: () => {},
          onEntry: (entry, isOnTheWay) => {
            if (!isOnTheWay) queue.push(entryOf(entry))
          },
          onDamage: (path, cause) => {
            throw new CairnError('CAIRN_FAILED', `cannot list '${path}'`, { cause })
          },
          drain: () => queue.drained(),
        },
      })
    })
  }

  /**
   * The content of one file, in pieces of at most a chunk. Rejects with CAIRN_FAILED if there is no
   * such file, and with CAIRN_CORRUPT before it gives a wrong byte.
   */
  async *readFile(
    snapshot: string,
    path: string,
    options: OperationOptions & SnapshotChoice = {},
  ): AsyncGenerator<Uint8Array, void> {
    yield* this.#dumped(snapshot, path, { ...options, isFileWanted: true })
  }

  /**
   * The content of a file, or a directory and all that is below it as an archive. Rejects with
   * CAIRN_CORRUPT where something is damaged: what was given before is right.
   */
  async *dump(
    snapshot: string,
    path: string,
    options: DumpOptions = {},
  ): AsyncGenerator<Uint8Array, void> {
    yield* this.#dumped(snapshot, path, { ...options, isFileWanted: false })
  }

  #dumped(
    snapshot: string,
    path: string,
    options: DumpOptions & { readonly isFileWanted: boolean },
  ): AsyncGenerator<Uint8Array, void> {
    const { onLeftOut, isFileWanted, format = 'tar' } = options
    return this.#operations.stream<Uint8Array>(options, PIECES_AHEAD, async (access, queue) => {
      await runDump(access, {
        reference: snapshot,
        at: undefined,
        atMode: undefined,
        filter: filterOf(options),
        path,
        format,
        target: undefined,
        output: async (bytes) => {
          // A copy: what was handed in is used again.
          queue.push(Uint8Array.from(bytes))
          await queue.drained()
        },
        requireArchiveWanted: () => {
          if (!isFileWanted) return
          throw new CairnError('CAIRN_FAILED', `cannot read '${path}': it is not a regular file`)
        },
        onSnapshot: () => {},
        onLeftOut: (leftOut) => onLeftOut?.(leftOut),
        onProblem: (problemPath, cause) => {
          throw new CairnError('CAIRN_CORRUPT', `cannot dump '${problemPath}'`, { cause })
        },
      })
    })
  }

  /**
   * Forgets snapshots: those that are named, or those that no rule keeps. Their data stays until a
   * prune. Rejects with CAIRN_WRONG_SECRET if the key may not, with CAIRN_FAILED if a group would
   * lose all its snapshots.
   */
  async forget(options: ForgetOptions): Promise<ForgetResult> {
    return await this.#operations.run(options, async (access) => {
      let result: ForgetResult = { keptIds: [], forgottenIds: [] }
      const request = forgetRequest(options, access.signal)
      await runForget(await access.open(), request, ({ groups, removed }) => {
        result = {
          keptIds: groups.flatMap(({ keep }) => keep.map(({ id }) => id)),
          forgottenIds: removed.map(({ id }) => id),
        }
      })
      return result
    })
  }

  /**
   * Removes what no snapshot needs. Backups may run at the same time. Rejects with CAIRN_CORRUPT,
   * before anything is removed, if something is missing that nobody has accepted.
   */
  async prune(options: PruneOptions = {}): Promise<PruneResult> {
    const { compression = DEFAULT_LEVEL } = options
    return await this.#operations.run(options, async (access) =>
      pruneResult(
        await runPrune(access, {
          ...pruneArguments(options),
          level: compression === false ? undefined : compression,
          listener: {
            onProgress: (done, total) => options.onProgress?.({ done, total }),
            onNotice: (message) => this.#warn(message),
          },
        }),
      ),
    )
  }

  /** What restoring snapshots would give, or what they take in the storage. */
  async stats(options: StatsOptions = {}): Promise<StatsResult> {
    return await this.#operations.run(options, async (access) => {
      const report = await runStats(access, {
        mode: options.stored === true ? 'raw-data' : 'restore-size',
        references: options.snapshots ?? [],
        filter: filterOf(options),
        onProgress: (done, total) => options.onProgress?.({ done, total }),
      })
      return statsResult(report)
    })
  }

  /** Checks that all that snapshots need is there and as it was written. Damage is a result. */
  async check(options: CheckOptions = {}): Promise<CheckResult> {
    const { onFinding, onProgress, readData = false } = options
    return await this.#operations.run(options, async (access) => {
      const findings: Finding[] = []
      const report = await runCheck(access, {
        readData: readData ? { kind: 'all' } : undefined,
        references: [],
        filter: filterOf({}),
        onFinding: (found) => {
          const finding = { severity: found.severity, text: findingText(found) }
          findings.push(finding)
          onFinding?.(finding)
        },
        onPhase: () => {},
        onProgress: (progress) => onProgress?.(progress),
      })
      const { summary, snapshotCount } = report
      return { errorCount: summary.num_errors, findings, snapshotCount }
    })
  }

  /** Ends what is under way and lets go of everything. A second call does nothing. */
  async close(): Promise<void> {
    await this.#operations.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
