/**
 * Runs one command line from start to exit code. Everything that a command throws ends here: it is
 * told once on stderr and becomes the exit code of its kind.
 */

import { BugError, CairnError, ERRORS, errorChain, isCairnError } from '../base/errors.ts'
import type { CommandContext } from './command.ts'
import {
  CollectingWriter,
  ImmediateWriter,
  NO_STATUS_AREA,
  type OutputSink,
  type OutputWriter,
  type StatusArea,
} from './output.ts'
import { findCommand, parseArguments } from './parse-arguments.ts'
import type { RegisteredCommand } from './registry.ts'
import { encodeJson, errorJson, exitErrorJson } from './render/json-lines.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** The process as the command line sees it. */
export interface Surroundings {
  readonly environment: Environment
  readonly stdout: OutputSink
  readonly stderr: OutputSink
  columns(): number
  rows(): number
  /** Aborts on the first signal that asks to end. */
  readonly signal: AbortSignal
  /** Aborts when stdout takes no more: with a CairnError, or because its reader has gone away. */
  readonly outputClosed: AbortSignal
  readonly startedAtMs: number
  onProgressSignal(action: () => void): () => void
}

interface Outputs {
  readonly stdout: OutputWriter
  readonly stderr: OutputWriter
  readonly status: StatusArea
}

const EXIT_USAGE = ERRORS.CAIRN_USAGE.exit
const EXIT_ABORTED = ERRORS.CAIRN_ABORTED.exit

export async function runCommandLine(
  argv: readonly string[],
  commands: readonly RegisteredCommand[],
  surroundings: Surroundings,
): Promise<number> {
  const outputs = await openOutputs(surroundings)
  // Before the options are read, --json has to be guessed, to report that they cannot be read.
  const optionsEnd = argv.indexOf('--')
  const json = argv.slice(0, optionsEnd < 0 ? undefined : optionsEnd).includes('--json')
  try {
    const code = await dispatch(argv, commands, surroundings, outputs)
    await outputs.stdout.drain()
    return code
  } catch (error) {
    outputs.status.clear()
    outputs.stdout.flush()
    if (error instanceof OutputClosedError) return 0
    return reportError(error, { json, environment: surroundings.environment, ...outputs })
  }
}

async function openOutputs({ stdout, stderr, ...surroundings }: Surroundings): Promise<Outputs> {
  let status = NO_STATUS_AREA
  if (stderr.isTerminal && surroundings.environment.TERM !== 'dumb') {
    const { TerminalStatus } = await import('./render/terminal-status.ts')
    status = new TerminalStatus({
      write: (text) => stderr.write(text),
      columns: surroundings.columns,
      rows: surroundings.rows,
    })
  }
  const collecting = new CollectingWriter(stdout, status)
  return { stdout: collecting, stderr: new ImmediateWriter(stderr, collecting, status), status }
}

