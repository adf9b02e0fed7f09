/**
 * Reads a command line. The splitting is node:util's parseArgs, whose manners are those of the
 * parser restic uses: a value may begin with a dash, short flags join up (`-nvx`), a short option
 * takes the rest of its word (`-Hlaptop`), `--` ends options. yargs would cost 45 ms of every start
 * and takes no `-Hlaptop`; it is loaded for `--help` only (help.ts).
 */

import { parseArgs } from 'node:util'
import type { Arguments, CommandDefinition, GlobalArguments } from './command.ts'
import { camelCase, type Option, type OptionTable, usage } from './option.ts'
import { GLOBAL_OPTIONS } from './options.ts'
import { suggestion } from './suggest.ts'

type Environment = Readonly<Record<string, string | undefined>>

interface Given {
  readonly values: ReadonlyMap<string, readonly string[]>
  readonly operands: readonly string[]
}

interface KnownNames {
  readonly table: OptionTable
  /** Every long name and alias, and every letter, to the long name. */
  readonly canonical: ReadonlyMap<string, string>
}

function knownNames(table: OptionTable): KnownNames {
  const canonical = new Map<string, string>()
  for (const [name, option] of Object.entries(table)) {
    for (const spelling of [name, ...(option.aliases ?? [])]) canonical.set(spelling, name)
    if (option.short !== undefined) canonical.set(option.short, name)
  }
  return { table, canonical }
}

function tokensOf(argv: readonly string[], { table }: KnownNames) {
  const options: Record<string, { type: 'boolean' | 'string'; short?: string }> = {}
  for (const [name, option] of Object.entries(table)) {
    const type = option.takesValue ? 'string' : 'boolean'
    options[name] = { type, ...(option.short === undefined ? {} : { short: option.short }) }
    for (const alias of option.aliases ?? []) options[alias] = { type }
  }
  const parsed = parseArgs({
    args: [...argv],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  return parsed.tokens
}

function unknownOption(rawName: string, names: KnownNames, command: string): Error {
  const visible = [...names.canonical.keys()].filter((name) => name.length > 1)
  const hint = rawName.startsWith('--')
    ? suggestion(
        rawName,
        visible.map((name) => `--${name}`),
      )
    : ''
  return usage(`'${rawName}' is not an option of '${command}'${hint}`)
}

function collect(argv: readonly string[], names: KnownNames, command: string): Given {
  const values = new Map<string, string[]>()
  const operands: string[] = []
  for (const token of tokensOf(argv, names)) {
    if (token.kind === 'positional') operands.push(token.value)
    if (token.kind !== 'option') continue
    const name = names.canonical.get(token.name)
    if (name === undefined) throw unknownOption(token.rawName, names, command)
    const option = names.table[name]
    let value = token.value
    if (value === undefined) {
      if (option?.takesValue) throw usage(`${token.rawName} needs a value`)
      value = 'true'
    } else if (token.inlineValue && !token.rawName.startsWith('--')) {
      value = value.replace(/^=/, '')
    }
    values.set(name, [...(values.get(name) ?? []), value])
  }
  return { values, operands }
}

function readOption(
  name: string,
  option: Option<unknown>,
  given: readonly string[] | undefined,
  environment: Environment,
): unknown {
  if (given !== undefined) return option.read(given, `--${name}`)
  const variable = option.environment
  const value = variable === undefined ? undefined : environment[variable]
  if (variable === undefined || value === undefined || value === '') return option.read([], name)
  return option.read([value], variable)
}

function checkOperands<Table extends OptionTable>(
  operands: readonly string[],
  definition: CommandDefinition<Table>,
): void {
  const { name, operandsMin, operandsMax } = definition
  if (operands.length < operandsMin) {
    throw usage(`'cairn ${name}' needs ${definition.operands}`)
  }
  const surplus = operands[operandsMax]
  if (surplus === undefined) return
  throw usage(
    operandsMax === 0
      ? `'cairn ${name}' takes no arguments: '${surplus}'`
      : `'cairn ${name}' takes ${definition.operands} only: '${surplus}' is too much`,
  )
}

/** The arguments of the command in `argv`, which does not hold its name any more. */
export function parseArguments<Table extends OptionTable>(
  argv: readonly string[],
  definition: CommandDefinition<Table>,
  environment: Environment,
): Arguments<Table> {
  const table: OptionTable = { ...GLOBAL_OPTIONS, ...definition.options }
  const { values, operands } = collect(argv, knownNames(table), `cairn ${definition.name}`)
  const args: Record<string, unknown> = { operands }
  for (const [name, option] of Object.entries(table)) {
    args[camelCase(name)] = readOption(name, option, values.get(name), environment)
  }
  // The table is what both the type and these values were made from.
  const typed = args as Arguments<Table>
  if (typed.help) return typed
  checkGlobal(typed)
  checkOperands(operands, definition)
  definition.validate?.(typed)
  return typed
}

function checkGlobal(args: GlobalArguments): void {
  if (args.quiet && args.verbose > 0) throw usage('--quiet and --verbose exclude each other')
  if (args.repo !== undefined && args.repositoryFile !== undefined) {
    throw usage('--repo and --repository-file exclude each other')
  }
}

export interface FoundCommand {
  /** Undefined if there is none. */
  readonly name: string | undefined
  /** The command line without the name. */
  readonly rest: readonly string[]
  readonly wantsVersion: boolean
}

/** Finds the command's name, which only global options may precede. `names` may have two words. */
export function findCommand(argv: readonly string[], names: readonly string[]): FoundCommand {
  const known = knownNames({ ...GLOBAL_OPTIONS, version: VERSION_FLAG })
  const rest = [...argv]
  const words: string[] = []
  for (const token of tokensOf(argv, known)) {
    if (token.kind === 'option-terminator') break
    if (token.kind === 'option') {
      if (known.canonical.has(token.name)) {
        if (token.name === 'version') return { name: 'version', rest: [], wantsVersion: true }
        continue
      }
      if (words.length > 0) break
      throw usage(
        `'${token.rawName}' stands before the command and is not an option of all commands`,
      )
    }
    words.push(token.value)
    rest.splice(token.index - words.length + 1, 1)
    const name = words.join(' ')
    if (names.includes(name)) return { name, rest, wantsVersion: false }
    if (!names.some((one) => one.startsWith(`${name} `))) break
  }
  if (words.length === 0) return { name: undefined, rest, wantsVersion: false }
  const name = words.join(' ')
  const second = names.filter((one) => one.startsWith(`${name} `))
  if (second.length > 0) {
    const choices = second.map((one) => one.slice(name.length + 1)).join(', ')
    throw usage(`'cairn ${name}' needs one of ${choices}`)
  }
  const hint = suggestion(name, names) || "; see 'cairn help'"
  throw usage(`'${name}' is not a command of cairn${hint}`)
}

const VERSION_FLAG: Option<boolean> = {
  takesValue: false,
  describe: '',
  read: (given) => given.length > 0,
}
