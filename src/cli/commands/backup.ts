/** `cairn backup` */

import { type ByteString, textOf } from '../../base/bytes.ts'
import { CairnError } from '../../base/errors.ts'
import { shortId } from '../../base/ids.ts'
import { type Access, openAccess } from '../../service/access.ts'
import { type BackupListener, type BackupReport, runBackup } from '../../service/backup.ts'
import { createAt, isCreated } from '../../service/create.ts'
import {
  compileLess,
  keepYoungGenerationSmall,
  letBuffersBeGivenBack,
  shareHeaps,
} from '../../service/node-environment.ts'
import type { CommandContext } from '../command.ts'
import type { BackupArguments } from '../options/backup.ts'
import { COMPRESSION_LEVELS } from '../options.ts'
import {
  type BackupStatus,
  type BackupSummary,
  backupItemJson,
  backupItemLine,
  backupStatusJson,
  backupStatusLines,
  backupSummaryJson,
  backupSummaryLines,
} from '../render/backup-text.ts'
import { errorJson, writeJsonLine } from '../render/json-lines.ts'
import { printable, printableName } from '../render/printable.ts'
import { RateEstimator, startProgress } from '../render/progress.ts'
import { programVersion } from './version.ts'

async function createIfMissing(args: BackupArguments, access: Access, context: CommandContext) {
  // A dry run that finds no repository says so, as without --init.
  if (!args.init || args.dryRun || (await isCreated(access))) return
  const id = await createAt(access, {
    chunkSize: args.chunkSize,
    cipher: args.cipher,
    packBytes: args.packSize === undefined ? undefined : args.packSize << 20,
  })
  if (!context.json && !context.quiet) {
    context.stdout.write(`created cairn repository ${shortId(id)} at ${access.backend.location}\n`)
  }
}

/** What the run says while it goes on, and how far it is. */
class BackupReporter {
  readonly #context: CommandContext
  readonly #rate = new RateEstimator()
  #status: BackupStatus = {
    seconds_elapsed: 0,
    seconds_remaining: 0,
    total_files: 0,
    files_done: 0,
    total_bytes: 0,
    bytes_done: 0,
    error_count: 0,
    current_files: [],
  }

  constructor(context: CommandContext) {
    this.#context = context
  }

  #say(line: string): void {
    const { json, quiet, stdout } = this.#context
    if (!json && !quiet) stdout.write(`${line}\n`)
  }

  get listener(): BackupListener {
    const { verbosity, json, stdout } = this.#context
    return {
      onOpened: (repository) => {
        keepYoungGenerationSmall()
        this.#say(`repository ${shortId(repository.id)} opened (version 1)`)
      },
      onParent: (parent) =>
        this.#say(
          parent === undefined
            ? 'no parent snapshot found, will read all files'
            : `using parent snapshot ${shortId(parent.id)}`,
        ),
      onError: (path, error) => this.#error(path, error),
      onNotice: (message) => this.#context.warn(printable(message)),
      onProgress: (progress) => {
        this.#status = {
          ...this.#status,
          files_done: progress.filesDone,
          bytes_done: progress.bytesDone,
          total_files: progress.totalFiles ?? 0,
          total_bytes: progress.totalBytes ?? 0,
          error_count: progress.errorCount,
          current_files: progress.currentFiles.map(json ? textOf : printableName),
        }
      },
      ...(verbosity < 2
        ? {}
        : {
            onItem: ({ path, isDirectory, action, stat }) => {
              const name = isDirectory ? `${path}/` : path
              const item = {
                action,
                item: json ? textOf(name) : printableName(name),
                isDirectory,
                duration: 0,
                data_size: stat.type === 'file' ? stat.size : 0,
                data_size_in_repo: 0,
                metadata_size: 0,
                metadata_size_in_repo: 0,
              }
              if (json) writeJsonLine(stdout, backupItemJson(item))
              else stdout.write(`${backupItemLine(item)}\n`)
            },
          }),
    }
  }

  #error(path: ByteString, error: Error): void {
    const { json, stderr, warn } = this.#context
    if (json) writeJsonLine(stderr, errorJson(error.message, 'archival', textOf(path)))
    else warn(`error: ${printableName(path)}: ${printable(error.message)}`)
  }

  status(): BackupStatus {
    const seconds = (Date.now() - this.#context.startedAtMs) / 1000
    this.#rate.record(seconds * 1000, this.#status.bytes_done)
    const bytesLeft = this.#status.total_bytes - this.#status.bytes_done
    const remaining = this.#rate.secondsRemaining(bytesLeft)
    return {
      ...this.#status,
      seconds_elapsed: seconds,
      seconds_remaining: this.#status.total_bytes > 0 ? remaining : 0,
    }
  }

  lines(): string[] {
    const status = this.status()
    return backupStatusLines(status, this.#rate.bytesPerSecond())
  }
}

function summaryOf(report: BackupReport, isDryRun: boolean): BackupSummary {
  const { files, directories } = report
  return {
    dry_run: isDryRun,
    files_new: files.new,
    files_changed: files.modified,
    files_unmodified: files.unchanged,
    dirs_new: directories.new,
    dirs_changed: directories.modified,
    dirs_unmodified: directories.unchanged,
    data_blobs: report.dataBlobs,
    tree_blobs: report.treeBlobs,
    data_added: report.bytesAdded,
    data_added_packed: report.bytesAddedStored,
    total_files_processed: report.filesProcessed,
    total_bytes_processed: report.bytesProcessed,
    total_duration: Number(report.endNs - report.startNs) / 1e9,
    backup_start: report.startNs,
    backup_end: report.endNs,
    ...(report.snapshotId === undefined ? {} : { snapshot_id: report.snapshotId }),
  }
}

function hints(args: BackupArguments, location: string, target: string): string {
  const repo = args.repo === undefined ? '' : ` -r ${location}`
  return (
    `\nlist it:     cairn snapshots${repo}\n` +
    `restore it:  cairn restore${repo} latest --target ${target}\n` +
    `second key:  cairn key add${repo}    (whoever loses the only one has lost the data)\n`
  )
}

export default async function backup(
  args: BackupArguments,
  context: CommandContext,
): Promise<number> {
  compileLess()
  letBuffersBeGivenBack()
  const access = await openAccess(args, context, args.jobs ?? args.readConcurrency)
  const reporter = new BackupReporter(context)
  const progress = startProgress(context, {
    lines: () => reporter.lines(),
    json: () => backupStatusJson(reporter.status()),
  })
  let report: BackupReport
  try {
    await createIfMissing(args, access, context)
    report = await runBackup(access, {
      args,
      level: COMPRESSION_LEVELS[args.compression ?? 'auto'],
      packBytes: args.packSize === undefined ? undefined : args.packSize << 20,
      program: `cairn ${programVersion()}`,
      environment: context.environment,
      listener: reporter.listener,
      onOpening: shareHeaps,
    })
  } finally {
    progress.stop()
    await access.close()
  }
  const summary = summaryOf(report, args.dryRun)
  if (context.json) writeJsonLine(context.stdout, backupSummaryJson(summary))
  else if (!context.quiet) {
    context.stdout.write(`${backupSummaryLines(summary, context.verbosity).join('\n')}\n`)
    if (args.init && context.verbosity === 0) {
      context.stdout.write(hints(args, access.backend.location, './restored'))
    }
  }
  if (report.errorCount > 0) {
    throw new CairnError('CAIRN_INCOMPLETE', 'at least one source file could not be read')
  }
  return 0
}
