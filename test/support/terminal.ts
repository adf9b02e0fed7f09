/** `cairn` on a terminal of its own, which util-linux's `script` makes and holds. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Box, RunOptions } from './run-cairn.ts'

export const hasTerminals =
  process.platform === 'linux' && spawnSync('script', ['--version']).status === 0

const ROWS = 24

export interface OnTerminal {
  /** What the terminal got so far, with all control sequences. */
  shown(): string
  type(text: string): void
  /** Resolves when the terminal has got what `isThere` wants; rejects if the command ends before. */
  until(isThere: (shown: string) => boolean): Promise<void>
  /** As when its window is closed. */
  close(): void
  /** As the shell sees it: 128 and the number of the signal, where that ended it. */
  readonly exitCode: Promise<number>
}

function quoted(words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
}

/** Starts `cairn` in `box` on a terminal of `columns`. `environment` is over that of the box. */
export function startOnTerminal(
  box: Box,
  words: readonly string[],
  { environment = {}, columns = 80 }: RunOptions & { readonly columns?: number } = {},
): OnTerminal {
  const { command, args, env } = box.command(words)
  const codeFile = join(box.path, 'exit-code')
  // The shell passes on the end of its terminal, as shells do, and outlives it to tell the exit code.
  const tell = `wait $!; echo $? > ${quoted([codeFile])}`
  const line = [
    `trap '' INT; stty cols ${columns} rows ${ROWS}; exec 3<&0`,
    `${quoted([command, ...args])} <&3 3<&- & trap "kill -HUP $!; ${tell.replaceAll('$?', '\\$?')}; exit" HUP`,
    tell,
  ].join('\n')
  const child = spawn('script', ['-qfc', line, '/dev/null'], {
    cwd: box.path,
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...env, SHELL: '/bin/sh', TERM: 'xterm', XDG_CACHE_HOME: box.cache, ...environment },
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return watch(child, codeFile)
}

function watch(child: ChildProcess, codeFile: string): OnTerminal {
  let shown = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    shown += text
  })
  child.stdin?.on('error', () => {})
  const hasEnded = new Promise<void>((resolve) => void child.on('close', () => resolve()))
  const written = async (): Promise<number> => {
    await hasEnded
    for (;;) {
      try {
        const text = readFileSync(codeFile, 'latin1')
        if (text.endsWith('\n')) return Number(text)
      } catch {
        // Not yet: whoever writes it has lost the terminal that has ended.
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  return {
    shown: () => shown,
    type: (text) => void child.stdin?.write(text),
    until: (isThere) =>
      new Promise((resolve, reject) => {
        const look = () => isThere(shown) && resolve()
        child.stdout?.on('data', look)
        look()
        hasEnded.then(() => reject(new Error(`it has ended: ${shown}`)), reject)
      }),
    close: () => void child.kill('SIGKILL'),
    exitCode: written(),
  }
}
