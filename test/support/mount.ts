/**
 * `cairn mount` for tests. Whatever looks into a mount is a program of its own with a time limit, so
 * that a mount that hangs is a test that fails.
 */

import { execFile, spawnSync } from 'node:child_process'
import { accessSync, constants, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Box, Finished, RunOptions } from './run-cairn.ts'

const LIMIT_MS = 60_000

function canOpenFuse(): boolean {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}

export function hasProgram(name: string, ...args: readonly string[]): boolean {
  return spawnSync(name, args, { stdio: 'ignore', timeout: 10_000 }).error === undefined
}

/** For titles: what tests of mounts need. */
export const MOUNT_NEEDS = '/dev/fuse and fusermount3'
export const canMount = canOpenFuse() && hasProgram('fusermount3', '--version')

export interface Ran {
  /** Undefined if it was ended for taking too long. */
  readonly code: number | undefined
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program that may look into a mount. Strings are latin1: a character a byte. */
export function runProgram(
  command: string,
  args: readonly string[],
  options: { readonly uid?: number; readonly limitMs?: number } = {},
): Promise<Ran> {
  const { uid, limitMs = LIMIT_MS } = options
  const words = [command, ...args]
  if (uid !== undefined) {
    words.unshift('setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--')
  }
  const [program = '', ...rest] = words
  const how = { encoding: 'latin1', timeout: limitMs, maxBuffer: 64 << 20 } as const
  return new Promise((resolve) => {
    const child = execFile(program, rest, { ...how, killSignal: 'SIGKILL' }, (_error, out, err) =>
      resolve({ code: child.exitCode ?? undefined, stdout: out, stderr: err }),
    )
  })
}

/** The stdout of a program that has to succeed. */
export async function outputOf(command: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram(command, args)
  if (code === 0) return stdout
  throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${stderr}`)
}

export interface MountedBox {
  /** The mountpoint. */
  readonly path: string
  readonly pid: number
  /** What the mount has said on stderr so far. */
  readonly stderr: () => string
  readonly finished: Promise<Finished>
  signal(name: NodeJS.Signals): void
  /** Ends it by SIGTERM and gives what it said. */
  end(): Promise<Finished>
}

/** Mounts the repository of a box. Throws what it says if it cannot. */
export async function mountBox(
  box: Box,
  args: readonly string[] = [],
  options: RunOptions & { readonly mountpoint?: string } = {},
): Promise<MountedBox> {
  const path = options.mountpoint ?? join(box.path, 'mnt')
  // A stale mountpoint is there, but nobody can look at it.
  try {
    mkdirSync(path, { recursive: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTCONN') throw error
  }
  onTestFinished(() => {
    spawnSync('umount', ['-l', path], { stdio: 'ignore', timeout: 10_000 })
  })
  const { child, finished } = box.start(['mount', ...args, path], options)
  let stderr = ''
  child.stderr?.on('data', (text: string) => {
    stderr += text
  })
  const isUp = new Promise<true>((resolve) => {
    let stdout = ''
    child.stdout?.on('data', (text: string) => {
      stdout += text
      if (stdout.includes('now serving') || stdout.includes('"mounted"')) resolve(true)
    })
  })
  const first = await Promise.race([isUp, finished])
  if (first !== true) throw new Error(`mount ended with ${first.code}: ${first.stderr}`)
  return {
    path,
    pid: child.pid ?? 0,
    stderr: () => stderr,
    finished,
    signal: (name) => void child.kill(name),
    end: () => {
      child.kill('SIGTERM')
      return finished
    },
  }
}
