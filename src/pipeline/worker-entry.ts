/** What a worker thread runs: a body, fed by messages. Every thread loads what this file imports. */

import { parentPort, workerData } from 'node:worker_threads'
import { BugError, CairnError } from '../base/errors.ts'
import { nodeClock, nodeRandomness } from '../base/node-seams.ts'
import { nodeSourceFiles } from '../source/node-source-files.ts'
import { createBody, type Purpose, type Purposes } from './bodies.ts'
import type { FromThread, ThreadFailure, ToThread } from './work-pool.ts'

function describe(error: unknown): ThreadFailure {
  const messages: string[] = []
  for (let at: unknown = error, depth = 0; at !== undefined && depth < 8; depth++) {
    messages.push(at instanceof Error ? at.message : String(at))
    at = at instanceof Error ? at.cause : undefined
  }
  const code = error instanceof CairnError ? error.code : undefined
  return { code, messages, stack: error instanceof Error ? error.stack : undefined }
}

async function main(): Promise<void> {
  const port = parentPort
  if (port === null) throw new BugError('this file runs in a worker thread')
  const { purpose, init } = workerData as { purpose: Purpose; init: Purposes[Purpose]['init'] }
  const post = (message: FromThread, transfer: readonly ArrayBuffer[] = []) =>
    port.postMessage(message, [...transfer])
  const body = await createBody(purpose, init, {
    environment: {
      clock: nodeClock(),
      random: nodeRandomness(),
      pid: process.pid,
      source: nodeSourceFiles(),
    },
    post: (note, transfer) => post({ kind: 'note', note }, transfer),
  })
  port.on('message', (message: ToThread) => {
    if (message.kind === 'note') {
      body.receive(message.note)
      return
    }
    try {
      const result = body.run(message.job as Purposes[Purpose]['job'])
      post({ kind: 'result', id: message.id, result }, transferable(result))
    } catch (error) {
      post({ kind: 'failure', id: message.id, failure: describe(error) })
    }
  })
}

/** The buffers of a result that can be moved instead of copied. */
function transferable(result: unknown): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>()
  if (typeof result === 'object' && result !== null) {
    for (const value of Object.values(result)) {
      if (ArrayBuffer.isView(value) && value.buffer instanceof ArrayBuffer) buffers.add(value.buffer)
    }
  }
  return [...buffers]
}

await main()
