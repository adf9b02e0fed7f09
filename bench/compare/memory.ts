/**
 * Memory that nobody used for seconds belongs to the host in many virtual machines: its first use then
 * costs more than what the tools themselves do, and by chance one tool or the other has to pay.
 */

import { spawnSync } from 'node:child_process'

const PIECE_BYTES = 128 << 20

/** Uses as much memory as a measurement may need, and gives it back, just before it. */
export function touchMemory(byteCount: number): void {
  const script = `for (let i = 0; i < ${Math.ceil(byteCount / PIECE_BYTES)}; i++)
    globalThis['piece' + i] = Buffer.allocUnsafeSlow(${PIECE_BYTES}).fill(1)`
  const { status } = spawnSync(process.execPath, ['-e', script], { stdio: 'inherit' })
  if (status !== 0) throw new Error('there is not enough memory to measure')
}
