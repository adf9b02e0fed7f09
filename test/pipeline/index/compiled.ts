/** Compiles src/pipeline into a temporary folder, for tests with real processes and threads. */

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const project = resolve(import.meta.dirname, '../../..')

/** Returns the folder; `<folder>/src` has the JavaScript. The caller removes it. */
export function compilePipeline(): string {
  const folder = mkdtempSync(join(tmpdir(), 'cairn-compiled-'))
  mkdirSync(join(folder, 'src'))
  symlinkSync(join(project, 'node_modules'), join(folder, 'node_modules'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  const include = ['pipeline/index', 'base', 'format'].map((part) => join(project, 'src', part))
  const compilerOptions = {
    rootDir: join(project, 'src'),
    outDir: join(folder, 'src'),
    declaration: false,
    noCheck: true, // Types are checked elsewhere.
    types: [],
  }
  const config = { extends: join(project, 'tsconfig.json'), compilerOptions, include }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  const compiler = join(project, 'node_modules/.bin/tsc')
  const { status, stdout, stderr } = spawnSync(compiler, ['-p', folder], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`cannot compile: ${stdout}${stderr}`)
  return folder
}
