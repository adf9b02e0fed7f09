/**
 * Runs a command and measures it: wall time by this process's clock, CPU time and peak memory by GNU
 * time, which asks the kernel (wait4) and is too small to be seen in the figures. A pipeline counts
 * with all its processes for CPU, and with the largest of them for memory.
 */

import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Command {
  readonly program: string
  readonly args: readonly string[]
  readonly workingDirectory?: string
  /** The whole environment: nothing is inherited. */
  readonly environment: Readonly<Record<string, string>>
}

export interface Measured {
  readonly wallSeconds: number
  /** User and system time; undefined without GNU time. */
  readonly cpuSeconds: number | undefined
  readonly peakBytes: number | undefined
}

/** A command that did not do what it was asked for. The message goes into the table. */
export class FailedCommand extends Error {}

const TIME = '/usr/bin/time'
const MESSAGE_LENGTH_MAX = 200

export function hasGnuTime(): boolean {
  const { stdout, stderr } = spawnSync(TIME, ['--version'], { encoding: 'utf8' })
  return `${stdout ?? ''}${stderr ?? ''}`.includes('GNU')
}

/** The end of what was said on stderr, for people: one line that fits into a cell. */
function lastLine(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  return (lines.find((line) => /fatal|error/i.test(line)) ?? lines.at(-1) ?? '')
    .trim()
    .slice(0, MESSAGE_LENGTH_MAX)
}

function runToEnd(
  program: string,
  args: readonly string[],
  command: Command,
): Promise<{ wallSeconds: number; status: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const startNs = process.hrtime.bigint()
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: command.environment,
      ...(command.workingDirectory === undefined ? {} : { cwd: command.workingDirectory }),
    })
    let endNs = startNs
    let stderr = ''
    child.stderr.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString('utf8')).slice(-65_536)
    })
    child.on('error', (error) => reject(new FailedCommand(error.message)))
    child.on('exit', () => {
      endNs = process.hrtime.bigint()
    })
    child.on('close', (code, signal) => {
      const wallSeconds = Number(endNs - startNs) / 1e9
      resolve({ wallSeconds, status: signal ?? String(code), stderr })
    })
  })
}

/** Throws FailedCommand for any exit status but 0. `scratch` is a folder for one small file. */
export async function runMeasured(
  command: Command,
  { scratch, withGnuTime }: { readonly scratch: string; readonly withGnuTime: boolean },
): Promise<Measured> {
  const figures = join(scratch, 'figures')
  const own = [command.program, ...command.args]
  const [program = '', ...args] = withGnuTime
    ? [TIME, '-o', figures, '-f', '%U %S %M', '--', ...own]
    : own
  const { wallSeconds, status, stderr } = await runToEnd(program, args, command)
  if (status !== '0') throw new FailedCommand(`exit ${status}: ${lastLine(stderr)}`)
  if (!withGnuTime) return { wallSeconds, cpuSeconds: undefined, peakBytes: undefined }
  const last = readFileSync(figures, 'utf8').trim().split('\n').at(-1) ?? ''
  const [user = 0, system = 0, peakKib = 0] = last.split(' ').map(Number)
  return { wallSeconds, cpuSeconds: user + system, peakBytes: peakKib * 1024 }
}

/** Runs what is not measured. */
export async function runPlain(command: Command): Promise<void> {
  const { status, stderr } = await runToEnd(command.program, command.args, command)
  if (status !== '0') throw new FailedCommand(`exit ${status}: ${lastLine(stderr)}`)
}
