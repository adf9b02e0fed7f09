/**
 * The rules of the code that a machine can check and the linter does not: which folder may import
 * which, who may ask the clock or touch files, how long things get, and that documents keep up with
 * the code. Every exception stands here with its reason; one that is no longer needed is a failure.
 */

import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseAst } from 'vitest/node'
import { ERRORS } from '../src/base/errors.ts'
import { camelCase, type OptionTable } from '../src/cli/option.ts'
import { GLOBAL_OPTIONS } from '../src/cli/options.ts'
import { COMMANDS } from '../src/cli/registry.ts'

const project = resolve(import.meta.dirname, '..')

// ---- Rules --------------------------------------------------------------------------------------

/** README.md, "Architecture": what a folder of src may import, besides itself, Node and packages. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  format: ['base'],
  chunker: ['base'],
  crypto: ['base'],
  compression: ['base'],
  storage: ['base'],
  source: ['base'],
  archive: ['base'],
  fuse: ['base'],
  webdav: ['base'],
  pipeline: ['base', 'format', 'chunker', 'crypto', 'compression', 'source'],
  repository: ['base', 'format', 'crypto', 'compression', 'pipeline', 'storage/backend.ts'],
  engine: ['base', 'format', 'chunker', 'crypto', 'source', 'archive', 'pipeline', 'repository'],
  service: [
    'base',
    'format',
    'source',
    'archive',
    'storage',
    'fuse',
    'webdav',
    'repository',
    'engine',
  ],
  cli: ['base', 'service'],
  library: ['base', 'service'],
}

/** One file that may import one file that its folder may not. */
const IMPORT_EXCEPTIONS: Exceptions = {
  'service/create.ts imports chunker/create-chunker.ts':
    'a wrong --chunk-size is a usage error, said before a password is asked for',
  'repository/initialize.ts imports chunker/create-chunker.ts':
    'chunk sizes that nothing could be cut by are refused before they are there for ever',
  'service/backup.ts imports crypto/sha256.ts': 'the name of a scan cache is a hash of the sources',
  'service/show-object.ts imports crypto/sha256.ts':
    'cat pack says whether the bytes have their name',
}

/** Where the program begins; everything else has to be imported from there. */
const ENTRIES = ['cli/main.ts', 'library/index.ts', 'pipeline/worker-entry.ts']

const NOT_REACHED: Exceptions = {
  'storage/memory/memory-backend.ts': 'what tests run the engine on; the contract at its plainest',
}

/** A file, or a folder ending in a slash, and why it may. */
type Exceptions = Readonly<Record<string, string>>

interface Ban {
  readonly what: string
  readonly allowed: Exceptions
  isBroken(node: Node): boolean
}

const SEAM = 'the seam itself'
const TERMINAL = 'progress for people; nothing that is stored depends on it'
const USER_FILES = "the user's files are what it is for"
const FUSE = '/dev/fuse, mountpoints and fusermount3 are what it is for'
const CACHE_FILES = 'the cache; never the truth'

/** Of node:crypto. */
const RANDOM_NAMES =
  /^(?:random(?:Bytes|Fill|FillSync|Int|UUID)|generateKey\w*|webcrypto|getRandomValues)$/

