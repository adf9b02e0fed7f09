/** The command line as a process: its streams, its signals and its exit code. */

import { COMMANDS } from './registry.ts'
import { ImmediateWriter } from './output.ts'
import { leaveClosedTerminals, openTerminals, sinkOf } from './process-sink.ts'
import { reportError, runCommandLine, type Surroundings } from './run-command.ts'

const EXIT_ABORTED = 130
const COLUMNS_WITHOUT_TERMINAL = 100
const ROWS_WITHOUT_TERMINAL = 24

/**
 * The first signal asks the command to stop cleanly, the second ends the process at once. SIGHUP, which
 * tells of the end of the terminal, counts for those who use it: Node has it arrive under nohup as well.
 */
function abortOnSignals(hasTerminal: boolean): AbortSignal {
  const controller = new AbortController()
  const stop = (name: NodeJS.Signals) => {
    // The system tells of it, and the shell again: the second is nobody's impatience.
    if (name === 'SIGHUP' && (!hasTerminal || controller.signal.aborted)) return
    if (controller.signal.aborted) process.exit(EXIT_ABORTED)
    controller.abort(new Error(`signal ${name}`))
  }
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, stop)
  return controller.signal
}

function onProgressSignal(action: () => void): () => void {
  if (process.platform === 'win32') return () => {}
  process.on('SIGUSR1', action)
  return () => process.off('SIGUSR1', action)
}

/** Runs the command line of this process and sets its exit code. */
export async function main(argv: readonly string[] = process.argv.slice(2)): Promise<void> {
  const terminals = openTerminals()
  process.on('exit', () => leaveClosedTerminals(terminals))
  const closed = new AbortController()
  const stdout = sinkOf(process.stdout, (reason) => closed.abort(reason))
  const stderr = sinkOf(process.stderr, () => {})
  const surroundings: Surroundings = {
    environment: process.env,
    stdout,
    stderr,
    columns: () => process.stderr.columns || process.stdout.columns || COLUMNS_WITHOUT_TERMINAL,
    rows: () => process.stderr.rows || ROWS_WITHOUT_TERMINAL,
    signal: abortOnSignals(terminals.length > 0),
    outputClosed: closed.signal,
    startedAtMs: performance.timeOrigin,
    onProgressSignal,
  }
  const dieOf = (error: unknown) => {
    const writer = new ImmediateWriter(stderr, new ImmediateWriter(stdout, NOTHING_HELD))
    const json = argv.includes('--json')
    process.exit(reportError(error, { json, environment: process.env, stderr: writer }))
  }
  // Without a listener Node would open its debugger to all local users on this signal.
  onProgressSignal(() => {})
  // Also takes rejections that nobody handles.
  process.on('uncaughtException', dieOf)
  process.exitCode = await runCommandLine(argv, COMMANDS, surroundings)
}

const NOTHING_HELD = {
  write: () => {},
  writeBytes: async () => {},
  flush: () => {},
  drain: async () => {},
  isTerminal: false,
}
