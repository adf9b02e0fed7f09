/** What a command is to the command line, and what it is given when it runs. */

import type { OutputWriter, StatusArea } from './output.ts'
import type { Option, OptionTable, Values } from './option.ts'
import type { GLOBAL_OPTIONS } from './options.ts'

export type GlobalArguments = Values<typeof GLOBAL_OPTIONS>

/** What a command gets: its options and the global ones by camelCase name, and the operands. */
export type Arguments<Table extends OptionTable> = Values<Table> &
  GlobalArguments & { readonly operands: readonly string[] }

export interface Example {
  readonly command: string
  readonly meaning: string
}

export interface CommandDefinition<Table extends OptionTable = Record<never, Option<unknown>>> {
  /** `backup`, or `key add`. */
  readonly name: string
  /** The operands in help: `[FILE...]`. */
  readonly operands: string
  /** What the first operand may be, if that is one of a few words. */
  readonly operandChoices?: readonly string[]
  readonly operandsMin: number
  readonly operandsMax: number
  /** A paragraph or two for `--help`. */
  readonly description: string
  readonly examples: readonly Example[]
  readonly options: Table
  /**
   * Set for commands that only show something: when the reader of stdout goes away, as with
   * `| head`, they stop at once and in silence, and when it cannot be written, they fail. The
   * others carry on without output.
   */
  readonly onlyShows?: boolean
  /** What an interrupted run has left, whenever that was, and what to do. */
  readonly whenInterrupted?: string
  /** Throws CAIRN_USAGE for options that do not go together. */
  validate?(args: Arguments<Table>): void
}

/** Keeps the exact type of the table. */
export function defineCommand<const Table extends OptionTable>(
  definition: CommandDefinition<Table>,
): CommandDefinition<Table> {
  return definition
}

export interface CommandContext {
  readonly stdout: OutputWriter
  readonly stderr: OutputWriter
  /** The live lines at the bottom of the terminal; does nothing where there is none. */
  readonly status: StatusArea
  readonly json: boolean
  readonly quiet: boolean
  /** 0, or 1 for -v, 2 for -vv. */
  readonly verbosity: number
  /** Whether stderr is a terminal that can redraw lines. */
  readonly isTerminal: boolean
  /** Aborts on SIGINT, SIGTERM and SIGHUP. */
  readonly signal: AbortSignal
  readonly environment: Readonly<Record<string, string | undefined>>
  /** When the process began, in milliseconds since 1970. */
  readonly startedAtMs: number
  /** Calls `action` at every SIGUSR1 until the returned function is called. */
  onProgressSignal(action: () => void): () => void
  /** Keeps live lines off the terminal until the function that is returned is called. */
  takeTerminal(): () => void
  /** A line on stderr; as JSON `{"message_type":"error",…}` with --json. */
  warn(message: string): void
}

/** The default export of `commands/<name>.ts`. Returns the exit code. */
export type CommandAction<Args> = (args: Args, context: CommandContext) => Promise<number>