const BANS: readonly Ban[] = [
  {
    what: 'the clock',
    isBroken: (node) =>
      isMember(node, 'Date', 'now') ||
      isMember(node, 'performance', 'now', 'timeOrigin') ||
      isMember(node, 'process', 'hrtime') ||
      (node.type === 'NewExpression' &&
        isIdentifier(node.callee, 'Date') &&
        (node.arguments as unknown[]).length === 0),
    allowed: {
      'base/node-seams.ts': SEAM,
      'cli/main.ts': 'when the process began, for elapsed times',
      'cli/commands/': TERMINAL,
    },
  },
  {
    what: 'randomness',
    isBroken: (node) =>
      isMember(node, 'Math', 'random') ||
      imports(node, /^(?:node:)?crypto$/, RANDOM_NAMES) ||
      (node.type === 'MemberExpression' &&
        isNode(node.property) &&
        RANDOM_NAMES.test(String(node.property.name))),
    allowed: { 'base/node-seams.ts': SEAM },
  },
  {
    what: 'timers',
    isBroken: (node) =>
      (node.type === 'CallExpression' &&
        isIdentifier(node.callee, 'setTimeout', 'setInterval', 'setImmediate')) ||
      imports(node, /^(?:node:)?timers(?:\/promises)?$/),
    allowed: {
      'base/node-seams.ts': SEAM,
      'service/node-environment.ts': SEAM,
      'cli/render/progress.ts': TERMINAL,
      'cli/output.ts': 'joins small writes to stdout within one turn of the event loop',
    },
  },
  {
    what: 'files',
    isBroken: (node) => imports(node, /^(?:node:)?fs(?:\/promises)?$/),
    allowed: {
      'base/make-directories.ts': 'directories and those above them, for caches and targets',
      'base/node-seams.ts': 'the boot id, for the seam of the process',
      'source/': USER_FILES,
      'fuse/': FUSE,
      'storage/local/local-file-system.ts': 'a repository in a folder is files',
      'storage/cache/cache-directory.ts': CACHE_FILES,
      'storage/cache/cached-repositories.ts': CACHE_FILES,
      'pipeline/index/level-files.ts': CACHE_FILES,
      'pipeline/index/index-mirror.ts': CACHE_FILES,
      'pipeline/index/mirror-base.ts': CACHE_FILES,
      'service/node-environment.ts': 'the processors that the control group grants',
      'service/text-file.ts': 'small files that people write: passwords, locations',
      'service/output-file.ts': 'dump --target',
      'service/restore-places.ts': 'whether the repository lies in the target',
      'service/secrets.ts': 'whether others can read a key file',
      'service/ask-on-terminal.ts': 'the terminal is opened as a file',
      'service/patterns.ts': 'lists of files and patterns, which the user names',
      'service/backup.ts': 'which folders are the repository and the cache',
      'cli/process-sink.ts': 'output that is redirected to a file',
    },
  },
  {
    what: 'threads',
    isBroken: (node) => imports(node, /^(?:node:)?worker_threads$/),
    allowed: { 'pipeline/work-pool.ts': SEAM, 'pipeline/worker-entry.ts': SEAM },
  },
  {
    what: 'other programs',
    isBroken: (node) => imports(node, /^(?:node:)?child_process$/),
    allowed: {
      'service/secrets.ts': '--password-command',
      'service/backup.ts': '--stdin-from-command',
      'fuse/fusermount.ts': 'fusermount3 mounts for ordinary users',
    },
  },
  {
    what: 'the console',
    isBroken: (node) => isMember(node, 'console'),
    allowed: {},
  },
  {
    what: 'process.exit',
    isBroken: (node) => isMember(node, 'process', 'exit', 'abort', 'reallyExit'),
    allowed: { 'cli/main.ts': 'a second signal, and errors that nobody caught' },
  },
  {
    what: 'the environment and the streams of the process',
    isBroken: (node) => isMember(node, 'process', 'env', 'argv', 'stdin', 'stdout', 'stderr'),
    allowed: {
      'cli/main.ts': 'hands them to everything else',
      'storage/cache/cache-directory.ts': 'a default where the caller gives none: XDG_CACHE_HOME',
      'service/backup.ts': '--stdin',
      'fuse/fusermount.ts': 'fusermount3 is told its socket by a variable',
    },
  },
]

/** Options that nothing outside of the tables of options looks at, and why that is right. */
const INERT_OPTIONS: Exceptions = {
  'no-lock': 'there are no locks',
  'retry-lock': 'there are no locks',
  'no-color': 'there are no colours',
  'no-scan': 'nothing is counted beforehand',
}

const FILE_LINES_MAX = 350
const FUNCTION_LINES_MAX = 75

/** Longer than they should be. A number may be lowered, never raised; no new ones. */
const LONG_FILES: Readonly<Record<string, number>> = {
  'engine/backup/scan.ts': 428,
  'pipeline/backup-body.ts': 465,
}
const LONG_FUNCTIONS: Readonly<Record<string, number>> = {}

// ---- Reading ------------------------------------------------------------------------------------

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [key: string]: unknown
}

interface SourceFile {
  /** Below the project folder, or below src for what `sourceFiles` gives. */
  readonly path: string
  readonly text: string
  readonly lines: readonly string[]
  readonly nodes: readonly { readonly node: Node; readonly parents: readonly Node[] }[]
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && 'start' in value
}

function collect(node: Node, parents: readonly Node[], into: SourceFile['nodes'][number][]): void {
  into.push({ node, parents })
  const inner = [...parents, node]
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child)) collect(child, inner, into)
    }
  }
}

