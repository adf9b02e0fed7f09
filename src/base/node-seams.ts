/** The real clock, randomness and process. The one place that calls them. */

import { randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import { CairnError } from './errors.ts'
import type { Clock, Process, Randomness } from './seams.ts'

export function nodeClock(): Clock {
  const originNs = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint()
  return {
    wallNs: () => {
      // The wall clock has milliseconds; the digits below come from the monotonic one.
      const wallMs = BigInt(Date.now()) * 1_000_000n
      const fine = originNs + process.hrtime.bigint()
      const drift = fine - wallMs
      return drift >= 0n && drift < 1_000_000n ? fine : wallMs
    },
    monotonicMs: () => performance.now(),
    sleep: (delayMs, signal) =>
      new Promise((resolve, reject) => {
        const abort = () => {
          clearTimeout(timer)
          reject(new CairnError('CAIRN_ABORTED', 'interrupted'))
        }
        if (signal?.aborted) return abort()
        const timer = setTimeout(() => {
          signal?.removeEventListener('abort', abort)
          resolve()
        }, delayMs)
        signal?.addEventListener('abort', abort, { once: true })
      }),
    every: (periodMs, action) => {
      const timer = setInterval(action, periodMs)
      timer.unref()
      return () => clearInterval(timer)
    },
  }
}

export function nodeRandomness(): Randomness {
  return { bytes: (byteCount) => randomBytes(byteCount) }
}

/** The namespace of process ids that Linux begins with. */
const FIRST_PID_NAMESPACE = 'pid:[4026531836]'

/**
 * Where a process id says which process is meant: this boot, and within it a container, since another one
 * of the same host name has other processes with the same ids.
 */
function readBootId(): string {
  try {
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    const namespace = readlinkSync('/proc/self/ns/pid')
    return namespace === FIRST_PID_NAMESPACE ? bootId : `${bootId} ${namespace}`
  } catch {
    return '' // Not Linux: a session of this machine is then judged by its beats alone.
  }
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    return '' // A uid without a passwd entry, as in many containers.
  }
}

export function nodeProcess(): Process {
  return {
    pid: process.pid,
    hostname: hostname(),
    username: userName(),
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    bootId: readBootId(),
    system: process.platform,
    architecture: process.arch,
    isAlive: (pid) => {
      try {
        process.kill(pid, 0)
        return true
      } catch (error) {
        // EPERM means that it is there and belongs to somebody else.
        return (error as NodeJS.ErrnoException).code !== 'ESRCH'
      }
    },
  }
}
