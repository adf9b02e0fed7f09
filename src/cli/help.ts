/** `--help`, laid out by yargs from the tables of options. Loaded only when it is asked for. */

import yargs from 'yargs'
import type { CommandDefinition } from './command.ts'
import type { Option, OptionTable } from './option.ts'
import { GLOBAL_OPTIONS } from './options.ts'

const WIDTH_MAX = 100

function newYargs(columns: number) {
  return yargs([])
    .scriptName('cairn')
    .locale('en')
    .help(false)
    .version(false)
    .exitProcess(false)
    .parserConfiguration({ 'boolean-negation': false, 'camel-case-expansion': false })
    .wrap(Math.min(WIDTH_MAX, columns))
}

/** With what stands for the value, and the variable that counts if it is not given. */
function describe(option: Option<unknown>): string {
  const value =
    option.takesValue && option.placeholder !== undefined ? ` <${option.placeholder}>` : ''
  const variable = option.environment ?? option.readElsewhere
  return `${option.describe}${value}${variable === undefined ? '' : ` [$${variable}]`}`
}

function addOptions(help: ReturnType<typeof newYargs>, table: OptionTable, group: string): void {
  for (const [name, option] of Object.entries(table)) {
    if (option.hidden) continue
    help.option(name, {
      ...(option.short === undefined ? {} : { alias: option.short }),
      ...(option.choices === undefined ? {} : { choices: option.choices }),
      // Types are in the description: yargs' own marks would only say "string".
      describe: describe(option),
      group,
    })
  }
}

export function commandHelp<Table extends OptionTable>(
  definition: CommandDefinition<Table>,
  columns: number,
): Promise<string> {
  const help = newYargs(columns)
  const operands = definition.operands === '' ? '' : ` ${definition.operands}`
  help.usage(`cairn ${definition.name} [options]${operands}\n\n${definition.description}`)
  addOptions(help, definition.options, 'Options:')
  addOptions(help, GLOBAL_OPTIONS, 'Options of all commands:')
  for (const { command, meaning } of definition.examples) help.example(command, meaning)
  return help.getHelp()
}

export function rootHelp(
  commands: readonly { readonly name: string; readonly summary: string }[],
  columns: number,
): Promise<string> {
  const help = newYargs(columns)
  help.usage('cairn <command> [options]\n\nContent-addressed, deduplicating, encrypted backups.')
  for (const { name, summary } of commands) help.command(name, summary)
  addOptions(help, GLOBAL_OPTIONS, 'Options of all commands:')
  help.epilogue("'cairn <command> --help' shows the options of a command.")
  return help.getHelp()
}