function readTypeScript(folder: string, below: string): SourceFile[] {
  const root = join(project, folder)
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .toSorted()
    .map((path) => {
      const text = readFileSync(join(root, path), 'utf8')
      const nodes: SourceFile['nodes'][number][] = []
      collect(parseAst(text, { lang: 'ts' }) as unknown as Node, [], nodes)
      const name = relative(join(project, below), join(root, path))
      return { path: name, text, lines: text.split('\n'), nodes }
    })
}

const sourceFiles = readTypeScript('src', 'src')
const otherFiles = [...readTypeScript('test', '.'), ...readTypeScript('bench', '.')]

function isIdentifier(node: unknown, ...names: readonly string[]): boolean {
  return isNode(node) && node.type === 'Identifier' && names.includes(String(node.name))
}

/** `object.name`, with any name if none is given. */
function isMember(node: Node, object: string, ...names: readonly string[]): boolean {
  if (node.type !== 'MemberExpression' || !isIdentifier(node.object, object)) return false
  return names.length === 0 || isIdentifier(node.property, ...names)
}

/** What an import, a re-export or an `import()` names. */
function importedModule(node: Node): string | undefined {
  const isImport =
    node.type === 'ImportDeclaration' ||
    node.type === 'ExportNamedDeclaration' ||
    node.type === 'ExportAllDeclaration' ||
    node.type === 'ImportExpression' ||
    node.type === 'TSImportType'
  const { source } = node
  return isImport && isNode(source) && typeof source.value === 'string' ? source.value : undefined
}

/** Whether values are imported from a module; with `names`, those only. Types are free. */
function imports(node: Node, module: RegExp, names = /./): boolean {
  if (node.importKind === 'type' || node.type === 'TSImportType') return false
  if (!module.test(importedModule(node) ?? '')) return false
  const specifiers = (node.specifiers ?? []) as readonly Node[]
  if (node.type !== 'ImportDeclaration' || specifiers.length === 0) return true
  return specifiers.some(({ importKind, imported }) => {
    if (importKind === 'type') return false
    // Of `import * as …` the members count, unless all of the module does.
    return isNode(imported) ? names.test(String(imported.name ?? imported.value)) : names.test(' ')
  })
}

/** The files of src that a file of src imports, by path below src. */
function importsOf({ path, nodes }: SourceFile): string[] {
  return nodes.flatMap(({ node }) => {
    const module = importedModule(node)
    return module?.startsWith('.') ? [join(dirname(path), module)] : []
  })
}

function lineOf({ text }: SourceFile, offset: number): number {
  return text.slice(0, offset).split('\n').length
}

function placeOf(file: SourceFile, node: Node): string {
  return `${file.path}:${lineOf(file, node.start)}`
}

/** On the line, or alone on the line before it. */
function hasComment(file: SourceFile, line: number): boolean {
  const isAbove = /^\s*(?:\/\/|\/?\*)/.test(file.lines[line - 2] ?? '')
  return isAbove || /\/\/ \S/.test(file.lines[line - 1] ?? '')
}

/** Which exception covers `path`, or undefined. */
function exceptionFor(path: string, exceptions: Exceptions): string | undefined {
  return Object.keys(exceptions).find(
    (key) => key === path || (key.endsWith('/') && path.startsWith(key)),
  )
}

// ---- Tests --------------------------------------------------------------------------------------

describe('imports', () => {
  const breaches = sourceFiles.flatMap((file) => {
    const folder = file.path.split('/')[0] ?? ''
    const mayImport = MAY_IMPORT[folder] ?? []
    return importsOf(file)
      .filter((target) => {
        const targetFolder = target.split('/')[0] ?? ''
        return (
          targetFolder !== folder &&
          !mayImport.includes(targetFolder) &&
          !mayImport.includes(target)
        )
      })
      .map((target) => `${file.path} imports ${target}`)
  })

  test('follow the layer table', () => {
    expect(breaches.filter((breach) => !(breach in IMPORT_EXCEPTIONS))).toEqual([])
    expect(Object.keys(IMPORT_EXCEPTIONS).filter((key) => !breaches.includes(key))).toEqual([])
  })

  test('have a row of the layer table for every folder', () => {
    const folders = new Set(sourceFiles.map(({ path }) => path.split('/')[0] ?? ''))
    expect([...folders].toSorted()).toEqual(Object.keys(MAY_IMPORT).toSorted())
  })

  test('reach every file', () => {
    const reached = new Set(ENTRIES)
    for (const path of reached) {
      const file = sourceFiles.find((one) => one.path === path)
      for (const target of file === undefined ? [] : importsOf(file)) reached.add(target)
    }
    const unreached = sourceFiles.map(({ path }) => path).filter((path) => !reached.has(path))
    expect(unreached).toEqual(Object.keys(NOT_REACHED))
  })

  test('name files that are there', () => {
    const known = new Set(sourceFiles.map(({ path }) => path))
    expect(sourceFiles.flatMap(importsOf).filter((target) => !known.has(target))).toEqual([])
  })
})

