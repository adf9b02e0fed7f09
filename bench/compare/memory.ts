/**
 * Memory that nobody used for seconds belongs to the host in many virtual machines: its first use then
 * costs more than what the tools themselves do, and by chance one tool or the other has to pay.
 */

import { spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'

const PIECE_BYTES = 128 << 20
/** Linux hands free memory back (page reporting) two seconds after some was freed, all there is. */
const REPORTED_MS = 3000

/** Less is not worth the wait. */
const BYTES_MIN = 64 << 20

/**
 * Lets the host take what it will, and then uses `byteCount` of memory: several times what the
 * measurement needs, since any of it may be given, and some goes back to the host every two seconds.
 */
export async function settleMemory(byteCount: number): Promise<void> {
  if (byteCount < BYTES_MIN) return
  await sleep(REPORTED_MS)
  touchMemory(byteCount)
}

function touchMemory(byteCount: number): void {
  const script = `for (let i = 0; i < ${Math.ceil(byteCount / PIECE_BYTES)}; i++)
    globalThis['piece' + i] = Buffer.allocUnsafeSlow(${PIECE_BYTES}).fill(1)`
  const { status } = spawnSync(process.execPath, ['-e', script], { stdio: 'inherit' })
  if (status !== 0) throw new Error('there is not enough memory to measure')
}
