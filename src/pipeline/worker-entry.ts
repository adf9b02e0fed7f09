/** What a worker thread runs: a body, fed by messages. Every thread loads what this file imports. */

import { parentPort, workerData } from 'node:worker_threads'
import { BugError, CairnError, messageOf } from '../base/errors.ts'
import { nodeClock, nodeRandomness } from '../base/node-seams.ts'
import { nodeSourceFiles } from '../source/node-source-files.ts'
import type { SourceFiles } from '../source/source-files.ts'
import { createBody, loadBody, type Purpose, type Purposes } from './bodies.ts'
import type { FromThread, ThreadFailure, ToThread, WorkBody } from './work-pool.ts'

function describe(error: unknown): ThreadFailure {
  const messages: string[] = []
  for (let at: unknown = error, depth = 0; at !== undefined && depth < 8; depth++) {
    messages.push(messageOf(at))
    at = at instanceof Error ? at.cause : undefined
  }
  const code = error instanceof CairnError ? error.code : undefined
  const name = error instanceof Error ? error.name : 'Error'
  return { name, code, messages, stack: error instanceof Error ? error.stack : undefined }
}

async function main(): Promise<void> {
  const port = parentPort
  if (port === null) throw new BugError('this file runs in a worker thread')
  const { purpose } = workerData as { purpose: Purpose }
  const post = (message: FromThread, transfer: readonly ArrayBuffer[] = []) =>
    port.postMessage(message, [...transfer])
  const host = {
    environment: {
      clock: nodeClock(),
      random: nodeRandomness(),
      pid: process.pid,
      source: nodeSourceFiles(),
    },
    post: (note: unknown, transfer?: readonly ArrayBuffer[]) =>
      post({ kind: 'note', note }, transfer),
  }
  let body: WorkBody<unknown, unknown> | undefined
  const early: ToThread[] = []
  const take = (message: ToThread): void => {
    if (message.kind === 'init') {
      void createBody(purpose, message.init as Purposes[Purpose]['init'], host).then((created) => {
        body = created as WorkBody<unknown, unknown>
        for (const waiting of early.splice(0)) take(waiting)
      })
    } else if (body === undefined) early.push(message)
    else if (message.kind === 'note') body.receive(message.note)
    else runJob(body, message, post)
  }
  port.on('message', take)
  // While the keys are being derived: the code is there when they are.
  await loadBody(purpose)
  if (purpose !== 'pack') loadNative(host.environment.source)
  post({ kind: 'loaded' })
}

/** Now rather than in the middle of a job, where the thread may be stopped. */
function loadNative(source: SourceFiles): boolean {
  return source.hasExtended
}

function runJob(
  body: WorkBody<unknown, unknown>,
  { id, job }: Extract<ToThread, { kind: 'job' }>,
  post: (message: FromThread, transfer?: readonly ArrayBuffer[]) => void,
): void {
  try {
    const result = body.run(job)
    post({ kind: 'result', id, result }, transferable(result))
  } catch (error) {
    post({ kind: 'failure', id, failure: describe(error) })
  }
}

/** The buffers of a result that can be moved instead of copied. */
function transferable(result: unknown): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>()
  if (typeof result === 'object' && result !== null) {
    for (const value of Object.values(result)) {
      if (ArrayBuffer.isView(value) && value.buffer instanceof ArrayBuffer)
        buffers.add(value.buffer)
    }
  }
  return [...buffers]
}

await main()
