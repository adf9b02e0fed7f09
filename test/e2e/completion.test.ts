/** The completion scripts in real shells. */

import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Box, cairnCommand, newBox, newRepository } from '../support/run-cairn.ts'

/** The environment of `box`, with a `cairn` in its PATH. */
function shellEnvironment(box: Box, more: Readonly<Record<string, string>> = {}) {
  const bin = join(box.path, 'bin')
  const { command, args, env } = cairnCommand([], { home: box.home })
  mkdirSync(bin, { recursive: true })
  const program = `#!/bin/sh\nexec '${[command, ...args].join("' '")}' "$@"\n`
  writeFileSync(join(bin, 'cairn'), program, { mode: 0o755 })
  return { ...env, PATH: `${bin}:${env.PATH ?? ''}`, CAIRN_PASSWORD: '', ...more }
}

function has(shell: string): boolean {
  return spawnSync(shell, ['-c', 'true']).status === 0
}

/**
 * What bash shows for a line with the cursor at its end: the words that replace what it would
 * replace, and what else it is told to offer. `words` are what bash makes of the line.
 */
function inBash(box: Box, words: readonly string[], line: string, environment = {}): string[] {
  const script = `
    source <(cairn completion bash)
    complete -p cairn >/dev/null || exit 9
    compopt() { echo "also $2"; }
    COMP_LINE=$1; COMP_POINT=\${#1}; shift
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _cairn
    printf '%s\\n' "\${COMPREPLY[@]}"`
  const ran = spawnSync('bash', ['--norc', '--noprofile', '-c', script, 'bash', line, ...words], {
    env: shellEnvironment(box, environment),
    encoding: 'utf8',
    cwd: box.path,
  })
  expect({ status: ran.status, stderr: ran.stderr }).toEqual({ status: 0, stderr: '' })
  return ran.stdout.split('\n').filter((one) => one !== '')
}

describe.skipIf(!has('bash'))('bash', () => {
  test('completes commands, options, values and files', () => {
    const box = newBox()
    expect(inBash(box, ['cairn', 'sna'], 'cairn sna')).toEqual(['snapshots'])
    expect(inBash(box, ['cairn', 'key', ''], 'cairn key ')).toContain('passwd')
    const overwrite = ['cairn', 'restore', '--overwrite']
    const line = overwrite.join(' ')
    expect(inBash(box, [...overwrite, 'if-c'], `${line} if-c`)).toEqual(['if-changed'])
    expect(inBash(box, [...overwrite, '=', 'n'], `${line}=n`)).toEqual(['never'])
    expect(inBash(box, [...overwrite, '='], `${line}=`)).toContain('always')
    expect(inBash(box, ['cairn', 'backup', 'x'], 'cairn backup x')).toEqual(['also default'])
    expect(inBash(box, ['cairn', '-r', ''], 'cairn -r ')).toEqual(['also dirnames'])
  })

  test('completes ids of snapshots, with the repository that the line names', async () => {
    const box = await newRepository()
    await box.succeed(['backup', box.source])
    const [{ id }] = (await box.snapshots()) as [{ id: string }]
    const words = ['cairn', '-r', box.repository, '--key-file', join(box.path, 'key'), 'ls', '']
    expect(inBash(box, words, words.join(' '))).toEqual(['latest', id.slice(0, 8)])
    const begun = [...words.slice(0, -1), id.slice(0, 3)]
    expect(inBash(box, begun, begun.join(' '))).toEqual([id.slice(0, 8)])
  })

  test('asks for nothing, runs no password command, and stays silent where it fails', async () => {
    const box = await newRepository()
    const words = ['cairn', '-r', box.repository, 'ls', '']
    const mark = join(box.path, 'ran')
    expect(inBash(box, words, words.join(' '))).toEqual(['latest'])
    const asking = { CAIRN_PASSWORD_COMMAND: `touch ${mark}` }
    expect(inBash(box, words, words.join(' '), asking)).toEqual(['latest'])
    expect(spawnSync('ls', [mark]).status).not.toBe(0)
    const nowhere = ['cairn', '-r', join(box.path, 'nowhere'), 'ls', '']
    expect(inBash(box, nowhere, nowhere.join(' '))).toEqual(['latest'])
  })
})

test.skipIf(!has('zsh'))('zsh takes its script', () => {
  const box = newBox()
  const script =
    'autoload -Uz compinit; compinit -D; source <(cairn completion zsh); print $_comps[cairn]'
  const ran = spawnSync('zsh', ['-f', '-c', script], {
    env: shellEnvironment(box),
    encoding: 'utf8',
  })
  expect(ran).toMatchObject({ status: 0, stdout: '_cairn\n', stderr: '' })
})

test.skipIf(!has('fish'))('fish completes with its script', () => {
  const box = newBox()
  const script = 'cairn completion fish | source; complete -C "cairn restore --overwrite if-c"'
  const ran = spawnSync('fish', ['-N', '-c', script], {
    env: shellEnvironment(box),
    encoding: 'utf8',
  })
  expect(ran).toMatchObject({ status: 0, stdout: 'if-changed\n', stderr: '' })
})

test('a shell that there is no script for is a usage error', async () => {
  const { code, stderr } = await newBox().run(['completion', 'tcsh'])
  expect(code).toBe(2)
  expect(stderr).toContain('write one of bash, zsh, fish')
})