async function dispatch(
  argv: readonly string[],
  commands: readonly RegisteredCommand[],
  surroundings: Surroundings,
  outputs: Outputs,
): Promise<number> {
  const isHelp = argv[0] === 'help'
  const found = findCommand(
    isHelp ? argv.slice(1) : argv,
    commands.map((command) => command.name),
  )
  const command = commands.find((one) => one.name === found.name)
  if (command === undefined) {
    const { rootHelp } = await import('./help.ts')
    const shown = commands.filter(({ isHidden }) => !isHidden)
    outputs.stdout.write(`${await rootHelp(shown, surroundings.columns())}\n`)
    return 0
  }
  const { definition, run } = await command.load()
  const args = isHelp ? undefined : parseArguments(found.rest, definition, surroundings.environment)
  if (args === undefined || args.help) {
    const { commandHelp } = await import('./help.ts')
    outputs.stdout.write(`${await commandHelp(definition, surroundings.columns())}\n`)
    return 0
  }
  const signals = [surroundings.signal]
  if (definition.onlyShows) signals.push(surroundings.outputClosed)
  const context: CommandContext = {
    ...outputs,
    json: args.json,
    quiet: args.quiet,
    verbosity: args.verbose,
    isTerminal: outputs.status !== NO_STATUS_AREA,
    signal: AbortSignal.any(signals),
    environment: surroundings.environment,
    startedAtMs: surroundings.startedAtMs,
    onProgressSignal: surroundings.onProgressSignal,
    takeTerminal: () => outputs.status.suspend(),
    warn: (message) => {
      const line = args.json ? encodeJson(errorJson(message, definition.name, '')) : message
      outputs.stderr.write(`${line}\n`)
    },
  }
  surroundings.signal.addEventListener('abort', () => {
    // For good: a second signal would leave on the terminal what is drawn there.
    outputs.status.suspend()
    if (!args.json && !args.quiet) outputs.stderr.write(`${signalNote(surroundings.signal)}\n`)
  })
  const { outputClosed } = surroundings
  try {
    const code = await run(args, context)
    await outputs.stdout.drain()
    if (!isCairnError(outputClosed.reason)) return code
    if (definition.onlyShows && code === 0) throw outputClosed.reason
    context.warn(errorChain(outputClosed.reason))
    return code
  } catch (error) {
    const isCut = definition.onlyShows && outputClosed.aborted
    if (!isCairnError(error, 'CAIRN_ABORTED')) throw error
    const isDryRun = 'dryRun' in args && args.dryRun === true
    if (!isCut) throw isDryRun ? error : interrupted(definition.whenInterrupted, error)
    throw isCairnError(outputClosed.reason) ? outputClosed.reason : new OutputClosedError()
  }
}

function interrupted(whatIsLeft: string | undefined, cause: CairnError): CairnError {
  if (whatIsLeft === undefined) return cause
  return new CairnError('CAIRN_ABORTED', 'interrupted', { cause, details: { whatIsLeft } })
}

function signalNote(signal: AbortSignal): string {
  const name = signal.reason instanceof Error ? signal.reason.message : 'a signal'
  return `${name} received, cleaning up; once more ends at once`
}

/** Whoever read the listing has seen enough: no error, and nothing to say. */
class OutputClosedError extends Error {}

export interface ErrorReport {
  readonly json: boolean
  readonly environment: Environment
  readonly stderr: OutputWriter
}

/** Tells of `error` and returns the exit code. */
export function reportError(error: unknown, { json, environment, stderr }: ErrorReport): number {
  const errors = flatten(error)
  const [worst] = errors.toSorted((a, b) => exitCodeOf(b) - exitCodeOf(a))
  const code = exitCodeOf(worst)
  const messages = errors.map(errorChain)
  const prefix = code === ERRORS.CAIRN_INCOMPLETE.exit ? 'Warning: ' : 'Fatal: '
  const message = code === EXIT_ABORTED ? endOf(worst) : `${prefix}${messages.join('\n')}`
  if (json) stderr.write(`${encodeJson(exitErrorJson(code, message))}\n`)
  else stderr.write(`${message}\n${detailsOf(worst, code, environment)}`)
  return code
}

function endOf(aborted: unknown): string {
  const whatIsLeft = aborted instanceof CairnError ? aborted.details['whatIsLeft'] : undefined
  return whatIsLeft === undefined ? 'interrupted' : `interrupted: ${whatIsLeft}`
}

/** Where a bug is, so that it can be reported; and where to find help with a usage error. */
function detailsOf(error: unknown, code: number, environment: Environment): string {
  const isExpected = error instanceof CairnError
  if (isExpected && !environment.CAIRN_DEBUG) return code === EXIT_USAGE ? USAGE_HINT : ''
  if (error instanceof Error && error.stack !== undefined) {
    const about = error instanceof BugError ? 'This is a bug in cairn. ' : ''
    return `${about}${error.stack}\n`
  }
  return ''
}

const USAGE_HINT = "Try 'cairn help' or 'cairn help <command>'.\n"

function flatten(error: unknown): unknown[] {
  return error instanceof AggregateError && error.errors.length > 0
    ? error.errors.flatMap(flatten)
    : [error]
}

function exitCodeOf(error: unknown): number {
  return error instanceof CairnError ? error.exitCode : 1
}
