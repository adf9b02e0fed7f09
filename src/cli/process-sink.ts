/** The streams of the process, as sinks that tell when what is written gets nowhere. */

import { closeSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { isatty } from 'node:tty'
import { CairnError } from '../base/errors.ts'
import type { OutputSink } from './output.ts'

/**
 * `onBroken` is told once why nothing more can be written, and what comes later is dropped: a reader
 * that has gone away is no error of ours; a file that takes no more is CAIRN_FAILED.
 */
export function sinkOf(stream: NodeJS.WriteStream, onBroken: (reason: Error) => void): OutputSink {
  let isBroken = false
  const breakOff = (reason: Error) => {
    if (isBroken) return
    isBroken = true
    onBroken(reason)
  }
  stream.on('error', () => breakOff(new Error('the output is closed')))
  const put = stream instanceof Socket ? stream.write.bind(stream) : fileWriter(stream, breakOff)
  return {
    isTerminal: stream.isTTY === true,
    write: (content) => {
      if (!isBroken) put(content)
    },
    drain: () =>
      isBroken || !stream.writableNeedDrain
        ? Promise.resolve()
        : new Promise((resolve) => {
            const done = () => {
              stream.off('drain', done)
              stream.off('close', done)
              stream.off('error', done)
              resolve()
            }
            stream.on('drain', done)
            stream.on('close', done)
            stream.on('error', done)
          }),
  }
}

/** Node's own stream for files drops, without a word, what a nearly full disk did not take of a write. */
function fileWriter({ fd }: { readonly fd: number }, breakOff: (reason: Error) => void) {
  return (content: string | Uint8Array): void => {
    try {
      writeWhole(fd, typeof content === 'string' ? Buffer.from(content) : content)
    } catch (cause) {
      breakOff(new CairnError('CAIRN_FAILED', 'cannot write the output', { cause }))
    }
  }
}

function writeWhole(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
}

const STANDARD_STREAMS = [0, 1, 2]

/** Those of stdin, stdout and stderr that are terminals. */
export function openTerminals(): number[] {
  return STANDARD_STREAMS.filter((stream) => isatty(stream))
}

/**
 * To be called when the process ends: Node wants to leave its terminals as they were, and dumps core,
 * with all keys, if one of them has gone away.
 */
export function leaveClosedTerminals(terminals: readonly number[]): void {
  for (const stream of terminals) if (!isatty(stream)) closeSync(stream)
}
