/**
 * The JSON of every command that has it in the restic that is installed, field by field: what restic
 * has is there in cairn with the same type, but for what is listed here; and what it counts is equal
 * where the format leaves no room.
 */

import { expect, test } from 'vitest'
import { hasRestic, runScript, type ScriptTool } from '../support/restic-script.ts'
import { type Json, jsonLines } from '../support/run-cairn.ts'

/** In this order; the second backup is the first of them. */
const COMMANDS = {
  backup: 'backup --json -vv --host h --tag one --exclude *.no $SOURCE',
  snapshots: 'snapshots --json',
  groups: 'snapshots --json --group-by host,paths,tags',
  ls: 'ls --json latest',
  find: 'find --json *.txt',
  diff: 'diff --json $IDS',
  stats: 'stats --json',
  'stats --mode raw-data': 'stats --json --mode raw-data',
  'stats --mode blobs-per-file': 'stats --json --mode blobs-per-file',
  'key list': 'key list --json',
  forget: 'forget --json --dry-run --keep-last 1',
} as const
type Command = keyof typeof COMMANDS

/** Why cairn has no such field, or has it otherwise. Lines are kind and path of the field. */
const DIFFERENCES: Readonly<Record<string, string>> = {
  'ls node atime': 'times of access are kept with --with-atime only',
  'ls node ctime': 'differs between machines and runs: it would defeat sharing',
  'stats --mode raw-data total_file_count': 'always 0 there: blobs are counted, not files',
  'find matches[].atime': 'as in ls',
  'find matches[].ctime': 'as in ls',
  'find matches[].device_id': 'says nothing on another machine',
  'find matches[].links': 'names are linked by groups of their own',
}

const SCRIPT = `
mkdir -p source/sub; echo alpha > source/a.txt; echo beta > source/sub/b.txt; ln -s a.txt source/link; mkfifo source/pipe
ln source/a.txt source/hard.txt
restic init >/dev/null
SOURCE="$PWD/source"
restic backup -q --host h "$SOURCE" || exit 9
echo more >> source/a.txt; rm source/sub/b.txt; echo new > source/new.txt
set -f
show() {
  echo "@@$1"; shift
  restic "$@" || exit 8
  # Oldest first, without a program that reads JSON.
  [ "$1" = snapshots ] && IDS=$(restic snapshots --json | tr , '\\n' | sed -n 's/.*"id":"\\([0-9a-f]*\\)".*/\\1/p')
}
${Object.entries(COMMANDS)
  .map(([name, command]) => `show '${name}' ${command}`)
  .join('\n')}
true`

/** The JSON objects that each command printed: those of an array, or one a line. */
function objects(tool: ScriptTool): Map<string, Json[]> {
  const { stdout, stderr, code } = runScript(tool, SCRIPT)
  if (code !== 0) throw new Error(`${tool}: ${stderr}`)
  const sections = stdout.split('@@').slice(1)
  return new Map(
    sections.map((section) => {
      const [name = '', ...lines] = section.split('\n')
      const text = lines.join('\n')
      return [name, text.startsWith('[') ? (JSON.parse(text) as Json[]) : jsonLines(text)]
    }),
  )
}

/** An object's message or struct type, or the command where it has none. */
function kindOf(command: Command, object: Json): string {
  const type = object.message_type ?? object.struct_type
  return type === undefined ? command : `${command} ${type}`
}

/** Paths of all fields with the types of their values; those of a list's items are joined. */
function addShape(shape: Map<string, Set<string>>, path: string, value: Json): void {
  if (value === null) return
  const type = Array.isArray(value) ? 'array' : typeof value
  const types = shape.get(path) ?? new Set<string>()
  shape.set(path, types.add(type))
  if (Array.isArray(value)) for (const item of value) addShape(shape, `${path}[]`, item)
  else if (type === 'object') {
    const dot = path.includes(' ') && !path.endsWith(' ') && !path.endsWith(']') ? '.' : ''
    for (const [name, field] of Object.entries(value)) {
      addShape(shape, path.endsWith(']') ? `${path}.${name}` : `${path}${dot}${name}`, field)
    }
  }
}

function shapeOf(command: Command, found: readonly Json[]): Map<string, Set<string>> {
  const shape = new Map<string, Set<string>>()
  for (const object of found) {
    // How far it is when it says so is up to the machine.
    if (object.message_type === 'status') continue
    addShape(shape, `${kindOf(command, object)} `, object)
  }
  return shape
}

/** Fields of restic that cairn has not, or with another type. */
function missing(restic: Map<string, Set<string>>, cairn: Map<string, Set<string>>): string[] {
  return [...restic].flatMap(([path, types]) => {
    if (path in DIFFERENCES) return []
    const own = [...(cairn.get(path) ?? [])].toSorted()
    return own.join() === [...types].toSorted().join() ? [] : [`${path}: ${[...types]} is ${own}`]
  })
}

const pick = (object: Json, ...names: string[]) => names.map((name) => object[name] ?? 0)

/** What has to be equal to the last digit. */
const VALUES: Partial<Record<Command, (found: readonly Json[]) => unknown>> = {
  backup: (found) => {
    const summary = found.findLast(({ message_type: type }) => type === 'summary')
    const files = ['files_new', 'files_changed', 'files_unmodified', 'total_files_processed']
    const dirs = ['dirs_new', 'dirs_changed', 'dirs_unmodified', 'total_bytes_processed']
    return pick(summary, ...files, ...dirs, 'data_blobs', 'tree_blobs')
  },
  snapshots: (found) =>
    found.map((one) => pick(one, 'hostname', 'username', 'paths', 'tags', 'excludes')),
  groups: (found) => found.map((one) => JSON.stringify(one.group_key)).toSorted(),
  ls: (found) =>
    found
      .filter(({ struct_type: type, path }) => type === 'node' && path.includes('/source/'))
      .map((one) => pick(one, 'name', 'type', 'uid', 'gid', 'size', 'mode', 'permissions')),
  find: (found) =>
    found
      .map(({ matches, hits }) => [
        hits,
        ...matches.map((one: Json) => pick(one, 'path', 'type', 'size', 'mode', 'user', 'group')),
      ])
      .map((one) => JSON.stringify(one))
      .toSorted(),
  diff: (found) =>
    found.map((one) =>
      one.message_type === 'change'
        ? pick(one, 'path', 'modifier')
        : [one.changed_files, ...[one.added, one.removed].map((side) => ({ ...side, bytes: 0 }))],
    ),
  stats: (found) => found,
  'stats --mode blobs-per-file': (found) => found,
  'key list': (found) => found.map((one) => pick(one, 'current', 'userName', 'hostName')),
  forget: (found) =>
    found.map((one) => [
      ...pick(one, 'host', 'tags', 'paths'),
      one.keep?.length,
      one.remove?.length,
      one.reasons.map((reason: Json) => pick(reason, 'matches')),
    ]),
}

const reason = hasRestic ? '' : ' (needs restic)'
test.skipIf(!hasRestic)(`fields, types and values are those of restic${reason}`, () => {
  const restic = objects('restic')
  const cairn = objects('cairn')
  for (const command of Object.keys(COMMANDS) as Command[]) {
    const [theirs = [], ours = []] = [restic.get(command), cairn.get(command)]
    expect.soft(theirs.length, command).toBeGreaterThan(0)
    expect.soft(missing(shapeOf(command, theirs), shapeOf(command, ours)), command).toEqual([])
    const values = VALUES[command]
    if (values !== undefined) expect.soft(values(ours), command).toEqual(values(theirs))
  }
})
