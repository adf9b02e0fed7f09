/**
 * What may stand at the end of an unfinished command line. The scripts that shells load
 * (render/completion-scripts.ts) pass the words on and show what comes back, so that all shells know
 * the same, from the same tables as the parser.
 */

import type { CommandDefinition } from './command.ts'
import type { Option, OptionTable } from './option.ts'
import { GLOBAL_OPTIONS } from './options.ts'
import type { RegisteredCommand } from './registry.ts'

export interface Candidate {
  readonly text: string
  readonly meaning: string
}

/** What else the shell offers by itself, or that ids of snapshots belong here. */
export type Completed = 'nothing' | 'files' | 'directories' | 'snapshots'

export interface Completion {
  readonly candidates: readonly Candidate[]
  readonly also: Completed
  /** What stands before a value, as `--parent=`: in front of whatever is offered. */
  readonly prefix: string
  /** The options of all commands that were given, as words. */
  readonly globalWords: readonly string[]
}

const GLOBAL_TABLE: OptionTable = GLOBAL_OPTIONS

function findOption(table: OptionTable, word: string): [string, Option<unknown>] | undefined {
  const name = word.replace(/^--?/, '')
  return Object.entries(table).find(([long, { short, aliases }]) =>
    word.startsWith('--') ? long === name || aliases?.includes(name) : short === name,
  )
}

/** The words before the one to complete, taken apart. */
interface Typed {
  readonly operands: readonly string[]
  /** The option that still lacks its value. */
  readonly open: Option<unknown> | undefined
  readonly isAfterTerminator: boolean
  readonly globalWords: readonly string[]
}

function takeApart(words: readonly string[], table: OptionTable): Typed {
  const operands: string[] = []
  const globalWords: string[] = []
  let open: Option<unknown> | undefined
  let isAfterTerminator = false
  for (const [at, word] of words.entries()) {
    if (open !== undefined) open = undefined
    else if (isAfterTerminator || !word.startsWith('-') || word === '-') operands.push(word)
    else if (word === '--') isAfterTerminator = true
    else {
      const [name = '', option] = findOption(table, word.split('=')[0] ?? '') ?? []
      const isOpen = option?.takesValue === true && !word.includes('=')
      const next = words[at + 1]
      if (Object.hasOwn(GLOBAL_TABLE, name) && !(isOpen && next === undefined)) {
        globalWords.push(word, ...(isOpen && next !== undefined ? [next] : []))
      }
      open = isOpen ? option : undefined
    }
  }
  return { operands, open, isAfterTerminator, globalWords }
}

const BY_PLACEHOLDER: Readonly<Record<string, Completed>> = {
  file: 'files',
  command: 'files',
  directory: 'directories',
  repository: 'directories',
  snapshot: 'snapshots',
}

function named(texts: readonly string[], meaning = ''): Candidate[] {
  return texts.map((text) => ({ text, meaning }))
}

function ofValue({
  choices,
  placeholder,
}: Option<unknown>): Pick<Completion, 'candidates' | 'also'> {
  if (choices !== undefined) return { candidates: named(choices), also: 'nothing' }
  return { candidates: [], also: BY_PLACEHOLDER[placeholder ?? ''] ?? 'nothing' }
}

function ofOperand(
  { operands, operandsMax, operandChoices }: CommandDefinition<OptionTable>,
  given: number,
): Pick<Completion, 'candidates' | 'also'> {
  if (given >= operandsMax) return { candidates: [], also: 'nothing' }
  if (operandChoices !== undefined && given === 0) {
    return { candidates: named(operandChoices), also: 'nothing' }
  }
  // `SNAPSHOT [DIRECTORY...]`: what stands in the operand's own place.
  const words = operands.split(' ').map((word) => word.replaceAll(/[[\].]/g, ''))
  const word = words[Math.min(given, words.length - 1)] ?? ''
  const also = word.startsWith('SNAPSHOT')
    ? 'snapshots'
    : word.startsWith('FILE')
      ? 'files'
      : 'nothing'
  return { candidates: [], also }
}

function optionCandidates(table: OptionTable): Candidate[] {
  return Object.entries(table)
    .filter(([, option]) => option.hidden !== true)
    .map(([name, { describe }]) => ({ text: `--${name}`, meaning: describe }))
}

/** The names of commands that begin with `operands`, their next word only. */
function commandCandidates(
  commands: readonly RegisteredCommand[],
  operands: readonly string[],
): Candidate[] {
  const before = operands.map((word) => `${word} `).join('')
  const found = new Map<string, string>()
  for (const { name, summary, isHidden } of commands) {
    if (isHidden || !name.startsWith(before)) continue
    const [next = '', ...more] = name.slice(before.length).split(' ')
    if (!found.has(next)) found.set(next, more.length === 0 ? summary : '')
  }
  return [...found].map(([text, meaning]) => ({ text, meaning }))
}

/** The longest command that `operands` begin with. */
function commandOf(
  commands: readonly RegisteredCommand[],
  operands: readonly string[],
): RegisteredCommand | undefined {
  const [one = '', two = ''] = operands
  return (
    commands.find(({ name }) => name === `${one} ${two}`) ??
    commands.find(({ name }) => name === one)
  )
}

/** `words` are those behind `cairn`; the last one, perhaps empty, is to be completed. */
export async function complete(
  words: readonly string[],
  commands: readonly RegisteredCommand[],
): Promise<Completion> {
  const before = words.slice(0, -1)
  const current = words.at(-1) ?? ''
  const command = commandOf(commands, takeApart(before, GLOBAL_TABLE).operands)
  const definition = await command?.loadDefinition()
  const table: OptionTable = { ...GLOBAL_TABLE, ...definition?.options }
  const typed = takeApart(before, table)
  const { globalWords, operands } = typed
  const done = (
    part: Pick<Completion, 'candidates' | 'also'>,
    text: string,
    prefix = '',
  ): Completion => ({
    candidates: part.candidates.filter((one) => one.text.startsWith(text)),
    also: part.also,
    prefix,
    globalWords,
  })
  if (typed.open !== undefined) return done(ofValue(typed.open), current)
  const isOption = current.startsWith('-') && !typed.isAfterTerminator
  const equals = current.indexOf('=')
  if (isOption && equals > 0) {
    const option = findOption(table, current.slice(0, equals))?.[1]
    const value = option?.takesValue
      ? ofValue(option)
      : { candidates: [], also: 'nothing' as const }
    return done(value, current.slice(equals + 1), current.slice(0, equals + 1))
  }
  if (isOption) return done({ candidates: optionCandidates(table), also: 'nothing' }, current)
  if (definition === undefined) {
    const help = operands.length === 0 ? [{ text: 'help', meaning: 'show help' }] : []
    const wanted = operands[0] === 'help' ? operands.slice(1) : operands
    const candidates = [...commandCandidates(commands, wanted), ...help]
    return done({ candidates, also: 'nothing' }, current)
  }
  return done(ofOperand(definition, operands.length - definition.name.split(' ').length), current)
}
