/** `cairn find` */

import { CairnError, errorChain } from '../../base/errors.ts'
import { openRepositoryAccess } from '../../service/access.ts'
import { type FindKind, type FindListener, type FindReport, runFind } from '../../service/find.ts'
import type { ShownEntry } from '../../service/list-tree.ts'
import type { ShownSnapshot } from '../../service/snapshots.ts'
import type { CommandContext } from '../command.ts'
import type { FindArguments } from '../options/find.ts'
import { filterOf } from '../options.ts'
import { findHeading, matchJson, objectJson, objectLines, placeLines } from '../render/find-text.ts'
import { encodeJson, errorJson, type JsonValue, writeJsonLine } from '../render/json-lines.ts'
import { lsLine } from '../render/ls-text.ts'
import { printable, printableName } from '../render/printable.ts'
import { startProgress } from '../render/progress.ts'

type Printer = Omit<FindListener, 'onProgress' | 'onDamage' | 'drain'> & {
  /** When everything has been told. */
  finish(): void
}

function textPrinter(args: FindArguments, { stdout, quiet }: CommandContext): Printer {
  const style = { isLong: args.long, isHumanReadable: args.humanReadable }
  let snapshot: ShownSnapshot | undefined
  let isHeaded = false
  let isFirst = true
  const headed = (entry: ShownEntry) => {
    if (!isHeaded && snapshot !== undefined && !quiet) {
      stdout.write(`${isFirst ? '' : '\n'}${findHeading(snapshot)}\n`)
    }
    isHeaded = true
    isFirst = false
    const isText = !entry.path.includes('\ufffd')
    return isText ? entry : { ...entry, path: printableName(entry.rawPath) }
  }
  const lines = (all: readonly string[]) => stdout.write(`${all.join('\n')}\n`)
  return {
    onSnapshot: (next) => {
      snapshot = next
      isHeaded = false
    },
    onEntry: (entry) => stdout.write(`${lsLine(headed(entry), style)}\n`),
    onObject: (object, path) => {
      if (snapshot !== undefined) lines(objectLines(object, path, snapshot))
    },
    onSnapshotEnd: () => {},
    onPlace: (place) => lines(placeLines(place)),
    finish: () => {},
  }
}

/** One document: an array of snapshots with their matches, or of objects. */
function jsonPrinter({ stdout }: CommandContext): Printer {
  let snapshot: ShownSnapshot | undefined
  let hits = 0
  let gap = '['
  const element = (text: string) => {
    stdout.write(gap + text)
    gap = ','
  }
  const match = (value: JsonValue) => {
    if (hits++ === 0) element('{"matches":[')
    else stdout.write(',')
    stdout.write(encodeJson(value))
  }
  return {
    onSnapshot: (next) => {
      snapshot = next
      hits = 0
    },
    onEntry: (entry, owner) => match(matchJson(entry, owner)),
    onObject: (object, path) => {
      if (snapshot !== undefined) element(encodeJson(objectJson(object, path, snapshot)))
    },
    onSnapshotEnd: () => {
      if (hits > 0) stdout.write(`],"hits":${hits},"snapshot":${encodeJson(snapshot?.id)}}`)
    },
    onPlace: ({ id, pack, offset, length }) =>
      element(encodeJson({ object_type: 'place', id, pack, offset, length })),
    finish: () => stdout.write(gap === '[' ? '[]\n' : ']\n'),
  }
}

function kindOf({ blob, tree, pack }: FindArguments): FindKind {
  return blob ? 'blob' : tree ? 'tree' : pack ? 'pack' : 'name'
}

export default async function find(args: FindArguments, context: CommandContext): Promise<number> {
  const { json, stdout, stderr } = context
  const printer = json ? jsonPrinter(context) : textPrinter(args, context)
  const access = await openRepositoryAccess(args, context)
  let line = ''
  const progress = startProgress(context, { lines: () => [line] })
  let report: FindReport
  try {
    report = await runFind(access, {
      kind: kindOf(args),
      wanted: args.operands,
      ignoreCase: args.ignoreCase,
      oldest: args.oldest,
      newest: args.newest,
      showPackId: args.showPackId,
      references: args.snapshot,
      at: args.at,
      atMode: args.atMode,
      filter: filterOf(args),
      oldestFirst: args.reverse,
      listener: {
        ...printer,
        onProgress: (done, total) => {
          line = `${done} / ${total} snapshots`
        },
        onDamage: (path, error) => {
          const message = errorChain(error)
          if (json) writeJsonLine(stderr, errorJson(message, 'find', path))
          else context.warn(`error: ${printable(path)}: ${printable(message)}`)
        },
        drain: () => stdout.drain(),
      },
    })
  } finally {
    progress.stop()
    await access.close()
  }
  printer.finish()
  if (report.damageCount === 0) return 0
  throw new CairnError('CAIRN_CORRUPT', "not everything could be searched; run 'cairn check'")
}
