/** Asks for a passphrase on the terminal itself, so that stdin and stdout stay free for data. */

import { closeSync, openSync } from 'node:fs'
import { ReadStream, WriteStream } from 'node:tty'
import { CairnError } from '../base/errors.ts'

interface Terminal {
  readonly input: ReadStream
  readonly output: WriteStream
}

function openTerminal(): Terminal | undefined {
  const descriptors: number[] = []
  try {
    const input = openSync('/dev/tty', 'r')
    descriptors.push(input)
    const output = openSync('/dev/tty', 'w')
    descriptors.push(output)
    return { input: new ReadStream(input), output: new WriteStream(output) }
  } catch {
    for (const descriptor of descriptors) closeSync(descriptor)
    return undefined // No controlling terminal, as in cron jobs, services and pipelines of CI.
  }
}

/** What was typed, never shown; undefined if there is no terminal. Ctrl-C is CAIRN_ABORTED. */
export async function askOnTerminal(
  message: string,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const terminal = openTerminal()
  if (terminal === undefined) return undefined
  try {
    const { default: password } = await import('@inquirer/password')
    return await password(
      {
        message,
        toggleMask: false,
        theme: { prefix: { idle: '', done: '' }, style: { maskedText: '', message: plain } },
      },
      {
        input: terminal.input,
        output: terminal.output,
        ...(signal === undefined ? {} : { signal }),
      },
    )
  } catch (error) {
    const isEnd = error instanceof Error && /^(?:ExitPrompt|AbortPrompt)Error$/.test(error.name)
    throw isEnd ? new CairnError('CAIRN_ABORTED', 'interrupted') : error
  } finally {
    terminal.input.destroy()
    terminal.output.destroy()
  }
}

function plain(text: string): string {
  return text
}
