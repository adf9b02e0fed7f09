/** Shell scripts that were written for restic, run with it and, after replacing names, with cairn. */

import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

const PROGRAM = fileURLToPath(new URL('../../bin/cairn.js', import.meta.url))
const NOBODY = 65_534

export type ScriptTool = 'restic' | 'cairn'

export function isInstalled(program: string, argument = '--version'): boolean {
  return spawnSync(program, [argument]).status === 0
}

export const hasRestic = isInstalled('restic', 'version')

export interface ScriptRun {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** All that has to be done to a script: the name and the variables' prefix. */
function translated(script: string): string {
  return script.replaceAll('RESTIC_', 'CAIRN_').replaceAll('restic', 'cairn')
}

/**
 * Runs `script` in a folder of its own, where `source/` is what `prepare` makes and `bin/` is first in
 * the path. `CAIRN_REPOSITORY` and its password are set, under the tool's own prefix.
 */
export function runScript(
  tool: ScriptTool,
  script: string,
  { asNobody = false }: { readonly asNobody?: boolean } = {},
): ScriptRun {
  const folder = mkdtempSync(join(tmpdir(), 'cairn-script-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  for (const name of ['bin', 'home', 'source']) mkdirSync(join(folder, name))
  const wrapper = `#!/bin/sh\nexec '${process.execPath}' '${PROGRAM}' "$@"\n`
  writeFileSync(join(folder, 'bin/cairn'), wrapper, { mode: 0o755 })
  const words = ['sh', '-c', tool === 'cairn' ? translated(script) : script]
  if (asNobody && process.getuid?.() === 0) {
    chmodSync(folder, 0o755)
    for (const name of ['.', 'home', 'source']) chownSync(join(folder, name), NOBODY, NOBODY)
    words.unshift('setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--')
  }
  const [command = '', ...args] = words
  const prefix = tool === 'cairn' ? 'CAIRN' : 'RESTIC'
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: folder,
    encoding: 'utf8',
    env: {
      PATH: `${folder}/bin:${process.env['PATH'] ?? ''}`,
      HOME: join(folder, 'home'),
      TZ: 'UTC',
      LANG: 'C.UTF-8',
      [`${prefix}_REPOSITORY`]: join(folder, 'repository'),
      [`${prefix}_PASSWORD`]: 'correct horse',
    },
  })
  return { code: status, stdout: stdout.replaceAll(folder, '.'), stderr }
}