describe('seams', () => {
  test.each(BANS)('only some files meet $what', ({ allowed, isBroken }) => {
    const broken: string[] = []
    const used = new Set<string>()
    for (const file of sourceFiles) {
      const exception = exceptionFor(file.path, allowed)
      const places = file.nodes.filter(({ node }) => isBroken(node))
      if (places.length > 0 && exception !== undefined) used.add(exception)
      if (exception === undefined) broken.push(...places.map(({ node }) => placeOf(file, node)))
    }
    expect(broken).toEqual([])
    expect([...used].toSorted(), 'exceptions in use').toEqual(Object.keys(allowed).toSorted())
  })
})

describe('length', () => {
  /** Fails for what grew, what is new, and what has become short enough to be taken off the list. */
  function expectRatchet(
    found: ReadonlyMap<string, number>,
    ratchet: Readonly<Record<string, number>>,
  ): void {
    const grown = [...found].filter(([name, length]) => length > (ratchet[name] ?? 0))
    expect(Object.fromEntries(grown)).toEqual({})
    expect(Object.keys(ratchet).filter((name) => !found.has(name))).toEqual([])
  }

  test(`files have at most ${FILE_LINES_MAX} lines`, () => {
    const found = sourceFiles.map(({ path, lines }) => [path, lines.length - 1] as const)
    expectRatchet(new Map(found.filter(([, length]) => length > FILE_LINES_MAX)), LONG_FILES)
  })

  /** Of what a function is called by, or of the closest thing around it that has a name. */
  function nameOf(node: Node, parents: readonly Node[]): string {
    for (const one of [node, ...parents.toReversed()]) {
      const name = isNode(one.id) ? one.id : isNode(one.key) ? one.key : undefined
      if (name !== undefined) return String(name.name)
    }
    return 'without a name'
  }

  test(`functions have at most ${FUNCTION_LINES_MAX} lines`, () => {
    const found = new Map<string, number>()
    for (const file of sourceFiles) {
      for (const { node, parents } of file.nodes) {
        if (!/^(?:FunctionDeclaration|FunctionExpression|Arrow)/.test(node.type)) continue
        const length = lineOf(file, node.end) - lineOf(file, node.start) + 1
        if (length > FUNCTION_LINES_MAX) found.set(`${file.path} ${nameOf(node, parents)}`, length)
      }
    }
    expectRatchet(found, LONG_FUNCTIONS)
  })
})

