/**
 * `fusermount3`, the set-user-id program by which ordinary users mount. It passes the opened device
 * over a socket: the variable _FUSE_COMMFD names the socket, the descriptor comes as ancillary data
 * (its manual page, and libfuse's lib/mount.c, describe it).
 */

import { spawn } from 'node:child_process'
import { closeSync } from 'node:fs'
import { getSystemErrorName } from 'node:util'
import { CairnError } from '../base/errors.ts'
import { fuseLibc } from './libc.ts'

/** Tried in this order: the second is that of version 2, which speaks the same. */
const PROGRAMS = ['fusermount3', 'fusermount']
const AF_UNIX = 1
const SOCK_STREAM = 1

/** Mounts and returns the descriptor of the device. Throws CAIRN_FAILED with what it complains of. */
export async function mountByFusermount(
  mountpoint: string,
  options: readonly string[],
): Promise<number> {
  const libc = fuseLibc()
  const pair = Buffer.alloc(8)
  if (libc.socketpair(AF_UNIX, SOCK_STREAM, 0, pair) !== 0) {
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot make a socket: ${getSystemErrorName(-libc.errno())}`,
    )
  }
  const [ours, theirs] = [pair.readInt32LE(0), pair.readInt32LE(4)]
  try {
    const said = await runFirst(['-o', options.join(','), '--', mountpoint], theirs)
    const descriptor = said === undefined ? libc.receiveDescriptor(ours) : -1
    if (descriptor >= 0) return descriptor
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot mount on '${mountpoint}': ${said ?? 'fusermount3 passed no descriptor'}`,
    )
  } finally {
    closeSync(ours)
  }
}

/**
 * Whether a program could unmount it; `isLazy` also where it is in use. This thread goes on meanwhile:
 * the program may look at the mount, which this process has to answer.
 */
export async function unmountByFusermount(mountpoint: string, isLazy: boolean): Promise<boolean> {
  const args = [isLazy ? '-uz' : '-u', '--', mountpoint]
  for (const program of PROGRAMS) {
    const { isThere, said } = await run(program, args)
    if (isThere) return said === undefined
  }
  return false
}

/** Runs the first program there is. Returns what it complained about, or undefined. */
async function runFirst(args: readonly string[], socket: number): Promise<string | undefined> {
  try {
    for (const program of PROGRAMS) {
      const result = await run(program, args, socket)
      if (result.isThere) return result.said
    }
    return "there is no fusermount3: install the package 'fuse3', or run as root"
  } finally {
    closeSync(socket)
  }
}

interface Result {
  readonly isThere: boolean
  readonly said: string | undefined
}

/** `socket` is where it passes a device. */
function run(program: string, args: readonly string[], socket?: number): Promise<Result> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe', socket ?? 'ignore'],
      env: { ...process.env, _FUSE_COMMFD: '3' },
    })
    let said = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    child.on('error', () => resolve({ isThere: false, said: undefined }))
    child.on('close', (code) => {
      const complaint = code === 0 ? undefined : said.trim() || `${program} ended with code ${code}`
      resolve({ isThere: true, said: complaint })
    })
  })
}
