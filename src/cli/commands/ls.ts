/** `cairn ls` */

import { CairnError, errorChain } from '../../base/errors.ts'
import { openRepositoryAccess } from '../../service/access.ts'
import {
  type ListListener,
  type ListReport,
  listTree,
  type ShownEntry,
} from '../../service/list-tree.ts'
import type { ShownSnapshot } from '../../service/snapshots.ts'
import type { CommandContext } from '../command.ts'
import type { LsArguments } from '../options/ls.ts'
import { usage } from '../option.ts'
import { filterOf } from '../options.ts'
import { encodeJson, errorJson, type JsonValue, writeJsonLine } from '../render/json-lines.ts'
import { lsHeading, lsLine, lsSnapshotJson, ncduNodeJson, nodeJson } from '../render/ls-text.ts'
import { printable, printableName } from '../render/printable.ts'
import { snapshotJson } from '../render/snapshots-text.ts'

/** How entries leave the command: as lines, as JSON, as ncdu reads them. */
interface EntryPrinter {
  snapshot(snapshot: ShownSnapshot, distance: string | undefined): void
  entry(entry: ShownEntry, isOnTheWay: boolean): void
  enter(): void
  leave(): void
  /** When all entries have been given. */
  finish(): void
}

const NOTHING = () => {}

function textPrinter(
  args: LsArguments,
  directories: readonly string[],
  context: CommandContext,
): EntryPrinter {
  const { stdout, quiet } = context
  const style = { isLong: args.long, isHumanReadable: args.humanReadable }
  return {
    snapshot: (snapshot, distance) => {
      if (!quiet) stdout.write(`${lsHeading(snapshot, directories, distance)}\n`)
    },
    entry: (entry, isOnTheWay) => {
      if (isOnTheWay) return
      // A name that is no text is shown by its bytes: two such names do not look the same.
      const isText = !entry.path.includes('\ufffd')
      const shown = isText ? entry : { ...entry, path: printableName(entry.rawPath) }
      stdout.write(`${lsLine(shown, style)}\n`)
    },
    enter: NOTHING,
    leave: NOTHING,
    finish: NOTHING,
  }
}

function jsonPrinter({ stdout }: CommandContext): EntryPrinter {
  return {
    snapshot: (snapshot, distance) => {
      const fields = lsSnapshotJson(snapshot) as Readonly<Record<string, JsonValue>>
      writeJsonLine(stdout, { ...fields, distance })
    },
    entry: (entry, isOnTheWay) => {
      if (!isOnTheWay) writeJsonLine(stdout, nodeJson(entry))
    },
    enter: NOTHING,
    leave: NOTHING,
    finish: NOTHING,
  }
}

/** A directory is an array: itself, then what is in it. */
function ncduPrinter({ stdout }: CommandContext): EntryPrinter {
  let held: string | undefined
  const flush = () => {
    if (held !== undefined) stdout.write(`,\n${held}`)
    held = undefined
  }
  return {
    snapshot: (snapshot) =>
      stdout.write(`[1, 2, ${encodeJson(snapshotJson(snapshot))}, [{"name":"/"}`),
    entry: (entry) => {
      flush()
      // Held back until it is known whether it is entered.
      held = encodeJson(ncduNodeJson(entry))
      if (entry.type === 'dir') held = `[${held}]`
    },
    enter: () => {
      held = held?.slice(0, -1)
      flush()
    },
    leave: () => {
      flush()
      stdout.write(']')
    },
    finish: () => {
      flush()
      stdout.write(']]\n')
    },
  }
}

type SortKey = NonNullable<LsArguments['sort']>

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function extensionOf(path: string): string {
  const dot = path.lastIndexOf('.')
  return dot < path.lastIndexOf('/') ? '' : path.slice(dot)
}

function compareBy(key: SortKey, a: ShownEntry, b: ShownEntry): number {
  switch (key) {
    case 'size':
      return (a.size ?? 0) - (b.size ?? 0)
    case 'time':
    case 'mtime':
      return Number(a.mtime - b.mtime)
    case 'atime':
      // Without --with-atime there is none; restic keeps the mtime in its place then.
      return Number((a.atime ?? a.mtime) - (b.atime ?? b.mtime))
    case 'extension':
      return compareText(extensionOf(a.rawPath), extensionOf(b.rawPath))
    default:
      return 0
  }
}

/** Collects all entries, which takes memory for each, and prints them sorted at the end. */
function sorted(printer: EntryPrinter, key: SortKey, isReversed: boolean): EntryPrinter {
  const entries: ShownEntry[] = []
  return {
    ...printer,
    entry: (entry, isOnTheWay) => {
      if (!isOnTheWay) entries.push(entry)
    },
    finish: () => {
      entries.sort((a, b) => compareBy(key, a, b) || compareText(a.rawPath, b.rawPath))
      if (isReversed) entries.reverse()
      for (const entry of entries) printer.entry(entry, false)
      printer.finish()
    },
  }
}

function printerOf(
  args: LsArguments,
  directories: readonly string[],
  context: CommandContext,
): EntryPrinter {
  if (args.ncdu) return ncduPrinter(context)
  const printer = context.json ? jsonPrinter(context) : textPrinter(args, directories, context)
  if (args.sort === undefined && !args.reverse) return printer
  return sorted(printer, args.sort ?? 'name', args.reverse)
}

export default async function ls(args: LsArguments, context: CommandContext): Promise<number> {
  if (args.sort === 'ctime') {
    throw usage('cannot sort by ctime: snapshots do not keep it; sort by mtime')
  }
  const { json, stdout, stderr } = context
  const [reference = '', ...rest] = args.operands
  const directories = args.at === undefined ? rest : args.operands
  const printer = printerOf(args, directories, context)
  const listener: ListListener = {
    onSnapshot: printer.snapshot,
    onEntry: printer.entry,
    onEnter: printer.enter,
    onLeave: printer.leave,
    onDamage: (path, error) => {
      const message = errorChain(error)
      if (json) writeJsonLine(stderr, errorJson(message, 'ls', path))
      else context.warn(`error: ${printable(path)}: ${printable(message)}`)
    },
    drain: () => stdout.drain(),
  }
  const access = await openRepositoryAccess(args, context)
  let report: ListReport
  try {
    report = await listTree(access, {
      reference,
      at: args.at,
      atMode: args.atMode,
      filter: filterOf(args),
      directories,
      recursive: args.recursive,
      listener,
    })
  } finally {
    await access.close()
  }
  printer.finish()
  if (report.damageCount > 0) {
    throw new CairnError('CAIRN_CORRUPT', "the listing is not complete; run 'cairn check'")
  }
  const [missing] = report.missing
  if (missing === undefined) return 0
  throw new CairnError('CAIRN_FAILED', `cannot list '${missing}': the snapshot has no such path`)
}