describe('code', () => {
  test('has no any without a comment', () => {
    const places = [...sourceFiles, ...otherFiles].flatMap((file) =>
      file.nodes
        .filter(({ node }) => node.type === 'TSAnyKeyword')
        .filter(({ node }) => !hasComment(file, lineOf(file, node.start)))
        .map(({ node }) => placeOf(file, node)),
    )
    expect(places).toEqual([])
  })

  test('has file names in kebab-case that say something', () => {
    const names = sourceFiles
      .map(({ path }) => path)
      .filter((path) => !/^[a-z0-9/-]+\.ts$/.test(path))
    expect(names).toEqual([])
    const empty = /^(?:utils?|helpers?|common|types|misc|shared)\.ts$/
    expect(
      sourceFiles.map(({ path }) => basename(path)).filter((name) => empty.test(name)),
    ).toEqual([])
  })

  test('has no colours, as --no-color and NO_COLOR say', () => {
    const sequence = /\\(?:x1b|u001b|u\{1b\}|033|e)\[[\d;]*m|styleText|\bchalk\b|picocolors/i
    expect(sourceFiles.filter(({ text }) => sequence.test(text)).map(({ path }) => path)).toEqual(
      [],
    )
    // It does find what the live lines of the terminal are drawn with.
    expect(sourceFiles.some(({ text }) => /\\x1b\[/.test(text))).toBe(true)
  })

  test('has no class called manager or handler, and nothing left to fix', () => {
    const places = sourceFiles.flatMap(({ path, lines }) =>
      lines.flatMap((line, at) =>
        /class \w*(?:Manager|Handler)\b|\bFIXME\b|\bTODO(?!\(#\d+\))/.test(line)
          ? [`${path}:${at + 1}`]
          : [],
      ),
    )
    expect(places).toEqual([])
  })

  test('begins the messages of errors with a lower-case word and ends them without a full stop', () => {
    const places = sourceFiles.flatMap((file) =>
      file.nodes.flatMap(({ node }) => {
        if (node.type !== 'NewExpression' || !isIdentifier(node.callee, 'CairnError')) return []
        const message = (node.arguments as readonly Node[])[1]
        if (message === undefined) return []
        const text = file.text.slice(message.start, message.end).replaceAll(/^[`'"]|[`'"]$/g, '')
        const isLiteral = message.type === 'Literal' || message.type === 'TemplateLiteral'
        return isLiteral && (/^[A-Z][a-z]/.test(text) || text.endsWith('.'))
          ? [placeOf(file, node)]
          : []
      }),
    )
    expect(places).toEqual([])
  })
})

describe('tests', () => {
  /** `test.skip`, `describe.only`, `context.skip` and the like, where they are called. */
  const calls = otherFiles.flatMap((file) =>
    file.nodes.flatMap(({ node }) => {
      if (node.type !== 'CallExpression' || !isNode(node.callee)) return []
      const { object, property } = node.callee
      if (node.callee.type !== 'MemberExpression' || !isNode(property)) return []
      const isOfVitest = isIdentifier(object, 'test', 'it', 'describe')
      const isOfContext = isIdentifier(object, 'context', 'ctx')
      if (!isOfVitest && !isOfContext) return []
      const [first] = node.arguments as readonly (Node | undefined)[]
      return [{ file, node, isOfVitest, name: String(property.name), first }]
    }),
  )
  const places = (chosen: typeof calls) => chosen.map(({ file, node }) => placeOf(file, node))

  test('have no .only', () => {
    expect(places(calls.filter(({ name }) => name === 'only'))).toEqual([])
  })

  test('are skipped with a reason only', () => {
    const unexplained = calls.filter(({ file, node, isOfVitest, name, first }) => {
      if (name === 'skipIf' || name === 'runIf') return first?.type === 'Literal'
      if (name === 'skip' && !isOfVitest) return first === undefined
      const isSkipped = isOfVitest && ['skip', 'todo', 'fails'].includes(name)
      return isSkipped && !hasComment(file, lineOf(file, node.start))
    })
    expect(places(unexplained)).toEqual([])
  })
})

/** The options of each command, and under '' those that all of them have. */
async function optionTables(): Promise<Map<string, OptionTable>> {
  const tables = new Map<string, OptionTable>([['', GLOBAL_OPTIONS]])
  for (const { name, isHidden, loadDefinition } of COMMANDS) {
    if (!isHidden) tables.set(name, (await loadDefinition()).options)
  }
  return tables
}

describe('options', () => {
  test('are all acted on', async () => {
    const readers = sourceFiles.filter(
      ({ path }) => !path.startsWith('cli/options') && path !== 'cli/help.ts',
    )
    const read = new Set<string>()
    for (const { node } of readers.flatMap(({ nodes }) => nodes)) {
      const isRead = node.type === 'MemberExpression' && isNode(node.property)
      if (isRead) read.add(String((node.property as Node).name))
      if (node.type !== 'ObjectPattern') continue
      for (const { key } of node.properties as readonly Node[]) {
        if (isNode(key)) read.add(String(key.name))
      }
    }
    const names = [...(await optionTables()).values()].flatMap((table) => Object.keys(table))
    const unread = [...new Set(names)].filter((name) => !read.has(camelCase(name)))
    expect(unread.toSorted()).toEqual(Object.keys(INERT_OPTIONS).toSorted())
  })
})

describe('documents', () => {
  const read = (path: string) => readFileSync(join(project, path), 'utf8')

  /** The part of README.md below a heading, to the next of its level or above. */
  function section(heading: string): string {
    const level = heading.replace(/[^#].*/, '')
    const rest = read('README.md').split(`\n${heading}\n`)[1] ?? ''
    return rest.split(new RegExp(`^#{1,${level.length}} `, 'm'))[0] ?? ''
  }

  function optionsIn(text: string): string[] {
    return [...new Set([...text.matchAll(/--([a-z][a-z-]+)/g)].map(([, name = '']) => name))]
  }

  test('README.md has a section on every command, with all its options and no others', async () => {
    const tables = await optionTables()
    for (const [name, table] of tables) {
      const heading = name === '' ? '### Options of all commands' : `### \`cairn ${name}\``
      const documented = optionsIn(section(heading))
      const own = Object.keys(table).filter((option) => table[option]?.hidden !== true)
      const missing = own.filter((option) => !documented.includes(option))
      expect(missing, `missing from '${heading}'`).toEqual([])
      // Those of all commands, and the ones that choose a snapshot, may be spoken of anywhere.
      const known = new Set([...own, ...Object.keys(GLOBAL_OPTIONS)])
      if (name === '') for (const one of ['host', 'path', 'tag', 'at', 'at-mode']) known.add(one)
      expect(
        documented.filter((option) => !known.has(option)),
        heading,
      ).toEqual([])
    }
    const headings = [...section('## Commands').matchAll(/^### `cairn ([^`]+)`$/gm)]
    const described = headings.map(([, name = '']) => name)
    expect(described.toSorted()).toEqual([...tables.keys()].filter((one) => one !== '').toSorted())
  })

  test('README.md has every environment variable that an option has', async () => {
    const variables = [...(await optionTables()).values()].flatMap((table) =>
      Object.values(table).flatMap(({ environment, readElsewhere }) => [
        ...(environment === undefined ? [] : [environment]),
        ...(readElsewhere === undefined ? [] : [readElsewhere]),
      ]),
    )
    const text = section('## Secrets and environment')
    expect([...new Set(variables)].filter((name) => !text.includes(`\`${name}\``))).toEqual([])
  })

  test('README.md has the exit code of every error, and no error that is not there', () => {
    const documented = section('## Exit codes')
      .split('\n')
      .flatMap((line) => {
        const [, exit, codes] = /^\| (\d+) \|([^|]*)\|/.exec(line) ?? []
        const names = codes?.match(/CAIRN_[A-Z_]+/g) ?? []
        return names.map((name) => `${name} ${exit}`)
      })
    const actual = Object.entries(ERRORS).map(([name, { exit }]) => `${name} ${exit}`)
    expect(documented.toSorted()).toEqual(actual.toSorted())
  })

  test("README.md's layer table is the one that is checked here", () => {
    const rows = section('## Architecture').matchAll(/^\| `([a-z]+)\/?` \|[^|]*\| ([^|]*) \|$/gm)
    const documented = [...rows].map(([, folder = '', list = '']): [string, string[]] => [
      folder,
      [...list.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
    ])
    expect(Object.fromEntries(documented)).toEqual(MAY_IMPORT)
  })

  test('name no paths of a machine and no registries', () => {
    const foreign = new RegExp(
      [
        String.raw`/work/(?:main|shared)|/root/|/Users/\w|[A-Z]:\\Users`,
        String.raw`npmjs\.(?:org|com)|pypi\.org|proxy\.golang|deb\.debian|localhost:\d|127\.0\.0\.1`,
        project.split('/').length > 2 ? escapeRegExp(project) : '(?!)',
      ].join('|'),
    )
    const files = ['FORMAT.md', 'README.md', 'package.json', 'package-lock.json', 'bin/cairn.js']
    const texts = [
      ...files.map((path) => ({ path, text: read(path) })),
      ...sourceFiles.map(({ path, text }) => ({ path: `src/${path}`, text })),
    ]
    expect(texts.filter(({ text }) => foreign.test(text)).map(({ path }) => path)).toEqual([])
  })

  function escapeRegExp(text: string): string {
    return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
  }

  test('package-lock.json says what, not from where', () => {
    const { packages } = JSON.parse(read('package-lock.json')) as {
      readonly packages: Readonly<Record<string, { readonly resolved?: string }>>
    }
    const resolved = Object.entries(packages).filter(([, entry]) => entry.resolved !== undefined)
    expect(resolved.map(([name]) => name)).toEqual([])
  })
})
